"""Tables put under one another, one type a column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from curate.errors import CurateError
from curate.examples.columns import FRAMEWORK, HIDDEN, kind_of

if TYPE_CHECKING:
    import polars as pl

EXACT = 2**53
"""Floats hold every whole number up to this one, and not every one beyond."""


def combine(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Put tables under one another, in their order: `stack`, and columns of nulls become text.

    Args:
        frames: As in `stack`.

    Raises:
        CurateError: As in `stack`.
    """
    import polars as pl

    stacked = stack(frames)
    unknown = [n for n, dtype in stacked.schema.items() if _settled(dtype) != dtype]
    return stacked.with_columns(
        pl.Series(name, stacked[name].to_list(), dtype=_settled(stacked.schema[name]))
        for name in unknown
    )


def stack(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Put tables under one another, in their order.

    The result has every column of every table, framework columns first, hidden ones last, nulls
    where a table lacks one. Whole numbers and fractions become numbers; the types inside lists
    and objects are united in the same way, and objects get the fields of all. A column that
    holds only nulls keeps the type Null, which goes with every other.

    Args:
        frames: At least one; each with `@file` and `@line`, which messages name.

    Raises:
        CurateError: A column holds different types in two tables, or a whole number would lose
            digits beside fractions.
    """
    import polars as pl

    names = dict.fromkeys(name for frame in frames for name in frame.columns)
    own = [name for name in names if name not in FRAMEWORK and name not in HIDDEN]
    order = [n for n in FRAMEWORK if n in names] + own + [n for n in HIDDEN if n in names]
    types = {name: _common_type(name, frames) for name in order}
    settled = [
        frame.select(
            _as_type(frame, name, dtype)
            if name in frame.columns
            else pl.lit(None, dtype=dtype).alias(name)
            for name, dtype in types.items()
        )
        for frame in frames
    ]
    return pl.concat(settled, how="vertical", rechunk=False)


def parents_of(rows: pl.DataFrame) -> dict[str, tuple[str, ...]]:
    """Row > the rows that it was made from, of a table with `id` and `parents`.

    Rows that were made from none are not in it.
    """
    import polars as pl

    made = rows.filter(pl.col("parents").list.len() > 0)
    return {id: tuple(parents) for id, parents in made.select("id", "parents").iter_rows()}


def conflict(path: tuple[str, ...], one: tuple[str, str], two: tuple[str, str]) -> CurateError:
    """The error for a column that holds two types.

    Args:
        path: The column, and the way inside it: names of fields, `[]` for items of a list.
        one: What the first place holds ("a string") and the place (`file:line`).
        two: The same of the second.
    """
    column = in_file(path[0])
    return CurateError(
        f"{shown_path(path)} holds different types: {one[0]} at {one[1]}, {two[0]} at {two[1]}",
        f"Say what it is to be, on the source: `types: {{{column}: string}}` (text) or "
        f"`types: {{{column}: json}}` (each value as JSON text).",
    )


def shown_path(path: tuple[str, ...]) -> str:
    """A path inside a column as messages show it: `meta.tags[]`."""
    return path[0] + "".join(step if step == "[]" else f".{step}" for step in path[1:])


def in_file(name: str) -> str:
    """The name that a column has in its file: `original_id` is `id` there."""
    plain = name.removeprefix("original_")
    return plain if plain in FRAMEWORK else name


class _DifferError(Exception):
    """Two types cannot be united; `path` leads to them through objects and lists."""

    def __init__(self, path: tuple[str, ...], one: pl.DataType, two: pl.DataType) -> None:
        self.path = path
        self.one = one
        self.two = two


def _common_type(name: str, frames: Sequence[pl.DataFrame]) -> pl.DataType:
    import polars as pl

    dtype: pl.DataType = pl.Null()
    holders = [frame for frame in frames if name in frame.columns]
    for at, frame in enumerate(holders):
        try:
            dtype = _united(dtype, frame.schema[name])
        except _DifferError as differ:
            first = _place(holders[:at], name, differ.path)
            second = _place([frame], name, differ.path)
            one, two = (_spoken(differ.one), first), (_spoken(differ.two), second)
            raise conflict((name, *differ.path), one, two) from None
    return dtype


def _united(one: pl.DataType, two: pl.DataType, path: tuple[str, ...] = ()) -> pl.DataType:
    """The type that holds the values of both."""
    import polars as pl

    if one == two or isinstance(two, pl.Null):
        return one
    if isinstance(one, pl.Null):
        return two
    if isinstance(one, pl.List) and isinstance(two, pl.List):
        return pl.List(_united(_instance(one.inner), _instance(two.inner), (*path, "[]")))
    if isinstance(one, pl.Struct) and isinstance(two, pl.Struct):
        fields = {field.name: _instance(field.dtype) for field in one.fields}
        for field in two.fields:
            known = fields.get(field.name, pl.Null())
            fields[field.name] = _united(known, _instance(field.dtype), (*path, field.name))
        return pl.Struct(fields)
    if one.is_integer() and two.is_integer():
        return pl.Int64()
    if {kind_of(one), kind_of(two)} <= {"integer", "number"}:
        return pl.Float64()
    raise _DifferError(path, one, two)


def _settled(dtype: pl.DataType) -> pl.DataType:
    """The type with text wherever nothing but nulls was seen."""
    import polars as pl

    if isinstance(dtype, pl.Null):
        return pl.String()
    if isinstance(dtype, pl.List):
        return pl.List(_settled(_instance(dtype.inner)))
    if isinstance(dtype, pl.Struct):
        return pl.Struct({f.name: _settled(_instance(f.dtype)) for f in dtype.fields})
    return dtype


def _instance(dtype: Any) -> pl.DataType:
    """Types inside others come as classes or as instances."""
    made: pl.DataType = dtype() if isinstance(dtype, type) else dtype
    return made


def _as_type(frame: pl.DataFrame, name: str, dtype: pl.DataType) -> pl.Series:
    import polars as pl

    column = frame[name]
    if column.dtype == dtype:
        return column
    if isinstance(column.dtype, pl.Null):
        return column.cast(dtype)
    if column.dtype.is_nested():
        # A cast adds no fields to objects; rebuilding does.
        old = column.to_list()
        made = pl.Series(name, old, dtype=dtype, strict=False)
        lossy = pl.Series(map(_loses_digits, old, made.to_list()), dtype=pl.Boolean)
    else:
        made = column.cast(dtype, strict=False)
        lossy = made.is_null() & column.is_not_null()
        if column.dtype.is_integer() and dtype.is_float():
            lossy = ~column.cast(pl.Int128).is_between(-EXACT, EXACT)
    at = lossy.arg_max()
    if at is not None and lossy[at]:
        raise CurateError(
            f"{frame['@file'][at]}:{frame['@line'][at]}: {name} holds a whole number that does not "
            "fit beside the fractions or other numbers of this column",
            f"Read the column as text: `types: {{{in_file(name)}: string}}`.",
        )
    return made


def _loses_digits(old: Any, new: Any) -> bool:
    """Whether a whole number somewhere in a value became a float that may not hold it."""
    if isinstance(old, list):
        return any(map(_loses_digits, old, new))
    if isinstance(old, dict):
        return any(_loses_digits(value, new[key]) for key, value in old.items())
    return isinstance(old, int) and isinstance(new, float) and abs(old) > EXACT


def _spoken(dtype: pl.DataType) -> str:
    import polars as pl

    if isinstance(dtype, pl.List | pl.Array):
        return "a list"
    if isinstance(dtype, pl.Struct):
        return "an object"
    words = {
        "string": "a string",
        "integer": "an integer",
        "number": "a fraction",
        "boolean": "true or false",
    }
    return words.get(kind_of(dtype), f"a value of type {dtype}")


def _place(frames: Sequence[pl.DataFrame], name: str, path: tuple[str, ...]) -> str:
    """File and line of the first row that has a value at a path."""
    for frame in frames:
        for file, line, value in frame.select("@file", "@line", name).iter_rows():
            if any(leaf is not None for leaf in _leaves(value, path)):
                return f"{file}:{line}"
    raise AssertionError("the type that differs comes from a value")


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    if value is None or not path:
        yield value
    elif path[0] == "[]":
        for item in value:
            yield from _leaves(item, path[1:])
    else:
        yield from _leaves(value.get(path[0]), path[1:])
