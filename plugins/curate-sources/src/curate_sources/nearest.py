"""How near vectors are to the labelled ones of each ability. Imported when a stage works."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_PAIRS = 8192  # pairs computed in float64 at once


def scores(
    vectors: NDArray[np.float32], groups: Sequence[NDArray[np.float32]], k: int
) -> NDArray[np.float64]:
    """The mean cosine of each vector to its k nearest of each group, of all of a smaller group.

    A product of all with all in float32, whose error is bounded, says which could be among the k;
    the cosines of these are computed in float64, pair by pair, and added from the highest down. So
    a number depends on its vector and its group alone, to the bit, whatever else is computed with
    it and in whatever order.

    Args:
        vectors: Finite, float32 [rows, width], of any length.
        groups: Each finite, float32 [examples, width] with at least one example.
        k: At least 1.

    Returns:
        float64 [rows, groups]; a vector of zeros has a cosine of 0 to all.
    """
    found = np.empty((len(vectors), len(groups)))
    units = _units(vectors)
    for at, group in enumerate(groups):
        found[:, at] = _means(vectors, units, group, min(k, len(group)))
    return found


def _means(
    vectors: NDArray[np.float32], units: NDArray[np.float32], group: NDArray[np.float32], k: int
) -> NDArray[np.float64]:
    """The mean of each vector's k highest cosines to a group that has as many; float64 [rows]."""
    products = units @ _units(group).T
    # a product of unit vectors in float32 errs by less than width * 2**-24, scaling by a few more
    slack = 2 * (vectors.shape[1] + 8) * 2.0**-24
    last = np.partition(products, len(group) - k, axis=1)[:, len(group) - k, None]
    row, example = np.nonzero(products >= last - slack)
    cosine = _cosines(vectors, group, row, example)
    order = np.lexsort((-cosine, row))
    starts = np.searchsorted(row, np.arange(len(vectors)))  # `nonzero` goes row by row
    highest = cosine[order]
    total = np.zeros(len(vectors))
    for place in range(k):
        total += highest[starts + place]
    return total / k


def _cosines(
    vectors: NDArray[np.float32],
    group: NDArray[np.float32],
    row: NDArray[np.intp],
    example: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Cosines of pairs in float64, 0 where one of the two vectors is zero."""
    found = np.empty(len(row))
    for start in range(0, len(row), _PAIRS):
        part = slice(start, start + _PAIRS)
        a = vectors[row[part]].astype(np.float64)
        b = group[example[part]].astype(np.float64)
        lengths = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
        dots = (a * b).sum(axis=1)
        found[part] = np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)
    return found


def _units(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """At length 1; zero stays zero."""
    wide = vectors.astype(np.float64)
    lengths = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    scaled: NDArray[np.float32] = np.divide(
        wide, lengths, out=np.zeros_like(wide), where=lengths > 0
    ).astype(np.float32)
    return scaled
