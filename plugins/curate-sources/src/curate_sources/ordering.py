"""Which rows of a cell are taken first: by preference, then by a number, then by a seeded hash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from curate.api import CurateError, Params, Preferences, Reads, nearest, rank

if TYPE_CHECKING:
    import polars as pl

_ORIGINS = ("human", "synthetic", "mixed", "unknown")
_ALONE = (*_ORIGINS, "longest", "shortest")


def _terms(value: object) -> object:
    """A bare term stands for a list of one, a bare origin for `origin:` and it."""
    terms = [value] if isinstance(value, str) else value
    if not isinstance(terms, list):
        return terms
    for term in terms:
        if isinstance(term, str) and term not in _ALONE and ":" not in term:
            near = nearest(term, _ALONE)
            raise ValueError(
                f"'{term}' is no preference; write an origin ({', '.join(_ORIGINS)}), "
                f"column:value, highest:column, lowest:column, longest or shortest. {near}".rstrip()
            )
    return [f"origin:{term}" if term in _ORIGINS else term for term in terms]


class OrderParams(Params):
    """What stages take that choose rows inside a cell."""

    prefer: Annotated[
        Preferences,
        BeforeValidator(_terms),
        WithJsonSchema(
            {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
        ),
        Field(
            description="Which rows of a cell are taken first, before `rank_by`: an origin such as "
            "`human`, or a list of terms: column:value, highest:column, lowest:column, longest, "
            "shortest.",
            default_factory=list,
        ),
    ]
    rank_by: Annotated[
        str | None,
        Reads("number", nulls=True),
        Field(description="Column of a number by which rows of a cell are taken."),
    ] = None
    rank: Annotated[
        Literal["highest", "lowest"], Field(description="Which numbers of `rank_by` come first.")
    ] = "highest"
    missing: Annotated[
        Literal["error", "last", "drop"],
        Field(
            description="What a row without a number in `rank_by` is: an error, taken last of its "
            "cell, or left out before anything else."
        ),
    ] = "error"


def unranked(rows: pl.DataFrame, params: OrderParams, stage: str) -> pl.Series:
    """Which rows have no number in `rank_by`; boolean, one a row, false without `rank_by`.

    Args:
        rows: `id` and the column that `rank_by` names.
        params: What such rows are (`missing`).
        stage: Id of the stage, for the error.

    Raises:
        CurateError: There are some, and `missing` is `error`.
    """
    import polars as pl

    if params.rank_by is None:
        return pl.Series("unranked", [False], dtype=pl.Boolean).new_from_index(0, len(rows))
    number = rows[params.rank_by]
    nothing = number.is_null()
    if number.dtype.is_float():
        nothing |= number.is_nan().fill_null(True)
    count = int(nothing.sum())
    if count and params.missing == "error":
        first = rows["id"].filter(nothing).sort()[0]
        raise CurateError(
            f"Stage '{stage}' ranks rows by '{params.rank_by}', in which {count:,} of "
            f"{len(rows):,} have no number, the first being {first}.",
            "Say what such rows mean: `missing: last` or `missing: drop` under `with:`.",
        )
    return nothing


def placed(rows: pl.DataFrame, params: OrderParams, seed: int) -> pl.Series:
    """The place of each row in the order in which rows are taken, 0 the first.

    Args:
        rows: `id` and the columns that `prefer` and `rank_by` name; ids are unique.
        params: The preferences, first deciding before `rank_by`; rows without a number come last.
        seed: Of the recipe; between rows that nothing else orders a hash of seed and id decides.

    Returns:
        uint32, one a row, no two equal.
    """
    import polars as pl
    import xxhash

    hashes = [xxhash.xxh3_128_hexdigest(f"{seed}:{id}".encode()) for id in rows["id"]]
    terms = list(params.prefer)
    keyed = rows.with_columns(pl.Series("id", hashes, dtype=pl.String))
    if params.rank_by is not None:
        number = pl.col(params.rank_by)
        if keyed[params.rank_by].dtype.is_float():
            keyed = keyed.with_columns(number.fill_nan(None))
        terms.append(f"{params.rank}:{params.rank_by}")
    return rank(keyed, terms)
