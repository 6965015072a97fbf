"""Small recipes on small files."""

import json

import pytest

from curate.versions.make import run_recipe


def rows(count, start=0):
    return [
        {"instruction": f"Say the number {n}.", "input": "", "output": f"It is {n}, a number."}
        for n in range(start, start + count)
    ]


class Bench:
    """A folder with a pool of rows, in which recipes are run."""

    def __init__(self, folder):
        self.folder = folder
        self.pool = folder / "pool.jsonl"
        self.write(rows(20))

    def write(self, rows, path=None):
        path = path or self.pool
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def recipe(self, *pipeline, **more):
        source = {"path": str(self.pool)} | more.pop("source", {})
        return {"name": "bench", "sources": {"pool": source}, "pipeline": list(pipeline)} | more

    def run(self, *pipeline, sets=(), limit=None, out=None, **more):
        recipe = self.recipe(*pipeline, **more)
        return run_recipe(recipe, sets, out=out or self.folder / "curated", limit=limit)

    def manifest(self, result):
        return json.loads((result.path / "manifest.json").read_text())


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)
