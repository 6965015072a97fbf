"""How well NAIT finds a capability's rows in a pool: a retrieval proxy on a sentence encoder.

    python benchmarks/nait_retrieval.py --data ../shared/data [--seeds 5] [--dtype float32]
        [--png FILE] [--json FILE]

Five pools of real rows, in each of which the rows of two to four capabilities are known by where
they come from. Each scorer ranks a pool by each capability, given 64 samples of it that are not in
the pool; every seed draws samples and pools anew. Reported: average precision, and precision at k,
k being the number of true rows; mean and standard deviation over the seeds.

Scorers: random, length in characters, highest cosine to any sample's embedding ("nearest"), cosine
to the mean of the samples' embeddings ("mean embedding"; embeddings are mean-pooled final hidden
states of length 1), NAIT as it ships (the preset `encoder`), with one option changed, and as the
presets `paper` and `paper-centred`. Directions and scores are made by the stage `nait.alignment`
itself, all scorers in one forward pass over a pool.

What the samples and the true rows are:

- math: GSM8K; also AQuA in the pools that hold it.
- code: HumanEval (prompt and solution) against instructions that ask for code.
- knowledge: MMLU's dev and val questions against its test questions.
- reasoning: exemplars of the BBH chain-of-thought prompts. Of 81 only 69 are distinct, since tasks
  of one family share theirs: 17 are planted in the pool, the other 52 are the samples. Rows of
  StrategyQA and ECQA do not count as true, though they call for reasoning too: BBH's puzzles are
  unlike them.
- languages: XQuAD without English, where samples and pool share no paragraph; or Chinese Alpaca.

General rows of a pool hold a little math and code of their own, which counts as wrong. So these
numbers compare scorers, and say nothing yet of the model that is tuned on what is found.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.api import Context, LoadedModel, ModelFiles, Reader
from curate_embed.builtin import minilm
from curate_embed.forward import ForwardService
from curate_embed.pooling import SentenceReader
from curate_nait.alignment import Alignment
from curate_nait.directions import directions_of
from curate_nait.parameters import AlignmentParams
from curate_nait.readers import Pooling, SampleReader

SAMPLES = 64
PLANTED = 17
"""BBH exemplars in a pool; the others are the samples."""

SOURCES = {
    "math": "gsm8k",
    "code": "humaneval",
    "knowledge": "mmlu_dev",
    "reasoning": "bbh",
    "languages": "xquad_samples",
}
"""Capability > where its samples come from."""

READINGS: Mapping[str, Mapping[str, Any]] = {
    "NAIT default": {"preset": "encoder"},
    "· hook block_output": {"preset": "encoder", "hook": "block_output"},
    "· pool mean, no baseline": {"preset": "encoder", "pool": "mean", "baseline": "none"},
    "· similarity dot": {"preset": "encoder", "similarity": "dot"},
    "· layer_scale none": {"preset": "encoder", "layer_scale": "none"},
    "· center true": {"preset": "encoder", "center": True},
    "NAIT paper": {"preset": "paper"},
    "NAIT paper-centred": {"preset": "paper-centred"},
}
"""NAIT's scorers; a dot marks one change from the default."""

BASELINES = ("random", "length", "nearest", "mean embedding")

Vector = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Pool:
    """Rows among which those of some capabilities are to be found.

    Args:
        parts: Source > how many of its rows.
        true: Capability > sources whose rows are its own.
    """

    parts: Mapping[str, int]
    true: Mapping[str, tuple[str, ...]]


POOLS = {
    "A": Pool(
        {"gsm8k": 200, "codegen": 200, "alpaca": 800, "dolly": 400, "roleplay": 200},
        {"math": ("gsm8k",), "code": ("codegen",)},
    ),
    "B": Pool(
        {"aqua": 200, "codealpaca": 200, "mmlu_test": 200, "dolly": 600, "toolformer": 300},
        {"math": ("aqua",), "code": ("codealpaca",), "knowledge": ("mmlu_test",)},
    ),
    "C": Pool(
        {"gsm8k": 150, "aqua": 100, "strategyqa": 100, "bbh": PLANTED, "zh": 200, "nuggets": 500}
        | {"roleplay": 250, "superni": 200},
        {"math": ("gsm8k", "aqua"), "reasoning": ("bbh",), "languages": ("zh",)},
    ),
    "D": Pool(
        {"codegen": 200, "mmlu_test": 200, "xquad": 200, "dolly": 500, "superni": 200}
        | {"creak": 200},
        {"code": ("codegen",), "knowledge": ("mmlu_test",), "languages": ("xquad",)},
    ),
    "E": Pool(
        {"gsm8k": 100, "aqua": 100, "codealpaca": 200, "strategyqa": 100, "ecqa": 100}
        | {"bbh": PLANTED, "zh": 150, "alpaca": 600, "roleplay": 150},
        {
            "math": ("gsm8k", "aqua"),
            "code": ("codealpaca",),
            "reasoning": ("bbh",),
            "languages": ("zh",),
        },
    ),
}

CELLS = [(name, capability) for name, pool in POOLS.items() for capability in pool.true]


def read(data: Path, name: str) -> Iterator[dict[str, Any]]:
    """The rows of one file."""
    with gzip.open(data / f"{name}.jsonl.gz") as lines:
        for line in lines:
            yield json.loads(line)


def joined(row: Mapping[str, Any], *names: str) -> str:
    """Fields of a row joined by newlines: empty ones left out, of several answers the first."""
    values = [row[name][0] if isinstance(row[name], list) else row[name] for name in names]
    return "\n".join(value for value in values if value)


def sources(data: Path) -> dict[str, list[str]]:
    """Source > its distinct texts."""
    found: dict[str, list[str]] = {"gsm8k": [], "mmlu_dev": [], "mmlu_test": [], "bbh": []}
    found |= {"xquad_samples": [], "xquad": []}
    for name, file, *fields in (
        ("codegen", "gpteacher_codegen", "instruction", "input", "response"),
        ("roleplay", "gpteacher_roleplay", "instruction", "input", "response"),
        ("toolformer", "gpteacher_toolformer", "instruction", "input", "response"),
        ("alpaca", "alpaca_cleaned", "instruction", "input", "output"),
        ("nuggets", "alpaca_gpt4_nuggets_low", "instruction", "input", "output"),
        ("dolly", "dolly15k", "instruction", "context", "response"),
        ("codealpaca", "codealpaca_2k", "instruction", "input", "output"),
        ("zh", "alpaca_zh_machine", "instruction", "input", "output"),
        ("superni", "superni_eval_minillm", "instruction", "input", "output"),
        ("gsm8k", "gsm8k_train", "question", "answer"),
        ("humaneval", "humaneval", "prompt", "canonical_solution"),
    ):
        found[name] = [joined(row, *fields) for row in read(data, file)]
    for row in read(data, "flan_cot"):
        name = row["_task"].removesuffix("_train")
        if name in ("aqua", "strategyqa", "ecqa", "creak"):
            found.setdefault(name, []).append(joined(row, "question", "rationale", "answer"))
    for row in read(data, "mmlu"):
        choices = "\n".join(f"{letter}. {row[letter]}" for letter in "ABCD")
        text = f"{row['question']}\n{choices}\n{row['answer']}"
        found["mmlu_test" if row["split"] == "test" else "mmlu_dev"].append(text)
    for row in read(data, "bbh_cot_prompts"):
        exemplars = row["prompt"].partition("-----")[2].split("\nQ: ")[1:]
        found["bbh"] += [text.strip().replace("\nA: ", "\n") for text in exemplars]
    xquad = list(read(data, "xquad"))
    paragraphs = {row["id"]: row["context"] for row in xquad if row["file"] == "xquad.en"}
    samples = set(sorted(set(paragraphs.values()))[::2])
    for row in xquad:
        if row["file"] != "xquad.en":
            name = "xquad_samples" if paragraphs[row["id"]] in samples else "xquad"
            found[name].append(joined(row, "question", "context"))
    return {name: list(dict.fromkeys(texts)) for name, texts in found.items()}


def drawn(
    name: str, seed: int, texts: Mapping[str, Sequence[str]]
) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    """The samples of each capability, and a pool's rows as pairs of source and text, shuffled."""
    pool, rng = POOLS[name], random.Random(f"{seed}{name}")
    samples: dict[str, list[str]] = {}
    for capability in pool.true:
        some = texts[SOURCES[capability]]
        count = len(some) - PLANTED if capability == "reasoning" else SAMPLES
        samples[capability] = rng.sample(some, count)
    used = {text for some in samples.values() for text in some}
    rows = [
        (source, text)
        for source, count in pool.parts.items()
        for text in rng.sample([text for text in texts[source] if text not in used], count)
    ]
    rng.shuffle(rows)
    return samples, rows


def passed(model: LoadedModel, texts: Sequence[str], readers: Sequence[Reader]) -> list[Vector]:
    """What each reader makes of the texts [texts, values], in one pass."""
    parts = list(model.run(pl.DataFrame({"@both": texts}), readers))
    order = np.argsort(np.concatenate([positions for positions, _, _ in parts]))
    return [
        np.concatenate([values[at] for _, values, _ in parts])[order] for at in range(len(readers))
    ]


class Scorers:
    """All scorers over one model.

    Args:
        dtype: What the model computes in.
    """

    def __init__(self, dtype: str) -> None:
        service, files = ForwardService(), ModelFiles("builtin:minilm", minilm(), None, "benchmark")
        self._ctx = Context(0, {"model": files}, {}, (), lambda _: service)
        self._readings = {
            name: {**options, "dtype": dtype, "targets": {"any": "any.jsonl"}}
            for name, options in READINGS.items()
        }
        some = self._stage("NAIT default", ("any",))
        self._model = service.open(some.passing(self._ctx.models), lambda *_: None)

    def _stage(self, reading: str, capabilities: Sequence[str]) -> Alignment:
        options = self._readings[reading]
        targets = {name: f"{name}.jsonl" for name in capabilities}
        return Alignment(AlignmentParams.model_validate({**options, "targets": targets}), reading)

    def score(
        self, samples: Mapping[str, Sequence[str]], rows: Sequence[str], seed: int
    ) -> dict[str, dict[str, Vector]]:
        """Scorer > capability > a score for each row."""
        stages = {name: self._stage(name, list(samples)) for name in READINGS}
        embedding = SentenceReader("mean", normalize=True)
        fits, examples = self._fitted(samples, stages)
        contexts = {
            name: replace(self._ctx, fits=fits[name], wanted=tuple(samples)) for name in stages
        }
        readers = [stages[name].reader(self._model, contexts[name]) for name in stages]
        *projections, vectors = passed(self._model, rows, [*readers, embedding])
        rng = np.random.default_rng(seed)
        found: dict[str, dict[str, Vector]] = {name: {} for name in (*BASELINES, *READINGS)}
        for capability, own in examples.items():
            found["random"][capability] = rng.random(len(rows))
            found["length"][capability] = np.array([len(text) for text in rows], dtype=float)
            found["nearest"][capability] = (vectors @ own.T).max(axis=1)
            found["mean embedding"][capability] = vectors @ own.mean(axis=0)
        for name, values in zip(stages, projections, strict=True):
            columns = stages[name].columns(values, contexts[name])
            found[name] = {capability: np.asarray(columns[capability]) for capability in samples}
        return found

    def _fitted(
        self, samples: Mapping[str, Sequence[str]], stages: Mapping[str, Alignment]
    ) -> tuple[dict[str, dict[str, Any]], dict[str, Vector]]:
        """Reading > capability > what `Alignment.fit` gives; capability > embeddings; one pass."""
        ways = dict.fromkeys(
            (given.hook, given.pool, given.baseline)
            for given in (stage.params for stage in stages.values())
        )
        readers = [
            SampleReader(hook, Pooling(pool, baseline), drift=True) for hook, pool, baseline in ways
        ]
        texts = [text for some in samples.values() for text in some]
        *activations, vectors = passed(
            self._model, texts, [*readers, SentenceReader("mean", normalize=True)]
        )
        ends = np.cumsum([len(some) for some in samples.values()])[:-1]
        of_way = dict(zip(ways, activations, strict=True))
        fits: dict[str, dict[str, Any]] = {}
        for name, stage in stages.items():
            given = stage.params
            values = of_way[given.hook, given.pool, given.baseline].astype(np.float32, copy=False)
            blocks = self._model.blocks
            values = values[:, :-blocks].reshape(len(texts), 2, blocks, -1)
            fits[name] = {
                capability: directions_of(
                    part[:, 0],
                    part[:, 1] if given.sign == "mean_drift" else None,
                    center=given.center,
                    components=given.components,
                )
                for capability, part in zip(samples, np.split(values, ends), strict=True)
            }
        return fits, dict(zip(samples, np.split(vectors, ends), strict=True))


def measured(scores: Vector, true: NDArray[np.bool_]) -> tuple[float, float]:
    """Average precision, and precision at the number of true rows."""
    ranked = true[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    return float(precision[ranked].mean()), float(ranked[: true.sum()].mean())


def measure(data: Path, seeds: int, dtype: str) -> dict[str, NDArray[np.float64]]:
    """Scorer > [seeds, cells, 2]: average precision and precision at k."""
    texts, scorers = sources(data), Scorers(dtype)
    found = {name: np.zeros((seeds, len(CELLS), 2)) for name in (*BASELINES, *READINGS)}
    for seed in range(seeds):
        started = time.perf_counter()
        for name, pool in POOLS.items():
            samples, rows = drawn(name, seed, texts)
            scores = scorers.score(samples, [text for _, text in rows], seed)
            for capability, own in pool.true.items():
                true = np.array([source in own for source, _ in rows])
                cell = CELLS.index((name, capability))
                for scorer, of in scores.items():
                    found[scorer][seed, cell] = measured(of[capability], true)
        print(f"seed {seed}: {time.perf_counter() - started:.0f} s", flush=True)
    return found


def spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation over seeds, the first axis; zero where there is but one."""
    found: NDArray[np.float64] = np.std(values, axis=0, ddof=1 if len(values) > 1 else 0)
    return found


def shown(mean: float, deviation: float) -> str:
    """Such as `.984±.012`."""
    return "±".join(f"{value:.3f}".removeprefix("0") for value in (mean, deviation))


def table(title: str, found: Mapping[str, NDArray[np.float64]]) -> str:
    """Scorers by cells; `found`: scorer > [seeds, cells]."""
    width = 11
    lines = [title]
    lines.append(" " * 25 + "".join(f"{pool:>{width}}" for pool, _ in CELLS) + f"{'all':>{width}}")
    heads = [*(capability[:9] for _, capability in CELLS), "mean"]
    lines.append(" " * 25 + "".join(f"{head:>{width}}" for head in heads))
    for name, values in found.items():
        every = np.column_stack([values, values.mean(axis=1)])
        cells = map(shown, every.mean(axis=0), spread(every))
        lines.append(f"{name:25}" + "".join(f"{cell:>{width}}" for cell in cells))
    return "\n".join(lines)


def draw(found: Mapping[str, NDArray[np.float64]], path: Path, title: str) -> None:
    """Average precision, one panel a cell and one for their mean; `found`: > [seeds, cells]."""
    import altair as alt

    names = list(found)
    panels = [f"{pool} · {capability}" for pool, capability in CELLS] + ["mean over all cells"]
    kinds = ["default", "one change from it", "preset", "baseline"]
    points = []
    for name, values in found.items():
        kind = (
            "baseline"
            if name in BASELINES
            else kinds[0 if name == "NAIT default" else 1 if name.startswith("·") else 2]
        )
        every = np.column_stack([values, values.mean(axis=1)])
        for panel, mean, by in zip(panels, every.mean(axis=0), spread(every), strict=True):
            points.append(
                {"scorer": name, "kind": kind, "panel": panel, "mean": mean}
                | {"low": max(mean - by, 0), "high": min(mean + by, 1)}
            )
    base = alt.Chart().encode(
        y=alt.Y("scorer:N", sort=names, title=None),
        color=alt.Color(
            "kind:N",
            sort=kinds,
            scale=alt.Scale(domain=kinds, range=["#c4311d", "#e8952e", "#3b6fb6", "#8a8a8a"]),
            legend=alt.Legend(title=None, orient="top", symbolSize=120, labelFontSize=13),
        ),
    )
    bars = base.mark_rule(strokeWidth=2.5, opacity=0.55).encode(
        x=alt.X("low:Q", title=None, scale=alt.Scale(domain=[0, 1])), x2="high:Q"
    )
    dots = base.mark_point(filled=True, size=65, opacity=1).encode(x="mean:Q")
    facet = alt.Facet("panel:N", sort=panels, title=None)
    chart = (
        alt.layer(bars, dots, data=pl.DataFrame(points))
        .properties(width=200, height=15 * len(names))
        .facet(facet=facet, columns=4)
        .properties(title=alt.TitleParams(title, fontSize=15, anchor="start", offset=10))
        .configure_axis(labelFontSize=11, labelLimit=200, gridColor="#e6e6e6")
        .configure_header(labelFontSize=13, labelFontWeight="bold")
    )
    chart.save(path, format="png", scale_factor=1.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--png", type=Path, help="draw average precision into this file")
    parser.add_argument("--json", type=Path, help="write all numbers into this file")
    given = parser.parse_args()
    found = measure(given.data, given.seeds, given.dtype)
    about = f"builtin:minilm, {given.dtype}, {given.seeds} seeds"
    precision = {name: values[:, :, 0] for name, values in found.items()}
    print(f"\nA retrieval proxy. {about}; mean ± standard deviation over seeds.")
    print("\n" + table("Average precision", precision))
    at_k = {name: values[:, :, 1] for name, values in found.items()}
    print("\n" + table("Precision at the number of true rows", at_k))
    math, code = (CELLS.index(("A", capability)) for capability in ("math", "code"))
    default, embedding = precision["NAIT default"], precision["mean embedding"]
    ahead = default[:, code] - embedding[:, code]
    print(f"\nPool A, math: {default[:, math].mean():.3f}  (goal: at least .98)")
    print(f"Pool A, code: {default[:, code].mean():.3f}  (goal: at least .80)")
    print(f"Pool A, code, ahead of mean embedding: {ahead.mean():.3f}±{spread(ahead):.3f}")
    if given.json:
        content = {
            "what": "retrieval proxy",
            "model": "builtin:minilm",
            "dtype": given.dtype,
            "cells": [{"pool": pool, "capability": capability} for pool, capability in CELLS],
            "average_precision": {name: values.tolist() for name, values in precision.items()},
            "precision_at_k": {name: values.tolist() for name, values in at_k.items()},
        }
        given.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if given.png:
        draw(precision, given.png, f"Average precision in a retrieval proxy ({about}; bars: ±1 sd)")


if __name__ == "__main__":
    main()
