"""The plan says what would be computed, and why."""

import json

import pytest

from curate.errors import RecipeError
from curate.run.plan import plan

COUNT = {"score": "toys.count"}
TOP = {"filter": "core.top", "with": {"by": "toys_count_number", "fraction": 0.5}}


def test_it_counts_what_is_remembered(bench):
    before = plan(bench.recipe(COUNT, TOP)).steps[0]
    assert (before.rows, before.distinct, before.remembered) == (20, 20, 0)
    bench.run(COUNT, TOP)
    after = plan(bench.recipe(COUNT, TOP)).steps[0]
    assert (after.distinct, after.remembered, after.changed) == (20, 20, ())


def test_it_names_the_part_of_the_key_that_changed(bench):
    bench.run(COUNT)
    changed = plan(bench.recipe(COUNT), ["toys_count.with.salt=x"]).steps[0]
    assert changed.remembered == 0
    assert changed.changed == ("params.salt",)


def test_what_depends_on_columns_to_come_is_not_guessed(bench):
    spread = {"score": "toys.spread", "with": {"column": "toys_count_number"}}
    steps = plan(bench.recipe(COUNT, spread)).steps
    assert steps[1].distinct is None


def test_limit_counts_fewer_rows(bench):
    assert plan(bench.recipe(COUNT), limit=5).steps[0].rows == 5


def test_a_wrong_recipe_has_no_plan(bench):
    with pytest.raises(RecipeError, match="toys_count_number"):
        plan(
            bench.recipe(
                COUNT, {"filter": "core.top", "with": {"by": "toys_count_numbr", "count": 1}}
            )
        )


def test_the_plan_fits_80_columns_and_names_what_changed(bench, monkeypatch):
    from click.testing import CliRunner

    from curate.commands.plan import command

    bench.run(COUNT)
    path = bench.folder / "bench.yaml"
    path.write_text(
        json.dumps(bench.recipe(COUNT, {"filter": "core.sample", "with": {"count": 3}}))
    )
    monkeypatch.setenv("COLUMNS", "80")
    salted = [str(path), "--out", str(bench.folder), "--set", "toys_count.with.salt=x"]
    said = CliRunner().invoke(command, salted, catch_exceptions=False).output
    assert max(map(len, said.splitlines())) <= 80
    (line,) = (line for line in said.splitlines() if line.startswith("score"))
    assert line.split() == ["score", "toys_count", "20", "20", "0", "20"]
    words = "toys_count is computed anew: where toys.count was last used it had other values of "
    assert words + "params.salt" in " ".join(said.split())
    assert "anew:" not in CliRunner().invoke(command, salted[:3]).output


def test_the_plan_says_how_rows_will_be_split(bench, monkeypatch):
    from click.testing import CliRunner

    from curate.commands.plan import command

    assert plan(bench.recipe(COUNT)).splits is None
    divided = {
        "splits": {"train": 0.95, "validation": 0.05},
        "keep_together": ["source", "instruction"],
        "stratify": "origin",
    }
    path = bench.folder / "bench.yaml"
    path.write_text(json.dumps(bench.recipe(COUNT, output=divided)))
    monkeypatch.setenv("COLUMNS", "80")
    line = [str(path), "--out", str(bench.folder)]
    assert json.loads(CliRunner().invoke(command, [*line, "--json"]).stdout)["splits"] == {
        "rows": 20,
        "shares": {"train": "0.95", "validation": "0.05"},
        "keep_together": ["source", "instruction"],
        "stratify": "origin",
        "like": None,
    }
    said = CliRunner().invoke(command, line, catch_exceptions=False).output
    assert ["split", "output", "20"] in [each.split() for each in said.splitlines()]
    assert (
        "output: train 0.95, validation 0.05; rows kept together by source, instruction; "
        "shares hold within each origin"
    ) in " ".join(said.split())
    assert max(map(len, said.splitlines())) <= 80
    alone = plan(bench.recipe(COUNT, output={"splits": {"train": 1}})).splits
    assert (alone.shares, alone.keep_together, alone.stratify) == ({"train": "1"}, (), None)
