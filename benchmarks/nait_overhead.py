"""NAIT with five capabilities against the bare forward pass, and against a loop as one writes it.

    python benchmarks/nait_overhead.py --data ../shared/data [--rows 51941] [--plain 1000]

Over slices of alpaca_cleaned, in turns so that a machine's moods hit both:

- bare: the model over the very batches that the stage makes, tokenised beforehand;
- NAIT: the stage `nait.alignment` as it ships, from text to scores of five capabilities;
- plain: 32 unsorted rows at once in float32, padded to the longest, all hidden states kept,
  projected layer by layer; on fewer rows, since it is slow.

Prints rows per second, the ratios, and the peak of memory after each slice; slices double, so that
memory which grows with rows would show.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import torch

from curate.api import Context, ModelFiles
from curate_embed.builtin import minilm
from curate_embed.encoder import Encoder
from curate_embed.forward import ForwardService
from curate_embed.hardware import best_dtype
from curate_nait.alignment import Alignment
from curate_nait.parameters import AlignmentParams

CAPABILITIES = ("math", "code", "knowledge", "reasoning", "languages")
FIRST = 2_000  # rows of the first slice; each has twice as many as the one before


def texts(data: Path, rows: int) -> list[str]:
    """Instruction, input and output of alpaca_cleaned, joined by newlines."""
    with gzip.open(data / "alpaca_cleaned.jsonl.gz") as lines:
        found = [json.loads(line) for _, line in zip(range(rows), lines, strict=False)]
    parts = ((row["instruction"], row["input"], row["output"]) for row in found)
    return ["\n".join(part for part in row if part) for row in parts]


def alignment(dtype: str, samples: list[str]) -> tuple[Alignment, Context]:
    """The stage as it ships, each capability fitted on some of the samples."""
    targets = {name: f"{name}.jsonl" for name in CAPABILITIES}
    params = AlignmentParams.model_validate({"targets": targets, "dtype": dtype})
    service, files = ForwardService(), ModelFiles("builtin:minilm", minilm(), None, "benchmark")
    stage = Alignment(params, "nait")
    ctx = Context(0, {"model": files}, {}, (), lambda _: service)
    fits = {}
    for at, name in enumerate(CAPABILITIES):
        part = samples[at :: len(CAPABILITIES)]
        rows = pl.DataFrame({"id": [str(row) for row in range(len(part))], "@both": part})
        fits[name] = stage.fit(name, rows, ctx)
    return stage, replace(ctx, fits=fits, wanted=(*CAPABILITIES, "truncated"))


def batches(encoder: Encoder, rows: list[str]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The batches that the stage makes of rows: token ids and mask."""
    found = []

    def keep(ids: torch.Tensor, mask: torch.Tensor, *_others: Any) -> None:
        found.append((ids.clone(), mask.clone()))

    encoder._read = keep  # type: ignore[method-assign, assignment]  # stands in for the pass
    for _ in encoder.run(pl.DataFrame({"@both": rows}), []):
        pass
    return found


def plain(rows: list[str], directions: list[torch.Tensor]) -> Iterator[torch.Tensor]:
    """NAIT as a loop: block outputs, token mean, in the order of the rows."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(minilm())
    model = AutoModel.from_pretrained(minilm(), dtype=torch.float32).eval()
    yield torch.zeros(0)  # loaded
    for at in range(0, len(rows), 32):
        batch = tokenizer(
            rows[at : at + 32], padding=True, truncation=True, max_length=256, return_tensors="pt"
        )
        with torch.inference_mode():
            states = model(**batch, output_hidden_states=True).hidden_states[1:]
            mask = batch["attention_mask"].unsqueeze(-1)
            pooled = [(state * mask).sum(1) / mask.sum(1) for state in states]
            yield torch.stack(
                [
                    sum((one @ each[layer] for layer, one in enumerate(pooled)), torch.zeros(1))
                    for each in directions
                ]
            )


def slices(rows: list[str]) -> Iterator[list[str]]:
    """Slices that grow, each one pass: what kept something for each row would show in memory."""
    at, size = 0, FIRST
    while at < len(rows):
        end = len(rows) if len(rows) - at < 2 * size else at + size
        yield rows[at:end]
        at, size = end, 2 * size


def timed(work: Callable[[], Any]) -> float:
    """Seconds that it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def megabytes() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=51_941)
    parser.add_argument("--plain", type=int, default=1_000, help="rows of the plain loop")
    parser.add_argument("--dtype", default="auto", help="of the stage and the bare pass")
    given = parser.parse_args()
    dtype = best_dtype() if given.dtype == "auto" else given.dtype
    rows = texts(given.data, given.rows)
    stage, ctx = alignment(dtype, rows[:320])
    passing = stage.passing(ctx.models)
    encoder = ForwardService().open(passing, lambda *_: None)
    model = encoder._loaded.model

    def bare(cut: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
        with torch.inference_mode():
            for ids, mask in cut:
                model(input_ids=ids, attention_mask=mask.long())

    def nait(part: list[str]) -> None:
        frame = pl.DataFrame({"id": [str(at) for at in range(len(part))], "@both": part})
        assert sum(len(found) for found in stage.stream(frame, ctx)) == len(part)

    nait(rows[:500])  # warm up
    spent = {"bare": 0.0, "nait": 0.0}
    grown = []
    for turn, part in enumerate(slices(rows)):
        cut = batches(ForwardService().open(passing, lambda *_: None), part)
        turns = [("bare", lambda: bare(cut)), ("nait", lambda: nait(part))]  # noqa: B023 - called at once
        for name, work in turns if turn % 2 else reversed(turns):
            spent[name] += timed(work)
        grown.append(megabytes())
    loop = plain(
        rows[: given.plain], [torch.randn(encoder.blocks, encoder.width) for _ in CAPABILITIES]
    )
    next(loop)
    slow = timed(lambda: list(loop)) / given.plain
    print(f"{len(rows):,} rows, {dtype}, {torch.get_num_threads()} threads")
    for name, seconds in spent.items():
        print(f"{name:6} {seconds:8.1f} s {len(rows) / seconds:8.1f} rows/s")
    print(f"plain  {slow * len(rows):8.1f} s {1 / slow:8.1f} rows/s (from {given.plain:,} rows)")
    print(f"NAIT / bare   {spent['nait'] / spent['bare']:.3f}  (goal: at most 1.10)")
    print(f"plain / NAIT  {slow * len(rows) / spent['nait']:.2f}  (goal: at least 4)")
    print(f"peak memory after each slice, MB: {', '.join(f'{each:.0f}' for each in grown)}")


if __name__ == "__main__":
    main()
