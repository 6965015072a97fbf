"""embed.sentence on every backend against sentence-transformers and a bare length-sorted loop.

    python benchmarks/embedding.py [--data ../shared/data] [--rows 4000] [--only float32]

all-MiniLM-L6-v2 over rows drawn from alpaca_cleaned and dolly15k, each contender from text to
vectors:

- sentence-transformers: `encode` in batches of 32, float32;
- bare: tokenise all, sort by length, cut batches of at most 2,048 tokens (8,192 on a GPU), pass,
  mean, scale; what a careful loop does when no bit has to be kept;
- ours: the stage `embed.sentence`, in constant shapes.

Contenders take turns of some batches, always the one that has done the smallest part of its rows,
so that a machine's moods hit all alike. Prints rows per second, the ratio to the bare loop of the
same dtype by the clock and by processor time (which hardly feels what else runs on the machine; of
several threads it counts the waiting too), the share of padding, and the worst and mean cosine to
sentence-transformers. Exits with 1 where ours, in torch, is slower than 0.97 of the bare loop.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer

from curate.api import Context, CurateError, ModelFiles
from curate_embed.builtin import minilm
from curate_embed.forward import ForwardService
from curate_embed.hardware import best_dtype, check_backend
from curate_embed.stages import EmbedSentence, SentenceParams

Vectors = NDArray[np.float32]
Work = Iterator[tuple[Any, Vectors]]
"""Positions of rows and their vectors, some at a time."""

GOAL = 0.97
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BUDGET = 2_048 if DEVICE == "cpu" else 8_192
"""Tokens of one batch of the bare loop."""


@dataclass
class Contender:
    """One way to embed, with what it took."""

    name: str
    dtype: str
    start: Callable[[list[str]], Work]
    seconds: float = 0.0
    processor: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, name: str, times: int) -> None:
        """Take what a pass counts."""
        self.counts[name] = self.counts.get(name, 0) + times


def texts(data: Path, rows: int) -> list[str]:
    """Rows of both data sets, drawn with a seed, each as one text."""
    found = []
    for name, keys in (
        ("alpaca_cleaned", ("instruction", "input", "output")),
        ("dolly15k", ("instruction", "context", "response")),
    ):
        with gzip.open(data / f"{name}.jsonl.gz") as lines:
            for row in map(json.loads, lines):
                found.append("\n".join(row[key] for key in keys if row[key]))
    return random.Random(13).sample(found, rows)


def library(rows: list[str]) -> Work:
    """sentence-transformers, as its readers use it, in quarters so that others get their turn."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(minilm()), device=DEVICE, local_files_only=True)
    model.encode(rows[:64], batch_size=32)
    yield [], np.zeros((0, 0), np.float32)
    quarter = -(-len(rows) // 4)
    for at in range(0, len(rows), quarter):
        part = rows[at : at + quarter]
        yield np.arange(at, at + len(part)), model.encode(part, batch_size=32)


def bare(dtype: str, count: Callable[[str, int], None]) -> Callable[[list[str]], Work]:
    """A length-sorted loop with a budget of tokens."""

    def work(rows: list[str]) -> Work:
        fast = AutoTokenizer.from_pretrained(minilm()).backend_tokenizer
        fast.no_padding()
        fast.enable_truncation(256)
        model = AutoModel.from_pretrained(minilm(), dtype=getattr(torch, dtype)).eval().to(DEVICE)
        list(_bare(model, fast, rows[:64], lambda *_: None))
        yield [], np.zeros((0, 0), np.float32)
        yield from _bare(model, fast, rows, count)

    return work


def _bare(model: Any, fast: Any, rows: list[str], count: Callable[[str, int], None]) -> Work:
    ids = [encoding.ids for encoding in fast.encode_batch_fast(rows)]
    order = sorted(range(len(ids)), key=lambda at: len(ids[at]))
    batches: list[list[int]] = [[]]
    for at in order:
        if batches[-1] and (len(batches[-1]) + 1) * len(ids[at]) > BUDGET:
            batches.append([])
        batches[-1].append(at)
    for batch in batches:
        longest = len(ids[batch[-1]])
        tokens = torch.zeros((len(batch), longest), dtype=torch.int64)
        mask = torch.zeros((len(batch), longest), dtype=torch.int64)
        for row, at in enumerate(batch):
            tokens[row, : len(ids[at])] = torch.tensor(ids[at])
            mask[row, : len(ids[at])] = 1
        real = sum(len(ids[at]) for at in batch)
        count("pass.tokens", real)
        count("pass.padding", tokens.numel() - real)
        with torch.inference_mode():
            mask = mask.to(DEVICE)
            hidden = model(input_ids=tokens.to(DEVICE), attention_mask=mask).last_hidden_state
            weights = mask.unsqueeze(-1).float()
            mean = (hidden.float() * weights).sum(1) / weights.sum(1)
            yield batch, torch.nn.functional.normalize(mean, dim=-1).cpu().numpy()


def ours(
    backend: str, dtype: str, count: Callable[[str, int], None]
) -> Callable[[list[str]], Work]:
    """The stage as it ships."""
    service, files = ForwardService(), ModelFiles("builtin:minilm", minilm(), None, "benchmark")
    params = SentenceParams.model_validate(
        {"dtype": dtype, "backend": backend, "pooling": "mean", "prompt": ""}
    )
    stage = EmbedSentence(params, "embed")

    def vectors(rows: list[str], count: Callable[[str, int], None]) -> Work:
        ctx = Context(0, {"model": files}, {}, ("embedding",), lambda _: service, count)
        for frame in stage.stream(pl.DataFrame({"id": range(len(rows)), "@both": rows}), ctx):
            yield frame["id"].to_numpy(), frame["embedding"].to_numpy()

    def work(rows: list[str]) -> Work:
        list(vectors(rows[:64], lambda *_: None))
        yield [], np.zeros((0, 0), np.float32)
        yield from vectors(rows, count)

    return work


def contenders(only: str | None) -> list[Contender]:
    """All that this machine can run."""
    found = [Contender("sentence-transformers", "float32", library)]
    dtypes = ["float32"] + (["bfloat16"] if best_dtype() == "bfloat16" else [])
    for dtype in dtypes:
        found.append(_counting("bare", dtype, bare))
        found.append(_counting("torch", dtype, partial(ours, "torch")))
    for backend in ("onnx", "openvino"):
        try:
            check_backend(backend)
        except CurateError as error:
            print(f"left out: {error.message} {error.remedy}")
            continue
        for dtype in dict.fromkeys(("float32", best_dtype(backend))):
            found.append(_counting(backend, dtype, partial(ours, backend)))
    return [each for each in found if only in (None, each.dtype)]


def _counting(name: str, dtype: str, make: Callable[..., Callable[[list[str]], Work]]) -> Contender:
    contender = Contender(name, dtype, library)
    contender.start = make(dtype, contender.count)
    return contender


def race(rows: list[str], racing: list[Contender]) -> dict[str, Vectors]:
    """Let all embed all rows in turns; vectors by name and dtype."""
    works, done, vectors = {}, {}, {}
    for contender in racing:
        key = f"{contender.name} {contender.dtype}"
        works[key], done[key] = contender.start(rows), 0
        next(works[key])  # loaded and warm
        vectors[key] = np.zeros((len(rows), 384), dtype=np.float32)
    while works:
        key = min(works, key=lambda each: done[each])
        contender = next(c for c in racing if key == f"{c.name} {c.dtype}")
        until = done[key] + len(rows) // 40
        while key in works and done[key] < until:
            started, busy = time.perf_counter(), time.process_time()
            found = next(works[key], None)
            contender.seconds += time.perf_counter() - started
            contender.processor += time.process_time() - busy
            if found is None:
                assert done[key] == len(rows)
                del works[key]
            else:
                positions, values = found
                vectors[key][positions] = values
                done[key] += len(values)
    return vectors


def main() -> None:
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    default = os.environ.get("CURATE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--rows", type=int, default=4_000)
    parser.add_argument("--only", choices=("float32", "bfloat16"), help="contenders of one dtype")
    given = parser.parse_args()
    rows, racing = texts(given.data, given.rows), contenders(given.only)
    vectors = race(rows, racing)
    truth = vectors.get("sentence-transformers float32")
    speeds = {f"{each.name} {each.dtype}": len(rows) / each.seconds for each in racing}
    print(f"{len(rows):,} rows, {DEVICE}, {torch.get_num_threads()} threads")
    print("| | dtype | rows/s | to bare | by processor | padding | worst cosine | mean cosine |")
    print("|---|---|---|---|---|---|---|---|")
    plain = {each.dtype: each for each in racing if each.name == "bare"}
    slow = []
    for each in racing:
        key = f"{each.name} {each.dtype}"
        ratio = plain[each.dtype].seconds / each.seconds
        by_processor = plain[each.dtype].processor / each.processor
        tokens, padding = each.counts.get("pass.tokens", 0), each.counts.get("pass.padding", 0)
        share = f"{padding / (tokens + padding):.1%}" if tokens else ""
        cosine = ""
        if truth is not None:
            cosines = (truth.astype(float) * vectors[key]).sum(axis=1)
            cosines /= np.linalg.norm(truth, axis=1) * np.linalg.norm(vectors[key], axis=1)
            cosine = f"{cosines.min():.7f} | {cosines.mean():.7f}"
        print(
            f"| {each.name} | {each.dtype} | {speeds[key]:.1f} | {ratio:.3f} | "
            f"{by_processor:.3f} | {share} | {cosine} |"
        )
        if each.name == "torch" and ratio < GOAL:
            slow.append(f"{key}: {ratio:.3f} of the bare loop's speed, below {GOAL}")
    sys.exit("\n".join(slow) or 0)


if __name__ == "__main__":
    main()
