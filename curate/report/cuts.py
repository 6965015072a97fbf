"""Where filters cut: the line between what passed and what did not. Heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from curate.printing import counted, figure, one_line
from curate.versions.judged import column_of, judged
from curate.versions.open import Version
from curate.versions.rows import condition, schema_of


@dataclass(frozen=True)
class Line:
    """A cut as a line through the numbers of a column.

    Attributes:
        stage: Id of the filter.
        column: The numbers that it cut by.
        at: Where the line stands; None where it has no one place.
        words: What it means, such as `passed from 0.11 up`.
        where: The condition on rows outside which it decides nothing; None: all rows.
    """

    stage: str
    column: str
    at: float | None
    words: str
    where: str | None = None


def lines(version: Version) -> list[Line]:
    """The cuts through published numbers, in the order of the stages."""
    return [line for stage in version.manifest["stages"] for line in lines_of(version, stage)]


def lines_of(version: Version, stage: Mapping[str, Any]) -> list[Line]:
    """The cuts of a stage.

    A filter cuts by the column of its parameter `by`, by the column `<id>_value` that it gives, or
    by comparisons with a number in its parameter `keep`.
    """
    if stage["verb"] != "filter" or not stage["dropped"]:
        return []
    found = _compared(version, stage)
    column = column_of(version, stage)
    if column is not None:
        at, words = _place(version, stage, column)
        found.append(Line(stage["id"], column, at, words, stage.get("where")))
    return found


def unplaced(version: Version) -> list[str]:
    """A sentence for each filter of whose condition no cut can be drawn for some clauses.

    These compare numbers, but not those of one column with a number.
    """
    known, said = schema_of(version), []
    for stage in version.manifest["stages"]:
        keep = condition(stage["params"].get("keep")) if stage["verb"] == "filter" else None
        if keep is None or not stage["dropped"]:
            continue
        clauses = [
            one_line(clause.text)
            for clause in keep.clauses()
            if not clause.bounds()
            and any(name in known and known[name].is_numeric() for name in clause.columns)
        ]
        if clauses:
            why = "not one column against a number"
            said.append(f"no cut of {stage['id']} is drawn for {', '.join(clauses)}: {why}")
    return said


def _compared(version: Version, stage: Mapping[str, Any]) -> list[Line]:
    """The comparisons with a number that a condition demands."""
    keep = condition(stage["params"].get("keep"))
    if keep is None:
        return []
    known = schema_of(version)
    return [
        Line(stage["id"], name, at, f"passed where {sign} {at:.12g}", stage.get("where"))
        for name, sign, at in keep.bounds()
        if name in known and known[name].is_numeric()
    ]


def _place(version: Version, stage: Mapping[str, Any], column: str) -> tuple[float | None, str]:
    """Where the line stands between the rows that passed and those that fell, and what it means."""
    params = stage["params"]
    threshold = params.get("threshold")
    if column == f"{stage['id']}_value" and isinstance(threshold, int | float):
        return float(threshold), f"threshold {threshold:g}"
    if params.get("per"):
        return None, f"a cut of its own for each {params['per']}"
    rows = judged(version, stage, column)
    if rows is None:
        return None, "which rows it judged cannot be told, as its `where:` cannot be read here"
    if rows.unpublished:
        return None, f"the numbers of {counted(rows.unpublished)} that it judged are not published"
    return _between(*(rows.side(passed=side).cast(pl.Float64) for side in (True, False)))


def _between(passed: pl.Series, fell: pl.Series) -> tuple[float | None, str]:
    """The line halfway between two groups, where one lies wholly above the other."""
    if not len(passed) or not len(fell):
        return None, "no rows on one of its sides"
    (low, high), (fell_low, fell_high) = (
        (float(side.min()), float(side.max()))  # type: ignore[arg-type]  # numbers, and not empty
        for side in (passed, fell)
    )
    ties = ", of equal ones the first by id" if fell_high == low or fell_low == high else ""
    if fell_high <= low:
        return (fell_high + low) / 2, f"passed from {figure(low)} up{ties}"
    if high <= fell_low:
        return (high + fell_low) / 2, f"passed up to {figure(high)}{ties}"
    return None, "rows on both its sides overlap: more than this number decided"
