"""Constant shapes: which texts pass through a model together, and in what form.

The bits of a forward pass depend on the shape of its batch, not on what else is in it. So the
padded length is made a function of the text alone and the number of rows a function of that
length: a text then has the same value in every company. Imported by `encoder` only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOKENS = 1024
"""Tokens of one batch, roughly: more leave the processor's caches, fewer keep it waiting."""

MULTIPLE = 8
"""Rows of a batch are a multiple of this, lengths too, up to as many as the model takes."""


@dataclass(frozen=True)
class Shape:
    """One batch.

    Args:
        length: Padded length in tokens.
        rows: Rows of the batch; where texts are fewer, the last one is repeated.
        positions: int64 positions of its texts, at most `rows`.
    """

    length: int
    rows: int
    positions: NDArray[np.int64]


def rows_of(length: int) -> int:
    """Rows of every batch of this padded length."""
    return max(MULTIPLE, TOKENS // length // MULTIPLE * MULTIPLE)


def padded(lengths: NDArray[np.int64], longest: int) -> NDArray[np.int64]:
    """The padded length of each text: the next step above its own, or the longest.

    A step is an eighth of the largest power of two within the length, at least 8: the padding
    stays small beside the text, and the number of different shapes, each with a last batch that
    has to be filled up, grows with the logarithm of the length only.
    """
    powers = 2 ** np.floor(np.log2(lengths)).astype(np.int64)
    steps = np.maximum(powers // 8, MULTIPLE)
    return np.minimum((lengths // steps + 1) * steps, longest)


def plan(lengths: NDArray[np.int64], longest: int) -> Iterator[Shape]:
    """Cut texts into batches, shortest first.

    Texts as long as the model takes have batches of their own: a model may take another path
    through attention where nothing is masked, so a batch has padding in every row or in none.

    Args:
        lengths: int64 [n], tokens of each text, from 1 to `longest`.
        longest: Tokens after which texts were cut.

    Yields:
        Batches that hold each text once.
    """
    widths = padded(lengths, longest)
    kinds = 2 * widths + (lengths == widths)
    order = np.argsort(kinds, kind="stable")
    ends = np.flatnonzero(np.diff(kinds[order], append=-1)) + 1
    start = 0
    for end in ends.tolist():
        length = int(widths[order[start]])
        rows = rows_of(length)
        for at in range(start, end, rows):
            yield Shape(length, rows, order[at : min(at + rows, end)])
        start = end
