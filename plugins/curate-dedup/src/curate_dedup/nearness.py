"""Greedy near-duplicates among vectors, exact and in bounded memory. Imported when a stage works.

Rows come in their order of preference. Blocks of them are compared in float32 with the rows that
stayed so far, which is fast but off by a rounding error that depends on how rows are cut into
blocks. A pair nearer to the threshold than that error can reach is computed again in float64, by
itself. So decisions depend on the vectors alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1024  # rows walked at once
_CHUNK = 8192  # rows that a block is compared with at once: 32 MiB of cosines
_PAIRS = 8192  # pairs computed in float64 at once


@dataclass(frozen=True)
class Found:
    """What became of each row.

    Args:
        survivor: int64 [n], the row that stands for it; -1 where it stays itself.
        similarity: float64 [n], its cosine to that row; NaN where it stays.
        margin: How far from the threshold the nearest similarity stood that decided something;
            where none was within the rounding error of float32, that error as a lower bound.
    """

    survivor: NDArray[np.int64]
    similarity: NDArray[np.float64]
    margin: float


def greedy(
    vectors: NDArray[np.float32],
    asked: NDArray[np.bool_],
    threshold: float,
    *,
    block: int = _BLOCK,
    chunk: int = _CHUNK,
) -> Found:
    """Walk rows in order; one stays unless it is near a row that stayed before it.

    Args:
        vectors: float32 [n, width], finite, of any length; a zero vector is near nothing.
        asked: Boolean [n], false for rows that stay whatever they are near; these come first.
        threshold: Cosine from which on two rows are near, above 0.
        block: Rows walked at once; changes no result.
        chunk: Rows that a block is compared with at once; changes no result.
    """
    walk = _Walk(vectors, threshold)
    count = len(vectors)
    first = int(np.count_nonzero(~asked))
    walk.stay(np.arange(first))
    for start in range(first, count, block):
        rows = np.arange(start, min(start + block, count))
        for at in range(0, walk.stayed, chunk):
            walk.compare(rows, slice(at, min(at + chunk, walk.stayed)))
            rows = rows[walk.survivor[rows] < 0]
        walk.among(rows)
    dropped = np.flatnonzero(walk.survivor >= 0)
    similarity = np.full(count, np.nan)
    similarity[dropped] = walk.exact(dropped, walk.survivor[dropped])
    return Found(walk.survivor, similarity, walk.margin)


class _Walk:
    """The state of one walk: who stayed, in order, and who is dropped in whose favour."""

    def __init__(self, vectors: NDArray[np.float32], threshold: float) -> None:
        count, width = vectors.shape
        self.vectors = vectors
        self.threshold = threshold
        # A float32 dot product of unit vectors errs by less than width * 2**-24, and scaling them
        # to unit length by a few 2**-24 more.
        self.slack = max(1e-4, (width + 8) * 2.0**-24)
        self.margin = self.slack
        self.units = _units(vectors)
        self.survivor = np.full(count, -1, dtype=np.int64)
        self.kept = np.empty(count, dtype=np.int64)
        self.kept_units = np.empty((count, width), dtype=np.float32)
        self.stayed = 0

    def stay(self, rows: NDArray[np.int64]) -> None:
        """Rows that stay, after those that stayed before."""
        end = self.stayed + len(rows)
        self.kept[self.stayed : end] = rows
        self.kept_units[self.stayed : end] = self.units[rows]
        self.stayed = end

    def compare(self, rows: NDArray[np.int64], part: slice) -> None:
        """Drop those of `rows` that are near a row of this part of those that stayed."""
        near = self.units[rows] @ self.kept_units[part].T
        others = self.kept[part]
        for at in self._candidates(near):
            hits = np.flatnonzero(near[at] >= self.threshold - self.slack)
            self.survivor[rows[at]] = self._first(rows[at], others[hits], near[at, hits])

    def among(self, rows: NDArray[np.int64]) -> None:
        """Walk `rows`, none of which is near a row that stayed before them."""
        near = self.units[rows] @ self.units[rows].T
        near[np.tri(len(rows), dtype=np.bool_)] = -1.0  # a row is compared with later ones only
        for at in self._candidates(near):
            if self.survivor[rows[at]] < 0:
                hits = np.flatnonzero(near[at] >= self.threshold - self.slack)
                hits = hits[self.survivor[rows[hits]] < 0]
                self._claim(rows[at], rows[hits], near[at, hits])
        self.stay(rows[self.survivor[rows] < 0])

    def exact(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float64]:
        """Cosines of pairs of rows in float64; 1 exactly for equal vectors, 0 for zero ones."""
        cosines = np.empty(len(left))
        for start in range(0, len(left), _PAIRS):
            part = slice(start, start + _PAIRS)
            a = self.vectors[left[part]].astype(np.float64)
            b = self.vectors[right[part]].astype(np.float64)
            lengths = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
            dots = (a * b).sum(axis=1)
            cosines[part] = np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)
        return cosines

    def _candidates(self, near: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.flatnonzero(near.max(axis=1, initial=-1.0) >= self.threshold - self.slack)

    def _first(self, row: int, others: NDArray[np.int64], near: NDArray[np.float32]) -> int:
        """The first of `others` that `row` is near, or -1."""
        certain = np.flatnonzero(near >= self.threshold + self.slack)
        unsure = np.arange(certain[0] if len(certain) else len(others))
        cosines = self.exact(np.full(len(unsure), row), others[unsure])
        passing = np.flatnonzero(cosines >= self.threshold)
        if len(passing):
            self._decided(cosines[: passing[0] + 1])
            return int(others[passing[0]])
        self._decided(cosines)
        return int(others[certain[0]]) if len(certain) else -1

    def _claim(self, row: int, others: NDArray[np.int64], near: NDArray[np.float32]) -> None:
        """Drop those of `others` that are near `row`, which stays."""
        close = near >= self.threshold + self.slack
        unsure = np.flatnonzero(~close)
        cosines = self.exact(np.full(len(unsure), row), others[unsure])
        self._decided(cosines)
        close[unsure] = cosines >= self.threshold
        self.survivor[others[close]] = row

    def _decided(self, cosines: NDArray[np.float64]) -> None:
        distance = np.abs(cosines - self.threshold).min(initial=self.margin)
        self.margin = float(distance)


def _units(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    units = np.empty_like(vectors)
    for start in range(0, len(vectors), _CHUNK):
        part = vectors[start : start + _CHUNK].astype(np.float64)
        lengths = np.sqrt((part * part).sum(axis=1, keepdims=True))
        units[start : start + _CHUNK] = np.divide(
            part, lengths, out=np.zeros_like(part), where=lengths > 0
        )
    return units
