"""Pairs of items that are near each other: how they are asked for, and those that are known.

Items are numbered in an order that the caller chose; of a pair the one that comes first is
`early`, the other `late`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Wanted = Callable[[Indices, Indices], NDArray[np.bool_]]
"""Late and early items > for each pair whether it matters."""

REMEMBERED = 10_000_000
"""Pairs that are kept at most; where there are more, they are searched again at each threshold."""


@dataclass(frozen=True)
class Pairs:
    """Some pairs.

    Args:
        late: int64 [p].
        early: int64 [p], each smaller than its late one.
        similarity: float64 [p].
    """

    late: Indices
    early: Indices
    similarity: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.late)

    def take(self, which: NDArray[np.bool_] | Indices) -> Pairs:
        """Some of them."""
        return Pairs(self.late[which], self.early[which], self.similarity[which])

    def sorted(self) -> Pairs:
        """By late and then by early item."""
        return self.take(np.lexsort((self.early, self.late)))


def joined(parts: list[Pairs]) -> Pairs:
    """All pairs of several parts."""
    if not parts:
        none = np.empty(0, dtype=np.int64)
        return Pairs(none, none, np.empty(0))
    return Pairs(
        np.concatenate([part.late for part in parts]),
        np.concatenate([part.early for part in parts]),
        np.concatenate([part.similarity for part in parts]),
    )


class Finder(Protocol):
    """Finds pairs that are at least as similar as some floor.

    Attributes:
        count: How many items there are.
        block: How many late items are best asked for at once.
        gap: How far from the floor the nearest pair stood that was looked at closely.
    """

    count: int
    block: int

    @property
    def gap(self) -> float:
        """See above."""
        ...

    def near(
        self, start: int, stop: int, wanted: Wanted | None = None, until: int | None = None
    ) -> Iterator[Pairs]:
        """The pairs whose late item is in [start, stop), each once.

        Args:
            start: First late item.
            stop: Item after the last late one.
            wanted: Leaves pairs out before they are looked at closely.
            until: Early items are below this.
        """
        ...


class Known:
    """Pairs that have been found; a `Finder` whose floor can be raised at will.

    Args:
        pairs: The pairs.
        count: How many items there are.
        gap: See `Finder`.
        in_order: The pairs are sorted.
    """

    def __init__(self, pairs: Pairs, count: int, gap: float, *, in_order: bool = False) -> None:
        self.pairs = pairs if in_order else pairs.sorted()
        self.count = count
        self.block = max(count, 1)
        self.gap = gap

    def near(
        self, start: int, stop: int, wanted: Wanted | None = None, until: int | None = None
    ) -> Iterator[Pairs]:
        """See `Finder`."""
        low, high = np.searchsorted(self.pairs.late, [start, stop])
        found = self.pairs.take(np.arange(low, high))
        if until is not None:
            found = found.take(found.early < until)
        yield found if wanted is None else found.take(wanted(found.late, found.early))

    def at_least(self, threshold: float) -> Known:
        """Those that are at least so similar."""
        near = self.pairs.take(self.pairs.similarity >= threshold)
        return Known(near, self.count, self.gap, in_order=True)

    def similarity(self, late: Indices, early: Indices) -> NDArray[np.float64]:
        """Of some pairs; NaN for those that are not known. float64 [p]."""
        codes = self.pairs.late * self.count + self.pairs.early
        wanted = late * self.count + early
        at = np.minimum(np.searchsorted(codes, wanted), max(len(codes) - 1, 0))
        if not len(codes):
            return np.full(len(late), np.nan)
        return np.where(codes[at] == wanted, self.pairs.similarity[at], np.nan)


class Grouped:
    """Pairs within groups only; a `Finder`.

    Args:
        finder: Finds the pairs.
        group: int64 [n], the group of each item.
    """

    def __init__(self, finder: Finder, group: Indices) -> None:
        self.count = finder.count
        self.block = finder.block
        self._finder = finder
        self._group = group

    @property
    def gap(self) -> float:
        """See `Finder`."""
        return self._finder.gap

    def near(
        self, start: int, stop: int, wanted: Wanted | None = None, until: int | None = None
    ) -> Iterator[Pairs]:
        """See `Finder`."""

        def inside(late: Indices, early: Indices) -> NDArray[np.bool_]:
            same: NDArray[np.bool_] = self._group[late] == self._group[early]
            return same if wanted is None else same & wanted(late, early)

        return self._finder.near(start, stop, inside, until)


def collect(finder: Finder) -> Pairs | None:
    """All pairs, or None if there are more than are kept."""
    parts, found = [], 0
    for start in range(0, finder.count, finder.block):
        for part in finder.near(start, min(start + finder.block, finder.count)):
            found += len(part)
            if found > REMEMBERED:
                return None
            parts.append(part)
    return joined(parts)


def slices(counts: Indices, most: int) -> Iterator[tuple[int, int]]:
    """Runs of items that count for about `most` together."""
    total = np.cumsum(counts)
    first = 0
    while first < len(counts):
        before = total[first - 1] if first else 0
        last = int(np.searchsorted(total, before + most, side="right"))
        last = max(last, first + 1)
        yield first, last
        first = last
