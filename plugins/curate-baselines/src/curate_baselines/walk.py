"""A walk down a ranking that passes over what is near something kept. Imported when a stage works.

Blocks of rows are compared in float32 with those kept so far, which is fast but off by a rounding
error that depends on how rows are cut into blocks. Every pair that may exceed the threshold is
computed again in float64, by itself. So decisions depend on the vectors alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1024  # rows walked, and compared with as many that were kept, at once
_PAIRS = 8192  # pairs computed in float64 at once


@dataclass(frozen=True)
class Walked:
    """What became of each row.

    Args:
        blocker: int64 [n], the first kept row that is too near; -1 for rows that are kept and for
            those after the end.
        cosine: float64 [n], the cosine to it; NaN where there is none.
        end: How many rows were walked: all, or up to the one that filled the budget.
        margin: How far from the threshold every cosine that decided something stood at least: the
            distance of the nearest that was computed in float64, or the rounding error of float32
            where none was within it.
    """

    blocker: NDArray[np.int64]
    cosine: NDArray[np.float64]
    end: int
    margin: float


def walk(
    vectors: NDArray[np.float32],
    threshold: float,
    budget: int | None,
    *,
    block: int = _BLOCK,
) -> Walked:
    """Walk rows in order; one is kept unless its cosine to a kept one exceeds the threshold.

    Args:
        vectors: float32 [n, width], finite, of any length; a zero vector is near nothing.
        threshold: Above it, two rows are too near. Positive.
        budget: Rows to keep; None: as many as there are.
        block: Rows walked at once; changes no decision.
    """
    walking = _Walk(vectors, threshold)
    count = len(vectors)
    limit = count if budget is None else min(budget, count)
    end = 0
    while end < count and walking.count < limit:
        start, end = end, min(end + block, count)
        walking.take(np.arange(start, end))
    if walking.count >= limit < count:  # the budget was filled, perhaps before the block's end
        kept = np.flatnonzero(walking.blocker[:end] < 0)
        end = int(kept[limit - 1]) + 1 if limit else 0
        walking.blocker[end:] = -1
        walking.cosine[end:] = np.nan
    return Walked(walking.blocker, walking.cosine, end, walking.margin)


class _Walk:
    """The state of one walk: who is kept, block by block, and who stood in whose way."""

    def __init__(self, vectors: NDArray[np.float32], threshold: float) -> None:
        count, width = vectors.shape
        self.vectors = vectors
        self.threshold = threshold
        # A float32 dot product of unit vectors errs by less than width * 2**-24, and scaling them
        # to unit length by a few 2**-24 more.
        slack = max(1e-4, (width + 8) * 2.0**-24)
        self.lowest = np.float32(threshold - slack)
        self.margin = slack
        self.blocker = np.full(count, -1, dtype=np.int64)
        self.cosine = np.full(count, np.nan)
        self.kept: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []
        self.count = 0

    def take(self, rows: NDArray[np.int64]) -> None:
        """Decide on the next rows."""
        units = self._units(rows)
        for others, kept in self.kept:
            left, right = np.nonzero(units @ kept.T > self.lowest)
            self._block(rows[left], others[right])
            free = self.blocker[rows] < 0
            rows, units = rows[free], units[free]
        first, second = np.nonzero(np.triu(units @ units.T > self.lowest, k=1))
        self._among(rows[first], rows[second])
        free = self.blocker[rows] < 0
        self.kept.append((rows[free], units[free]))
        self.count += int(free.sum())

    def _block(self, rows: NDArray[np.int64], others: NDArray[np.int64]) -> None:
        """Note the first of `others`, in order, that each of `rows` is too near."""
        cosines = self._exact(rows, others)
        over = np.flatnonzero(cosines > self.threshold)
        _, first = np.unique(rows[over], return_index=True)
        at = over[first]
        self.blocker[rows[at]] = others[at]
        self.cosine[rows[at]] = cosines[at]

    def _among(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> None:
        """Walk rows that no earlier block stands in the way of, given as pairs in order."""
        cosines = self._exact(first, second)
        over = np.flatnonzero(cosines > self.threshold)
        starts = np.flatnonzero(np.diff(first[over], prepend=-1))
        for at in np.split(over, starts[1:]):
            if len(at) and self.blocker[first[at[0]]] < 0:
                free = at[self.blocker[second[at]] < 0]
                self.blocker[second[free]] = first[free]
                self.cosine[second[free]] = cosines[free]

    def _exact(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float64]:
        """Cosines of pairs of rows in float64; 1 exactly for equal vectors, 0 for zero ones."""
        cosines = np.empty(len(left))
        for start in range(0, len(left), _PAIRS):
            part = slice(start, start + _PAIRS)
            a = self.vectors[left[part]].astype(np.float64)
            b = self.vectors[right[part]].astype(np.float64)
            lengths = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
            dots = (a * b).sum(axis=1)
            cosines[part] = np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)
        self.margin = float(np.abs(cosines - self.threshold).min(initial=self.margin))
        return cosines

    def _units(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        wide = self.vectors[rows].astype(np.float64)
        lengths = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
        units = np.zeros_like(wide)
        np.divide(wide, lengths, out=units, where=lengths > 0)
        return units.astype(np.float32)
