import hashlib
import json
import math
from datetime import date, datetime, timedelta
from decimal import Decimal

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.versions.digest import digest

LEDGER = pl.DataFrame(
    {
        "id": ["a", "b"],
        "file": ["x.jsonl", None],
        "fate": ["kept", "dropped"],
        "detail": [None, "free text"],
    }
)
FILES = {"x.jsonl": "11" * 32}


def of(data, ledger=LEDGER, files=FILES, identity=None):
    return digest(data, ledger, files, identity or {"seed": 0})


DATA = pl.DataFrame(
    {"id": ["a", "b"], "n": [1, 2], "f": [0.5, 2.0], "m": [[{"k": "v"}], [{"k": "w"}]]}
)


def test_the_digest_is_the_one_of_earlier_releases():
    assert of(DATA) == "7e9d550cacc0d35e83fef8c543e04a9e3a1e856265681efc1955cf923dff8465"


@pytest.mark.parametrize(
    "same",
    [
        DATA.select(reversed(DATA.columns)),
        DATA.cast({"n": pl.Int8, "f": pl.Float32}),
        DATA.cast({"n": pl.Float64}),
        DATA.with_columns(empty=pl.lit(None, dtype=pl.String)),
        DATA.with_columns(pl.col("id").cast(pl.Categorical)),
        pl.concat([DATA[:1], DATA[1:]], rechunk=False),
    ],
    ids=["column order", "narrow types", "whole floats", "nulls", "categories", "chunks"],
)
def test_storage_does_not_count(same):
    assert of(same) == of(DATA)


@pytest.mark.parametrize(
    "other",
    [
        DATA.reverse(),
        DATA[:1],
        DATA.with_columns(n=pl.Series([1, 3])),
        DATA.with_columns(id=pl.Series(["a", "b "])),
        DATA.with_columns(more=pl.lit("")),
        DATA.rename({"n": "k"}),
        DATA.with_columns(n=pl.col("n").cast(pl.String)),
    ],
    ids=["row order", "fewer rows", "number", "text", "column", "name", "type"],
)
def test_every_change_of_a_row_counts(other):
    assert of(other) != of(DATA)


def test_the_ledger_counts_but_for_detail_and_the_names_of_files():
    changed = LEDGER.with_columns(fate=pl.Series(["kept", "failed"]))
    assert of(DATA, changed) != of(DATA)
    assert of(DATA, LEDGER.with_columns(detail=pl.lit("other"))) == of(DATA)

    moved = LEDGER.with_columns(file=pl.Series(["elsewhere/y.jsonl", None]))
    assert of(DATA, moved, {"elsewhere/y.jsonl": "11" * 32}) == of(DATA)
    assert of(DATA, files={"x.jsonl": "22" * 32}) != of(DATA)
    with pytest.raises(KeyError):
        of(DATA, files={})


def test_the_recipe_counts():
    assert of(DATA, identity={"seed": 1}) != of(DATA)


def test_values_that_json_does_not_know():
    plain = pl.DataFrame(
        {
            "id": ["a"],
            "day": [date(2024, 2, 29)],
            "at": [datetime(2024, 2, 29, 12, 30, 0, 5)],
            "took": [timedelta(seconds=1.5)],
            "bytes": [b"\x00\xff"],
            "money": [Decimal("1.50")],
            "bad": [float("nan")],
            "big": [2**63],
            "vector": pl.Series([[0.5, 1.0]], dtype=pl.Array(pl.Float32, 2)),
        },
        schema_overrides={"big": pl.UInt64},
    )
    wider = plain.cast({"at": pl.Datetime("ns"), "money": pl.Decimal(30, 4)})
    assert of(wider) == of(plain)
    for name, value in {
        "at": datetime(2024, 2, 29, 12, 30, 0, 6),
        "took": timedelta(seconds=1.6),
        "bytes": b"\x00\xfe",
        "money": Decimal("1.51"),
        "bad": float("inf"),
    }.items():
        assert of(plain.with_columns(pl.lit(value).alias(name))) != of(plain), name


texts = st.lists(st.text(max_size=8), min_size=1, max_size=6)


@given(texts, st.data())
def test_equal_rows_and_only_those_have_equal_digests(rows, data):
    other = data.draw(st.permutations(rows))
    a, b = (pl.DataFrame({"t": list(x)}, schema={"t": pl.String}) for x in (rows, other))
    assert (of(a) == of(b)) == (list(rows) == list(other))


def plainly(value):
    """The canonical form, value by value."""
    if isinstance(value, dict):
        made = {k: plainly(v) for k, v in value.items() if v is not None}
        return {k: v for k, v in made.items() if v != {}}
    if isinstance(value, list):
        return [plainly(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return value


def longhand(data, ledger, files, identity):
    """The digest as it is defined, row by row."""

    def rows_of(frame):
        sha = hashlib.sha256()
        for row in frame.iter_rows(named=True):
            if row.get("file") is not None and frame is not data:
                row["file"] = files[row["file"]]
            sha.update(orjson.dumps(plainly(row), option=orjson.OPT_SORT_KEYS) + b"\n")
        return sha.hexdigest()

    parts = {
        "data": rows_of(data),
        "ledger": rows_of(ledger.drop("detail")),
        "identity": identity,
    }
    return hashlib.sha256(
        json.dumps(parts, separators=(",", ":"), sort_keys=True).encode()
    ).hexdigest()


text = st.text(max_size=8) | st.sampled_from(
    ['"', "\\", "\x00\x1f\x7f\u2028", "{}", "\ud7ff\U0001f600"]
)
name = st.text(min_size=1, max_size=3) | st.sampled_from(
    ['"', "\n", "a.b", "schema", "eager", "*", "^a$", "^.*$"]
)
scalar_types = st.sampled_from(
    [pl.String(), pl.Boolean(), pl.Int8(), pl.UInt64(), pl.Int64(), pl.Float64(), pl.Categorical()]
)
objects = st.dictionaries(name, scalar_types, min_size=1, max_size=3).map(pl.Struct)
types = st.recursive(
    scalar_types | objects, lambda inner: inner.map(pl.List) | objects, max_leaves=3
)


def values_of(dtype):
    """Values of a type, nulls among them."""
    if isinstance(dtype, pl.List):
        some = st.lists(values_of(dtype.inner), max_size=3)
    elif isinstance(dtype, pl.Struct):
        some = st.fixed_dictionaries({f.name: values_of(f.dtype) for f in dtype.fields})
    elif isinstance(dtype, pl.String | pl.Categorical):
        some = text
    elif isinstance(dtype, pl.Boolean):
        some = st.booleans()
    elif dtype.is_float():
        some = st.floats() | st.integers(-3, 3).map(float)
    else:
        some = st.integers(0, 100) if dtype != pl.Int64 else st.integers(-(2**63), 2**63 - 1)
    return some | st.none()


@given(st.dictionaries(name, types, min_size=1, max_size=4), st.integers(0, 5), st.data())
def test_the_digest_is_that_of_the_definition(schema, count, data):
    frame = pl.DataFrame(
        [
            pl.Series(name, [data.draw(values_of(dtype)) for _ in range(count)], dtype=dtype)
            for name, dtype in schema.items()
        ]
    )
    assert of(frame) == longhand(frame, LEDGER, FILES, {"seed": 0})
