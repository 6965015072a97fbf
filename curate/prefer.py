"""Orders of preference among rows: `prefer: [origin:human, highest:nait_math, longest]`.

Terms, the first deciding before the second and the id last:

- `column:value`: rows whose column holds the value (as text) come first.
- `highest:column`, `lowest:column`: by a number.
- `longest`, `shortest`: by the characters of instruction and response.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_BY_LENGTH = {"longest": True, "shortest": False}
_BY_NUMBER = {"highest": True, "lowest": False}


def check_terms(terms: list[str]) -> list[str]:
    """Validate terms for pydantic: raises ValueError naming the first that cannot be read."""
    for term in terms:
        name, colon, value = term.partition(":")
        if term not in _BY_LENGTH and not (name and colon and value):
            raise ValueError(
                f"'{term}' is no preference; write column:value, highest:column, lowest:column, "
                "longest or shortest"
            )
    return terms


def numbers_of(terms: Iterable[str]) -> list[str]:
    """The number columns that the terms order by."""
    split = [term.partition(":") for term in terms]
    return [value for name, colon, value in split if colon and name in _BY_NUMBER]


def columns_of(terms: Iterable[str]) -> list[str]:
    """All columns that the terms read."""
    names = []
    for term in terms:
        name, _, value = term.partition(":")
        names.append("@both" if term in _BY_LENGTH else value if name in _BY_NUMBER else name)
    return names


def rank(rows: pl.DataFrame, terms: Sequence[str]) -> pl.Series:
    """Rank rows by preference, 0 the most preferred (uint32, one rank a row).

    Args:
        rows: `id` and the columns of `columns_of(terms)`; ids are unique.
        terms: Checked terms; ties, and everything if empty, go by id.
    """
    import polars as pl

    keys: list[pl.Expr] = []
    descending: list[bool] = []
    for term in terms:
        name, _, value = term.partition(":")
        if term in _BY_LENGTH:
            keys.append(pl.col("@both").str.len_chars())
            descending.append(_BY_LENGTH[term])
        elif name in _BY_NUMBER:
            keys.append(pl.col(value))
            descending.append(_BY_NUMBER[name])
        else:
            keys.append((pl.col(name).cast(pl.String) == value).fill_null(False))
            descending.append(True)
    named = [key.alias(f"k{i}") for i, key in enumerate([*keys, pl.col("id")])]
    order = rows.select(named).select(
        pl.arg_sort_by(
            [f"k{i}" for i in range(len(named))],
            descending=[*descending, False],
            nulls_last=True,
        )
    )
    ranks = pl.DataFrame({"at": order.to_series(), "rank": pl.int_range(len(rows), eager=True)})
    return ranks.sort("at")["rank"].cast(pl.UInt32).alias("rank")
