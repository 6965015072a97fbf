"""`sources.mix` on real rows, checked by plain Python, and on a million made ones.

    python benchmarks/mix.py --data ../shared/data [--part real|cells|blocks] [--rows 1000000]

- real: dolly15k, gpteacher_codegen, gpteacher_roleplay and alpaca_cleaned to 10,000 rows under more
  than eight clauses, through `curate.run` into a version. Every clause is counted again from the
  published parquet alone, as it is written here and not as the stage read it.
- cells: made rows in 2,000 cells (200 sources of 10 abilities), eight clauses.
- blocks: the same rows; limits for every source and shares for every ability, so that hardly two
  cells are in one block; spread naturally, evenly, and with the highest ranks.

Prints seconds of each step. Exit code 1 if a clause does not hold, if the stage takes 5 s or more
on the real rows, or if solving takes 5 s or more over the cells.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

import curate
from curate_sources.mix import _Problem
from curate_sources.ordering import placed
from curate_sources.policy import MixParams

GOAL = 5.0
"""Seconds."""

SOURCES: Mapping[str, Mapping[str, Any]] = {
    "dolly": {
        "path": "dolly15k.jsonl.gz",
        "columns": {"input": "context", "output": "response"},
        "origin": "human",
        "license": "cc-by-sa-3.0",
    },
    "codegen": {
        "path": "gpteacher_codegen.jsonl.gz",
        "columns": {"output": "response"},
        "origin": "synthetic",
        "generator": "gpt-4",
        "ability": "code",
        "license": "mit",
    },
    "roleplay": {
        "path": "gpteacher_roleplay.jsonl.gz",
        "columns": {"output": "response"},
        "origin": "synthetic",
        "generator": "gpt-4",
        "ability": "role_play",
        "license": "mit",
    },
    "alpaca": {
        "path": "alpaca_cleaned.jsonl.gz",
        "origin": "synthetic",
        "generator": "text-davinci-003",
        "license": "cc-by-nc-4.0",
    },
}
POLICY: Mapping[str, Any] = {
    "size": 10_000,
    "shares": {
        "origin": {"human": ">= 0.6", "synthetic": "<= 0.4"},
        "generator": {"gpt-4": "<= 0.3"},
        "ability": {"code": "0.15..0.25", "role_play": "<= 640 rows"},
        "category": {"open_qa": ">= 16%", "brainstorming": "0.07"},
        "source": {"roleplay": ">= 500 rows"},
    },
    "licenses": {"deny": ["cc-by-nd-*"]},
    "limits": [
        {"where": {"license": "cc-by-nc-4.0"}, "max": "1500 rows"},
        {"where": {"origin": "human", "category": ["closed_qa", "open_qa"]}, "max": "22%"},
    ],
}
Row = Mapping[str, Any]
CHECKS: Sequence[tuple[str, Callable[[Row], bool], str | int, str | int]] = (
    ("size", bool, 10_000, 10_000),
    ("origin human", lambda row: row["origin"] == "human", "0.6", "1"),
    ("origin synthetic", lambda row: row["origin"] == "synthetic", "0", "0.4"),
    ("generator gpt-4", lambda row: row["generator"] == "gpt-4", "0", "0.3"),
    ("ability code", lambda row: row["ability"] == "code", "0.15", "0.25"),
    ("ability role_play", lambda row: row["ability"] == "role_play", 0, 640),
    ("category open_qa", lambda row: row["category"] == "open_qa", "0.16", "1"),
    ("category brainstorming", lambda row: row["category"] == "brainstorming", "0.07", "0.07"),
    ("source roleplay", lambda row: row["source"] == "roleplay", 500, 10_000),
    ("licence cc-by-nd", lambda row: row["license"].startswith("cc-by-nd"), 0, 0),
    ("licence cc-by-nc-4.0", lambda row: row["license"] == "cc-by-nc-4.0", 0, 1_500),
    (
        "human, closed or open qa",
        lambda row: row["origin"] == "human" and row["category"] in ("closed_qa", "open_qa"),
        "0",
        "0.22",
    ),
)
"""The policy once more: name, the rows that it is about, and bounds: text for a share."""


def real(data: Path) -> bool:
    """Mix the real rows; whether all clauses hold and the stage was fast enough."""
    sources = {
        name: {**source, "path": str(data / source["path"])} for name, source in SOURCES.items()
    }
    recipe = {
        "name": "real-mix",
        "seed": 5,
        "sources": sources,
        "pipeline": [{"fuse": "sources.mix", "from": [*sources], "with": POLICY}],
    }
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        version = curate.run(recipe, out=out)
        seconds = time.perf_counter() - start
        files = sorted((Path(out) / "real-mix" / "v1" / "data").glob("*.parquet"))
        rows = [row for file in files for row in pq.read_table(file).to_pylist()]
        (stage,) = (s for s in version.manifest["stages"] if s["id"] == "sources_mix")
    print(f"real: {len(rows):,} rows; stage {stage['seconds']:.2f} s, all {seconds:.2f} s")
    good = bool(stage["seconds"] < GOAL)
    for name, about, low, high in CHECKS:
        count = sum(map(about, rows))
        least, most = (
            Fraction(bound) * len(rows) if isinstance(bound, str) else bound
            for bound in (low, high)
        )
        holds = least <= count <= most
        good &= holds
        print(f"  {name:26} {low!s:>6} to {high!s:>6}  {count:6,}  {'' if holds else 'MISSED'}")
    return good


def made(rows: int) -> pl.DataFrame:
    """Rows of 200 sources and 10 abilities, both of very different sizes, in 2,000 cells."""
    drawn = np.random.default_rng(3)
    sources, abilities = (
        drawn.choice(count, rows, p=drawn.dirichlet(np.full(count, even)))
        for count, even in ((200, 4.0), (10, 8.0))
    )
    origins = np.array(["human", "human", "synthetic", "mixed"])
    return pl.DataFrame(
        {
            "id": [f"{at:032x}" for at in range(rows)],
            "source": [f"source-{at:03}" for at in sources],
            "ability": [f"ability-{at}" for at in abilities],
            "origin": origins[sources % 4],
            "score": drawn.normal(size=rows),
        }
    )


def eight_clauses(rows: int) -> dict[str, Any]:
    """Over origins and abilities, with the size eight."""
    return {
        "size": rows // 10,
        "shares": {
            "origin": {"human": ">= 0.6", "synthetic": "<= 0.2"},
            "ability": {"ability-0": "0.15..0.25", "ability-1": f"<= {rows // 200} rows"},
            "source": {"source-000": "all", "source-001": f"<= {rows // 10_000} rows"},
        },
        "limits": [{"where": {"origin": "synthetic", "ability": "ability-2"}, "max": "1%"}],
    }


def many_blocks(rows: int) -> dict[str, Any]:
    """A share for every ability, limits for every source."""
    lows = (0.05, 0.06, 0.07, 0.08, 0.09)
    return {
        "size": rows // 10,
        "shares": {
            "ability": {
                f"ability-{at}": f"{lows[at % 5]:.2f}..{lows[at % 5] + 0.06:.2f}"
                for at in range(10)
            },
            "origin": {"human": ">= 0.6"},
        },
        "limits": [
            {"per": "source", "min": f"{rows // 5_000} rows", "max": f"{rows // 1_500} rows"}
        ],
    }


def solve(name: str, rows: pl.DataFrame, policy: Mapping[str, Any]) -> float:
    """Print the seconds of every step; those of solving are given back."""
    params = MixParams.model_validate(policy)
    marks = [time.perf_counter()]
    place = placed(rows, params, 1).to_numpy()
    marks.append(time.perf_counter())
    problem = _Problem.of(rows, params, name)
    marks.append(time.perf_counter())
    counts, unique = problem.solve(place, problem.relaxed(), 1)
    marks.append(time.perf_counter())
    taken = problem.rows(counts, place, 1)
    marks.append(time.perf_counter())
    ordering, cells, solving, choosing = np.diff(marks)
    print(
        f"{name}: {len(rows):,} rows, {len(problem.cells.counts):,} cells, "
        f"{len(problem.blocks.keys):,} blocks, {len(problem.rules)} clauses; "
        f"order {ordering:.2f} s, cells {cells:.2f} s, solving {solving:.2f} s, "
        f"choosing {choosing:.2f} s; {len(taken):,} taken, "
        f"{'the only' if unique else 'not the only'} answer, "
        f"{hashlib.sha256(taken.tobytes()).hexdigest()[:12]}"
    )
    return float(solving)


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real rows")
    parser.add_argument("--part", choices=("real", "cells", "blocks"), action="append")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows that are made")
    asked = parser.parse_args()
    parts = asked.part or ["real", "cells", "blocks"]
    good = "real" not in parts or real(asked.data)
    if {"cells", "blocks"} & {*parts}:
        rows = made(asked.rows)
        if "cells" in parts:
            good &= solve("cells, natural", rows, eight_clauses(len(rows))) < GOAL
        if "blocks" in parts:
            policy = many_blocks(len(rows))
            solve("blocks, natural", rows, policy)
            solve("blocks, even", rows, {**policy, "spread": "even"})
            solve("blocks, ranks", rows, {**policy, "maximize": "rank", "rank_by": "score"})
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
