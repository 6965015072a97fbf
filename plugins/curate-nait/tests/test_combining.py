"""nait.combine and nait.core against longhand, and in a run."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.api import Context
from curate_nait.combining import Combine, CombineParams, CoreParams, StableCore

CONTEXT = Context(0, {}, {}, (), lambda name: None)
NUMBERS = st.lists(st.tuples(*[st.integers(-5, 5)] * 3), min_size=1, max_size=30)
NAMES = ["a", "b", "c"]


def table(rows):
    ids = [f"{at:03}" for at in range(len(rows))]
    columns = {name: [float(row[at]) for row in rows] for at, name in enumerate(NAMES)}
    return pl.DataFrame({"id": ids, **columns})


def combine(rows, **params):
    params = CombineParams.model_validate({"columns": NAMES, **params})
    return Combine(params, "x").score(table(rows), CONTEXT)["combined"].to_list()


def core(rows, **params):
    params = CoreParams.model_validate({"columns": NAMES, **params})
    return StableCore(params, "x").filter(table(rows), CONTEXT)


@given(NUMBERS, st.integers(1, 30))
def test_the_highest_of_union_topk_are_the_union_of_the_best_of_each(rows, k):
    values = np.array(rows, dtype=float)
    found = combine(rows, method="union_topk")
    for at, row in enumerate(values):
        ranks = [(values[:, c] > row[c]).sum() + 1 for c in range(3)]
        assert found[at] == pytest.approx(1 / min(ranks))
    union = {
        at for c in range(3) for at in range(len(rows)) if (values[:, c] > values[at, c]).sum() < k
    }
    assert union == {at for at, value in enumerate(found) if value >= 1 / k - 1e-12}


@given(NUMBERS)
def test_z_scores_by_hand(rows):
    values = np.array(rows, dtype=float)
    spread = values.std(axis=0)
    z = np.where(
        spread > 1e-9, (values - values.mean(axis=0)) / np.where(spread > 1e-9, spread, 1), 0
    )
    weights = np.array([1, 2, 1])
    mean = combine(rows, method="mean_zscore", weights={"b": 2.0})
    np.testing.assert_allclose(mean, (z * weights).sum(axis=1) / 4, atol=1e-9)
    top = combine(rows, method="max_zscore", weights={"b": 2.0})
    np.testing.assert_allclose(top, (z * weights).max(axis=1), atol=1e-9)


@given(st.floats(-200, 200), st.integers(1, 150))
def test_a_constant_column_counts_as_nothing(value, count):
    for method in ("mean_zscore", "max_zscore"):
        found = combine([(value, value, value)] * count, method=method)
        assert set(found) <= {0.0}


def test_a_weight_lets_a_capability_give_more_rows():
    rows = [(n, -n, 0) for n in range(10)]
    plain = combine(rows, method="union_topk", columns=["a", "b"])
    heavy = combine(rows, method="union_topk", columns=["a", "b"], weights={"a": 3.0})
    assert sorted(range(10), key=lambda at: -plain[at])[:4] == [0, 9, 1, 8]
    assert {7, 8, 9} <= set(sorted(range(10), key=lambda at: -heavy[at])[:4])


@given(NUMBERS, st.integers(0, 12), st.integers(1, 3))
def test_the_core_is_what_enough_capabilities_select(rows, count, at_least):
    found = core(rows, count=count, at_least=at_least)
    times = [0] * len(rows)
    for c in range(3):
        # ties go by id, which counts upwards here
        for at in sorted(range(len(rows)), key=lambda at: (-rows[at][c], at))[:count]:
            times[at] += 1
    assert found.rows["value"].to_list() == times
    assert found.rows["keep"].to_list() == [n >= at_least for n in times]
    dropped = found.rows.filter(~pl.col("keep"))["reason"].to_list()
    assert set(dropped) <= {"outside_core"}
    assert sum(found.facts["selected_by"].values()) == len(rows)
    assert len(found.margins) == (3 if 0 < count < len(rows) else 0)


def test_a_fraction_is_exact_and_rounded_down():
    found = core([(n, n, n) for n in range(29)], fraction=0.1)
    assert found.rows.filter("keep")["id"].to_list() == ["027", "028"]
    assert [(margin.column, margin.distance) for margin in found.margins] == [
        ("a", 1.0), ("b", 1.0), ("c", 1.0),
    ]  # fmt: skip


def test_an_empty_table():
    empty = table([(0, 0, 0)]).head(0)
    params = CoreParams.model_validate({"columns": NAMES, "fraction": 0.5})
    assert StableCore(params, "x").filter(empty, CONTEXT).rows.is_empty()
    for method in ("union_topk", "mean_zscore", "max_zscore"):
        params = CombineParams.model_validate({"columns": NAMES, "method": method})
        assert Combine(params, "x").score(empty, CONTEXT).is_empty()


@pytest.mark.parametrize(
    "params",
    [
        {"columns": ["a"]},
        {"columns": ["a", "a"]},
        {"columns": ["a", "b"], "weights": {"c": 1.0}},
        {"columns": ["a", "b"], "weights": {"a": 0.0}},
        {"columns": ["a", "b"], "method": "sum"},
    ],
)
def test_combinations_that_make_no_sense(params):
    with pytest.raises(ValidationError):
        CombineParams.model_validate(params)


@pytest.mark.parametrize(
    "params",
    [
        {"columns": ["a", "b"]},
        {"columns": ["a", "b"], "fraction": 0.5, "count": 3},
        {"columns": ["a", "b"], "count": 3, "at_least": 3},
        {"columns": ["a", "a"], "count": 3},
    ],
)
def test_cores_that_make_no_sense(params):
    with pytest.raises(ValidationError):
        CoreParams.model_validate(params)
