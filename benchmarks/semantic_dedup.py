"""dedup.semantic on real embeddings: beside faiss, partitioned, and beside people's judgement.

    python benchmarks/semantic_dedup.py --data ../shared/data --work DIR [--part NAME]

Texts are embedded by recipes with `embed.sentence` (all-MiniLM-L6-v2), which are remembered under
DIR, so that only the first call is slow. Parts, all of them by default:

- speed: seconds to find all pairs from a cosine of 0.9 on, dedup.semantic's exact search and
  faiss' flat index (in an environment of its own, which is made in DIR), in turns;
- partition: the pool enlarged to 200,000 with perturbed vectors; recall of the partition against
  the exact search, and what it says of its own recall;
- toolformer: gpteacher_toolformer against its author's own list at "similarity 0.8";
- sts: Spearman correlation of cosines with the scores that people gave (SemEval STS).

Exit code 1 if exact search is slower than faiss, recall is below 0.99, or Spearman below .80.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import spearmanr

import curate
from curate_dedup.pairs import Pairs, collect
from curate_dedup.vectors import PartitionFinder, VectorFinder, cosines

FLOOR = 0.9
LARGE = 200_000
THRESHOLDS = (0.8, 0.85, 0.9, 0.95, 0.97, 0.98, 0.985, 0.99, 0.995)
FAISS = """
import sys, time
import faiss, numpy as np
vectors = np.load(sys.argv[1])
faiss.normalize_L2(vectors)
start = time.perf_counter()
index = faiss.IndexFlatIP(vectors.shape[1])
index.add(vectors)
ends, _, _ = index.range_search(vectors, float(sys.argv[2]))
print(time.perf_counter() - start, (int(ends[-1]) - len(vectors)) // 2)
"""


def rows_of(data: Path, name: str) -> list[dict[str, Any]]:
    """The rows of one file."""
    with gzip.open(data / f"{name}.jsonl.gz") as lines:
        return [json.loads(line) for line in lines]


def embedded(texts: Iterable[str], name: str, work: Path) -> NDArray[np.float32]:
    """Embeddings of texts, float32 [n, 384], by a recipe that publishes vectors."""
    path = work / f"{name}.jsonl"
    rows = ({"instruction": text, "output": ""} for text in texts)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = {
        "name": name,
        "sources": {"pool": {"path": str(path)}},
        "pipeline": [{"score": "embed.sentence", "with": {"text": "instruction"}}],
        "output": {"vectors": True},
    }
    version = curate.run(recipe, out=work / "curated")
    lines = version.ledger.select("id", "line")
    ordered = version.scores.join(lines, on="id").sort("line")
    found: NDArray[np.float32] = ordered["embed_sentence_embedding"].to_numpy()
    return found


def pool(data: Path, work: Path, rows: int) -> NDArray[np.float32]:
    """Embeddings of rows of alpaca_cleaned and dolly15k, in a seeded order."""
    texts = [
        "\n".join(filter(None, (r["instruction"], r["input"], r["output"])))
        for r in rows_of(data, "alpaca_cleaned")
    ]
    texts += [
        "\n".join(filter(None, (r["instruction"], r["context"], r["response"])))
        for r in rows_of(data, "dolly15k")
    ]
    order = np.random.default_rng(0).permutation(len(texts))[:rows]
    return embedded([texts[at] for at in order], "pool", work)


def faiss(work: Path) -> Path:
    """The Python of an environment that holds faiss."""
    python = work / "faiss" / "bin" / "python"
    if not python.is_file():
        subprocess.run([sys.executable, "-m", "venv", work / "faiss"], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "faiss-cpu", "numpy"], check=True)
    return python


def speed(vectors: NDArray[np.float32], work: Path, repeat: int) -> bool:
    """Time the exact search and faiss in turns."""
    path = work / "vectors.npy"
    np.save(path, vectors)
    python, ours, theirs = faiss(work), [], []
    for _ in range(repeat):
        start = time.perf_counter()
        pairs = collect(VectorFinder(vectors, FLOOR))
        ours.append(time.perf_counter() - start)
        said = subprocess.run(
            [python, "-c", FAISS, path, str(FLOOR)], check=True, capture_output=True, text=True
        ).stdout.split()
        theirs.append(float(said[0]))
    found = 0 if pairs is None else len(pairs)
    print(f"{len(vectors):,} x {vectors.shape[1]}, pairs from {FLOOR} on")
    print(f"  dedup.semantic, exact  {np.median(ours):6.2f} s  {found:,} pairs")
    print(f"  faiss flat             {np.median(theirs):6.2f} s  {int(said[1]):,} pairs")
    print(f"  ratio                  {np.median(ours) / np.median(theirs):6.2f}  (goal: at most 1)")
    return bool(np.median(ours) <= np.median(theirs))


def partition(vectors: NDArray[np.float32]) -> bool:
    """Measure the recall of a partition of an enlarged pool."""
    rng = np.random.default_rng(1)
    copies = vectors[rng.integers(len(vectors), size=LARGE - len(vectors))]
    # length 1 each; noise of length 0.05 to 0.7 gives cosines of about 1.00 to 0.82
    noise = rng.standard_normal(copies.shape) / np.sqrt(copies.shape[1])
    noise *= rng.uniform(0.05, 0.7, (len(copies), 1))
    large = np.concatenate([vectors, (copies + noise).astype(np.float32)])
    large = large[rng.permutation(len(large))]
    start = time.perf_counter()
    finder = PartitionFinder(large, FLOOR, 0.99)
    found = collect(finder)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    exact = collect(VectorFinder(large, FLOOR))
    known = time.perf_counter() - start
    assert found is not None
    assert exact is not None
    recall = len(np.intersect1d(_codes(found), _codes(exact))) / len(exact)
    told = finder.partition
    print(f"{len(large):,} x {large.shape[1]}, pairs from {FLOOR} on: {len(exact):,}")
    print(f"  exact      {known:7.1f} s")
    print(f"  partition  {seconds:7.1f} s  recall {recall:.5f} (goal: at least 0.99)")
    print(
        f"  it probes {told.probed.shape[1]} of {told.home.max() + 1} cells and says of itself: "
        f"{told.missed} of {told.sampled:,} sampled pairs missed"
    )
    return recall >= 0.99


def _codes(pairs: Pairs) -> NDArray[np.int64]:
    return pairs.late * 2**32 + pairs.early


def toolformer(data: Path, work: Path) -> bool:
    """Compare what is dropped with what the author of a data set dropped."""
    rows = rows_of(data, "gpteacher_toolformer")
    listed = {_content(row) for row in rows_of(data, "gpteacher_toolformer_sim0.8")}
    theirs = np.array([_content(row) not in listed for row in rows])
    path = work / "toolformer.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(f"gpteacher_toolformer: {len(rows):,} rows, of which its author dropped {theirs.sum():,}")
    print("  text         threshold  dropped  precision  recall    F1")
    for text in ("instruction", "both"):
        best: tuple[float, str] = (-1.0, "")
        for threshold in THRESHOLDS:
            version = curate.run(_toolformer(path, text, threshold), out=work / "curated")
            gone = version.ledger.filter(pl.col("fate") == "dropped")["line"].to_numpy() - 1
            ours = np.zeros(len(rows), dtype=bool)
            ours[gone] = True
            precision = (ours & theirs).sum() / max(ours.sum(), 1)
            recall = (ours & theirs).sum() / theirs.sum()
            score = 2 * precision * recall / max(precision + recall, 1e-9)
            line = f"  {text:11}  {threshold:9}  {ours.sum():7,}  {precision:9.3f}  {recall:6.3f}"
            line += f"  {score:.3f}"
            best = max(best, (score, line))
            if threshold == 0.95:
                print(line, " (our default)")
        print(best[1], " (best)")
    return True


def _content(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["instruction"], row["input"], row["response"]


def _toolformer(path: Path, text: str, threshold: float) -> dict[str, Any]:
    columns = {"output": "response"}
    near = {"threshold": threshold, "search": THRESHOLDS[0]}
    return {
        "name": "toolformer",
        "sources": {"pool": {"path": str(path), "columns": columns}},
        "pipeline": [
            {"score": "embed.sentence", "with": {"text": text}},
            {"filter": "dedup.semantic", "with": near},
        ],
    }


def sts(data: Path, work: Path) -> bool:
    """Rank pairs of sentences by cosine, and compare with people's ranks."""
    rows = [row for row in rows_of(data, "sts_semeval") if row["score"] not in (None, "")]
    sentences = sorted({row[name] for row in rows for name in ("s1", "s2")})
    place = {sentence: at for at, sentence in enumerate(sentences)}
    vectors = embedded(sentences, "sts", work)
    left, right = (np.array([place[row[name]] for row in rows]) for name in ("s1", "s2"))
    scores = [float(row["score"]) for row in rows]
    found = float(spearmanr(cosines(vectors, left, right), scores).statistic)
    print(f"SemEval STS: {len(rows):,} scored pairs, Spearman {found:.3f} (goal: at least .80)")
    return found >= 0.80


def main() -> int:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=52_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--part", choices=("speed", "partition", "toolformer", "sts"))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    well = True
    if given.part in (None, "speed", "partition"):
        vectors = pool(given.data, given.work, given.rows)
        if given.part != "partition":
            well &= speed(vectors, given.work, given.repeat)
        if given.part != "speed":
            well &= partition(vectors)
    if given.part in (None, "toolformer"):
        well &= toolformer(given.data, given.work)
    if given.part in (None, "sts"):
        well &= sts(given.data, given.work)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
