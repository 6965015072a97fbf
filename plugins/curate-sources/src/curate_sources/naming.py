"""What the value of a row is called where it has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

UNKNOWN = "unknown"
"""What a value is called that is not there, or blank."""


def named(column: str) -> pl.Expr:
    """The text of each row in a column, `unknown` where it is null, empty or white space."""
    import polars as pl

    text = pl.col(column).cast(pl.String)
    return pl.when(text.str.strip_chars() != "").then(text).otherwise(pl.lit(UNKNOWN)).alias(column)
