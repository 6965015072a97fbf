"""lift.variety: beside scikit-learn, its memory, and what it keeps.

    python benchmarks/variety.py --data ../shared/data --work DIR [--rows 200000] [--part NAME]

Rows of alpaca_cleaned are embedded by a recipe with `embed.sentence` (all-MiniLM-L6-v2), remembered
under DIR, so that only the first call is slow. Parts, all of them by default:

- equal: 5,000 real embeddings, beside StandardScaler and PCA(svd_solver="full") of scikit-learn;
- kept: what stays of them, of 50 rows of other kinds put among them, of copies; and how many
  decisions change where vectors are moved by 1e-6;
- memory: `curate run` with lift.variety alone on 200,000 x 384 vectors that a parquet file holds:
  seconds and peak memory of the process, reading, keys and the version included; and the stage
  alone on 1,000,000 of them.

Exit code 1 if a decision differs from scikit-learn's, or memory exceeds 4 GiB.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import resource
import string
import sys
import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from dedup_process import run
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

import curate
from curate.api import Context, Decisions
from curate_lift.variety import Variety, VarietyParams

REAL, OTHERS, COPIES, MOVED = 5_000, 50, 100, 1e-6
KINDS = ("humaneval", "alpaca_zh_machine", "gsm8k_train")
LIMIT, MANY = 4 * 2**30, 1_000_000
Vectors = NDArray[np.float32]


def _first(data: Path, name: str, count: int) -> list[dict[str, str]]:
    """The first rows of a file, the first text of each as instruction, the others as output."""
    with gzip.open(data / f"{name}.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in islice(lines, count)]
    texts = [[text for text in row.values() if isinstance(text, str)] for row in rows]
    return [{"instruction": each[0], "output": "\n".join(each[1:])} for each in texts]


def embeddings(data: Path, work: Path) -> Vectors:
    """Of real rows, then of 50 of each of `KINDS` and 50 of random letters: float32 [5200, 384]."""
    rows = _first(data, "alpaca_cleaned", REAL)
    for kind in KINDS:
        rows += _first(data, kind, OTHERS)
    draw = random.Random(0)
    for _ in range(OTHERS):
        words = ["".join(draw.choices(string.ascii_lowercase, k=7)) for _ in range(40)]
        rows.append({"instruction": " ".join(words[:10]), "output": " ".join(words[10:])})
    path = work / "rows.jsonl"
    path.write_text("".join(json.dumps({**row, "place": at}) + "\n" for at, row in enumerate(rows)))
    recipe = {
        "name": "embedded",
        "sources": {"pool": {"path": str(path)}},
        "pipeline": [{"score": "embed.sentence", "with": {"dtype": "float32"}}],
        "output": {"vectors": True},
    }
    version = curate.run(recipe, out=work / "curated")
    placed = version.frame().select("id", "place").join(version.scores, on="id").sort("place")
    found: Vectors = placed["embed_sentence_embedding"].to_numpy()
    return found


def decide(vectors: Vectors, *, paper: bool = False) -> Decisions:
    """What lift.variety says of some vectors."""
    return _decide(_table(vectors), paper=paper)


def _table(vectors: Vectors) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": [f"{at:08}" for at in range(len(vectors))],
            "vector": pl.Series(vectors, dtype=pl.Array(pl.Float32, vectors.shape[1])),
        }
    )


def _decide(rows: pl.DataFrame, *, paper: bool) -> Decisions:
    stage = Variety(VarietyParams(column="vector", paper_exact=paper), "variety")
    fits = {part: stage.fit(part, rows, _context({})) for part in stage.fits()}
    return stage.filter(rows, _context(fits))


def _context(fits: Mapping[str, Mapping[str, NDArray[Any]]]) -> Context:
    return Context(0, {}, fits, (), {}.__getitem__)


def longhand(vectors: Vectors, *, paper: bool) -> tuple[NDArray[np.float64], int]:
    """Row variances and components by scikit-learn."""
    numbers = vectors.astype(np.float64)
    if not paper:
        deviations = numbers.std(axis=0)
        numbers = numbers[:, deviations >= 1e-6 * np.median(deviations)]
    scaled = StandardScaler().fit_transform(numbers)
    held = np.cumsum(PCA(svd_solver="full").fit(scaled).explained_variance_ratio_)
    count = int(np.argmax(held >= 0.95)) + (not paper)
    return PCA(count, svd_solver="full").fit_transform(scaled).var(axis=1), count


def equal(vectors: Vectors) -> bool:
    """Whether all decisions are scikit-learn's."""
    same = True
    for paper in (True, False):
        found, (expected, count) = decide(vectors, paper=paper), longhand(vectors, paper=paper)
        apart = np.abs(found.rows["value"].to_numpy() / expected - 1).max()
        keep = expected > np.percentile(expected, 80)
        other = int((found.rows["keep"].to_numpy() != keep).sum())
        same &= other == 0 and found.facts["components"] == count
        print(
            f"paper_exact {paper!s:5}: {len(vectors):,} rows, {count} components, "
            f"{len(found.facts['dead'])} dead dimensions, {keep.sum():,} kept; values differ from "
            f"scikit-learn's by {apart:.1e} of their size at most, decisions: {other}"
        )
    exact, default = decide(vectors, paper=True).rows["keep"], decide(vectors).rows["keep"]
    print(f"rows that only one of the two keeps: {(exact != default).sum()}")
    return same


def kept(vectors: Vectors) -> None:
    """What stays of odd rows and of copies; what a small error changes."""
    real = vectors[:REAL]
    found = decide(real)
    keep, values = found.rows["keep"].to_numpy(), found.rows["value"].to_numpy()
    scaled = StandardScaler().fit_transform(real[:, real.std(axis=0) > 1e-6].astype(np.float64))
    far = (scaled**2).sum(axis=1)
    furthest = far > np.percentile(far, 80)
    print(
        f"of the fifth that is furthest from the mean {keep[furthest].mean():.0%} stay; "
        f"correlation of variance and squared distance {np.corrcoef(values, far)[0, 1]:.2f}"
    )
    for at, kind in enumerate((*KINDS, "random letters")):
        others = vectors[REAL + at * OTHERS : REAL + (at + 1) * OTHERS]
        stay = decide(np.vstack([real, others])).rows["keep"].to_numpy()[REAL:]
        print(f"of {OTHERS} rows of {kind} among them {stay.sum()} stay")
    one = np.repeat(vectors[REAL : REAL + 1], OTHERS, axis=0)
    stay = decide(np.vstack([real, one])).rows["keep"].to_numpy()[REAL:]
    print(f"of the first of {KINDS[0]}, {OTHERS} times, {stay.sum()} stay")
    copied = np.random.default_rng(0).choice(np.flatnonzero(keep), COPIES, replace=False)
    again = decide(np.vstack([real, real[copied]])).rows["keep"].to_numpy()
    both = (again[copied] & again[REAL:]).sum()
    print(f"of {COPIES} rows that stay, copied into the pool, {both} stay together with their copy")
    units = real / np.linalg.norm(real, axis=1, keepdims=True)
    left, right = np.nonzero(np.triu(units @ units.T >= 0.95, k=1))
    near = (keep[left] & keep[right]).sum()
    some = (keep[left] | keep[right]).sum()
    print(
        f"of {len(left)} pairs with a cosine from 0.95 on both rows stay in {near}, one in "
        f"{some - near}"
    )
    changed = []
    alive = real.std(axis=0) > MOVED  # a constant that is moved is none any more
    for seed in range(5):
        noise = np.random.default_rng(seed).uniform(-MOVED, MOVED, real.shape) * alive
        moved = (real + noise).astype(np.float32)
        changed.append(int((decide(moved).rows["keep"].to_numpy() != keep).sum()))
    print(
        f"decisions that change where vectors are moved by up to {MOVED:g}, five times: {changed}"
    )


def memory(work: Path, rows: int) -> bool:
    """Whether a run on many vectors stays below the limit."""
    draw = np.random.default_rng(0)
    spread = np.exp(-np.arange(384) / 150).astype(np.float32)
    mixing = draw.normal(size=(384, 384)).astype(np.float32) * spread[:, None]
    vectors = draw.standard_normal((rows, 384), dtype=np.float32) @ mixing
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    flat = pa.array(vectors.ravel(), pa.float32())
    columns = {
        "instruction": [f"Instruction {at}" for at in range(rows)],
        "output": [f"Output {at}" for at in range(rows)],
        "vector": pa.FixedSizeListArray.from_arrays(flat, 384),
    }
    pq.write_table(pa.table(columns), work / "many.parquet")
    del vectors, flat, columns
    source = {"path": str(work / "many.parquet"), "format": "alpaca"}
    recipe = {
        "name": "many",
        "sources": {"pool": source},
        "pipeline": [{"filter": "lift.variety"}],
    }
    command = [sys.executable, "-m", "curate", "run", "many.yaml", "--out", "many"]
    place = work / "run"
    place.mkdir(exist_ok=True)
    (place / "many.yaml").write_text(json.dumps(recipe))
    spent = run(command, place, {"CURATE_HOME": str(place / f"home-{os.getpid()}")})
    print(
        f"{rows:,} x 384: {spent.seconds:.1f} s ({spent.busy:.1f} of processors), peak "
        f"{spent.peak / 2**30:.2f} GiB (limit 4)"
    )
    return spent.peak <= LIMIT


def alone() -> None:
    """What the stage takes by itself, beside the vectors."""
    rows = _table(np.random.default_rng(0).standard_normal((MANY, 384), dtype=np.float32))
    before, started = _peak(), time.process_time()
    _decide(rows, paper=False)
    print(
        f"{MANY:,} x 384, the stage alone: {time.process_time() - started:.1f} s of processors, "
        f"{(_peak() - before) / 2**30:.2f} GiB beside the vectors"
    )


def _peak() -> int:
    """Bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    beside = Path(__file__).parents[2] / "shared" / "data"
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("CURATE_TEST_DATA", beside))
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--part", choices=["equal", "kept", "memory"])
    given = parser.parse_args()
    work = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    well = True
    if given.part != "memory":
        os.environ["CURATE_HOME"] = str(work / "home")
        vectors = embeddings(given.data, work)
        if given.part != "kept":
            well &= equal(vectors[:REAL])
        if given.part != "equal":
            kept(vectors)
    if given.part in (None, "memory"):
        alone()
        well &= memory(work, given.rows)
    return int(not well)


if __name__ == "__main__":
    raise SystemExit(main())
