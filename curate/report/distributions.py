"""How scores are distributed: among all rows that have one, and among the rows kept.

Heavy: import it where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.recipe.where import WhereError, parse_where
from curate.versions.open import Version

BINS = 40
"""Bins of a histogram at most; whole numbers of a smaller range have one each."""

_FAR = 3.0
"""Interquartile ranges beyond the quartiles at which the first and the last bin begin to gather."""


@dataclass(frozen=True)
class Side:
    """The values of some rows.

    Attributes:
        rows: How many have one.
        low: The smallest.
        q1: The first quartile, as are `median` and `q3`: interpolated linearly.
        high: The largest.
        bins: Rows of each bin.
    """

    rows: int
    low: float
    q1: float
    median: float
    q3: float
    high: float
    bins: tuple[int, ...]


@dataclass(frozen=True)
class Distribution:
    """A column of scores.

    Attributes:
        column: Its name.
        start: Where the first bin starts.
        end: Where the last bin ends.
        gathers: Whether the first bin also holds all smaller values, and the last all larger ones.
        all: All rows that have a value.
        kept: The kept rows that have one; None: none has.
        cut: Halfway between the rows that a filter kept and dropped by the column, of those that it
            was asked about; None where no filter did, or no single number parts them (groups).
        cut_by: The id of that filter.
    """

    column: str
    start: float
    end: float
    gathers: tuple[bool, bool]
    all: Side
    kept: Side | None
    cut: float | None = None
    cut_by: str | None = None


@dataclass(frozen=True)
class Flag:
    """A column of yes and no: how many rows have it, and in how many it is true."""

    column: str
    rows: int
    true: int
    kept: int
    kept_true: int


def distributions(version: Version) -> Iterator[Distribution | Flag | str]:
    """What is published of each score, in the order of the columns.

    Yields:
        A distribution, a flag, or the name of a column of which there is neither: texts, vectors,
        and columns without a value.
    """
    kept = version.ledger.filter(pl.col("fate") == "kept")["id"]
    scores = version.scores
    stays = scores["id"].is_in(kept.implode())
    cuts = dict(_cuts(version))
    for name, dtype in scores.drop("id").schema.items():
        known = scores[name].is_not_null()
        if dtype == pl.Boolean and known.any():
            raised = scores[name].fill_null(False)
            counts = (known, raised, known & stays, raised & stays)
            yield Flag(name, *(int(each.sum()) for each in counts))
        elif dtype.is_numeric() and known.any():
            whole = dtype.is_integer()
            yield _distribution(scores, name, known, stays, whole, cuts.get(name))
        else:
            yield name


def _distribution(
    scores: pl.DataFrame,
    name: str,
    known: pl.Series,
    stays: pl.Series,
    whole: bool,
    stage: _Filter | None,
) -> Distribution:
    values = scores[name].cast(pl.Float64)
    every, kept = values.filter(known).to_numpy(), values.filter(known & stays).to_numpy()
    edges = _edges(every, whole)
    gathers = (bool(every.min() < edges[0]), bool(every.max() > edges[-1]))
    sides = [_side(part, edges) if len(part) else None for part in (every, kept)]
    assert sides[0] is not None, "a value is known"
    cut = None
    if stage is not None:
        ids = scores["id"]
        stayed, gone = (
            values.filter(known & ids.is_in(side.implode())).to_numpy()
            for side in (stage.kept, stage.dropped)
        )
        cut = _between(stayed, gone)
    return Distribution(
        name,
        float(edges[0]),
        float(edges[-1]),
        gathers,
        sides[0],
        sides[1],
        cut,
        stage.id if stage is not None and cut is not None else None,
    )


def _edges(values: NDArray[np.float64], whole: bool) -> NDArray[np.float64]:
    low, high = float(values.min()), float(values.max())
    if whole and high - low < BINS:
        return np.arange(low, high + 2) - 0.5
    q1, q3 = np.quantile(values, [0.25, 0.75])
    if q3 > q1:
        low, high = max(low, q1 - _FAR * (q3 - q1)), min(high, q3 + _FAR * (q3 - q1))
    bins = BINS if high > low else 1
    return np.linspace(low, high, bins + 1)


def _side(values: NDArray[np.float64], edges: NDArray[np.float64]) -> Side:
    at = np.searchsorted(edges, values, side="right") - 1
    bins = np.bincount(np.clip(at, 0, len(edges) - 2), minlength=len(edges) - 1)
    low, q1, median, q3, high = map(float, np.quantile(values, [0, 0.25, 0.5, 0.75, 1]))
    return Side(len(values), low, q1, median, q3, high, tuple(bins.tolist()))


@dataclass(frozen=True)
class _Filter:
    """A filter, the ids that it dropped, and the ids of kept rows that it was asked about."""

    id: str
    dropped: pl.Series
    kept: pl.Series


def _cuts(version: Version) -> Iterator[tuple[str, _Filter]]:
    """Columns that a filter cut by, each with the last that did."""
    for stage in version.manifest["stages"]:
        by = stage["params"].get("by")
        if stage["verb"] != "filter" or not stage["dropped"] or not isinstance(by, str):
            continue
        here = (pl.col("fate") == "dropped") & (pl.col("stage") == stage["id"])
        kept = _inside(version, stage.get("where"))
        if kept is not None:
            yield by, _Filter(stage["id"], version.ledger.filter(here)["id"], kept)


def _inside(version: Version, where: str | None) -> pl.Series | None:
    """Ids of the kept rows inside a `where:`; None where it reads what is not published."""
    rows = version.scan(*version.shards)
    if where is None:
        return rows.select("id").collect()["id"]
    there = {*rows.collect_schema(), *version.scores.columns}
    try:
        condition = parse_where(where)
    except WhereError:  # it stood with `${NAME}` in the recipe
        return None
    if not there >= set(condition.columns):
        return None
    columns = [name for name in condition.columns if name not in version.scores.columns]
    frame = rows.select("id", *(name for name in columns if name != "id")).collect()
    frame = frame.join(version.scores, on="id", how="left")
    return frame.filter(condition.expr().fill_null(False))["id"]


def _between(kept: NDArray[np.float64], gone: NDArray[np.float64]) -> float | None:
    """The number halfway between two groups, where one lies wholly above the other."""
    if not len(kept) or not len(gone):
        return None
    for below, above in ((gone, kept), (kept, gone)):
        if below.max() <= above.min():
            return float((below.max() + above.min()) / 2)
    return None
