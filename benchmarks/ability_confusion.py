"""How often `sources.ability` is right when it goes by the nearest labelled examples.

    python benchmarks/ability_confusion.py --data ../shared/data [--labelled 64] [--tested 300]

Two sets of real rows whose ability is known: six abilities by the data set that a row comes from,
and the eight categories in which the people who wrote dolly15k sorted their rows. Of each ability
some rows are the labelled examples and others are tested; the instruction is embedded by
all-MiniLM-L6-v2 in float32.

Printed, for each set: how often the nearest ability is right for several `k`, over all rows and
over the 70 % whose margins are the largest, beside a vote of the k nearest examples of all, each
counted by its cosine; what several margins leave unknown and how often the rest is right; the
confusion at the defaults. For the first set also what becomes of an ability without any example:
how many of its rows are unknown at several margins.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

import curate
from curate_sources.ability import UNKNOWN, NearestParams

KS = (1, 5, 10, 20)
MARGINS = (0.0, 0.02, 0.05, 0.1, 0.15)
SURE = 0.7
K: int = NearestParams.model_fields["k"].default
MARGIN: float = NearestParams.model_fields["margin"].default
REASONING = ("ecqa_train", "qasc_train", "strategyqa_train")

Rows = list[dict[str, str]]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    arguments.add_argument("--labelled", type=int, default=64, help="examples of each ability")
    arguments.add_argument("--tested", type=int, default=300, help="rows of each ability")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in (
            ("abilities", by_source(given.data)),
            ("dolly", by_category(given.data)),
        ):
            bench = Bench(name, rows, given.labelled, given.tested, Path(folder))
            print(f"\n# {name}: {bench.counts()}")
            choice_of_k(bench)
            margins(bench.run(K))
            confusion(bench.run(K))
            if name == "abilities":
                strangers(bench)


def read(data: Path, name: str) -> Iterator[dict[str, Any]]:
    """The rows of a data set."""
    with gzip.open(data / f"{name}.jsonl.gz", "rt") as file:
        for line in file:
            yield json.loads(line)


def row(instruction: str, output: str, more: str = "") -> dict[str, str]:
    """An alpaca row."""
    return {"instruction": instruction, "input": more, "output": output}


def by_source(data: Path) -> dict[str, Rows]:
    """Ability > rows, by the data set."""
    dolly = by_category(data)
    found = {"math": [row(r["question"], r["answer"]) for r in read(data, "gsm8k_train")]}
    for ability in ("code", "roleplay"):
        file = {"code": "gpteacher_codegen", "roleplay": "gpteacher_roleplay"}[ability]
        found[ability] = [
            row(r["instruction"], r["response"], r["input"]) for r in read(data, file)
        ]
    found["reasoning"] = [
        row(r["question"], r["rationale"])
        for r in read(data, "flan_cot")
        if r["_task"] in REASONING
    ]
    found["knowledge"] = [
        row(
            "\n".join([r["question"], *(f"{letter}. {r[letter]}" for letter in "ABCD")]),
            r["answer"],
        )
        for r in read(data, "mmlu")
        if r["split"] == "test"
    ]
    return found | {"writing": dolly["creative_writing"]}


def by_category(data: Path) -> dict[str, Rows]:
    """Ability > rows, by dolly15k's categories."""
    found: dict[str, Rows] = {}
    for r in read(data, "dolly15k"):
        rows = found.setdefault(r["category"], [])
        rows.append(row(r["instruction"], r["response"], r["context"]))
    return found


class Bench:
    """Labelled examples and tested rows of one set, in files."""

    def __init__(
        self, name: str, rows: Mapping[str, Rows], labelled: int, tested: int, folder: Path
    ) -> None:
        self.name, self.folder = name, folder
        self.names = sorted(rows)
        self.tables: dict[str, Rows] = {"labelled": [], "pool": []}
        for ability in self.names:
            drawn = random.Random(f"{name} {ability}").sample(rows[ability], labelled + tested)
            known = [each | {"truth": ability} for each in drawn]
            self.tables["labelled"] += known[:labelled]
            self.tables["pool"] += known[labelled:]
        for table, some in self.tables.items():
            self.write(table, some)

    def path(self, table: str) -> Path:
        """The file of a table."""
        return self.folder / f"{self.name}_{table}.jsonl"

    def write(self, table: str, rows: Rows) -> None:
        """Write a table."""
        self.path(table).write_text("".join(json.dumps(each) + "\n" for each in rows))

    def counts(self) -> str:
        """How many rows there are."""
        tables = {table: f"{len(rows):,}" for table, rows in self.tables.items()}
        return f"{tables['labelled']} labelled, {tables['pool']} tested"

    def run(self, k: int, examples: str = "labelled") -> pl.DataFrame:
        """All rows with `source`, `truth`, `nearest`, `margin` and their vectors."""
        recipe = {
            "name": "bench",
            "sources": {name: {"path": str(self.path(name))} for name in self.tables},
            "pipeline": [
                {"score": "embed.sentence", "with": {"text": "instruction", "dtype": "float32"}},
                {
                    "score": "sources.ability",
                    "id": "said",
                    "with": {
                        "nearest": {"examples": str(self.path(examples)), "label": "truth", "k": k}
                    },
                },
            ],
            "output": {"vectors": True},
        }
        version = curate.run(recipe, out=self.folder / "curated")
        rows = version.frame().select("id", "source", "truth").join(version.scores, on="id")
        return rows.rename(
            {"said_nearest": "nearest", "said_margin": "margin"}
            | {"embed_sentence_embedding": "vector"}
        )


def choice_of_k(bench: Bench) -> None:
    """Print how often the nearest ability is right, and what a vote says."""
    print(
        "\n| k | right | of the surest 70 % | by vote | of the surest 70 % |\n|---|---|---|---|---|"
    )
    for k in KS:
        rows = bench.run(k)
        tested = rows.filter(source="pool")
        voted, margin = vote(rows.filter(source="labelled"), tested, k)
        truth = tested["truth"].to_numpy()
        ours = right(tested["nearest"].to_numpy() == truth, tested["margin"].to_numpy())
        theirs = right(voted == truth, margin)
        print("| {} | {:.3f} | {:.3f} | {:.3f} | {:.3f} |".format(k, *ours, *theirs))


def right(hits: NDArray[np.bool_], margin: NDArray[np.float64]) -> tuple[float, float]:
    """The share of hits among all rows, and among those with the largest margins."""
    surest = np.argsort(-margin, kind="stable")[: int(SURE * len(hits))]
    return float(hits.mean()), float(hits[surest].mean())


def vote(
    labelled: pl.DataFrame, tested: pl.DataFrame, k: int
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """What the k nearest examples of all say, each counted by its cosine; and the margin."""
    near, some = (units(rows["vector"].to_numpy()) for rows in (labelled, tested))
    names, label = np.unique(labelled["truth"].to_numpy(), return_inverse=True)
    cosine = some @ near.T
    nearest = np.argsort(-cosine, axis=1)[:, :k]
    weight = np.clip(np.take_along_axis(cosine, nearest, axis=1), 0, None)
    votes = np.stack([(weight * (label[nearest] == at)).sum(axis=1) for at in range(len(names))])
    votes = (votes / np.maximum(weight.sum(axis=1), 1e-12)).T
    ranked = np.sort(votes, axis=1)
    return names[votes.argmax(axis=1)], ranked[:, -1] - ranked[:, -2]


def units(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """At length 1."""
    wide = vectors.astype(np.float64)
    scaled: NDArray[np.float64] = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    return scaled


def margins(rows: pl.DataFrame) -> None:
    """Print what margins leave unknown, and how often the rest is right."""
    tested = rows.filter(source="pool")
    print(f"\nk {K}\n\n| margin | given an ability | of these right |\n|---|---|---|")
    for margin in MARGINS:
        known = tested.filter(pl.col("margin") >= margin)
        share = (known["nearest"] == known["truth"]).mean()
        print(f"| {margin} | {len(known) / len(tested):.3f} | {share:.3f} |")


def confusion(rows: pl.DataFrame) -> None:
    """Print truth against what the stage says at its defaults."""
    tested = rows.filter(source="pool")
    said = tested.select("truth", said="said_ability")
    names = [*tested["truth"].unique().sort(), UNKNOWN]
    print(f"\nk {K}, margin {MARGIN}: truth in rows, what is said in columns\n")
    print(line(["", *names]) + "\n" + line(["---"] * (len(names) + 1)))
    for truth in names[:-1]:
        counts = [len(said.filter(truth=truth, said=name)) for name in names]
        print(line([truth, *counts]))


def line(cells: Sequence[object]) -> str:
    """A row of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def strangers(bench: Bench) -> None:
    """Print how many rows of an ability without examples are unknown."""
    print("\nUnknown among the rows of an ability without examples, by margin\n")
    print(line(["ability", *MARGINS]) + "\n" + line(["---"] * (len(MARGINS) + 1)))
    for name in bench.names:
        known = [each for each in bench.tables["labelled"] if each["truth"] != name]
        bench.write(f"without_{name}", known)
        rows = bench.run(K, f"without_{name}").filter(source="pool", truth=name)
        print(line([name, *(f"{(rows['margin'] < margin).mean():.3f}" for margin in MARGINS)]))


if __name__ == "__main__":
    main()
