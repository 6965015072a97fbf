from __future__ import annotations

import gzip
import json

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import CurateError
from curate.recipe.model import Source
from curate.sources import columns
from curate.sources.kinds import batch
from curate.sources.load import load


def lines(*rows: dict[str, object]) -> str:
    """JSON lines of rows, each with instruction and output."""
    return "".join(json.dumps({"instruction": "a", "output": "b"} | row) + "\n" for row in rows)


def test_one_stays_one_beside_a_word(refused):
    message = refused("a.jsonl", lines({"n": 1}, {}, {"n": "1"}))
    assert "n holds different types: a number at a.jsonl:1, a string at a.jsonl:3" in message
    assert "types: {n: string}" in message
    assert "types: {n: json}" in message


@pytest.mark.parametrize(
    ("one", "two", "message"),
    [
        (True, 1, "n holds different types: true or false at a.jsonl:1, a number at a.jsonl:2"),
        (0.5, True, "n holds different types: a number at a.jsonl:1, true or false at a.jsonl:2"),
        ({"k": 1}, {"k": "x"}, "n.k holds different types: a number at a.jsonl:1"),
        ([1], ["x"], "n[] holds different types: a number at a.jsonl:1, a string at a.jsonl:2"),
        (
            [[]],
            [{"k": 1}],
            "n[] holds different types: a list at a.jsonl:1, an object at a.jsonl:2",
        ),
        ("x", ["x"], "n holds different types: a string at a.jsonl:1, a list at a.jsonl:2"),
        (2**53 + 1, 0.5, "a.jsonl:1: n is a whole number that loses digits"),
        (0.5, {"k": 1}, "n holds different types: a number at a.jsonl:1, an object at a.jsonl:2"),
        (1, 2**63, "a.jsonl:2: n is a whole number of more than 64 bits"),
        (1, 10**30, "a.jsonl:2: n is a whole number of more than 64 bits"),
        ({"k": [1]}, {"k": [10**30]}, "a.jsonl:2: n.k[] is a whole number of more than 64 bits"),
    ],
)
@pytest.mark.parametrize("rows", [1, 50_000])
def test_conflicts_name_both_lines_within_and_across_batches(
    refused, monkeypatch, one, two, message, rows
):
    monkeypatch.setattr(batch, "ROWS", rows)
    found = refused("a.jsonl", lines({"n": one}, {"n": two}))
    # Across batches, numbers are told apart: what differs there are the types of whole columns.
    for kind in ("an integer", "a fraction"):
        found = found.replace(kind, "a number")
    assert message in found or (rows == 1 and "a.jsonl:1: n holds a whole number" in found)
    assert "types: {n: string}" in found


@pytest.mark.parametrize("rows", [1, 50_000])
def test_empty_objects_are_nulls_and_go_with_every_type(loaded, monkeypatch, rows):
    monkeypatch.setattr(batch, "ROWS", rows)
    made = loaded(
        "a.jsonl", lines({"n": {}}, {"n": "x"}, {"m": {"k": {}}}, {"m": {"k": [{}]}})
    ).rows
    assert made["n"].to_list() == [None, "x", None, None]
    assert made["m"].to_list() == [None, None, {"k": None}, {"k": [None]}]


@pytest.mark.parametrize("rows", [1, 50_000])
def test_whole_numbers_and_fractions_are_numbers(loaded, monkeypatch, rows):
    monkeypatch.setattr(batch, "ROWS", rows)
    made = loaded("a.jsonl", lines({"n": 1}, {"n": 2.5}, {"n": None}, {})).rows["n"]
    assert made.to_list() == [1.0, 2.5, None, None]
    assert made.dtype == pl.Float64


def test_types_as_text(loaded):
    rows = ({"n": 1}, {"n": "1"}, {"n": 1.5}, {"n": True}, {"n": None}, {"n": 10**30})
    made = loaded("a.jsonl", lines(*rows), types={"n": "string"}).rows["n"]
    assert made.to_list() == ["1", "1", "1.5", "true", None, str(10**30)]


def test_types_as_json(loaded):
    rows = ({"n": 1}, {"n": "1"}, {"n": {"b": None, "a": [1.0]}}, {"n": None})
    made = loaded("a.jsonl", lines(*rows), types={"n": "json"}).rows["n"]
    assert made.to_list() == ["1", '"1"', '{"b":null,"a":[1.0]}', None]  # as it stands there


def test_text_does_not_take_objects(refused):
    message = refused("a.jsonl", lines({"n": {}}), types={"n": "string"})
    assert "a.jsonl:1: n is an object" in message
    assert "types: {n: json}" in message


def test_types_of_a_column_that_is_not_there(refused):
    message = refused("a.jsonl", lines({"score": 1}), types={"scor": "string"})
    assert "no column 'scor'" in message
    assert "Did you mean 'score'?" in message


def test_dates_stay_text(loaded):
    assert loaded("a.jsonl", lines({"d": "2020-01-01"})).rows["d"].to_list() == ["2020-01-01"]


def test_columns_that_come_late_are_not_lost(loaded, monkeypatch):
    monkeypatch.setattr(batch, "ROWS", 2)
    rows = loaded(
        "a.jsonl", lines({}, {}, {"late": {"k": 1}}, {"late": {"l": "x"}}, {"late": {}})
    ).rows
    assert rows["late"].to_list() == [None, None, {"k": 1, "l": None}, {"k": None, "l": "x"}, None]


LEAVES = st.none() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False)
SHAPES = LEAVES | st.lists(LEAVES, max_size=3)
OBJECTS = st.none() | st.fixed_dictionaries(
    {}, optional={"a": LEAVES, "b": st.lists(st.text(max_size=2))}
)


@settings(deadline=None)
@given(st.lists(OBJECTS, max_size=5))
def test_typed_columns_hold_what_was_given(values):
    def filled(value):
        """The value as a table shows it: every field of any, empty objects null."""
        return {key: value.get(key) for key in fields} if value else None

    fields = dict.fromkeys(key for value in values if value for key in value)
    made = columns.typed("x", values, lambda at: f"f:{at}")
    assert made.to_list() == [filled(value) for value in values]


@settings(deadline=None)
@given(
    st.lists(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text(max_size=2),
        max_size=4,
    )
)
def test_typed_columns_never_turn_one_kind_into_another(values):
    kinds = {type(value) for value in values if value is not None}
    try:
        made = columns.typed("x", values, lambda at: f"f:{at}")
    except CurateError:
        huge = [v for v in values if type(v) is int and abs(v) > 2**53]
        assert len(kinds) > 1 or huge
        assert kinds != {int, float} or huge
        return
    assert made.to_list() == values
    assert len(kinds) < 2 or kinds == {int, float}


def test_own_facts_hold_per_row(loaded):
    rows = ({"origin": "human", "license": "mit", "ability": "math"}, {"origin": None}, {})
    made = loaded("a.jsonl", lines(*rows)).rows
    assert made["origin"].to_list() == ["human", "unknown", "unknown"]
    assert made["license"].to_list() == ["mit", None, None]
    assert made["ability"].to_list() == ["math", None, None]
    assert "original_origin" not in made.columns


def test_recipe_wins_over_own_facts(loaded):
    made = loaded(
        "a.jsonl", lines({"origin": "martian", "license": 3}), origin="synthetic", license="mit"
    ).rows
    assert made.select("origin", "license", "original_origin", "original_license").row(0) == (
        "synthetic",
        "mit",
        "martian",
        3,
    )


def test_framework_names_are_kept_as_originals(loaded):
    made = loaded(
        "a.jsonl",
        lines({"id": 7, "source": "web", "parents": ["x"], "messages": "m"}),
        format="alpaca",
    ).rows
    names = ("original_id", "original_source", "original_parents", "original_messages")
    assert made.select(names).row(0) == (7, "web", ["x"], "m")
    assert made["source"].to_list() == ["s"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"origin": "martian"}, "a.jsonl:1: origin is 'martian'"),
        ({"origin": ["human"]}, "a.jsonl:1: origin is "),
        ({"ability": 3}, "types: {ability: string}"),
        ({"@file": 3}, "a column cannot be named '@file'"),
        ({"": 3}, "a column cannot be named ''"),
        ({"a\x00b": 3}, r"a column cannot be named 'a\x00b'"),
        ({"^a$": 3}, "a column cannot be named '^a$'"),
        ({"*": 3}, "a column cannot be named '*'"),
        ({"id": 1, "original_id": 2}, "there is a column original_id already"),
    ],
)
def test_columns_that_cannot_stay(refused, row, message):
    assert message in refused("a.jsonl", lines(row))


def test_names_that_only_look_like_patterns_and_patterns_inside_objects_stay(loaded):
    row = {"^": 1, "a$": 2, "a*": 3, "^b": 4, "meta": {"^a$": 5, "*": 6}}
    made = loaded("a.jsonl", lines(row)).rows
    assert made.select(pl.col(name) for name in row).row(0, named=True) == row


def test_renamed_column_does_not_mix_with_one_that_comes_later(refused, monkeypatch):
    monkeypatch.setattr(batch, "ROWS", 1)
    message = refused("a.jsonl", lines({"id": 1}, {"original_id": 2}))
    assert "there is a column original_id already" in message


def test_published_table_keeps_what_it_kept(loaded):
    row = {
        "messages": [{"role": "user", "content": "q"}],
        "original_messages": "m",
        "original_origin": "web",
    }
    made = loaded("a.jsonl", json.dumps(row | {"origin": "human"})).rows
    assert made.select("origin", "original_origin", "original_messages").row(0) == (
        "human",
        "web",
        "m",
    )


def test_columns_stand_in_their_order_between_framework_and_hidden(loaded):
    made = loaded("a.jsonl", lines({"z": 1, "y": 2})).rows
    assert made.columns == [
        *("id", "messages", "source", "origin", "generator", "license", "ability", "parents"),
        *("instruction", "output", "z", "y"),
        *("@file", "@line", "@instruction", "@response", "@both"),
    ]


def test_originals_stay_to_the_byte_on_real_data(shared_data):
    path = shared_data / "codealpaca_2k.jsonl.gz"
    made = load("s", Source(path=str(path))).rows
    rows = [orjson.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert made.select("input", "instruction", "output").to_dicts() == [
        {name: row[name] for name in ("input", "instruction", "output")} for row in rows
    ]
    assert made["@line"].to_list() == list(range(1, len(rows) + 1))
