"""Rows on both sides of the last cut: those just kept, and those just dropped. Heavy."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from curate.report.cuts import Line, judged, lines
from curate.report.texts import previews
from curate.versions.open import Version

COUNT = 8
"""Rows shown on each side."""


@dataclass(frozen=True)
class Row:
    """A row in one line."""

    id: str
    number: float
    text: str


@dataclass(frozen=True)
class Near:
    """Rows nearest to a cut, the nearest first.

    Attributes:
        line: The cut.
        kept: Kept rows that the filter could have dropped.
        dropped: Rows that it dropped.
    """

    line: Line
    kept: tuple[Row, ...]
    dropped: tuple[Row, ...]


def near(version: Version, count: int = COUNT) -> Near | None:
    """Rows around the last cut that has rows on both its sides; None where there is none."""
    stages = {stage["id"]: stage for stage in version.manifest["stages"]}
    for line in reversed(lines(version)):
        if line.at is None:
            continue
        rows = judged(version, stages[line.stage], line.column)
        sides = [
            rows.filter(pl.col("fate") == "kept" if kept else ~pl.col("passed"))
            .sort((pl.col(line.column) - line.at).abs(), "id")
            .head(count)
            for kept in (True, False)
        ]
        if all(map(len, sides)):
            texts = previews(version, [id for side in sides for id in side["id"]])
            kept, dropped = (
                tuple(
                    Row(id, number, texts[id])
                    for id, number in side.select("id", line.column).iter_rows()
                )
                for side in sides
            )
            return Near(line, kept, dropped)
    return None
