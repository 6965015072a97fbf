"""Exact and near-duplicates removed from 52,000 rows by curate and by other tools, in one run.

    python benchmarks/dedup.py [--rows 52000] [--data DIR] [--work DIR] [--skip PEER]
    python benchmarks/dedup.py --growth

Every tool does the same job as a process of its own, from its start to written output: byte-equal
texts, then MinHash over lower-case shingles of 3 words at a Jaccard of 0.7. The rows are those of
alpaca_cleaned with a tenth of exact and a tenth of near copies planted among them. Peers are
installed into environments of their own under --work, kept there for the next time; the peers get
the text of a row ready made, curate reads instruction, input and output. What each tool keeps is
then held against exact Jaccard of all pairs, and every row on which curate and a peer disagree is
explained. Curate runs before and after every peer, so that a machine's moods hit all.

With --growth curate alone does the job on 100,000, 300,000 and 1,000,000 rows: variations of the
real ones, a tenth near copies.

The exit code is 1 where a goal is missed, or a disagreement remains unexplained.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dedup_corpus import Planted, grown, planted, read, write
from dedup_judge import Cause, Errors, Verdict, errors, judge
from dedup_peers import (
    PEERS,
    SIZE,
    THRESHOLD,
    Outcome,
    Peer,
    curate_version,
    plain_texts,
    run_curate,
)
from dedup_process import ProgramError
from dedup_truth import Truth, jaccard

SEED = 13
GOALS = {"data-juicer": 25, "datatrove": 12}
"""How many times curate's seconds each of them takes at least."""
GROWTH = (100_000, 300_000, 1_000_000)
MOST_MEMORY = 6 * 1024**3
"""Bytes below which the largest table of --growth is done."""
MOST_GROWTH = 4 / 3
"""What seconds and memory over n log n may grow by from the smallest to the largest table."""
MEBIBYTE = 1024**2


@dataclass(frozen=True)
class Line:
    """A line of the table.

    Args:
        tool: Its name.
        version: Its version.
        outcome: The run, of several the one with the median of seconds.
        errors: What it missed, and dropped wrongly.
        found: How many of the planted pairs at or above the threshold are not both kept.
        note: What differs from the others.
    """

    tool: str
    version: str
    outcome: Outcome
    errors: Errors
    found: int
    note: str


def median(runs: Sequence[Outcome]) -> Outcome:
    """The run with the median of seconds, of two the slower, and the most memory of all."""
    at = sorted(runs, key=lambda one: one.spent.seconds)[len(runs) // 2]
    return Outcome(replace(at.spent, peak=max(one.spent.peak for one in runs)), at.kept)


def repeated(work: Callable[[], Outcome], times: int) -> Outcome:
    """The median of some runs."""
    return median([work() for _ in range(times)])


def table(lines: Sequence[Line], absent: dict[str, str], near: int) -> str:
    """Tools with seconds, ratio to the first line, rows, errors and memory."""
    ours = lines[0].outcome.spent.seconds
    head = f"{'tool':12}{'version':>9}{'seconds':>9}{'ratio':>8}{'cpu s':>9}{'rows out':>10}"
    head += f"{'planted':>9}{'missed':>8}{'wrong':>7}{'peak MiB':>10}  note"
    shown = [head]
    for line in lines:
        spent = line.outcome.spent
        shown.append(
            f"{line.tool:12}{line.version:>9}{spent.seconds:9.2f}{spent.seconds / ours:8.2f}"
            f"{spent.busy:9.2f}{len(line.outcome.kept):10,}{line.found / max(near, 1):9.1%}"
            f"{line.errors.missed:8,}{line.errors.wrong:7,}{spent.peak / MEBIBYTE:10,.0f}"
            f"  {line.note}"
        )
    shown += [f"{tool:12} not run: {why}" for tool, why in absent.items()]
    return "\n".join(shown)


def disagreements(verdicts: dict[str, Verdict]) -> str:
    """Causes by peers, in rows."""
    shown = [f"{'rows on which curate and a peer disagree':52}"]
    shown[0] += "".join(f"{name:>13}" for name in verdicts)
    for cause in Cause:
        counts = "".join(f"{found.causes[cause]:13,}" for found in verdicts.values())
        shown.append(f"{cause:52}{counts}")
    spans = [
        f"{min(found.below):.3f}-{max(found.below):.3f}" if found.below else "-"
        for found in verdicts.values()
    ]
    title = "Jaccard of what the peer dropped below the threshold"
    shown.append(f"{title:52}" + "".join(f"{span:>13}" for span in spans))
    return "\n".join(shown)


def goals_met(lines: Sequence[Line], skipped: Sequence[str]) -> bool:
    """Print and judge the ratios; a peer that was skipped is not judged."""
    ours, met = lines[0].outcome.spent.seconds, True
    seconds = {line.tool: line.outcome.spent.seconds for line in lines}
    for tool, goal in GOALS.items():
        if tool in skipped:
            print(f"{tool}: skipped, so that the goal of {goal} times is not judged")
        elif tool not in seconds:
            print(f"{tool}: not run, so that the goal of {goal} times is missed")
            met = False
        else:
            ratio = seconds[tool] / ours
            print(f"{tool} / curate: {ratio:.1f}  (goal: at least {goal})")
            met &= ratio >= goal
    return met


def compare(given: argparse.Namespace) -> bool:
    """Run all tools; returns whether all goals are met and all disagreements explained."""
    corpus = given.work / f"corpus-{given.rows}-{SEED}"
    rows, pairs = planted(read(given.data), given.rows, SEED)
    write(corpus, rows, pairs)
    done: dict[str, tuple[str, Outcome, str]] = {}
    absent: dict[str, str] = {}
    turns = [run_curate(given.work, corpus / "rows.jsonl")]
    chosen = [peer for peer in PEERS if peer.name not in given.skip]
    for peer in chosen:
        print(f"{peer.name} ...", file=sys.stderr, flush=True)
        times = given.repeat or (1 if peer.slow else 3)
        try:
            version = peer.installed(given.work)
            outcome = repeated(partial(peer.run, given.work, corpus), times)
        except ProgramError as error:
            absent[peer.name] = str(error)
        else:
            done[peer.name] = (version, outcome, peer.note)
        turns.append(run_curate(given.work, corpus / "rows.jsonl"))
    ours = median(turns)
    print("exact Jaccard of all pairs ...", file=sys.stderr, flush=True)
    texts, words = plain_texts(corpus)
    truth = Truth(words, SIZE, THRESHOLD)
    near = [
        pair
        for pair in pairs
        if jaccard(truth.sets[pair.copy], truth.sets[pair.original]) >= THRESHOLD
    ]
    done = {"curate": (curate_version(), ours, "exact, then MinHash; home empty"), **done}
    lines = [
        Line(name, version, outcome, errors(truth, outcome.kept), found(near, outcome.kept), note)
        for name, (version, outcome, note) in done.items()
    ]
    same = [peer for peer in chosen if peer.same and peer.name in done]
    verdicts = {
        peer.name: judged(peer, truth, texts, ours, done[peer.name][1], given.work, corpus)
        for peer in same
    }
    exact = sum(pair.edits == 0 for pair in pairs)
    print(f"{len(rows):,} rows; planted: {exact:,} exact and {len(pairs) - exact:,} near copies,")
    print(f"{len(near):,} of them at or above a Jaccard of {THRESHOLD}; in truth")
    print(f"{len(truth.clusters):,} clusters, of which each should keep one row\n")
    print(table(lines, absent, len(near)) + "\n")
    print(disagreements(verdicts) + "\n")
    for name, verdict in verdicts.items():
        for row in verdict.unexplained[:5]:
            print(f"unexplained, {name}: row {row}: {json.dumps(texts[row][:200])}")
    explained = not any(verdict.unexplained for verdict in verdicts.values())
    return goals_met(lines, given.skip) and explained


def found(pairs: Sequence[Planted], kept: frozenset[int]) -> int:
    """How many pairs are not both kept."""
    return sum(not {pair.copy, pair.original} <= kept for pair in pairs)


def judged(
    peer: Peer,
    truth: Truth,
    texts: Sequence[str],
    ours: Outcome,
    theirs: Outcome,
    work: Path,
    corpus: Path,
) -> Verdict:
    """Explain every row on which curate and a peer disagree."""
    cut = None
    if peer.words is not None:
        cut = Truth(peer.words(corpus, peer.environment(work)), SIZE, THRESHOLD)
    return judge(truth, texts, ours.kept, theirs.kept, cut)


def grow(given: argparse.Namespace) -> bool:
    """Curate alone on tables that grow; returns whether seconds and memory grow as they should."""
    real = read(given.data)
    head = f"{'rows':>10}{'seconds':>9}{'cpu s':>9}{'us/n ln n':>11}{'peak MiB':>10}"
    print(f"{head}{'B/n ln n':>10}{'out':>10}")
    shares = []
    for rows in given.growth:
        file = given.work / f"grown-{rows}-{SEED}.jsonl"
        with file.open("w", encoding="utf-8") as out:
            for at, row in enumerate(grown(real, rows, SEED)):
                out.write(json.dumps({"row": at, **row}) + "\n")
        outcome = repeated(partial(run_curate, given.work, file), given.repeat or 1)
        spent, unit = outcome.spent, rows * math.log(rows)
        shares.append((spent.seconds / unit, spent.peak / unit))
        print(
            f"{rows:10,}{spent.seconds:9.1f}{spent.busy:9.1f}{1e6 * spent.seconds / unit:11.3f}"
            f"{spent.peak / MEBIBYTE:10,.0f}{spent.peak / unit:10.1f}{len(outcome.kept):10,}",
            flush=True,
        )
    grew = [last / first for first, last in zip(shares[0], shares[-1], strict=True)]
    print(f"from first to last: seconds / n ln n {grew[0]:.2f}, memory / n ln n {grew[1]:.2f}")
    print(f"(goal: at most {MOST_GROWTH:.2f}; peak below {MOST_MEMORY / MEBIBYTE:,.0f} MiB)")
    return spent.peak < MOST_MEMORY and max(grew) <= MOST_GROWTH


def main() -> None:
    here = Path(__file__).parents[1].parent / "shared" / "data"
    data = Path(os.environ.get("CURATE_TEST_DATA", here))
    work = Path(tempfile.gettempdir()) / "curate-dedup-benchmark"
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=52_000)
    parser.add_argument("--data", type=Path, default=data, help="folder of alpaca_cleaned")
    parser.add_argument("--work", type=Path, default=work, help="folder for all that is made")
    names = [peer.name for peer in PEERS]
    parser.add_argument("--skip", action="append", default=[], choices=names, help="leave out")
    parser.add_argument("--repeat", type=int, help="runs of each peer; 3, of slow ones 1")
    parser.add_argument("--growth", type=int, nargs="*", metavar="ROWS", help="curate alone")
    given = parser.parse_args()
    given.work = given.work.resolve()
    given.work.mkdir(parents=True, exist_ok=True)
    if given.growth is None:
        good = compare(given)
    else:
        given.growth = given.growth or GROWTH
        good = grow(given)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
