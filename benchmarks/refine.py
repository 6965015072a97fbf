"""The first cut of data-juicer's Alpaca-CoT recipe by data-juicer and by curate, in one run.

    python benchmarks/refine.py --data ../shared/data [--work DIR] [--repeat 3]

Both drop equal texts and then what fails one of five filters, from alpaca_cleaned, dolly15k and
flan_cot together; curate by recipes/refine_alpaca_cot.yaml without its last stage, data-juicer by
peers/refine_data_juicer.yaml in an environment of its own. Each is timed as a process, from its
start to what it writes, curate before and after. Then every row is decided once more, longhand, by
the definitions of each; both must have kept just that, and each row on which they differ is put
under the definition that makes the difference.

Exit code 1 where a row is unexplained, or curate takes more than a twentieth of the seconds.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import polars as pl
import yaml
from dedup_corpus import Row, text_of
from dedup_peers import HERE, Outcome, Peer, emptied
from dedup_process import ProgramError, run
from refine_definitions import Counted, counted_here, counted_there, letters, words_of

from curate_text.wordlists import entries, shipped

GOAL = 20
"""How many times curate's seconds data-juicer takes at least."""
RECIPE = Path(__file__).parents[1] / "recipes" / "refine_alpaca_cot.yaml"
FIELDS = {
    "alpaca_cleaned": ("instruction", "input", "output"),
    "dolly15k": ("instruction", "context", "response"),
    "flan_cot": ("question", None, "rationale"),
}
"""Files, and what of them is instruction, input and output."""
FLAGGED = entries(shipped("flagged", "en"))
"""The list that both are given: data-juicer would download its own."""
SHOWN = 3
"""Rows printed of each cause."""


def read(data: Path) -> tuple[list[Row], list[str]]:
    """The rows of all files, and the file of each."""
    rows, files = [], []
    for name, (instruction, given, output) in FIELDS.items():
        with gzip.open(data / f"{name}.jsonl.gz") as lines:
            for row in map(json.loads, lines):
                fields = (row[instruction], row[given] if given else "", row[output])
                rows.append(dict(zip(("instruction", "input", "output"), fields, strict=True)))
                files.append(name)
    return rows, files


def write(folder: Path, rows: Sequence[Row]) -> None:
    """`rows.jsonl` as curate reads it, `texts.jsonl` as data-juicer does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as out:
        out.writelines(json.dumps({"row": at, **row}) + "\n" for at, row in enumerate(rows))
    with (folder / "texts.jsonl").open("w", encoding="utf-8") as out:
        for at, row in enumerate(rows):
            out.write(json.dumps({"row": at, "text": text_of(row)}) + "\n")


def run_curate(work: Path, corpus: Path) -> Outcome:
    """The recipe without its near-duplicates, with an empty home, to a published version.

    Of equal rows the first stays, as in data-juicer.

    Raises:
        ProgramError: It ended with an error.
    """
    folder = emptied(work / "runs" / "curate-refine")
    recipe = yaml.safe_load(RECIPE.read_text("utf-8"))
    exact, *middle, near = recipe["pipeline"]
    assert (exact["filter"], near["filter"]) == ("dedup.exact", "dedup.minhash")
    exact["with"]["prefer"] = ["lowest:row"]
    recipe["pipeline"] = [exact, *middle]
    recipe["sources"]["pool"]["path"] = "rows.jsonl"
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), "utf-8")
    os.link(corpus / "rows.jsonl", folder / "rows.jsonl")
    command = [sys.executable, "-m", "curate", "run", "recipe.yaml"]
    spent = run(command, folder, {"CURATE_HOME": str(folder / "home")})
    published = folder / "curated" / recipe["name"] / "v1" / "data" / "*.parquet"
    return Outcome(spent, frozenset(pl.read_parquet(published, columns=["row"])["row"].to_list()))


def _data_juicer(program: Path, corpus: Path, folder: Path) -> Sequence[str | Path]:
    (folder / "kept").mkdir()
    (folder / "words").mkdir()
    (folder / "words" / "flagged_words.json").write_text(json.dumps({"en": FLAGGED}), "utf-8")
    config = ["--config", HERE / "refine_data_juicer.yaml"]
    paths = ["--dataset_path", corpus / "texts.jsonl"]
    paths += ["--export_path", folder / "kept" / "rows.jsonl"]
    return [program / "dj-process", *config, *paths, "--work_dir", folder / "work"]


DATA_JUICER = Peer("data-juicer", "py-data-juicer", "with_data_juicer", _data_juicer)


def stripped_there(work: Path) -> frozenset[str]:
    """What data-juicer strips from words, asked of itself."""
    file = work / "special_of_data_juicer.json"
    python = DATA_JUICER.environment(work) / "bin" / "python"
    run([python, HERE / "special_of_data_juicer.py", file], work, {}, file.with_suffix(".log"))
    return frozenset(json.loads(file.read_text("utf-8")))


def decided(counted: Sequence[Counted]) -> tuple[frozenset[int], list[int]]:
    """The rows that stay by a side's definitions, and the first row that equals each."""
    first: dict[str, int] = {}
    firsts = [first.setdefault(one.key, at) for at, one in enumerate(counted)]
    kept = {at for at, one in enumerate(counted) if firsts[at] == at and not one.failed}
    return frozenset(kept), firsts


def cause(at: int, first: int, here: Sequence[Counted], there: Sequence[Counted]) -> str | None:
    """Why a row's fate differs, from both definitions; None: nothing that is known.

    Args:
        at: The row.
        first: The first row that equals it here.
        here: What curate counts, of all rows.
        there: What data-juicer counts.
    """
    mine, theirs = here[at], there[at]
    if first != at:
        if letters(there[at].key) != letters(there[first].key):
            return None
        return (
            "dedup.exact: equal here alone, where only letters count; data-juicer leaves "
            "punctuation beyond ASCII, symbols and such numerals as ½"
        )
    if mine.failed ^ theirs.failed != {"flagged_words_filter"}:
        return None
    if len(mine.words.flagged) == len(theirs.words.flagged):
        return (
            "flagged words: as many of them, among another number of words; data-juicer cuts at "
            "spaces alone and leaves out what has no letter"
        )
    if len(mine.words.flagged) > len(theirs.words.flagged):
        return (
            "flagged words: some found here alone; data-juicer takes for one word what is "
            "joined by punctuation, and finds no entry of several words"
        )
    return (
        "flagged words: some found in data-juicer alone, which strips digits and signs from a word"
    )


def explained(
    rows: Sequence[Row], ours: frozenset[int], theirs: frozenset[int], special: frozenset[str]
) -> bool:
    """Decide all rows by both definitions and print every difference; whether none is left."""
    texts = [text_of(row) for row in rows]
    words = [words_of(entry) for entry in FLAGGED]
    here = [counted_here(text, words) for text in texts]
    there = [counted_there(text, frozenset(FLAGGED), special) for text in texts]
    (by_here, firsts), (by_there, _) = decided(here), decided(there)
    good = True
    for name, kept, by in (("curate", ours, by_here), ("data-juicer", theirs, by_there)):
        print(f"{name}: {len(kept ^ by):,} rows decided otherwise than by its definitions")
        good &= kept == by
    causes: dict[str | None, list[int]] = defaultdict(list)
    for at in sorted(ours ^ theirs):
        causes[cause(at, firsts[at], here, there)].append(at)
    print(f"\n{len(ours & theirs):,} rows kept by both, {len(ours ^ theirs):,} by one of them:")
    for why, found in sorted(causes.items(), key=lambda item: -len(item[1])):
        kept_here = sum(at in ours for at in found)
        print(f"\n{len(found):,} rows, {kept_here:,} of them kept here: {why or 'UNEXPLAINED'}")
        for at in found[: SHOWN if why else None]:
            print(f"  row {at}: {json.dumps(texts[at][:160], ensure_ascii=False)}")
            if firsts[at] != at:
                print(
                    f"    here equal to row {firsts[at]}, but for {_apart(there, at, firsts[at])}"
                )
                continue
            for side, one in (("here", here[at].words), ("there", there[at].words)):
                said = f"{len(one.flagged)} of {one.count} words, {one.share:.4f}"
                print(f"    {side}: {said}: {' '.join(one.flagged)}")
    return good and None not in causes


def _apart(there: Sequence[Counted], one: int, other: int) -> str:
    """What data-juicer leaves of two rows beside letters."""
    left = ["".join(c for c in there[at].key if letters(c) != c) for at in (one, other)]
    return " against ".join(json.dumps(signs, ensure_ascii=False) for signs in left)


def main() -> None:
    here = Path(__file__).parents[1].parent / "shared" / "data"
    data = Path(os.environ.get("CURATE_TEST_DATA", here))
    work = Path(tempfile.gettempdir()) / "curate-dedup-benchmark"
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=data, help="folder of the three files")
    parser.add_argument("--work", type=Path, default=work, help="folder for all that is made")
    parser.add_argument("--repeat", type=int, default=2, help="runs of curate before and after")
    given = parser.parse_args()
    work = given.work.resolve()
    corpus = work / "corpus-refine"
    rows, files = read(given.data)
    write(corpus, rows)
    try:
        version = DATA_JUICER.installed(work)
        once = partial(run_curate, work, corpus)
        turns = [once() for _ in range(given.repeat)]
        theirs = DATA_JUICER.run(work, corpus)
        turns += [once() for _ in range(given.repeat)]
        special = stripped_there(work)
    except ProgramError as error:
        sys.exit(f"not run: {error}")
    ours = sorted(turns, key=lambda turn: turn.spent.seconds)[len(turns) // 2]
    print(f"{len(rows):,} rows: " + ", ".join(f"{n:,} {f}" for f, n in Counter(files).items()))
    head = f"{'':22}{'seconds':>9}{'cpu s':>9}{'peak MiB':>10}{'kept':>10}"
    print(head + "".join(f"{name:>16}" for name in FIELDS))
    for name, one in (("curate", ours), (f"data-juicer {version}", theirs)):
        by_file = Counter(files[at] for at in one.kept)
        shown = f"{name:22}{one.spent.seconds:9.2f}{one.spent.busy:9.2f}"
        shown += f"{one.spent.peak / 2**20:10,.0f}{len(one.kept):10,}"
        print(shown + "".join(f"{by_file[file]:16,}" for file in FIELDS))
    ratio = theirs.spent.seconds / ours.spent.seconds
    busy = theirs.spent.busy / ours.spent.busy
    print(f"data-juicer / curate: {ratio:.1f}  (goal: at least {GOAL}); of processors {busy:.1f}\n")
    good = explained(rows, ours.kept, theirs.kept, special)
    sys.exit(0 if good and ratio >= GOAL else 1)


if __name__ == "__main__":
    main()
