"""How many rows a cut keeps: a count or an exact fraction, of all rows or of each group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from curate.api import Params, Reads, Share

if TYPE_CHECKING:
    import polars as pl


class Quota(Params):
    """Exactly one of `count` and `fraction`."""

    count: Annotated[
        int | None, Field(ge=1, description="Rows to keep, of each group with `per`.")
    ] = None
    fraction: Annotated[
        Share | None,
        Field(description="Share of the rows to keep, rounded down, of each group with `per`."),
    ] = None
    per: Annotated[
        str | None,
        Reads("any", nulls=True),
        Field(description="Column whose values make groups; rows without one are a group too."),
    ] = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.count is None) == (self.fraction is None):
            raise ValueError("give exactly one of count and fraction")
        return self

    def of(self, size: int) -> int:
        """How many of `size` rows are kept."""
        if self.count is not None:
            return min(self.count, size)
        return int(self.fraction * size) if self.fraction is not None else size

    def __str__(self) -> str:
        amount = f"{self.count}" if self.count is not None else f"fraction {self.fraction}"
        return f"{amount} per {self.per}" if self.per else amount


def cut(ordered: pl.DataFrame, quota: Quota) -> pl.DataFrame:
    """Cut every group of an ordered table.

    Args:
        ordered: The rows, most wanted first, with the column `group`.
        quota: How many stay.

    Returns:
        The same rows with `at` (0-based place within the group), `size` (of the group), `limit`
        (rows of the group that stay) and `keep`.
    """
    import polars as pl

    placed = ordered.with_columns(
        at=pl.int_range(pl.len()).over("group"), size=pl.len().over("group").cast(pl.Int64)
    )
    limits = {size: quota.of(size) for size in placed["size"].unique()}
    limit = pl.col("size").replace_strict(limits, return_dtype=pl.Int64)
    return placed.with_columns(limit=limit).with_columns(keep=pl.col("at") < pl.col("limit"))


def shortfall(placed: pl.DataFrame, quota: Quota) -> dict[str, Any]:
    """The facts of a count that exceeds what there was: `asked`, and `had` or `short` by group."""
    if quota.count is None:
        return {}
    if quota.per is None:
        had = len(placed)
        return {"asked": quota.count, "had": had} if had < quota.count else {}
    sizes = placed.select("group", "size").unique().iter_rows()
    short = sorted((str(group), size) for group, size in sizes if size < quota.count)
    return {"asked": quota.count, "short": dict(short)} if short else {}
