"""dedup.semantic against a longhand walk, in any order and cut into any blocks."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curate.api import Context, CurateError
from curate_dedup.nearness import greedy
from curate_dedup.stages import SemanticDedup, SemanticParams

CONTEXT = Context(seed=0, models={}, fits={}, wanted=(), service=lambda name: None)


def longhand(vectors, asked, threshold):
    survivor = []
    for i, vector in enumerate(vectors):
        found = -1
        for j in range(i if asked[i] else 0):
            if survivor[j] < 0 and cosine(vector, vectors[j]) >= threshold:
                found = j
                break
        survivor.append(found)
    return survivor


def cosine(a, b):
    a, b = [[float(x) for x in v] for v in (a, b)]
    dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
    lengths = math.sqrt(math.fsum(x * x for x in a) * math.fsum(x * x for x in b))
    return dot / lengths if lengths else 0.0


def vectors_of(count, width):
    return hnp.arrays(np.float32, (count, width), elements=st.integers(-2, 2).map(float))


@given(st.data())
def test_agrees_with_a_longhand_walk_however_it_is_cut(data):
    count = data.draw(st.integers(0, 14))
    vectors = data.draw(vectors_of(count, 3))
    first = data.draw(st.integers(0, count))
    asked = np.arange(count) >= first
    # Cosines of small whole numbers stand away from these thresholds, or are exactly 1.
    threshold = data.draw(st.sampled_from([0.31, 0.72, 0.913, 1.0]))
    block, chunk = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    whole = greedy(vectors, asked, threshold)
    cut = greedy(vectors, asked, threshold, block=block, chunk=chunk)
    if threshold < 1:
        assert whole.survivor.tolist() == longhand(vectors, asked, threshold)
    assert np.array_equal(whole.survivor, cut.survivor)
    assert np.array_equal(whole.similarity, cut.similarity, equal_nan=True)
    assert whole.margin == cut.margin


def test_pairs_at_the_threshold_are_decided_in_float64_however_they_are_cut():
    rng = np.random.default_rng(0)
    base = rng.standard_normal((1, 384))
    noise = rng.standard_normal((400, 384))
    vectors = (base + 0.45 * noise).astype(np.float32)
    pairs = [cosine(vectors[i], vectors[j]) for i in range(0, 400, 40) for j in range(i)]
    asked = np.ones(400, dtype=bool)
    # Each threshold is the cosine of a pair, so near that float32 alone would decide by luck.
    for threshold in [max(pairs), *sorted(pairs)[:: len(pairs) // 5]]:
        found = greedy(vectors, asked, threshold + 1e-12, block=64, chunk=128)
        other = greedy(vectors, asked, threshold + 1e-12, block=400, chunk=8)
        assert found.survivor.tolist() == longhand(vectors, asked, threshold + 1e-12)
        assert np.array_equal(found.survivor, other.survivor)
        assert found.margin == other.margin


def frame(vectors, asked=None, ids=None, **columns):
    return pl.DataFrame(
        {
            "id": ids or [f"{i:02}" for i in range(len(vectors))],
            "@asked": asked or [True] * len(vectors),
            "v": pl.Series(vectors, dtype=pl.Array(pl.Float32, 2)),
            **columns,
        },
        schema_overrides={"id": pl.String, "@asked": pl.Boolean},
    )


def run(rows, **params):
    stage = SemanticDedup(SemanticParams(column="v", **params), "near")
    decisions = stage.filter(rows, CONTEXT)
    assert set(decisions.rows["reason"].drop_nulls()) <= set(stage.reasons)
    return {row["id"]: row for row in decisions.rows.to_dicts()}, decisions


def test_dropped_rows_name_the_survivor_and_how_near_it_is():
    found, decisions = run(frame([[1, 0], [1, 0.1], [0, 1]]), threshold=0.9)
    assert [found[id]["keep"] for id in ("00", "01", "02")] == [True, False, True]
    assert (found["01"]["ref"], found["01"]["reason"]) == ("00", "near_duplicate")
    assert found["01"]["value"] == pytest.approx(1 / math.sqrt(1.01), abs=1e-7)
    assert (found["00"]["ref"], found["00"]["value"]) == (None, None)
    assert (decisions.margins[0].column, decisions.margins[0].factor) == ("v", 2.0)


def test_length_does_not_matter_and_zero_is_near_nothing():
    found, _ = run(frame([[2, 0], [8, 0], [0, 0], [0, 0]]), threshold=1.0)
    assert [found[id]["keep"] for id in ("00", "01", "02", "03")] == [True, False, True, True]
    assert found["01"]["value"] == 1.0


def test_preference_decides_who_stays():
    rows = frame([[1, 0], [1, 0]], score=[0.1, 0.9])
    found, _ = run(rows, prefer=["highest:score"])
    assert (found["00"]["keep"], found["00"]["ref"]) == (False, "01")


def test_rows_outside_where_all_stay_and_stand_for_others():
    rows = frame([[1, 0], [1, 0], [1, 0]], asked=[True, False, False])
    found, _ = run(rows)
    assert [found[id]["keep"] for id in ("00", "01", "02")] == [False, True, True]
    assert found["00"]["ref"] == "01"


@pytest.mark.parametrize("vectors", [[], [[1, 2]], [[1, 2]] * 5, [[1, 0], [0, 1], [-1, 0]]])
def test_small_tables(vectors):
    found, _ = run(frame(vectors))
    distinct = {tuple(vector) for vector in vectors}
    assert sum(row["keep"] for row in found.values()) == len(distinct)


def test_a_row_without_a_vector_is_named():
    with pytest.raises(CurateError, match=r"1 rows have no finite vector in 'v'.*01"):
        run(frame([[1, 0], None]))


@given(st.data())
def test_row_order_changes_nothing(data):
    count = data.draw(st.integers(1, 10))
    vectors = data.draw(vectors_of(count, 2)).tolist()
    asked = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    rows = frame(vectors, asked)
    order = data.draw(st.permutations(range(count)))
    found, first = run(rows, threshold=0.8)
    again, second = run(rows[order], threshold=0.8)
    assert found == again
    assert first.margins == second.margins
    for id, row in found.items():
        if not row["keep"]:
            assert asked[int(id)]
            assert found[row["ref"]]["keep"]
