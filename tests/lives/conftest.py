"""Versions made by small recipes, and their tables as plain Python."""

import json

import pyarrow.parquet as pq
import pytest

from curate.versions.make import run_recipe
from curate.versions.open import Version


def rows(count, start=0):
    return [
        {"instruction": f"Say the number {n}.", "input": "", "output": f"It is {n}, a number."}
        for n in range(start, start + count)
    ]


class Bench:
    """A folder with a pool of rows, in which recipes of one name are run."""

    def __init__(self, folder):
        self.folder = folder
        self.out = folder / "curated"
        self.pool = folder / "pool.jsonl"
        self.write(rows(20))

    def write(self, rows, path=None):
        path = path or self.pool
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def run(self, *pipeline, name="bench", source=None, sources=None, **more):
        source = {"path": str(self.pool)} | (source or {})
        recipe = {"name": name, "sources": sources or {"pool": source}}
        result = run_recipe(recipe | {"pipeline": list(pipeline)} | more, out=self.out)
        return Version(result.path)


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def ledger_of(version):
    """Id > line of the ledger, as plain Python."""
    lines = pq.read_table(version.path / "ledger.parquet").to_pylist()
    return {line["id"]: line for line in lines}


def kept_of(version):
    """Id > row of data/, as plain Python."""
    files = sorted((version.path / "data").iterdir())
    return {row["id"]: row for file in files for row in pq.read_table(file).to_pylist()}


def scores_of(version):
    """Id > scores, as plain Python."""
    lines = pq.read_table(version.path / "scores.parquet").to_pylist()
    return {line.pop("id"): line for line in lines}


@pytest.fixture
def plain():
    """The three readers above."""

    class Plain:
        ledger, kept, scores = (
            staticmethod(ledger_of),
            staticmethod(kept_of),
            staticmethod(scores_of),
        )

    return Plain
