"""dedup.exact: equal to the byte, and the survivor that was asked for."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from curate.api import Context
from curate_dedup.stages import ExactDedup, ExactParams

CONTEXT = Context(seed=0, models={}, fits={}, wanted=(), service=lambda name: None)


def run(texts, asked=None, prefer=(), ids=None, **columns):
    rows = pl.DataFrame(
        {
            "id": ids or [f"{i:02}" for i in range(len(texts))],
            "@asked": asked or [True] * len(texts),
            "@both": texts,
            **columns,
        },
        schema_overrides={"id": pl.String, "@asked": pl.Boolean, "@both": pl.String},
    )
    stage = ExactDedup(ExactParams(prefer=list(prefer)), "dedup_exact")
    decided = stage.filter(rows, CONTEXT).rows
    assert set(decided["reason"].drop_nulls()) <= set(stage.reasons)
    return {row["id"]: row for row in decided.to_dicts()}


def test_the_first_id_stays_and_is_named():
    found = run(["a", "b", "a"])
    assert [found[id]["keep"] for id in ("00", "01", "02")] == [True, True, False]
    assert (found["02"]["reason"], found["02"]["ref"]) == ("duplicate", "00")
    assert found["00"]["ref"] is None


def test_equal_means_equal_to_the_byte():
    found = run(["a", "a ", "A", "\u00e9", "e\u0301"])
    assert all(row["keep"] for row in found.values())


def test_preference_decides_before_the_id():
    found = run(["a", "a"], prefer=["origin:human"], origin=["synthetic", "human"])
    assert (found["00"]["keep"], found["00"]["ref"]) == (False, "01")


def test_rows_outside_where_stay_and_stand_for_others():
    found = run(["a", "a", "a"], asked=[True, False, False])
    assert [found[id]["keep"] for id in ("00", "01", "02")] == [False, True, True]
    assert found["00"]["ref"] == "01"


def test_an_empty_table():
    assert run([]) == {}


@given(st.data())
def test_one_of_each_text_stays_in_any_order(data):
    texts = data.draw(st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=12))
    ids = [f"{i:02}" for i in range(len(texts))]
    order = data.draw(st.permutations(range(len(texts))))
    found = run(texts)
    assert run([texts[i] for i in order], ids=[ids[i] for i in order]) == found
    assert sorted(texts[int(id)] for id, row in found.items() if row["keep"]) == sorted(set(texts))
    for id, row in found.items():
        if not row["keep"]:
            assert texts[int(row["ref"])] == texts[int(id)]
            assert found[row["ref"]]["keep"]
