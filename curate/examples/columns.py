"""Names and types of the columns that the framework gives to every table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from curate.contract.columns import Kind

FRAMEWORK = (
    "id",
    "messages",
    "source",
    "origin",
    "generator",
    "license",
    "ability",
    "parents",
)
"""Columns that every table has; their names are the framework's."""

HIDDEN = ("@file", "@line", "@instruction", "@response", "@both")
"""Columns that stages may read and that are not published."""


def framework_schema() -> dict[str, pl.DataType]:
    """Types of the framework's columns, hidden ones included."""
    import polars as pl

    string = pl.String()
    turn = pl.Struct({"role": pl.String(), "content": pl.String()})
    schema: dict[str, pl.DataType] = dict.fromkeys((*FRAMEWORK, *HIDDEN), string)
    schema |= {"messages": pl.List(turn), "parents": pl.List(string), "@line": pl.Int64()}
    return schema


def kind_of(dtype: pl.DataType) -> Kind:
    """The kind of a column of this type; a column of nulls only counts as text."""
    import polars as pl

    if isinstance(dtype, pl.String | pl.Null):
        return "string"
    if isinstance(dtype, pl.Boolean):
        return "boolean"
    if dtype.is_integer():
        return "integer"
    if dtype.is_float():
        return "number"
    if isinstance(dtype, pl.Array) and dtype.inner == pl.Float32 and len(dtype.shape) == 1:
        return "vector"
    return "nested"
