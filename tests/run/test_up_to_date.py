"""A run whose version exists does nothing, and loads nothing to find that out."""

import json
import os
import subprocess
import sys

import pytest

COUNT = {"score": "toys.count"}


def test_the_same_run_again_is_up_to_date(bench):
    first = bench.run(COUNT)
    again = bench.run(COUNT)
    assert (again.version, again.digest, again.up_to_date) == (first.version, first.digest, True)


@pytest.mark.parametrize(
    "change",
    [
        lambda bench: bench.pool.write_text(bench.pool.read_text().replace("7", "8", 1)),
        lambda bench: {"sets": ["toys_count.with.salt=x"]},
        lambda bench: {"sets": ["seed=5"]},
        lambda bench: {"sets": ["sources.pool.origin=human"]},
    ],
)
def test_what_matters_makes_a_new_version(bench, change):
    first = bench.run(COUNT)
    options = change(bench)
    second = bench.run(COUNT, **(options if isinstance(options, dict) else {}))
    assert not second.up_to_date
    assert (first.version, second.version) == ("v1", "v2")


def test_the_same_content_elsewhere_is_no_new_version(bench):
    first = bench.run(COUNT)
    moved = bench.folder / "moved.jsonl"
    moved.write_bytes(bench.pool.read_bytes())
    second = bench.run(COUNT, source={"path": str(moved)})
    assert (second.version, second.digest, second.new) == (first.version, first.digest, False)


def test_the_order_of_rows_changes_no_id_and_no_fate(bench):
    import polars as pl

    top = {"filter": "core.top", "with": {"by": "toys_count_number", "fraction": 0.3}}
    half = {"filter": "core.sample", "with": {"fraction": 0.5}}
    first = bench.run(COUNT, half, top)
    lines = bench.pool.read_text().splitlines(keepends=True)
    bench.pool.write_text("".join(reversed(lines)))
    second = bench.run(COUNT, half, top)
    fates = [
        dict(pl.read_parquet(run.path / "ledger.parquet").select("id", "fate").iter_rows())
        for run in (first, second)
    ]
    assert fates[0] == fates[1]


def test_an_up_to_date_run_imports_no_table_and_no_model_library(bench):
    recipe = bench.folder / "bench.json"
    recipe.write_text(json.dumps(bench.recipe(COUNT)))
    script = (
        "import sys, curate.commands\n"
        "try: curate.commands.main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'polars', 'numpy', 'torch', 'transformers', 'datasets', 'pyarrow'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy))\n"
    )
    outputs = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", script, "run", str(recipe)],
            cwd=bench.folder,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.append(done.stdout)
    assert "polars" in outputs[0]
    assert "up to date" in outputs[1]
    # the toy plugin itself imports polars and numpy when its module is loaded
    assert not {"torch", "transformers", "datasets", "pyarrow"} & set(outputs[1].split("HEAVY")[1])
