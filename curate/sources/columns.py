"""From values to typed columns, inferring nothing beyond the types of JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import orjson
import polars as pl
import pyarrow as pa

from curate.errors import CurateError
from curate.examples.ids import cleaned, json_text
from curate.examples.tables import EXACT, conflict, shown_path
from curate.sources.formats.base import RowError, spoken

Place = Callable[[int], str]
"""From a row's position to its file and line."""

_INT64 = 2**63
_SCALARS = {
    pa.null(): pl.Null,
    pa.large_string(): pl.String,
    pa.bool_(): pl.Boolean,
    pa.int64(): pl.Int64,
    pa.float64(): pl.Float64,
}


def typed(name: str, values: Sequence[Any], place: Place) -> pl.Series:
    """Make a column of JSON values.

    Args:
        name: The column, as messages name it.
        values: One a row; None where the row has none.
        place: Where each row stands.

    Returns:
        Text, integers (64 bits), floats, booleans, lists or objects of these; type Null where
        there is nothing but nulls. Whole numbers and fractions together are floats; an object
        without fields is null.

    Raises:
        CurateError: Values have different types, or a whole number does not fit.
    """
    if {dict, list} & set(map(type, values)):
        values = [_without_empty(value) for value in values]
    dtype = _infer((name,), values, range(len(values)), place)
    if dtype in _SCALARS:  # without pyarrow, which imports pandas to look at a list
        return pl.Series(name, values, dtype=_SCALARS[dtype], strict=False)
    return from_arrow(name, pa.array(values, dtype))


def from_arrow(name: str, column: pa.Array | pa.ChunkedArray) -> pl.Series:
    """Make a column of one that has its type already."""
    made = pl.from_arrow(column)
    assert isinstance(made, pl.Series), "an array becomes a series"
    return made.alias(name)


def as_text(name: str, value: Any) -> str:
    """A value as text (`types: string`): strings as they are, numbers and booleans as JSON.

    Raises:
        RowError: It is a list or an object.
    """
    if isinstance(value, dict | list):
        raise RowError(
            name,
            f"is {spoken(value)}, which `types: {{{name}: string}}` does not take",
            f"Write `types: {{{name}: json}}`.",
        )
    return value if isinstance(value, str) else _json(value)


def as_json(values: Sequence[Any]) -> list[str | None]:
    """Values as JSON text (`types: json`), keys in their order; null stays null."""
    return [None if value is None else json_text(value) for value in values]


def _json(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    # What only parquet knows, such as dates, is written as its canonical text.
    plain = value if isinstance(value, float) else cleaned(value)
    return plain if isinstance(plain, str) else orjson.dumps(plain).decode()


def _infer(
    path: tuple[str, ...], values: Sequence[Any], rows: Sequence[int], place: Place
) -> pa.DataType:
    """The Arrow type of values; `rows` tells which row each stands in."""
    kinds = set(map(type, values)) - {type(None)}
    if kinds == {str}:
        return pa.large_string()
    if not kinds:
        return pa.null()
    if kinds <= {int, float}:
        return _infer_numbers(path, values, rows, place, fractions=float in kinds)
    if len(kinds) > 1:
        raise _mixed(path, values, rows, place)
    kind = kinds.pop()
    if kind is bool:
        return pa.bool_()
    if kind is list:
        filled = [(value, row) for value, row in zip(values, rows, strict=True) if value]
        items = [item for value, _ in filled for item in value]
        inside = [row for value, row in filled for _ in value]
        return pa.large_list(_infer((*path, "[]"), items, inside, place))
    filled = [(value, row) for value, row in zip(values, rows, strict=True) if value]
    inside = [row for _, row in filled]
    fields = dict.fromkeys(chain.from_iterable(value for value, _ in filled))
    made = [
        (field, _infer((*path, field), [v.get(field) for v, _ in filled], inside, place))
        for field in fields
    ]
    return pa.struct(made)


def _infer_numbers(
    path: tuple[str, ...],
    values: Sequence[Any],
    rows: Sequence[int],
    place: Place,
    *,
    fractions: bool,
) -> pa.DataType:
    for value, row in zip(values, rows, strict=True):
        if not isinstance(value, int):
            continue
        if not -_INT64 <= value < _INT64:
            what = "of more than 64 bits"
        elif fractions and abs(value) > EXACT:
            what = "that loses digits beside the fractions in this column"
        else:
            continue
        raise CurateError(
            f"{place(row)}: {shown_path(path)} is a whole number {what}",
            f"Read the column as text: `types: {{{path[0]}: string}}`.",
        )
    return pa.float64() if fractions else pa.int64()


def _mixed(
    path: tuple[str, ...], values: Sequence[Any], rows: Sequence[int], place: Place
) -> CurateError:
    first: dict[str, int] = {}
    for value, row in zip(values, rows, strict=True):
        if value is not None:
            first.setdefault(spoken(value), row)
    # Whole numbers and fractions are one kind; a type set of more than one has two words.
    (one, at), (two, there) = list(first.items())[:2]
    return conflict(path, (one, place(at)), (two, place(there)))


def _without_empty(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_empty(item) for key, item in value.items()} or None
    if isinstance(value, list):
        return [_without_empty(item) for item in value]
    return value
