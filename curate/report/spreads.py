"""How numbers spread over all rows and over the kept ones. Heavy."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.examples.texts import texts_of
from curate.ledger import KEPT
from curate.report.cuts import Line, lines
from curate.versions.open import Version
from curate.versions.rows import published, table

BINS = 40
"""Bins at most, but for those that grow."""

_TAIL = 0.005
"""Share of the rows at either end that may lie far out without widening the picture."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Quartiles:
    """How many rows have a number, and its quartiles, interpolated linearly."""

    rows: int
    q1: float
    median: float
    q3: float


@dataclass(frozen=True)
class Flag:
    """A column of yes and no: how many rows have it, and in how many it is true."""

    column: str
    rows: int
    true: int
    kept: int
    kept_true: int


@dataclass(frozen=True)
class Histogram:
    """Rows by a number.

    Attributes:
        column: Its name.
        edges: Ends of the bins, one more than bins.
        before: Rows that have the number, by bin.
        after: Kept rows, by bin; never more than `before`.
        beyond: Rows outside the edges, which are counted in the bins at the ends.
        low: The smallest number.
        high: The largest.
        without: Rows that have no number.
        geometric: Whether bins grow by a factor.
        lines: The cuts through it.
        all: Quartiles of all rows that have the number.
        kept: Those of the kept ones; None: none has it.
        whole: Whether it is of whole numbers; the ends of bins then stand between two.
        part: Whether rows that were not kept are left out, as this of them is not published.
    """

    column: str
    edges: tuple[float, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    beyond: int
    low: float
    high: float
    without: int
    all: Quartiles
    kept: Quartiles | None
    geometric: bool = False
    lines: tuple[Line, ...] = ()
    whole: bool = False
    part: bool = False

    @property
    def drawn(self) -> tuple[tuple[str, float], ...]:
        """The cuts between the edges: stage, and where it cut."""
        first, last = self.edges[0], self.edges[-1]
        return tuple(
            (line.stage, line.at)
            for line in self.lines
            if line.at is not None and first <= line.at <= last
        )

    def between(self, low: float, high: float) -> tuple[float, float]:
        """The least and the greatest number between two ends; of whole numbers such as occur."""
        return (math.ceil(low), math.floor(high)) if self.whole else (low, high)

    @property
    def gathers(self) -> tuple[bool, bool]:
        """Whether the first bin holds smaller numbers too, and the last larger ones."""
        return self.low < self.edges[0], self.high > self.edges[-1]


def of_scores(version: Version) -> list[Histogram]:
    """A histogram for each published score of numbers, and each column that a filter cut by.

    Those of the last cuts come first. Columns without a finite number have none.
    """
    cuts = lines(version)
    by = dict.fromkeys(line.column for line in reversed(cuts))
    scores = version.scores.drop("id").schema
    names = [*by, *(name for name, kind in scores.items() if kind.is_numeric() and name not in by)]
    rows = table(version, [*names, "ledger.fate"])
    is_kept = (rows["ledger.fate"] == KEPT).to_numpy()
    return [
        replace(found, part=name not in scores and version.dropped is None)
        for name in names
        for through in [tuple(line for line in cuts if line.column == name)]
        if (found := _histogram(name, rows[name], is_kept, through)) is not None
    ]


def flags(version: Version) -> list[Flag]:
    """Each published score that says yes or no, of at least one row."""
    scores = version.scores
    kept = scores["id"].is_in(version.ledger.filter(fate=KEPT)["id"].implode())
    found = []
    for name, kind in scores.schema.items():
        if kind == pl.Boolean and scores[name].is_not_null().any():
            known, true = scores[name].is_not_null(), scores[name].fill_null(value=False)
            counts = (known, true, known & kept, true & kept)
            found.append(Flag(name, *(int(each.sum()) for each in counts)))
    return found


def of_lengths(version: Version) -> Histogram | None:
    """Characters of instruction and response together, in bins that grow by a factor.

    None where there are no rows. Without published dropped rows it is of the kept rows alone.
    """
    rows = published(version).select("id", "messages").collect()
    kept = version.ledger.filter(fate=KEPT)["id"].implode()
    lengths = texts_of(rows["messages"])[2].str.len_chars()
    is_kept = rows["id"].is_in(kept).to_numpy()
    return _histogram("characters", lengths, is_kept, (), geometric=True)


def _histogram(
    name: str,
    column: pl.Series,
    kept: NDArray[np.bool_],
    cuts: tuple[Line, ...],
    *,
    geometric: bool = False,
) -> Histogram | None:
    """None where no row has a finite number."""
    numbers = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    there = np.isfinite(numbers)
    if not there.any():
        return None
    values, kept = numbers[there], kept[there]
    if geometric:
        edges = _growing(values)
    else:
        ends = _ends(values, [line.at for line in reversed(cuts) if line.at is not None])
        edges = _whole(*ends) if column.dtype.is_integer() else _even(*ends)
    # the last bin is closed at both ends
    inside = np.clip(values, edges[0], edges[-1])
    before, after = (
        tuple(np.histogram(part, edges)[0].tolist()) for part in (inside, inside[kept])
    )
    return Histogram(
        column=name,
        edges=tuple(edges.tolist()),
        before=before,
        after=after,
        beyond=int((inside != values).sum()),
        low=float(values.min()),
        high=float(values.max()),
        without=int((~there).sum()),
        all=_quartiles(values),
        kept=_quartiles(values[kept]) if kept.any() else None,
        geometric=geometric,
        lines=cuts,
        whole=column.dtype.is_integer() and not geometric,
    )


def _quartiles(values: NDArray[np.float64]) -> Quartiles:
    return Quartiles(len(values), *map(float, np.quantile(values, [0.25, 0.5, 0.75])))


def _ends(values: NDArray[np.float64], cuts: list[float]) -> tuple[float, float, float]:
    """Where a picture begins and ends, and an end of its bins.

    Far tails are left outside, and so are cuts that stand farther from the rows than these reach.
    The end of bins is the first cut, so that no bin holds rows of both its sides.
    """
    low, high = float(values.min()), float(values.max())
    inner = np.quantile(values, [_TAIL, 1 - _TAIL])
    reach = float(inner[1] - inner[0])
    if reach > 0:
        low, high = max(low, inner[0] - reach / 4), min(high, inner[1] + reach / 4)
    span = high - low
    near = [cut for cut in cuts if low - span <= cut <= high + span]
    low, high = float(min([low, *near])), float(max([high, *near]))
    if low == high:
        low, high = low - 0.5, high + 0.5
    return low, high, near[0] if near else low


def _even(low: float, high: float, through: float) -> NDArray[np.float64]:
    """Bins of equal width, one of whose ends is given."""
    # where one stands within, both sides round up
    width = (high - low) / (BINS if through in (low, high) else BINS - 1)
    below = math.ceil((through - low) / width - _ROUNDING)
    above = math.ceil((high - through) / width - _ROUNDING)
    return np.asarray(through + width * np.arange(-below, above + 1), dtype=np.float64)


def _whole(low: float, high: float, through: float) -> NDArray[np.float64]:
    """Bins for whole numbers: each holds the same count of them, its ends between two."""
    first, last = math.floor(low), math.ceil(high)
    count = last - first + 1
    width = 1 if count <= BINS else math.ceil(count / (BINS - 1))
    start = math.ceil(through) - 0.5
    below = math.ceil((start - first + 0.5) / width)
    above = max(math.ceil((last + 0.5 - start) / width), 1)
    return np.asarray(start + width * np.arange(-below, above + 1), dtype=np.float64)


def _growing(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bins a quarter wider one after the other, over all but the ends."""
    low, high = np.quantile(values, [_TAIL / 5, 1 - _TAIL / 5])
    first = np.floor(np.log(max(low, 1)) / np.log(1.25))
    last = max(np.ceil(np.log(max(high, 1) + 1) / np.log(1.25)), first + 1)
    return np.asarray(1.25 ** np.arange(first, last + 1), dtype=np.float64)
