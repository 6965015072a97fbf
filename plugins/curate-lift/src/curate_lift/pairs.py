"""Pairs of related examples: near in a space of embeddings.

Imported when a stage works.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from curate_lift.vectors import Vectors

_BLOCK = 256  # rows whose similarities to all others are in memory at once


def candidates(
    vectors: Vectors,
    groups: Sequence[str | None] | None,
    neighbours: int,
    lowest: float,
    highest: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Each row with the rows nearest to it, of those that it may be paired with.

    Args:
        vectors: float32 [rows, width], none of them zero.
        groups: Rows of the same group, or of none, are not paired; None: all may be.
        neighbours: How many for each row at most.
        lowest: The least cosine similarity.
        highest: The greatest.

    Returns:
        Places int64 [pairs, 2], each pair once, the smaller place first, in ascending order, and
        their cosine similarities float64 [pairs].
    """
    unit = vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    codes = None
    if groups is not None:
        numbers = {name: at for at, name in enumerate(dict.fromkeys(groups)) if name is not None}
        codes = np.array([numbers.get(name, -1) if name else -1 for name in groups])
    found = [np.empty((0, 2), dtype=np.int64), *_nearest(unit, codes, neighbours, lowest, highest)]
    pairs = np.unique(np.sort(np.concatenate(found), axis=1), axis=0)
    return pairs, np.einsum("ij,ij->i", unit[pairs[:, 0]], unit[pairs[:, 1]])


def _nearest(
    unit: NDArray[np.float64],
    codes: NDArray[np.int64] | None,
    neighbours: int,
    lowest: float,
    highest: float,
) -> Iterator[NDArray[np.int64]]:
    """Pairs of places [pairs, 2], some rows at a time; a pair may come from both of its ends."""
    for start in range(0, len(unit), _BLOCK):
        here = np.arange(start, min(start + _BLOCK, len(unit)))
        similar = unit[here] @ unit.T
        similar[(similar < lowest) | (similar > highest)] = -np.inf
        similar[np.arange(len(here)), here] = -np.inf
        if codes is not None:
            mine = codes[here][:, None]
            similar[(mine == codes) | (mine < 0) | (codes < 0)] = -np.inf
        # a row's neighbours are all that are nearer than the last of so many, and of those as far
        # as it the first by their place
        count = min(neighbours, similar.shape[1])
        last = -np.partition(-similar, count - 1, axis=1)[:, count - 1][:, None]
        nearer, equal = similar > last, similar == last
        room = count - nearer.sum(axis=1, keepdims=True)
        chosen = nearer | (equal & (equal.cumsum(axis=1) <= room))
        rows, near = np.nonzero(chosen & np.isfinite(similar))
        yield np.stack([here[rows], near], axis=1)


def paired(
    pairs: NDArray[np.int64], similar: NDArray[np.float64], each: int, most: int | None
) -> list[tuple[int, int]]:
    """Take pairs, the most similar first, as long as none of its rows has enough.

    Args:
        pairs: Places int64 [pairs, 2]; places are in the order of ids, and break ties.
        similar: Their similarities.
        each: In how many pairs a row may be.
        most: How many pairs are taken at most; None: all that there are.
    """
    times = np.zeros(int(pairs.max(initial=-1)) + 1, dtype=np.int64)
    taken: list[tuple[int, int]] = []
    for at in np.lexsort((pairs[:, 1], pairs[:, 0], -similar)):
        if most is not None and len(taken) == most:
            break
        one, two = (int(place) for place in pairs[at])
        if times[one] < each and times[two] < each:
            times[[one, two]] += 1
            taken.append((one, two))
    return taken
