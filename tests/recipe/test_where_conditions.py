"""`where:`: what is allowed, what is refused, and that it means what SQL means."""

from __future__ import annotations

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.recipe.where import Where, WhereError, parse_where

TEXTS = ["", "a", "A", "ab", "b a", "a%", "a_b", "x\ny", "é", "ö.b", "\\", "it's"]


def refused(text: str) -> WhereError:
    with pytest.raises(WhereError) as caught:
        parse_where(text)
    return caught.value


def evaluate(text: str, **columns: list) -> list:
    return pl.DataFrame(columns).select(parse_where(text).expr().alias("x"))["x"].to_list()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a = (SELECT max(b) FROM read_csv('/etc/passwd'))", "subquery"),
        ("a IN (SELECT b FROM 'https://example.org/x.csv')", "subquery"),
        ("EXISTS (SELECT 1 FROM 'x.parquet')", "subquery"),
        ("read_csv('/etc/passwd') = a", "read_csv"),
        ("read_text(a) = 'x'", "read_text"),
        ("RPAD(a, 1000000000) = 'x'", "function"),
        ("repeat(a, 1000000000) = 'x'", "function repeat"),
        ("sum(a) > 1", "aggregate"),
        ("row_number() OVER () < 10", "window"),
        ("CAST(a AS int) > 1", "cast"),
        ("a::int > 1", "cast"),
        ("a = 1; b = 2", "second statement"),
        ("t.a = 1", "only columns can be named"),
        ("a = NULL", "NULL outside IS NULL"),
        ("a IN (1, NULL)", "NULL outside IS NULL"),
        ("a IS TRUE", "IS other than"),
        ("a LIKE 'x!%' ESCAPE '!'", "ESCAPE"),
        ("a LIKE b", "pattern"),
        ("a LIKE '" + "_" * 1001 + "'", "pattern is longer"),
        ("a IN (b)", "list of literals"),
        ("@response = 'x'", "name beginning with @"),
        ("lower(a, b) = 'x'", "not a condition"),
        ("length(a, b) = 1", "this form of LENGTH"),
        ("trim(LEADING 'x' FROM a) = 'x'", "this form of TRIM"),
        ("round(a, 99) > 1", "ROUND"),
        ("round(a, b) > 1", "ROUND"),
        ("a = 1e999", "too large"),
        ("a = 99999999999999999999", "too large"),
        ("CASE WHEN a THEN b END", "CASE"),
        ("1 = 1", "reads no column"),
        ("", "empty"),
        ("a = 'x", "not closed"),
        ("a >", "something is missing"),
        ("a > 1 LIMIT 3", "cannot stand here"),
        ("DROP TABLE a", "cannot stand here"),
    ],
)
def test_refuses_what_is_not_on_the_list_and_names_it(text: str, named: str) -> None:
    assert named in refused(text).message


@pytest.mark.parametrize(
    "text",
    [
        "(" * 2000 + "a" + ")" * 2000 + " = 1",
        "lower(" * 500 + "a" + ")" * 500 + " = 'x'",
        "NOT " * 2000 + "a",
        "- " * 4000 + "a = 1",
        "+".join(["a"] * 3000) + " = 1",
        "(" * 5000,
        "a IN (" * 1500,
        "a = '" + "x" * 10_000 + "'",
    ],
)
def test_bombs_are_refused(text: str) -> None:
    refused(text)


def test_long_chains_are_no_bombs() -> None:
    text = " OR ".join(f"a = {i}" for i in range(700))
    assert evaluate(text, a=[699, 700, None]) == [True, False, None]
    listed = ", ".join(str(i) for i in range(1500))
    assert evaluate(f"a IN ({listed})", a=[1499, 1500, None]) == [True, False, None]


def test_the_longest_pattern_can_be_computed() -> None:
    assert evaluate(f"a LIKE '{'_' * 1000}'", a=["x" * 1000, "x" * 999]) == [True, False]


def test_positions_are_those_of_the_construct() -> None:
    assert refused("length(a) > 1 AND foo(a) = 2").offset == 18
    assert refused("a = 1 AND t.b = 2").offset == 10
    assert refused("a = 1 banana").offset == 6
    where = parse_where("é = 1 AND \"b c\" = 'x' AND é < 3")
    assert [(c.name, c.offset, c.quoted) for c in where.named] == [
        ("é", 0, False),
        ("b c", 10, True),
    ]
    assert where.columns == ("é", "b c")


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("s > 3", ["column 's' is text, but 3 is a number"]),
        ("n = 'x'", ["column 'n' is a number, but 'x' is text"]),
        ("length(n) > 3", ["LENGTH needs text, but column 'n' is a number"]),
        ("length(s)", ["this gives a number, not a condition"]),
        ("s AND b", ["AND needs true or false, but column 's' is text"]),
        ("v = 1", ["column 'v' is a vector and cannot be compared"]),
        ("s + 1 > 2 OR lower(n) = 'x'", ["+ needs a number", "LOWER needs text"]),
        ("b < b", ["has no order"]),
        ("coalesce(s, 0) = 'x'", ["column 's' is text, but 0 is a number"]),
        ("n IN (1, 'x')", ["column 'n' is a number, but 'x' is text"]),
        ("n BETWEEN 1 AND 'x'", ["column 'n' is a number, but 'x' is text"]),
    ],
)
def test_type_errors_are_found_without_data(text: str, fragments: list[str]) -> None:
    kinds = {"s": "string", "n": "number", "b": "boolean", "v": "vector"}
    errors = parse_where(text).check_types(kinds)
    assert len(errors) == len(fragments)
    for error, fragment in zip(errors, fragments, strict=True):
        assert fragment in error.message


@pytest.mark.parametrize(
    "text",
    ["b", "NOT b", "b = true", "v IS NULL", "i > 1.5", "coalesce(n, i) > i", "unknown > 'x'"],
)
def test_well_typed_conditions_pass(text: str) -> None:
    kinds = {"s": "string", "n": "number", "i": "integer", "b": "boolean", "v": "vector"}
    assert parse_where(text).check_types(kinds) == []


def test_patterns() -> None:
    texts = ["abc", "ABC", "a.c", "a\nc", "xabcx", "a(b", "", None]
    cases = {
        "a LIKE 'a_c'": [True, False, True, True, False, False, False, None],
        "a LIKE 'a.c'": [False, False, True, False, False, False, False, None],
        "a ILIKE 'A%C'": [True, True, True, True, False, False, False, None],
        "a LIKE '%b%'": [True, False, False, False, True, True, False, None],
        "a LIKE 'a(%'": [False, False, False, False, False, True, False, None],
        "a NOT LIKE 'a%'": [False, True, False, False, True, False, True, None],
        "a LIKE ''": [False, False, False, False, False, False, True, None],
    }
    for text, expected in cases.items():
        assert evaluate(text, a=texts) == expected, text


def test_halves_are_rounded_away_from_zero() -> None:
    assert evaluate("round(a) = 3", a=[2.5, 3.4, 3.5]) == [True, True, False]
    assert evaluate("round(a) = -3", a=[-2.5, -3.5]) == [True, False]
    assert evaluate("round(a, 1) = 0.3", a=[0.25, 0.24]) == [True, False]


def test_division_by_zero_is_unknown() -> None:
    assert evaluate("a / b > 0", a=[1, 1], b=[0, 1]) == [None, True]
    assert evaluate("a % b = 0", a=[1, 2], b=[0, 1]) == [None, True]


def test_arithmetic_never_wraps() -> None:
    assert evaluate("a + 1 > 0", a=[2**63 - 1]) == [True]


def test_trim_removes_all_white_space() -> None:
    assert evaluate("trim(a) = 'x'", a=["\n x\t"]) == [True]


NUMBER = st.sampled_from(["i", "n", "0", "1", "-2", "2.5", "7"])
TEXT = st.sampled_from(["s", "t", *("'" + t.replace("'", "''") + "'" for t in TEXTS)])


def _numbers(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} {} {})".format, children, st.sampled_from("+-*/%"), children),
        st.builds("abs({})".format, children),
        st.builds("(- {})".format, children),
        st.builds("round({}, 1)".format, children),
        st.builds("coalesce({}, {})".format, children, children),
        st.builds("length({})".format, TEXT),
    )


NUMBERS = st.recursive(NUMBER, _numbers, max_leaves=4)
TEXTUAL = st.recursive(
    TEXT,
    lambda inner: st.one_of(
        st.builds("lower({})".format, inner), st.builds("coalesce({}, {})".format, inner, inner)
    ),
    max_leaves=3,
)
COMPARISON = st.sampled_from(["=", "<>", "!=", "<", "<=", ">", ">="])
PATTERN = st.text("a%_b.", max_size=4).map("'{}'".format)
ATOMS = st.one_of(
    st.builds("{} {} {}".format, NUMBERS, COMPARISON, NUMBERS),
    st.builds("{} {} {}".format, TEXTUAL, COMPARISON, TEXTUAL),
    st.builds("{} {} {}".format, TEXTUAL, st.sampled_from(["LIKE", "NOT LIKE", "ILIKE"]), PATTERN),
    st.builds("{} {} ({}, 1)".format, NUMBERS, st.sampled_from(["IN", "NOT IN"]), st.just("-2")),
    st.builds("{} BETWEEN {} AND {}".format, NUMBERS, NUMBERS, NUMBERS),
    st.builds("{} NOT BETWEEN {} AND {}".format, TEXTUAL, TEXTUAL, TEXTUAL),
    st.builds("{} IS NULL".format, NUMBERS),
    st.builds("{} IS NOT NULL".format, TEXTUAL),
    st.builds("{}({}, {})".format, st.sampled_from(["starts_with", "contains"]), TEXT, TEXT),
    st.builds("ends_with({}, {})".format, TEXT, TEXT),
    st.just("b"),
)
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("{} AND {}".format, inner, inner),
        st.builds("{} OR {}".format, inner, inner),
        st.builds("NOT {}".format, inner),
        st.builds("({})".format, inner),
    ),
    max_leaves=5,
)
ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-8, 8),
        st.none() | st.sampled_from([-2.5, -1.0, 0.0, 0.25, 2.5, 7.0]),
        st.none() | st.sampled_from(TEXTS),
        st.none() | st.sampled_from(TEXTS),
        st.none() | st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=400, deadline=None)
@given(CONDITIONS, ROWS)
def test_conditions_mean_what_they_mean_in_a_database(text: str, rows: list[tuple]) -> None:
    where = parse_where(f"({text}) AND (i IS NULL OR i IS NOT NULL)")
    schema = {
        "i": pl.Int64,
        "n": pl.Float64,
        "s": pl.String,
        "t": pl.String,
        "b": pl.Boolean,
    }
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    ours = frame.select(where.expr().alias("x"))["x"].to_list()
    database = duckdb.connect()
    database.execute("SET ieee_floating_point_ops = false")
    database.execute("SET error_on_division_by_zero = false")
    database.execute("CREATE TABLE t (i DOUBLE, n DOUBLE, s VARCHAR, t VARCHAR, b BOOLEAN)")
    database.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
    theirs = [row[0] for row in database.execute(f"SELECT ({text}) FROM t").fetchall()]
    assert ours == theirs


SOUP = (
    "a b 'x' 1 ( ) , AND OR NOT = < IN LIKE BETWEEN IS NULL + - * / % . :: [ ] { } ; -> SELECT "
    "FROM CASE WHEN THEN END CAST AS int lower( coalesce( interval date @ ? : $ ANY ALL EXISTS "
    "OVER DISTINCT ORDER BY trim( both /* */ -- \" ' ` \\ ~ ^ & | !"
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(SOUP.split()), max_size=12).map(" ".join))
def test_any_soup_of_tokens_is_read_or_refused(text: str) -> None:
    found: Where | WhereError
    try:
        found = parse_where(text)
    except WhereError as error:
        found = error
    if isinstance(found, WhereError):
        assert 0 <= found.offset <= len(text)
    else:
        assert isinstance(found.expr(), pl.Expr)


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("x >= 3", [("x", ">=", 3.0)]),
        ("3 <= x", [("x", ">=", 3.0)]),
        ("(x >= 3) and y < .5", [("x", ">=", 3.0), ("y", "<", 0.5)]),
        ("x > -1e-3", [("x", ">", -0.001)]),
        ("x between 1 and 2", [("x", ">=", 1.0), ("x", "<=", 2.0)]),
        ("x >= 3 and (y < 2 or z < 1)", [("x", ">=", 3.0)]),
        ("word = ' and x >= 3 and '", []),
        ("x >= 3 or y < 2", []),
        ("not x >= 3", []),
        ("x >= y and length(word) > 3 and word >= 'a'", []),
    ],
)
def test_bounds_are_the_comparisons_with_a_number_that_must_hold(text, bounds):
    assert parse_where(text).bounds() == bounds
