"""text.stats and text.match on 52,000 rows: seconds of each column, of a whole run, and memory.

    python benchmarks/text_stats.py --data ../shared/data

Rows of alpaca_cleaned, instruction, input and answer together; and `curate run` of a recipe with
text.stats and all its columns, in a process of its own with an empty home: from the file to the
published version. Seconds by the clock and of the processor; by the clock they mean something on a
quiet machine alone. Exit code 1 if all columns of text.stats take 3 s by the clock or more, or the
process takes 1 GiB or more.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from curate.api import Context, ScoreStage
from curate_text.match import Match, MatchParams
from curate_text.stats import NAMES, Stats, StatsParams


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    file = parser.parse_args().data.resolve() / "alpaca_cleaned.jsonl.gz"
    rows = _rows(file)
    print(f"{len(rows):,} rows, {rows['@both'].str.len_chars().sum():,} characters\n")
    print("| what | seconds by the clock | of the processor |\n|---|---|---|")
    every = _timed("all of text.stats", Stats(StatsParams(), "s"), rows, NAMES)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    for name in NAMES:
        _timed(f"`{name}`", Stats(StatsParams(outputs=[name]), "s"), rows, [name])
    match = Match(MatchParams(text="both"), "m")
    _timed("all of text.match", match, rows, list(match.outputs()))
    largest = _run(file)
    print(f"\nPeak memory with the rows, after all of text.stats: {memory:.2f} GiB")
    print(f"Peak memory of the whole run: {largest:.2f} GiB")
    sys.exit(every >= 3 or memory >= 1)


def _rows(path: Path) -> pl.DataFrame:
    read = pl.read_ndjson(path)
    both = pl.concat_str("instruction", "input", "output", separator="\n")
    return read.select(id=pl.int_range(pl.len()).cast(pl.String), **{"@both": both})


def _run(file: Path) -> float:
    """Run a recipe in a process of its own; gives its peak memory in GiB."""
    stage = {"score": "text.stats", "id": "t"}
    recipe = {"name": "bench", "sources": {"s": {"path": str(file)}}, "pipeline": [stage]}
    with TemporaryDirectory() as folder:
        (Path(folder) / "bench.yaml").write_text(json.dumps(recipe))
        begin, wall = os.times(), time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "curate", "run", "bench.yaml"],
            cwd=folder,
            env=os.environ | {"CURATE_HOME": str(Path(folder) / "home")},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        wall, end = time.perf_counter() - wall, os.times()
    busy = end.children_user + end.children_system - begin.children_user - begin.children_system
    print(f"| whole `curate run` with all of text.stats | {wall:.2f} | {busy:.2f} |")
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20


def _no_service(name: str) -> None:
    raise AssertionError(name)


def _timed(word: str, stage: ScoreStage, rows: pl.DataFrame, wanted: Sequence[str]) -> float:
    context = Context(0, {}, {}, tuple(wanted), _no_service)
    wall, busy = time.perf_counter(), time.process_time()
    done = sum(len(part) for part in stage.stream(rows, context))
    wall, busy = time.perf_counter() - wall, time.process_time() - busy
    assert done == len(rows)
    print(f"| {word} | {wall:.2f} | {busy:.2f} |")
    return wall


if __name__ == "__main__":
    main()
