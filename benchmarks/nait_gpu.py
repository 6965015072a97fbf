"""NAIT with five capabilities on a GPU, over a model of LLaMA-2-7B's shape with random weights.

    python benchmarks/nait_gpu.py [--data ../shared/data] [--peak-tflops 989]
    python benchmarks/nait_gpu.py --device cpu --layers 2 --width 256 --intermediate 688 --heads 4
        --rows 200

Needs one GPU with about 24 GB and a CUDA build of torch; the second line runs the same code
anywhere. Nothing is downloaded: the weights are random, in bfloat16, and the rows are those of
alpaca_cleaned as the tokenizer of builtin:minilm cuts them (LLaMA's makes somewhat more tokens of
them). Text to projections, with the stage's own reader, hooks, batches and tokenising thread.

The share of the arithmetic peak counts what the text needs: 2 operations for each weight of the
blocks' linear maps and each token, and of attention the lower triangle; neither padding nor the
projections. The peak is what a large bfloat16 product of matrices reaches on the same device.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaModel

from curate.api import Context, ModelFiles
from curate_embed.builtin import minilm
from curate_embed.encoder import Encoder
from curate_embed.loading import Loaded
from curate_embed.structure import find_blocks
from curate_embed.watching import Watch
from curate_nait.alignment import Alignment
from curate_nait.parameters import AlignmentParams

CAPABILITIES = ("math", "code", "knowledge", "reasoning", "languages")
ROWS = 51_941
REACH = 4096
WARM = 2_000
"""Rows that pass, spread over the whole, before the clock starts."""


@dataclass(frozen=True)
class Work:
    """What the texts need, padding apart.

    Args:
        tokens: Their tokens.
        pairs: Pairs of a token and itself or one before it, summed over the texts.
    """

    tokens: int
    pairs: int

    def operations(self, model: torch.nn.Module, width: int, layers: int) -> float:
        """Floating-point operations of the blocks' products of matrices."""
        weights = sum(
            module.weight.numel()
            for module in model.modules()
            if isinstance(module, torch.nn.Linear)
        )
        return 2.0 * weights * self.tokens + 4.0 * width * layers * self.pairs


def read(data: Path, rows: int) -> list[str]:
    """Instruction, input and output of alpaca_cleaned, joined by newlines."""
    with gzip.open(data / "alpaca_cleaned.jsonl.gz") as lines:
        found = [json.loads(line) for _, line in zip(range(rows), lines, strict=False)]
    parts = ((row["instruction"], row["input"], row["output"]) for row in found)
    return ["\n".join(part for part in row if part) for row in parts]


def work_of(texts: Sequence[str], tokenizer: Any) -> Work:
    """Count tokens and pairs of them."""
    lengths = np.array(
        [len(ids) for ids in tokenizer(list(texts), truncation=True, max_length=REACH)["input_ids"]]
    )
    return Work(int(lengths.sum()), int((lengths * (lengths + 1) // 2).sum()))


def built(given: argparse.Namespace, tokenizer: Any) -> Loaded:
    """The model, made on the device."""
    config = LlamaConfig(
        hidden_size=given.width,
        intermediate_size=given.intermediate,
        num_hidden_layers=given.layers,
        num_attention_heads=given.heads,
        num_key_value_heads=given.heads,
        max_position_embeddings=REACH,
        vocab_size=32_000,
        use_cache=False,
    )
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(given.device):
        model = LlamaModel(config)
    torch.set_default_dtype(torch.float32)
    model.eval().requires_grad_(False)
    blocks = find_blocks(model, "random")
    device = torch.device(given.device)
    watch = Watch(blocks, given.width, "random", compiled=False)
    return Loaded(
        "random", model, tokenizer, len(blocks), watch, given.width, REACH, REACH, 0, device
    )


def alignment() -> tuple[Alignment, Context]:
    """The stage as it ships, in bfloat16, and a context without directions."""
    targets = {name: f"{name}.jsonl" for name in CAPABILITIES}
    params = AlignmentParams.model_validate({"targets": targets, "dtype": "bfloat16"})
    files = ModelFiles("random", minilm(), None, "benchmark")
    return Alignment(params, "nait"), Context(0, {"model": files}, {}, CAPABILITIES, lambda _: None)


def directions(layers: int, width: int) -> dict[str, dict[str, Any]]:
    """For each capability random unit vectors."""
    found = {}
    for seed, name in enumerate(CAPABILITIES):
        vectors = np.random.default_rng(seed).standard_normal((layers, 1, width))
        vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
        found[name] = {"directions": vectors.astype(np.float32)}
    return found


def finished(device: str) -> float:
    """The time at which the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def peak(device: str) -> float:
    """Operations a second of a large bfloat16 product of matrices, the best of ten."""
    size = 8192 if device == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device).bfloat16() for _ in range(2))
    best = 0.0
    for _ in range(10):
        started = finished(device)
        for _ in range(10):
            left @ right
        best = max(best, 10 * 2 * size**3 / (finished(device) - started))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--intermediate", type=int, default=11_008)
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--peak-tflops", type=float, help="the maker's number, to compare with too")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        print(
            "No CUDA device: this needs one GPU with about 24 GB and a CUDA build of torch "
            "(or --device cpu with a small model).",
            file=sys.stderr,
        )
        raise SystemExit(2)
    tokenizer = AutoTokenizer.from_pretrained(minilm())
    texts = read(given.data, given.rows)
    work = work_of(texts, tokenizer)
    loaded = built(given, tokenizer)
    operations = work.operations(loaded.model, given.width, given.layers)
    stage, ctx = alignment()
    counts: Counter[str] = Counter()

    def count(name: str, number: int) -> None:
        counts[name] += number

    encoder = Encoder(loaded, stage.passing(ctx.models), count)
    fits = directions(given.layers, encoder.neurons)
    reader = stage.reader(encoder, replace(ctx, fits=fits))

    def passed(some: Sequence[str], readers: Sequence[Any]) -> float:
        """Seconds of a pass over texts."""
        counts.clear()
        started = finished(given.device)
        done = sum(len(at) for at, _, _ in encoder.run(pl.DataFrame({"@both": some}), readers))
        assert done == len(some)
        return finished(given.device) - started

    some = texts[:: -(-len(texts) // WARM)]
    passed(some, [reader])
    bare = passed(some, [])
    overhead = passed(some, [reader]) / bare
    seconds = passed(texts, [reader])
    reached = operations / seconds
    best = peak(given.device)
    name = torch.cuda.get_device_name() if given.device == "cuda" else "CPU"
    weights = sum(each.numel() for each in loaded.model.parameters())
    print(f"{name}, torch {torch.__version__}; {weights / 1e9:.2f} billion weights in bfloat16")
    print(f"{len(texts):,} rows, {work.tokens:,} tokens, {len(CAPABILITIES)} capabilities")
    rates = f"{len(texts) / seconds:,.0f} rows/s, {work.tokens / seconds:,.0f} tokens/s"
    print(f"{seconds:.1f} s, {rates}")
    print(f"{seconds / len(texts) * ROWS / 60:.2f} minutes for {ROWS:,} rows  (goal: at most 6)")
    padding = counts["pass.padding"] / (counts["pass.padding"] + work.tokens)
    print(f"padding: {padding:.1%} of what passed; smaller shapes: {counts['pass.smaller_shapes']}")
    print(f"with NAIT / bare pass, over {len(some):,} rows: {overhead:.3f}")
    print(f"{reached / 1e12:.1f} TFLOP/s, measured peak {best / 1e12:.1f}")
    print(f"share of the measured peak: {reached / best:.1%}  (goal: at least 50 %)")
    if given.peak_tflops:
        print(f"share of {given.peak_tflops:g} TFLOP/s: {reached / given.peak_tflops / 1e12:.1%}")
    if given.device == "cuda":
        print(f"peak memory: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")


if __name__ == "__main__":
    main()
