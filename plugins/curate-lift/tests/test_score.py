"""`lift.score` against the paper's formula."""

import json
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import curate
from curate.api import Context, CurateError
from curate_lift.score import Score, ScoreParams


def score(texts, qualities, wanted=("length", "final"), **params):
    rows = pl.DataFrame(
        {"id": [f"{at:03}" for at in range(len(texts))], "@both": texts, "good": qualities},
        schema_overrides={"@both": pl.String, "good": pl.Float64},
    )
    stage = Score(ScoreParams.model_validate({"by": "good", **params}), "lift")
    return stage.score(rows, Context(0, {}, {}, wanted, lambda name: None))


def longhand(texts, qualities, percentile=98, weight=0.1):
    characters = [len(text.replace("\t", "").replace("\n", "")) for text in texts]
    ordered = sorted(characters)
    at = (len(ordered) - 1) * percentile / 100
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    enough = ordered[low] + (ordered[high] - ordered[low]) * (at - low)
    lengths = [100.0 if each >= enough else 100 * each / enough for each in characters]
    return lengths, [
        (1 - weight) * good + weight * length
        for good, length in zip(qualities, lengths, strict=True)
    ]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.text("ab\t\n é𝛼", max_size=12), st.floats(0, 100)), min_size=1, max_size=60
    ),
    st.sampled_from([98, 50, 100, 12.5]),
    st.sampled_from([0.1, 0.25, 0.0, 1.0]),
)
def test_equals_the_formula(pairs, percentile, weight):
    texts, qualities = [text for text, _ in pairs], [good for _, good in pairs]
    found = score(texts, qualities, percentile=percentile, weight=weight)
    length, final = longhand(texts, qualities, percentile, weight)
    np.testing.assert_allclose(found["length"], length, rtol=1e-12)
    np.testing.assert_allclose(found["final"], final, rtol=1e-12, atol=1e-12)


def test_numbers_by_hand():
    # lengths 0 to 100, so that the 98th percentile is 98
    texts = ["x" * n for n in range(101)]
    found = score(texts, [50.0] * 101)
    assert found["length"][[0, 49, 97, 98, 100]].to_list() == [0, 50, 9700 / 98, 100, 100]
    assert found["final"][[0, 49, 98, 100]].to_list() == [45, 50, 55, 55]


def test_defaults_are_the_papers():
    given = ScoreParams(by="good")
    assert (given.weight, given.percentile) == (Decimal("0.1"), 98)


def test_texts_without_characters():
    assert score(["\n", ""], [10.0, 20.0])["length"].to_list() == [100.0, 100.0]


def test_no_rows():
    found = score([], [])
    assert found.is_empty()
    assert found.columns == ["id", "length", "final"]


def test_only_what_is_wanted():
    assert score(["a"], [1.0], wanted=("final",)).columns == ["id", "final"]


@pytest.mark.parametrize("quality", [-0.5, 100.5, float("inf")])
def test_a_quality_on_another_scale_is_refused(quality):
    with pytest.raises(CurateError, match=r"'good' holds .* \(row 001\).*0 to 100"):
        score(["a", "b"], [1.0, quality])


@pytest.mark.parametrize("params", [{"weight": 1.1}, {"percentile": 0}, {"percentile": 101}])
def test_parameters_out_of_range(params):
    with pytest.raises(ValidationError):
        ScoreParams.model_validate({"by": "good", **params})


def test_in_a_recipe(tmp_path, monkeypatch):
    """Instruction, input and output count as the paper joins them; then the highest are taken."""
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    rows = [
        {
            "instruction": f"Say\tit {n}.",
            "input": "Loud.\n" * (n % 3),
            "output": "It is.\n" * n,
            "good": float((n * 37) % 101),
        }
        for n in range(30)
    ]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    version = curate.run(
        {
            "name": "scored",
            "sources": {"pool": {"path": str(tmp_path / "pool.jsonl")}},
            "pipeline": [
                {"score": "lift.score", "id": "lift", "with": {"by": "good"}},
                {"filter": "core.top", "with": {"by": "lift_final", "count": 10}},
            ],
        },
        out=tmp_path / "curated",
    )
    _, final = longhand(
        [row["instruction"] + row["input"] + row["output"] for row in rows],
        [row["good"] for row in rows],
    )
    best = sorted(range(30), key=lambda at: -final[at])[:10]
    kept = version.frame()["instruction"].to_list()
    assert sorted(kept) == sorted(rows[at]["instruction"] for at in best)
