"""The kept rows of a published version as the rows of a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from curate.examples import FRAMEWORK, texts_of
from curate.sources.files import SourceFile


def kept_rows(
    name: str, files: Sequence[SourceFile], given: Mapping[str, str | None], limit: int | None
) -> list[pl.DataFrame]:
    """Read the rows, one table a file.

    Rows keep ids, parents, and what is said of each of them (origin, generator, license, ability)
    unless the recipe says otherwise. The source that they came from first, and what the recipe
    overrides, stays as `original_<name>`; where a version of versions has that already, the first
    stays.

    Args:
        name: Name of the source that they are now.
        files: Of the version.
        given: What the recipe says of all rows; None: nothing.
        limit: Only the first rows.
    """
    new = {"source": name} | {fact: value for fact, value in given.items() if value is not None}
    frames = []
    left = limit
    for file in files:
        frame = pl.read_parquet(file.path, n_rows=left, glob=False, hive_partitioning=False)
        olds = [_old(frame, column) for column in new]
        frame = frame.with_columns(*olds, *(pl.lit(v).alias(c) for c, v in new.items()))
        bare = [
            column
            for column in frame.columns
            if column not in FRAMEWORK and frame[column].null_count() == len(frame)
        ]
        frame = frame.with_columns(pl.lit(None, dtype=pl.Null).alias(column) for column in bare)
        frames.append(
            frame.with_columns(
                pl.lit(file.shown).alias("@file"),
                pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("@line"),
                *texts_of(frame["messages"]),
            )
        )
        if left is not None:
            left -= len(frame)
            if left <= 0:
                break
    return frames


def _old(frame: pl.DataFrame, column: str) -> pl.Expr:
    """What stood in a column before it gets another value."""
    kept = f"original_{column}"
    if kept in frame.columns:
        return pl.coalesce(kept, column).alias(kept)
    return pl.col(column).alias(kept)
