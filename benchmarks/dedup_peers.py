"""The tools that the dedup benchmark compares: how each is installed and run; what it kept."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version as version_of
from pathlib import Path

import polars as pl
from dedup_process import ProgramError, Spent, run
from dedup_truth import plain_words

HERE = Path(__file__).parent / "peers"
SIZE, THRESHOLD = 3, 0.7
"""Words of a shingle and Jaccard threshold: of the recipe below and of every peer's file."""

RECIPE = """\
name: dedup
sources:
  pool: {path: rows.jsonl}
pipeline:
  - filter: dedup.exact
  - filter: dedup.minhash
    with: {normalize: [case], size: 3, permutations: 128, threshold: 0.7, linking: chain}
"""


@dataclass(frozen=True)
class Outcome:
    """One run of a tool.

    Args:
        spent: Seconds and memory.
        kept: The rows that it kept.
    """

    spent: Spent
    kept: frozenset[int]


@dataclass(frozen=True)
class Peer:
    """Another tool.

    Args:
        name: As its page has it.
        package: What is installed.
        stem: Of its files in the folder `peers`.
        command: Arguments of a run, from the program's folder, the corpus and a new folder.
        note: What differs from the others.
        slow: Whether once is enough.
        same: Whether it does the same job, so that what it keeps is compared.
        words: The words that it compares, from the corpus and its environment; None: plain ones.
    """

    name: str
    package: str
    stem: str
    command: Callable[[Path, Path, Path], Sequence[str | Path]]
    note: str = ""
    slow: bool = False
    same: bool = True
    words: Callable[[Path, Path], list[list[str]]] | None = None

    def environment(self, work: Path) -> Path:
        """The folder of its virtual environment."""
        return work / "environments" / self.stem

    def installed(self, work: Path) -> str:
        """Install it into an environment of its own, kept between runs; returns its version.

        Raises:
            ProgramError: It cannot be installed.
        """
        needs = HERE / f"{self.stem}.txt"
        limits = HERE / "constraints.txt"
        place = self.environment(work)
        mark = place / "installed.txt"
        wanted = hashlib.sha256(needs.read_bytes() + limits.read_bytes()).hexdigest()
        if not mark.is_file() or mark.read_text() != wanted:
            venv.create(place, clear=True, with_pip=True)
            pip = [place / "bin" / "python", "-m", "pip", "install", "--quiet"]
            run([*pip, "-r", needs, "-c", limits], place, {}, place / "pip.log")
            mark.write_text(wanted)
        ask = f"import importlib.metadata as m; print(m.version({self.package!r}))"
        python = place / "bin" / "python"
        done = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def run(self, work: Path, corpus: Path) -> Outcome:
        """Run it once, with empty caches; it may install nothing while it runs.

        Raises:
            ProgramError: It ended with an error.
        """
        folder = emptied(work / "runs" / self.stem)
        names = ("HF_HOME", "HF_DATASETS_CACHE", "CACHE_HOME", "DATA_JUICER_CACHE_HOME")
        caches = {name: str(folder / name.lower()) for name in names}
        command = self.command(self.environment(work) / "bin", corpus, folder)
        nothing_more = {"HF_HUB_OFFLINE": "1", "PIP_NO_INDEX": "1", "UV_OFFLINE": "1"}
        spent = run(command, folder, {**caches, **nothing_more})
        return Outcome(spent, _rows_of_lines(folder / "kept"))


def emptied(folder: Path) -> Path:
    """A new folder, in the place of one that may be there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _rows_of_lines(kept: Path) -> frozenset[int]:
    """`row` of every line in a folder's files, beside which data-juicer puts its numbers."""
    rows = []
    for file in set(kept.glob("*.jsonl")) - set(kept.glob("*_stats.jsonl")):
        with file.open(encoding="utf-8") as lines:
            found = map(json.loads, lines)
            rows += [row["row"] if "row" in row else row["metadata"]["row"] for row in found]
    if len(set(rows)) != len(rows) or not rows:
        raise ProgramError(f"what it kept is not a set of rows: {kept}")
    return frozenset(rows)


def _script(stem: str) -> Callable[[Path, Path, Path], Sequence[str | Path]]:
    """The command of a peer that is a script over one file of texts."""

    def command(program: Path, corpus: Path, folder: Path) -> Sequence[str | Path]:
        (folder / "kept").mkdir()
        kept = folder / "kept" / "rows.jsonl"
        return [program / "python", HERE / f"{stem}.py", corpus / "texts.jsonl", kept]

    return command


def _data_juicer(program: Path, corpus: Path, folder: Path) -> Sequence[str | Path]:
    (folder / "kept").mkdir()
    config = ["--config", HERE / "with_data_juicer.yaml"]
    paths = ["--dataset_path", corpus / "texts.jsonl"]
    paths += ["--export_path", folder / "kept" / "rows.jsonl"]
    return [program / "dj-process", *config, *paths, "--work_dir", folder / "work"]


def _words_at_spaces(corpus: Path, _environment: Path) -> list[list[str]]:
    """As data-juicer cuts: at spaces only, so that a newline stands within a word."""
    with (corpus / "texts.jsonl").open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"].lower() for line in lines]
    return [[word for word in text.split(" ") if word] for text in texts]


def _datatrove(program: Path, corpus: Path, folder: Path) -> Sequence[str | Path]:
    script = [program / "python", HERE / "with_datatrove.py"]
    return [*script, corpus / "halves", folder / "kept", folder / "work"]


def _words_of_spacy(corpus: Path, environment: Path) -> list[list[str]]:
    """What datatrove has spaCy cut, done once more by itself."""
    words = corpus / "words_of_datatrove.jsonl"
    command = [environment / "bin" / "python", HERE / "words_of_datatrove.py"]
    run([*command, corpus / "texts.jsonl", words], corpus, {})
    with words.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


PEERS = (
    Peer(
        "data-juicer",
        "py-data-juicer",
        "with_data_juicer",
        _data_juicer,
        "exact, then MinHash; 2 processes; cuts words at spaces only",
        slow=True,
        words=_words_at_spaces,
    ),
    Peer(
        "datatrove",
        "datatrove",
        "with_datatrove",
        _datatrove,
        "MinHash, 14 bands of 9; 2 workers; cuts words with spaCy",
        slow=True,
        words=_words_of_spacy,
    ),
    Peer(
        "datasketch",
        "datasketch",
        "with_datasketch",
        _script("with_datasketch"),
        "exact, then MinHash; a script",
        slow=True,
    ),
    Peer(
        "rensa",
        "rensa",
        "with_rensa",
        _script("with_rensa"),
        "exact, then MinHash, 14 bands of 9; a script",
    ),
    Peer("polars", "polars", "with_polars", _script("with_polars"), "exact only", same=False),
)


def run_curate(work: Path, rows: Path) -> Outcome:
    """`curate run` of the recipe with an empty home, from its start to a published version.

    Args:
        work: Folder for its home and its versions.
        rows: The file of rows.

    Raises:
        ProgramError: It ended with an error.
    """
    folder = emptied(work / "runs" / "curate")
    os.link(rows, folder / "rows.jsonl")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    command = [sys.executable, "-m", "curate", "run", "recipe.yaml"]
    spent = run(command, folder, {"CURATE_HOME": str(folder / "home")})
    kept = pl.read_parquet(folder / "curated/dedup/v1/data/*.parquet", columns=["row"])
    return Outcome(spent, frozenset(kept["row"].to_list()))


def curate_version() -> str:
    """The version of curate."""
    return version_of("curate-data")


def plain_texts(corpus: Path) -> tuple[list[str], list[list[str]]]:
    """The texts of a corpus and their words as curate cuts them."""
    with (corpus / "texts.jsonl").open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    return texts, [plain_words(text) for text in texts]
