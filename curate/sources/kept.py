"""The kept rows of a published version as the rows of a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from curate.examples import FRAMEWORK, parents_of, texts_of
from curate.sources.files import SourceFile
from curate.sources.published import check_published, listed_in, split_of

LEDGER = "ledger.parquet"
SCORES = "scores.parquet"
ANCESTORS = "ancestors.parquet"
"""`id` and `parents` of rows that a version's rows stem from and its ledger does not have."""


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


def ancestry(files: Sequence[SourceFile]) -> dict[str, tuple[str, ...]]:
    """The parents of every row that a version knows of: those of its ledger, and those before.

    Args:
        files: Those with the kept rows of the version.

    Raises:
        CurateError: One of the two tables is not what was published.
    """
    folder = files[0].path.parent.parent
    listed = listed_in(folder)
    found: dict[str, tuple[str, ...]] = {}
    for name in (ANCESTORS, LEDGER):
        if name in listed:
            check_published(folder, name, listed[name])
            table = pl.read_parquet(folder / name, columns=["id", "parents"], glob=False)
            found |= parents_of(table)
    return found


@dataclass(frozen=True)
class Earlier:
    """What a version with splits says of its rows.

    Attributes:
        splits: Row > its split.
        parents: The parents of every row that it knows of.
        values: Column > `id` and it; without those that it does not have.
    """

    splits: Mapping[str, str]
    parents: Mapping[str, Sequence[str]] = field(default_factory=dict)
    values: Mapping[str, pl.DataFrame] = field(default_factory=dict)


def earlier(files: Sequence[SourceFile], columns: Sequence[str]) -> Earlier:
    """The rows of a version, with its splits and some of its columns, labels of stages among them.

    Args:
        files: Those with its kept rows.
        columns: Names; those that it does not have are left out.

    Raises:
        CurateError: A table is not what was published.
    """
    folder = files[0].path.parent.parent
    splits: dict[str, str] = {}
    values: dict[str, list[pl.DataFrame]] = {}
    for file in files:
        _take(file.path, columns, values)
        ids = pl.read_parquet(file.path, columns=["id"], glob=False)["id"]
        splits |= dict.fromkeys(ids, split_of(file))
    listed = listed_in(folder)
    if SCORES in listed and (labels := [name for name in columns if name not in values]):
        check_published(folder, SCORES, listed[SCORES])
        _take(folder / SCORES, labels, values)
    tables = {
        name: pl.concat(parts).filter(pl.col("id").is_in(list(splits)))
        for name, parts in values.items()
    }
    return Earlier(splits, ancestry(files), tables)


def _take(path: Path, columns: Sequence[str], values: dict[str, list[pl.DataFrame]]) -> None:
    there = pl.read_parquet_schema(path)
    for name in columns:
        if name in there:
            table = pl.read_parquet(path, columns=list({"id", name}), glob=False)
            values.setdefault(name, []).append(table)


def _old(frame: pl.DataFrame, column: str) -> pl.Expr:
    """What stood in a column before it gets another value."""
    kept = f"original_{column}"
    if kept in frame.columns:
        return pl.coalesce(kept, column).alias(kept)
    return pl.col(column).alias(kept)
