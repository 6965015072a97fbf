"""Where filters cut: the line between what passed and what did not. Heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from curate.recipe.where import WhereError, parse_where
from curate.report.facts import numbers, published_rows
from curate.versions.open import Version


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
    """The cuts through published numbers, in the order of the stages.

    A filter cuts by the column of its parameter `by`, by the column `<id>_value` that it gives, or
    by a comparison with a number in its parameter `keep`.
    """
    known = {*version.scores.columns, *published_rows(version).collect_schema()}
    found = []
    for stage in version.manifest["stages"]:
        if stage["verb"] != "filter" or not stage["dropped"]:
            continue
        column = column_of(stage, known)
        through = [line for line in _compared(stage) if line.column in known]
        if column is not None:
            through.append(_line(version, stage, column))
        found += [replace(line, where=stage.get("where")) for line in through]
    return found


def column_of(stage: Mapping[str, Any], known: set[str]) -> str | None:
    """The published column that a filter chose by; None where it did not choose by one."""
    by, value = stage["params"].get("by"), f"{stage['id']}_value"
    return next((name for name in (by, value) if isinstance(name, str) and name in known), None)


def judged(version: Version, stage: Mapping[str, Any], column: str) -> pl.DataFrame:
    """Rows that a filter judged by a number: columns `id`, `column`, `fate` and `passed` (bool).

    These are the rows that it dropped, and those inside its `where:` that are kept or fell at a
    stage after it. Where the columns of the `where:` are not published, rows outside it are in.
    """
    order = [each["id"] for each in version.manifest["stages"]]
    later = order[order.index(stage["id"]) + 1 :]
    dropped = (pl.col("fate") == "dropped") & (pl.col("stage") == stage["id"])
    passed = (pl.col("fate") == "kept") | pl.col("stage").is_in(later)
    rows = (
        version.ledger.filter(dropped | passed)
        .select("id", "fate", passed=~dropped.fill_null(value=False))
        .join(numbers(version, column), on="id")
        .filter(pl.col(column).is_not_null())
    )
    inside = _inside(version, stage.get("where"))
    if inside is not None:
        rows = rows.filter(~pl.col("passed") | pl.col("id").is_in(inside.implode()))
    return rows.select("id", column, "fate", "passed")


def _inside(version: Version, where: str | None) -> pl.Series | None:
    """Ids of the rows for which a condition holds; None where there is none to compute."""
    if where is None:
        return None
    try:
        condition = parse_where(where)
    except WhereError:  # the recipe has it from the environment, as `${NAME}`
        return None
    rows = published_rows(version).join(version.scores.lazy(), on="id", how="left")
    if not set(condition.columns) <= set(rows.collect_schema()):
        return None
    read = rows.select(list(dict.fromkeys(["id", *condition.columns]))).collect()
    return read.filter(condition.expr().fill_null(value=False))["id"]


def _line(version: Version, stage: Mapping[str, Any], column: str) -> Line:
    id, params = stage["id"], stage["params"]
    threshold = params.get("threshold")
    if column == f"{id}_value" and isinstance(threshold, int | float):
        return Line(id, column, float(threshold), f"threshold {threshold:g}")
    if params.get("per"):
        return Line(id, column, None, f"a cut of its own for each {params['per']}")
    rows = judged(version, stage, column).with_columns(pl.col(column).cast(pl.Float64))
    passed, dropped = (rows.filter(pl.col("passed") == side)[column] for side in (True, False))
    if not len(passed) or not len(dropped):
        return Line(id, column, None, "no rows on one of its sides")
    (low, high), (fell_low, fell_high) = (
        (float(side.min()), float(side.max()))  # type: ignore[arg-type]  # numbers, and not empty
        for side in (passed, dropped)
    )
    ties = ", of equal ones the first by id" if fell_high == low or fell_low == high else ""
    if fell_high <= low:
        return Line(id, column, (fell_high + low) / 2, f"passed from {low:.4g} up{ties}")
    if high <= fell_low:
        return Line(id, column, (high + fell_low) / 2, f"passed up to {high:.4g}{ties}")
    return Line(id, column, None, "rows on both its sides overlap: more than this number decided")


def _compared(stage: Mapping[str, Any]) -> list[Line]:
    """The comparisons with a number that a condition demands."""
    keep = stage["params"].get("keep")
    try:
        condition = parse_where(keep) if isinstance(keep, str) else None
    except WhereError:  # the recipe has it from the environment, as `${NAME}`
        return []
    return [
        Line(stage["id"], column, number, f"passed where {sign} {number:.12g}")
        for column, sign, number in (condition.bounds() if condition else ())
    ]
