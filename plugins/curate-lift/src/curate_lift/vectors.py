"""Vectors in an order that is theirs alone.

Imported when a stage works.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xxhash
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

_BLOCK = 4096  # vectors that are float64 at once


def ordered(vectors: Vectors) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """An order that depends on what the vectors are, not on where they stand.

    Returns:
        `order` int64 [rows], the places of the vectors by their xxh3-128, and `number` int64
        [rows]: which of the different vectors, from 0 on, stands at each place of that order.
    """
    digests = b"".join(xxhash.xxh3_128_digest(row.tobytes()) for row in vectors)
    keys = np.frombuffer(digests, dtype="<u8").reshape(-1, 2)
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    new = (np.diff(keys[order], axis=0) != 0).any(axis=1)
    return order, np.concatenate([np.zeros(min(len(order), 1), np.int64), np.cumsum(new)])


def blocks(vectors: Vectors, order: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
    """The vectors in this order as float64, some thousands at a time."""
    for at in range(0, len(order), _BLOCK):
        yield vectors[order[at : at + _BLOCK]].astype(np.float64)
