"""Cosines to samples, and turns taken by them. Imported when a stage works."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

_CHUNK = 8192  # rows multiplied at once
_CELLS = 2**24  # cosines held at once: 128 MiB


def cosines(
    vectors: NDArray[np.float32], samples: NDArray[np.float32]
) -> Iterator[NDArray[np.float64]]:
    """The cosines of all rows to one sample after another.

    Products are made in float64 over the distinct vectors in the order of their bytes. So equal
    vectors have equal cosines, and the order of rows changes none.

    Args:
        vectors: Finite, float32 [rows, width].
        samples: Finite, float32 [samples, width].

    Yields:
        float64 [rows], for each sample in turn; 0 where one of the two vectors is zero.
    """
    rows = np.ascontiguousarray(vectors) + np.float32(0)  # -0 is 0
    as_bytes = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
    _, first, place = np.unique(as_bytes, return_index=True, return_inverse=True)
    distinct = rows[first]
    block = max(_CELLS // max(len(distinct), 1), 1)
    for start in range(0, len(samples), block):
        found = _block(distinct, _scaled(samples[start : start + block]))
        for column in found:
            yield column[place]


def _block(rows: NDArray[np.float32], samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosines, float64 [samples, rows]."""
    found = np.empty((len(samples), len(rows)))
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        found[:, part] = samples @ _scaled(rows[part]).T
    return found


def _scaled(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """At length 1, in float64; zero stays zero."""
    wide = vectors.astype(np.float64)
    lengths = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    scaled = np.zeros_like(wide)
    np.divide(wide, lengths, out=scaled, where=lengths > 0)
    return scaled


def nearest(vectors: NDArray[np.float32], samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """The highest cosine of each row to any of the samples, at least one; float64 [rows]."""
    best = np.full(len(vectors), -np.inf)
    for column in cosines(vectors, samples):
        np.maximum(best, column, out=best)
    return best


def turns(columns: Iterable[NDArray[np.float64]], count: int) -> NDArray[np.int64]:
    """In which turn each row is taken for the first time.

    In every round each of the columns has one turn, in their order, and takes the row that stands
    highest in it of those that it has not yet taken itself; ties go to the earlier row. Where
    another has taken that row before, the turn takes nothing. So a row is taken in the earliest of
    the turns in which it is next: the minimum over columns of `place * count + column`.

    Args:
        columns: Numbers for all rows, float64 [rows] each; ties go to the row that stands first.
        count: How many columns there are.

    Returns:
        int64 [rows], 0 the first turn; no two are equal.
    """
    found: NDArray[np.int64] | None = None
    for at, column in enumerate(columns):
        turn = np.empty(len(column), dtype=np.int64)
        turn[np.argsort(-column, kind="stable")] = np.arange(len(column)) * count + at
        found = turn if found is None else np.minimum(found, turn)
    if found is None:
        raise ValueError("nobody takes turns")
    return found
