"""The plan says what would be computed, and why."""

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
