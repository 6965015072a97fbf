"""IFD in batches against one row at a time, on a tiny model over real rows.

    python benchmarks/ifd_batches.py [--data ../shared/data] [--rows 4000] [--loop 500]

Trains a tokenizer on rows of alpaca_cleaned, makes a tiny Llama with random weights, and scores
rows twice in float32:

- one by one: a plain loop with transformers, two forward passes a row, as in the authors' code; on
  fewer rows, in two halves, before and after the other;
- baselines.ifd: the stage as it ships, from text to scores.

Prints rows per second of both, their ratio, and how far any loss of either is from float64 (on
some rows) and from the other. Exits with 1 below 3 times, or where losses differ by more than
1e-5 of their size.

What batches gain is what a row costs beside arithmetic: much for a tiny model or on a GPU, little
for a large model on a processor.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from curate.api import Context, ModelFiles
from curate_baselines.difficulty import Ifd, IfdParams
from curate_embed.forward import ForwardService

PROMPT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{}\n\n### Response:\n"
)
HEADING = "### Response:\n"
REACH, VOCABULARY = 1024, 1_000
GOAL, NEAR = 3.0, 1e-5
CHECKED = 50  # rows that are computed in float64 too


def examples(data: Path, count: int) -> pl.DataFrame:
    """Rows of alpaca_cleaned with a response: `id`, `@instruction` (input included), `@response`.

    Very long ones are left out, so that the loop needs no rule for cutting.
    """
    found = []
    with gzip.open(data / "alpaca_cleaned.jsonl.gz") as lines:
        for line in lines:
            row = json.loads(line)
            asked = "\n".join(part for part in (row["instruction"], row["input"]) if part)
            if len(row["output"]) > 1 and len(asked) + len(row["output"]) < 2_000:
                found.append((str(len(found)), asked, row["output"]))
            if len(found) == count:
                break
    return pl.DataFrame(found, orient="row", schema=["id", "@instruction", "@response"])


def make_model(folder: Path, rows: pl.DataFrame) -> None:
    """A small Llama with random weights, and byte pairs trained on the rows."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator([*rows["@instruction"], *rows["@response"], PROMPT], trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", model_max_length=REACH
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=1,
        intermediate_size=64,
        max_position_embeddings=REACH,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


class Loop:
    """One row at a time."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()

    def losses(self, rows: pl.DataFrame) -> NDArray[np.float64]:
        """Mean losses [rows, 2]: given the instruction, and alone."""
        return np.array(
            [
                (self._loss(PROMPT.format(asked), answer), self._loss(HEADING, answer))
                for asked, answer in rows.select("@instruction", "@response").iter_rows()
            ]
        )

    def _loss(self, prompt: str, answer: str) -> float:
        ids = self.tokenizer(prompt + answer, return_tensors="pt")["input_ids"]
        labels = ids.clone()
        labels[:, : len(self.tokenizer(prompt)["input_ids"])] = -100
        with torch.inference_mode():
            return float(self.model(input_ids=ids, labels=labels).loss)


def batched(folder: Path) -> Any:
    """The stage as it ships: rows to mean losses [rows, 2]."""
    stage = Ifd(IfdParams.model_validate({"model": str(folder), "dtype": "float32"}), "ifd")
    service, files = ForwardService(), ModelFiles(str(folder), folder, None, str(folder))
    ctx = Context(0, {"model": files}, {}, tuple(stage.outputs()), lambda _: service)

    def losses(rows: pl.DataFrame) -> NDArray[np.float64]:
        found = pl.concat(stage.stream(rows, ctx))
        ordered = rows.select("id").join(found, on="id", maintain_order="left")
        return ordered.select("conditioned", "alone").to_numpy()

    return losses


def timed(work: Any, rows: pl.DataFrame) -> tuple[float, NDArray[np.float64]]:
    """Seconds, and what came of it."""
    started = time.perf_counter()
    found = work(rows)
    return time.perf_counter() - started, found


def apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The largest difference, as a share of the value."""
    return float(np.abs(one / other - 1).max())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    beside = Path(__file__).parents[2] / "shared" / "data"
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("CURATE_TEST_DATA", beside))
    )
    parser.add_argument("--rows", type=int, default=4_000)
    parser.add_argument("--loop", type=int, default=500, help="rows of the loop")
    given = parser.parse_args()
    rows = examples(given.data, given.rows)
    some = rows[: given.loop]
    with tempfile.TemporaryDirectory() as place:
        make_model(Path(place), rows)
        loop, stage = Loop(Path(place), torch.float32), batched(Path(place))
        for work in (loop.losses, stage):  # warm up
            work(rows[:20])
        half = len(some) // 2
        before, first = timed(loop.losses, some[:half])
        fast, other = timed(stage, rows)
        after, second = timed(loop.losses, some[half:])
        exact = Loop(Path(place), torch.float64).losses(rows[:CHECKED])
    one, slow = np.concatenate([first, second]), (before + after) / len(some)
    ratio = slow * len(rows) / fast
    errors = {
        "one by one, from float64": apart(one[:CHECKED], exact),
        "batched, from float64": apart(other[:CHECKED], exact),
        "one from the other": apart(one, other[: len(one)]),
    }
    print(f"{len(rows):,} rows, float32, {torch.get_num_threads()} threads")
    print(
        f"one by one    {slow * len(rows):7.2f} s {1 / slow:8.1f} rows/s (from {len(some):,} rows)"
    )
    print(f"baselines.ifd {fast:7.2f} s {len(rows) / fast:8.1f} rows/s")
    print(f"ratio         {ratio:7.2f}  (goal: at least {GOAL:.0f})")
    for name, error in errors.items():
        print(f"largest relative difference, {name}: {error:.1e}")
    return int(ratio < GOAL or max(errors.values()) > NEAR)


if __name__ == "__main__":
    raise SystemExit(main())
