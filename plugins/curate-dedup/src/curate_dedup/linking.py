"""Which of many near items stay: by stars around those that stay, or by chains.

Items come in their order of preference. Fixed ones stay whatever they are near, and come first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curate_dedup.pairs import Finder, Indices, Pairs, joined


def star(finder: Finder, fixed: NDArray[np.bool_]) -> Indices:
    """Walk items in order: one stays unless it is near one that stayed before it.

    Args:
        finder: Finds the pairs that are near.
        fixed: Boolean [n], true for items that stay.

    Returns:
        int64 [n]: the first item that stayed and is near, -1 for items that stay.
    """
    survivor = np.full(finder.count, -1, dtype=np.int64)

    def stays(_late: Indices, early: Indices) -> NDArray[np.bool_]:
        return np.less(survivor[early], 0)

    for start in range(0, finder.count, finder.block):
        stop = min(start + finder.block, finder.count)
        pairs = joined(list(finder.near(start, stop, stays))).sorted()
        for late, early in zip(pairs.late.tolist(), pairs.early.tolist(), strict=True):
            if survivor[late] < 0 and survivor[early] < 0 and not fixed[late]:
                survivor[late] = early
    return survivor


def chain(first: Indices, fixed: NDArray[np.bool_]) -> Indices:
    """Items that are joined by near pairs, directly or over others, are one: the first stays.

    Args:
        first: int64 [n], see `joined_with`.
        fixed: Boolean [n], true for items that stay.

    Returns:
        int64 [n]: the first item that it is joined with, -1 for items that stay.
    """
    survivor = np.where(first == np.arange(len(first)), -1, first)
    survivor[fixed] = -1
    return survivor


def joined_with(finder: Finder) -> Indices:
    """The first item that each is joined with by near pairs, directly or over others.

    Args:
        finder: Finds the pairs that are near.

    Returns:
        int64 [n]: itself for the first of those that are joined, and for an item alone.
    """
    first = np.arange(finder.count)  # of those that each is joined with so far

    def ends(_late: Indices, early: Indices) -> NDArray[np.bool_]:
        return np.equal(first[early], early)

    def apart(late: Indices, early: Indices) -> NDArray[np.bool_]:
        return np.not_equal(first[late], first[early])

    for start in range(0, finder.count, finder.block):
        stop = min(start + finder.block, finder.count)
        for wanted in (ends, apart):  # first those that spare a crowd most of its pairs
            pairs = joined(list(finder.near(start, stop, wanted)))
            if len(pairs):
                first = _merged(first, pairs)
    return first


def _merged(first: Indices, pairs: Pairs) -> Indices:
    """What each is joined with first when pairs are joined too."""
    one, other = first[pairs.late], first[pairs.early]
    while not np.array_equal(one, other):
        least = np.minimum(one, other)
        np.minimum.at(first, one, least)
        np.minimum.at(first, other, least)
        while not np.array_equal(first, first[first]):
            first = first[first]
        one, other = first[one], first[other]
    return first
