from __future__ import annotations

import io
import subprocess
import sys

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.contract.columns import TEXTS
from curate.errors import CurateError
from curate.examples import (
    HIDDEN,
    RowIds,
    canonical,
    child_id,
    combine,
    framework_schema,
    row_id,
    stack,
    texts_of,
    unread_turns,
)

KEYS = st.text("abc", min_size=1, max_size=3)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
ROWS = st.dictionaries(KEYS, VALUES, max_size=4)


def shuffled(value: object) -> object:
    """The same value with the keys of its objects in another order."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@settings(deadline=None)
@given(ROWS)
def test_id_does_not_depend_on_the_order_of_keys(row):
    assert row_id("s", row) == row_id("s", shuffled(row))


@settings(deadline=None)
@given(ROWS)
def test_id_survives_a_trip_through_json(row):
    assert row_id("s", orjson.loads(orjson.dumps(row))) == row_id("s", row)


@settings(deadline=None)
@given(st.lists(ROWS, max_size=6), st.randoms(use_true_random=False))
def test_ids_of_a_source_are_unique_and_independent_of_the_order_of_rows(rows, random):
    ids = RowIds("s")
    before = [ids.row(row) for row in rows]
    other = list(rows)
    random.shuffle(other)
    ids = RowIds("s")
    after = [ids.row(row) for row in other]
    assert len(set(before)) == len(rows)
    assert sorted(before) == sorted(after)


@settings(deadline=None)
@given(ROWS, st.lists(ROWS, max_size=4))
def test_id_does_not_depend_on_other_rows(row, others):
    ids = RowIds("s")
    same = canonical(row)
    for other in others:
        if canonical(other) != same:
            ids.row(other)
    assert ids.row(row) == row_id("s", row)


CELLS = {
    "text": st.none() | st.text(max_size=4),
    "whole": st.none() | st.integers(-(2**53), 2**53),
    "fraction": st.none() | st.floats(allow_nan=False, allow_infinity=False),
    "list": st.none() | st.lists(st.none() | st.text(max_size=3), max_size=3),
    "object": st.none() | st.fixed_dictionaries({"a": st.none() | st.integers(0, 9)}),
}
ARROW = pa.schema(
    {
        "text": pa.string(),
        "whole": pa.int64(),
        "fraction": pa.float64(),
        "list": pa.list_(pa.string()),
        "object": pa.struct({"a": pa.int64()}),
    }
)


@settings(deadline=None)
@given(st.lists(st.fixed_dictionaries(CELLS), min_size=1, max_size=4))
def test_parquet_of_the_same_rows_gives_the_same_ids(rows):
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=ARROW), out)
    back = pq.read_table(out).to_pylist()
    from_json = [orjson.loads(orjson.dumps(row)) for row in rows]
    assert [row_id("s", row) for row in back] == [row_id("s", row) for row in from_json]


def test_canonical_form():
    row = {"b": 2.0, "a": None, "c": {}, "d": {"x": {"y": None}}, "e": [], "f": [None, {}, 1.5]}
    assert canonical(row) == b'{"b":2,"e":[],"f":[null,{},1.5]}'
    assert canonical({"n": float("nan")}) == b"{}"
    assert canonical({"n": -0.0}) == b'{"n":0}'
    assert canonical({"n": 2**64}) == b'{"n":"18446744073709551616"}'


def test_ids_are_stable():
    # A change here changes every id that was ever published.
    row = {"instruction": "Add 2 and 3.", "input": "", "output": "5"}
    assert row_id("demo", row) == "228521b90ffdfcecd721c4dc3e785da1"
    assert row_id("demo", row, 1) == "864502e5a355a5ed6e9185b5dd0f7c6a"


def test_id_depends_on_source_content_and_occurrence():
    row = {"instruction": "a"}
    ids = {
        row_id("s", row),
        row_id("t", row),
        row_id("s", row, 1),
        row_id("s", {"instruction": ""}),
    }
    assert len(ids) == 4
    assert all(len(id) == 32 and set(id) <= set("0123456789abcdef") for id in ids)


def test_raw_rows_count_their_occurrences():
    ids = RowIds("s")
    assert len({ids.raw(b"{"), ids.raw(b"{"), ids.raw(b"["), ids.row({})}) == 4


def test_child_id_depends_on_all_that_it_is_made_from():
    turn = [{"role": "user", "content": "a"}]
    made = [
        child_id(["p"], "stage", 0, 0, turn),
        child_id(["p", "q"], "stage", 0, 0, turn),
        child_id(["p"], "other", 0, 0, turn),
        child_id(["p"], "stage", 1, 0, turn),
        child_id(["p"], "stage", 0, 1, turn),
        child_id(["p"], "stage", 0, 0, None),
    ]
    assert len(set(made)) == len(made)
    assert made[0] == child_id(("p",), "stage", 0, 0, tuple(turn))


def conversation(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


def texts(*conversations: list[dict[str, str]] | None) -> list[tuple[str | None, ...]]:
    series = pl.Series("messages", conversations, dtype=framework_schema()["messages"])
    return pl.DataFrame(texts_of(series)).rows()


def test_texts_of_conversations():
    assert texts(
        conversation(("system", "s"), ("user", "u"), ("assistant", "a")),
        conversation(("user", "u"), ("assistant", "a"), ("user", "v"), ("assistant", "b")),
        conversation(("user", "u"), ("assistant", "a"), ("user", "unread")),
        conversation(("user", "u"), ("user", "v")),
        conversation(("user", "u"), ("assistant", "")),
        conversation(("assistant", "a")),
        [],
        None,
    ) == [
        ("s\nu", "a", "s\nu\na"),
        ("u\na\nv", "b", "u\na\nv\nb"),
        ("u", "a", "u\na"),
        ("u\nv", "", "u\nv"),
        ("u", "", "u"),
        ("", "a", "a"),
        ("", "", ""),
        (None, None, None),
    ]


ROLES = st.sampled_from(["system", "user", "assistant", "tool"])
TURNS = st.lists(st.tuples(ROLES, st.text(max_size=4)), max_size=5)


@settings(deadline=None)
@given(st.lists(TURNS, min_size=1, max_size=5))
def test_texts_agree_with_a_plain_reading(conversations):
    def plain(turns: list[tuple[str, str]]) -> tuple[str, str, str]:
        answers = [at for at, (role, _) in enumerate(turns) if role == "assistant"]
        before = turns[: answers[-1]] if answers else turns
        instruction = "\n".join(content for _, content in before)
        response = turns[answers[-1]][1] if answers else ""
        said = [content for _, content in before] + ([response] if response else [])
        return instruction, response, "\n".join(said)

    def unread(turns: list[tuple[str, str]]) -> int:
        answers = [at for at, (role, _) in enumerate(turns) if role == "assistant"]
        return len(turns) - 1 - answers[-1] if answers else 0

    made = [conversation(*turns) for turns in conversations]
    assert texts(*made) == [plain(turns) for turns in conversations]
    series = pl.Series(made, dtype=framework_schema()["messages"])
    assert unread_turns(series) == sum(map(unread, conversations))


def test_texts_are_the_ones_that_stages_ask_for():
    assert [
        series.name for series in texts_of(pl.Series([[]], dtype=framework_schema()["messages"]))
    ] == list(TEXTS)
    assert set(TEXTS) < set(HIDDEN)


def table(file: str, values: list[object], name: str = "x") -> pl.DataFrame:
    lines = list(range(1, len(values) + 1))
    return pl.DataFrame({name: values, "@file": [file] * len(values), "@line": lines})


def test_combine_unites_columns():
    made = combine([table("a", [1, 2]), table("b", ["t"], "y")])
    assert made.columns == ["x", "y", "@file", "@line"]
    assert made["x"].to_list() == [1, 2, None]
    assert made["y"].to_list() == [None, None, "t"]


def test_combine_makes_numbers_of_integers_and_fractions():
    made = combine([table("a", [1]), table("b", [0.5]), table("c", [None])])
    assert made["x"].to_list() == [1.0, 0.5, None]
    assert made["x"].dtype == pl.Float64


def test_combine_keeps_the_largest_exact_integers():
    made = combine([table("a", [2**53, -(2**53)]), table("b", [0.5])])
    assert made["x"].to_list() == [2.0**53, -(2.0**53), 0.5]


def test_combine_unites_objects_and_lists():
    made = combine(
        [table("a", [{"k": [1]}]), table("b", [{"k": [0.5], "l": "t"}]), table("c", [{"k": []}])]
    )
    assert made["x"].to_list() == [
        {"k": [1.0], "l": None},
        {"k": [0.5], "l": "t"},
        {"k": [], "l": None},
    ]


@pytest.mark.parametrize(
    ("one", "two", "message"),
    [
        ([None, 1], ["1"], "x holds different types: an integer at a:2, a string at b:1"),
        ([True], [1], "x holds different types: true or false at a:1, an integer at b:1"),
        ([{"k": None}, {"k": 1}], [{"k": "t"}], "x.k holds different types: an integer at a:2"),
        ([[], [1]], [["t"]], "x[] holds different types: an integer at a:2, a string at b:1"),
        ([[1]], [{"k": 1}], "x holds different types: a list at a:1, an object at b:1"),
        ([2**53 + 1], [0.5], "a:1: x holds a whole number that does not fit"),
        ([0, -(2**63)], [0.5], "a:2: x holds a whole number that does not fit"),
        ([[1], [2**53 + 1]], [[0.5]], "a:2: x holds a whole number that does not fit"),
    ],
)
def test_combine_names_both_places_of_a_conflict(one, two, message):
    with pytest.raises(CurateError) as caught:
        combine([table("a", one), table("b", two)])
    assert message in str(caught.value)
    assert "types: {x: string}" in str(caught.value)


def test_unsigned_integers_that_do_not_fit():
    big = table("a", pl.Series([2**64 - 1], dtype=pl.UInt64))
    with pytest.raises(CurateError, match="a:1: x holds a whole number that does not fit"):
        combine([big, table("b", [1])])


def test_nulls_go_with_every_type_and_become_text_at_last():
    nulls = table("a", [None])
    assert stack([nulls])["x"].dtype == pl.Null
    assert combine([stack([nulls]), table("b", [3])])["x"].to_list() == [None, 3]
    assert combine([nulls])["x"].dtype == pl.String
    assert combine([table("a", [{"k": None, "l": []}])])["x"].dtype == pl.Struct(
        {"k": pl.String, "l": pl.List(pl.String)}
    )


def test_conflict_in_a_renamed_column_names_it_as_the_file_does():
    with pytest.raises(CurateError, match=r"types: \{id: string\}"):
        combine([table("a", [1], "original_id"), table("b", ["t"], "original_id")])


def test_names_and_ids_do_not_import_polars():
    code = "import sys, curate.examples as e; e.row_id('s', {}); assert 'polars' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
