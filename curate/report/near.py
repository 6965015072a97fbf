"""Rows on both sides of the last cut: those just kept, and those just dropped. Heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from curate.ledger import KEPT
from curate.printing import figure
from curate.report.cuts import Line, lines_of
from curate.report.texts import previews
from curate.versions.judged import judged
from curate.versions.open import Version

COUNT = 8
"""Rows shown on each side."""


@dataclass(frozen=True)
class Row:
    """A row in one line.

    Attributes:
        id: Its id.
        number: What was cut by.
        shown: The number in words, so that it does not read as the cut where it is another.
        text: Its texts.
    """

    id: str
    number: float
    shown: str
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
    for stage in reversed(version.manifest["stages"]):
        for line in reversed(lines_of(version, stage)):
            found = None if line.at is None else _around(version, stage, line, line.at, count)
            if found is not None:
                return found
    return None


def _around(
    version: Version, stage: Mapping[str, Any], line: Line, at: float, count: int
) -> Near | None:
    """The rows around one cut; None where one of its sides has none."""
    found = judged(version, stage, line.column)
    if found is None:
        return None
    rows = found.rows.sort((pl.col("value") - at).abs(), "id")
    sides = [rows.filter(side).head(count) for side in (pl.col("fate") == KEPT, ~pl.col("passed"))]
    if not all(map(len, sides)):
        return None
    texts = previews(version, [id for side in sides for id in side["id"]])
    kept, dropped = (
        tuple(
            Row(id, number, figure(number, beside=at), texts[id])
            for id, number in side.select("id", "value").iter_rows()
        )
        for side in sides
    )
    return Near(line, kept, dropped)
