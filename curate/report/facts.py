"""What a version has to show beyond its manifest. Heavy: import it where it is used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import polars as pl

from curate.versions.open import Version
from curate.versions.text import one_line

_TEXT = 200
"""Characters of an example's line; a terminal shows fewer."""


@dataclass(frozen=True)
class Example:
    """One example in one line: its question and answer, and its score."""

    id: str
    score: float
    text: str


@dataclass(frozen=True)
class Cut:
    """Rows on both sides of a filter's cut.

    Attributes:
        stage: Id of the filter.
        column: The numbers that it cut by.
        chosen: Whether rows were chosen by the number, so that `kept` are the best of them;
            otherwise they are those that were nearest to being dropped.
        kept: Kept rows.
        dropped: Dropped rows that were nearest to being kept.
    """

    stage: str
    column: str
    chosen: bool
    kept: tuple[Example, ...]
    dropped: tuple[Example, ...]


def last_cut(version: Version, count: int = 3) -> Cut | None:
    """The last filter that chose by a number (its parameter `by`); else the last that gave one.

    Args:
        version: The version.
        count: Examples on each side.

    Returns:
        None where no filter dropped rows by a number.
    """
    stages = [s for s in version.manifest["stages"] if s["verb"] == "filter" and s["dropped"]]
    for stage in reversed(stages):
        by = stage["params"].get("by")
        if isinstance(by, str):
            rows = _judged(version, stage["id"], by)
            lowest = bool(stage["params"].get("lowest", False))
            return _cut(version, stage["id"], by, rows, (lowest, lowest), count, chosen=True)
    for stage in reversed(stages):
        value = f"{stage['id']}_value"
        if value in version.scores.columns:
            rows = _judged(version, stage["id"], value)
            kept, dropped = (rows.filter(fate=fate)[value] for fate in ("kept", "dropped"))
            above = len(kept) == 0 or len(dropped) == 0 or _most(kept) <= _least(dropped)
            order = (not above, above)
            return _cut(version, stage["id"], value, rows, order, count, chosen=False)
    return None


def _most(column: pl.Series) -> float:
    return float(cast(float, column.max()))


def _least(column: pl.Series) -> float:
    return float(cast(float, column.min()))


def _judged(version: Version, stage: str, column: str) -> pl.DataFrame:
    """Kept rows and those that the stage dropped, with the number; columns id, fate, `column`."""
    known = numbers(version, column).filter(pl.col(column).is_not_null())
    here = (pl.col("fate") == "dropped") & (pl.col("stage") == stage)
    ledger = version.ledger.filter(here | (pl.col("fate") == "kept"))
    return ledger.select("id", "fate").join(known, on="id")


def _cut(
    version: Version,
    stage: str,
    column: str,
    rows: pl.DataFrame,
    ascending: tuple[bool, bool],
    count: int,
    *,
    chosen: bool,
) -> Cut:
    """The first rows of each side, in the given orders (of kept, of dropped rows)."""
    kept, dropped = (
        rows.filter(fate=fate)
        .sort(column, "id", descending=[not up, False])
        .head(count)
        .select("id", column)
        for fate, up in zip(("kept", "dropped"), ascending, strict=True)
    )
    lines = _lines(version, [*kept["id"], *dropped["id"]])
    sides = (
        tuple(
            Example(id, score, lines.get(id, "(dropped rows are not published)"))
            for id, score in side.iter_rows()
        )
        for side in (kept, dropped)
    )
    return Cut(stage, column, chosen, *sides)


def numbers(version: Version, column: str) -> pl.DataFrame:
    """`id` and the column, which is a score or came with the sources."""
    if column in version.scores.columns:
        return version.scores.select("id", column)
    return published_rows(version).select("id", column).collect()


def published_rows(version: Version) -> pl.LazyFrame:
    """All published rows, kept and dropped."""
    files = version.shards
    dropped = version.path / "dropped.parquet"
    if dropped.exists():
        files.append(dropped)
    return version.scan(*files)


def _lines(version: Version, ids: Iterable[str]) -> dict[str, str]:
    wanted = pl.Series(list(ids), dtype=pl.String).implode()
    found = (
        published_rows(version)
        .filter(pl.col("id").is_in(wanted))
        .select("id", "messages")
        .collect()
    )
    return {id: _line(messages) for id, messages in found.iter_rows()}


def _line(messages: list[dict[str, str]]) -> str:
    """The first question and what was answered, on one line."""
    said = [one_line(turn["content"][:_TEXT]) for turn in messages if turn["role"] != "system"]
    return " → ".join(said[:2])[:_TEXT]
