"""Near pairs of texts by MinHash and bands, each verified by its exact Jaccard similarity.

MinHash and its bands: Broder 1997; Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rensa import RMinHash, RMinHashLSH

from curate_dedup.pairs import Indices, Pairs, Wanted, slices
from curate_dedup.shingles import Shingles

_SEED = 1
_MISSED = 0.01
_ROWS = 20_000  # signatures read at once, as Python integers
_CANDIDATES = 2_000_000  # pairs looked at together
_BELOW = 0.1  # down to so far below the floor nearly all pairs become candidates
_SHINGLES = 10_000_000  # compared at once


@dataclass(frozen=True)
class Bands:
    """How signatures are cut: texts that agree in a whole band are candidates.

    Args:
        bands: How many there are.
        rows: Values in each.
    """

    bands: int
    rows: int

    def chance(self, similarity: float) -> float:
        """The probability that a pair of some Jaccard similarity becomes a candidate."""
        return 1.0 - (1.0 - similarity**self.rows) ** self.bands


def bands_for(similarity: float, permutations: int) -> Bands:
    """The most selective bands that miss at most 1 in 100 pairs of exactly some similarity.

    Args:
        similarity: Jaccard similarity from which on pairs are to be found.
        permutations: Values of a signature, at most.
    """
    found = Bands(permutations, 1)
    for rows in range(2, permutations + 1):
        bands = Bands(permutations // rows, rows)
        if 1.0 - bands.chance(similarity) <= _MISSED:
            found = bands
    return found


class MinHashFinder:
    """See `curate_dedup.pairs.Finder`; similarities are Jaccard's.

    Args:
        shingles: Those of each text.
        floor: Jaccard similarity from which on two texts are near.
        cut: How signatures are cut into bands.
    """

    block = 4096

    def __init__(self, shingles: Shingles, floor: float, cut: Bands) -> None:
        self.count = len(shingles)
        self.floor = floor
        self.gap = _BELOW
        self.cut = cut
        values = self.cut.bands * self.cut.rows
        flagged = _flagged(shingles, values, self.cut.bands)
        self._place = np.full(self.count, -1)
        self._place[flagged] = np.arange(len(flagged))
        self._item = flagged
        few = shingles.take(flagged)
        self._sets = sets_of(few)
        self._buckets = [_Buckets(hashes) for hashes in _bands(few, self.cut)]

    def near(
        self, start: int, stop: int, wanted: Wanted | None = None, until: int | None = None
    ) -> Iterator[Pairs]:
        """See `Finder`."""
        low, high = np.searchsorted(self._item, [start, stop])
        limit = None if until is None else int(np.searchsorted(self._item, until))
        counts = np.zeros(high - low, dtype=np.int64)
        for bucket in self._buckets:
            counts += bucket.counts(low, high, limit)
        for first, last in slices(counts, _CANDIDATES):
            codes = [b.candidates(low + first, low + last, limit) for b in self._buckets]
            code = np.unique(np.concatenate(codes)) if codes else np.empty(0, dtype=np.int64)
            late, early = self._item[code >> 32], self._item[code & 0xFFFFFFFF]
            if wanted is not None:
                chosen = wanted(late, early)
                late, early = late[chosen], early[chosen]
            similarity = jaccard(self._sets, self._place[late], self._place[early])
            self.gap = float(np.abs(similarity - self.floor).min(initial=self.gap))
            yield Pairs(late, early, similarity).take(similarity >= self.floor)


class _Buckets:
    """Texts that agree in one band, and which of them come before which."""

    def __init__(self, hashes: NDArray[np.uint64]) -> None:
        count = len(hashes)
        self.order = np.argsort(hashes, kind="stable")
        in_order = hashes[self.order]
        opens = np.ones(count, dtype=np.bool_)
        opens[1:] = in_order[1:] != in_order[:-1]
        first = np.maximum.accumulate(np.where(opens, np.arange(count), 0))
        self.at = np.empty(count, dtype=np.int64)
        self.at[self.order] = np.arange(count)
        self.first = first[self.at]
        self._limit = -1
        self._before = np.zeros(1, dtype=np.int64)

    def _ends(self, low: int, high: int, limit: int | None) -> Indices:
        if limit is None:
            return self.at[low:high]
        if limit != self._limit:
            self._limit = limit
            self._before = np.concatenate([[0], np.cumsum(self.order < limit)])
        # within a bucket texts stand in order, so those below the limit come first
        first, before = self.first[low:high], self._before
        return np.asarray(first + before[self.at[low:high]] - before[first])

    def counts(self, low: int, high: int, limit: int | None) -> Indices:
        """How many earlier texts share the bucket of each text in [low, high)."""
        return self._ends(low, high, limit) - self.first[low:high]

    def candidates(self, low: int, high: int, limit: int | None) -> Indices:
        """These pairs, as late * 2**32 + early."""
        counts = self.counts(low, high, limit)
        late = np.repeat(np.arange(low, high), counts)
        ends = np.cumsum(counts)
        at = np.arange(len(late)) - np.repeat(ends - counts, counts)
        early = self.order[np.repeat(self.first[low:high], counts) + at]
        return (late << 32) | early


def sets_of(shingles: Shingles) -> pl.Series:
    """The distinct shingles of each text: list of uint64 [n]."""
    text = np.repeat(np.arange(len(shingles)), shingles.lengths)
    held = pl.DataFrame({"text": text, "set": shingles.hashes})
    sets = held.group_by("text").agg(pl.col("set").unique())
    texts = pl.DataFrame({"text": np.arange(len(shingles))})
    found = texts.join(sets, on="text", how="left", maintain_order="left")["set"]
    return found.fill_null(pl.Series([[]], dtype=found.dtype))


def jaccard(sets: pl.Series, left: Indices, right: Indices) -> NDArray[np.float64]:
    """Shared shingles by all shingles of pairs of texts, 0 where neither has any: float64 [p]."""
    found = np.zeros(len(left))
    sizes = sets.list.len().to_numpy().astype(np.int64)
    for first, last in slices(sizes[left] + sizes[right], _SHINGLES):
        part = slice(first, last)
        one, other = sets.gather(left[part]), sets.gather(right[part])
        shared = one.list.set_intersection(other).list.len().to_numpy().astype(np.float64)
        union = sizes[left[part]] + sizes[right[part]] - shared
        np.divide(shared, union, out=found[part], where=union > 0)
    return found


def _flagged(shingles: Shingles, values: int, bands: int) -> Indices:
    """Texts with a shingle that are a candidate with any other, in order."""
    some = np.flatnonzero(shingles.lengths > 0)
    if len(some) < 2:
        return np.empty(0, dtype=np.int64)
    known = shingles if len(some) == len(shingles) else shingles.take(some)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        known.hashes, known.ends.astype(np.uint64), values, _SEED
    )
    index = RMinHashLSH(0.5, values, bands)  # it cuts into the bands given; 0.5 plays no part
    flags = index.query_duplicate_flags_matrix_one_shot(matrix)
    return some[np.asarray(flags, dtype=np.bool_)]


def _bands(shingles: Shingles, cut: Bands) -> Iterator[NDArray[np.uint64]]:
    """A hash of each band of the texts' signatures: uint64 [n], band after band."""
    values = cut.bands * cut.rows
    mixed = np.empty((len(shingles), cut.bands), dtype=np.uint64)
    for start in range(0, len(shingles), _ROWS):
        some = np.arange(start, min(start + _ROWS, len(shingles)))
        part = shingles.take(some)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(
            part.hashes, part.ends.astype(np.uint64), values, _SEED
        )
        rows = np.array(matrix.to_rows(), dtype=np.uint64)
        mixed[some] = _mixed(rows.reshape(len(some), cut.bands, cut.rows))
    yield from mixed.T


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One number for the last axis; an accidental agreement only costs a look."""
    mixed = values[..., 0].copy()
    for at in range(1, values.shape[-1]):
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) + values[..., at]
    return mixed
