"""Near pairs of vectors by cosine, exactly or among neighbouring cells of a partition.

Blocks of cosines come from float32, which errs by less than `slack`, depending on how vectors are
cut into blocks. A pair nearer to the floor than that is computed again in float64, by itself, and
so are the similarities handed out: they depend on the two vectors alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import xxhash
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

from curate_dedup.pairs import Indices, Pairs, Wanted
from curate_dedup.texts import Keys

Method = Literal["auto", "exact", "partition"]
Vectors = NDArray[np.float32]

EXACT = 131_072
"""Vectors up to which `auto` compares each with each."""

_CHUNK = 8192  # vectors that a block is compared with at once: 32 MiB of cosines
_BELOW = 0.05  # of cosine below the floor, looked at too: so that margins are known that far
_PAIRS = 8192  # pairs computed in float64 at once
_ROUNDS = 10  # of k-means: cells need not be the best ones
_TRAINED = 50_000  # vectors that cells are made from
_PROBES = 4  # cells probed at least
_EACH = 16  # near pairs of a sampled vector with each block of others, at most
_SAMPLE = 2048  # vectors compared with all, to choose the number of cells probed and to check it


def keys_of(vectors: Vectors) -> Keys:
    """128 bits of hash for each vector."""
    digests = b"".join(xxhash.xxh3_128_digest(row.tobytes()) for row in vectors)
    return np.frombuffer(digests, dtype="<u8").reshape(-1, 2)


def cosines(vectors: Vectors, left: Indices, right: Indices) -> NDArray[np.float64]:
    """Cosines of pairs of vectors in float64; 1 exactly for equal ones, 0 for zero ones."""
    found = np.empty(len(left))
    for start in range(0, len(left), _PAIRS):
        part = slice(start, start + _PAIRS)
        a = vectors[left[part]].astype(np.float64)
        b = vectors[right[part]].astype(np.float64)
        lengths = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
        dots = (a * b).sum(axis=1)
        found[part] = np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)
    return found


class VectorFinder:
    """See `curate_dedup.pairs.Finder`: each vector with each.

    Args:
        vectors: float32 [n, width], finite, of any length; a zero vector is near nothing.
        floor: Cosine from which on two vectors are near, above 0.
        block: See `Finder`; changes no result.
        chunk: Vectors that a block is compared with at once; changes no result.
    """

    def __init__(
        self, vectors: Vectors, floor: float, *, block: int = 1024, chunk: int = _CHUNK
    ) -> None:
        self.count = len(vectors)
        self.block = block
        self.floor = floor
        # A float32 dot product of unit vectors errs by less than width * 2**-24, and scaling them
        # to unit length by a few 2**-24 more.
        self.slack = max(_BELOW, (vectors.shape[1] + 8) * 2.0**-24)
        self.gap = self.slack
        self._vectors = vectors
        self._units = _units(vectors)
        self._chunk = chunk

    def near(
        self, start: int, stop: int, wanted: Wanted | None = None, until: int | None = None
    ) -> Iterator[Pairs]:
        """See `Finder`."""
        block = self._units[start:stop]
        end = stop if until is None else min(until, stop)
        for at in range(0, end, self._chunk):
            products = block @ self._units[at : min(at + self._chunk, end)].T
            late, early = np.nonzero(products >= self.floor - self.slack)
            yield self.checked(late + start, early + at, wanted)

    def checked(self, late: Indices, early: Indices, wanted: Wanted | None) -> Pairs:
        """Those of some pairs that are near, by their cosine in float64."""
        chosen = early < late
        late, early = late[chosen], early[chosen]
        if wanted is not None:
            chosen = wanted(late, early)
            late, early = late[chosen], early[chosen]
        similarity = cosines(self._vectors, late, early)
        self.gap = float(np.abs(similarity - self.floor).min(initial=self.gap))
        return Pairs(late, early, similarity).take(similarity >= self.floor)


@dataclass(frozen=True)
class Partition:
    """How vectors are cut into cells, and what was found out about it.

    Args:
        home: int64 [n], the cell of each vector.
        probed: int64 [n, probes], the cells that each is compared with, its own first.
        sampled: Near pairs of a sample of vectors with earlier ones, found exactly.
        missed: Those of them that the cells miss.
    """

    home: Indices
    probed: Indices
    sampled: int
    missed: int


class PartitionFinder(VectorFinder):
    """Each vector with those in its own cell and in neighbouring ones (SemDeDup, 2303.09540).

    The cells are made by k-means over some vectors, about as many as the square root of their
    number. Half of a sample of vectors, compared with all others, chooses how many cells are
    probed; the other half says which share of the near pairs that finds.

    Args:
        vectors: As for `VectorFinder`.
        floor: As for `VectorFinder`.
        recall: Share of the near pairs that is to be found.
    """

    def __init__(self, vectors: Vectors, floor: float, recall: float) -> None:
        super().__init__(vectors, floor, block=_CHUNK)
        cells = min(1 << round(np.log2(max(self.count, 1)) / 2), max(self.count, 1))
        self.partition = self._partitioned(cells, recall)
        order = np.argsort(self.partition.home, kind="stable")
        bounds = np.searchsorted(self.partition.home[order], np.arange(cells + 1))
        self._members = [order[low:high] for low, high in pairwise(bounds)]

    def near(
        self, start: int, stop: int, wanted: Wanted | None = None, until: int | None = None
    ) -> Iterator[Pairs]:
        """See `Finder`."""
        end = stop if until is None else min(until, stop)
        probed = self.partition.probed[start:stop]
        probes = probed.shape[1]
        flat = probed.ravel()
        order = np.argsort(flat, kind="stable")
        bounds = np.searchsorted(flat[order], np.arange(len(self._members) + 1))
        for cell, members in enumerate(self._members):
            rows = order[bounds[cell] : bounds[cell + 1]] // probes + start
            others = members[: np.searchsorted(members, end)]
            if len(rows) and len(others):
                products = self._units[rows] @ self._units[others].T
                late, early = np.nonzero(products >= self.floor - self.slack)
                yield self.checked(rows[late], others[early], wanted)

    def _partitioned(self, cells: int, recall: float) -> Partition:
        step = max(1, -(-self.count // _TRAINED))  # spread over all, whatever their order
        centres = _centres(self._units[::step], cells)
        home = self._cells(np.arange(self.count), centres, 1)[:, 0]
        spread = np.linspace(0, self.count, _SAMPLE, endpoint=False).astype(np.int64)
        rows = np.unique(spread)[: self.count]  # of no vectors, none
        place = np.empty((len(rows), cells), dtype=np.int64)  # of each cell for each vector
        order = self._cells(rows, centres, cells)
        np.put_along_axis(place, order, np.arange(cells)[None, :], axis=1)
        sampled, early = self._sampled(rows)
        tried = place[sampled, home[early]]  # cells probed before its own
        chooses = sampled % 2 == 0
        probes = min(_probes(tried[chooses], recall), cells)
        return Partition(
            home,
            self._cells(np.arange(self.count), centres, probes),
            int(np.count_nonzero(~chooses)),
            int(np.count_nonzero(tried[~chooses] >= probes)),
        )

    def _cells(self, rows: Indices, centres: Vectors, probes: int) -> Indices:
        """The nearest cells of some vectors, nearest first: int64 [rows, probes]."""
        halves = (centres * centres).sum(axis=1) / 2
        found = np.empty((len(rows), probes), dtype=np.int64)
        for at in range(0, len(rows), _CHUNK):
            far = halves - self._units[rows[at : at + _CHUNK]] @ centres.T
            some = np.argpartition(far, probes - 1, axis=1)[:, :probes]
            by_distance = np.argsort(np.take_along_axis(far, some, axis=1), axis=1, kind="stable")
            found[at : at + _CHUNK] = np.take_along_axis(some, by_distance, axis=1)
        return found

    def _sampled(self, rows: Indices) -> tuple[Indices, Indices]:
        """Near pairs of some vectors with earlier ones, each by its place in `rows`.

        Of a block of earlier vectors at most `_EACH` are taken for each: in a crowd there are more
        than enough.
        """
        sampled, earlier = [], []
        for at in range(0, self.count, _CHUNK):
            products = self._units[rows] @ self._units[at : at + _CHUNK].T
            near = products >= self.floor - self.slack
            near &= np.arange(at, at + near.shape[1])[None, :] < rows[:, None]
            near &= np.cumsum(near, axis=1, dtype=np.int32) <= _EACH
            which, early = np.nonzero(near)
            close = cosines(self._vectors, rows[which], early + at) >= self.floor
            sampled.append(which[close])
            earlier.append(early[close] + at)
        none = np.empty(0, dtype=np.int64)
        return np.concatenate([none, *sampled]), np.concatenate([none, *earlier])


def _centres(units: Vectors, cells: int) -> Vectors:
    if not len(units):
        return np.zeros((cells, units.shape[1]), dtype=np.float32)
    with warnings.catch_warnings():
        # k-means warns of cells that no vector is nearest to: they cost nothing here
        warnings.simplefilter("ignore", UserWarning)
        centres, _ = kmeans2(units, cells, iter=_ROUNDS, minit="points", rng=0)
    return np.asarray(centres, dtype=np.float32)


def _probes(tried: Indices, recall: float) -> int:
    """Cells to probe, so that half of what may be missed is."""
    if not len(tried):
        return _PROBES
    enough = int(np.ceil((1 + recall) / 2 * len(tried)))
    return max(int(np.sort(tried)[enough - 1]) + 1, _PROBES)


def _units(vectors: Vectors) -> Vectors:
    units = np.empty_like(vectors)
    for start in range(0, len(vectors), _CHUNK):
        part = vectors[start : start + _CHUNK].astype(np.float64)
        lengths = np.sqrt((part * part).sum(axis=1, keepdims=True))
        units[start : start + _CHUNK] = np.divide(
            part, lengths, out=np.zeros_like(part), where=lengths > 0
        )
    return units
