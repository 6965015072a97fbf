"""Hashes of runs, and how often equal runs occur in a text. Imported where texts are measured.

Runs are told apart by hashes of 64 bits, less those that number the texts looked at together: at
most 4,096 texts of at most 65,536 characters (12 bits), or one longer text by itself (1 bit). The
probability that two different runs of one text are taken for equal is about m**2 / 2**53 for its m
runs: 1e-10 for 1,000 characters, 5e-7 for the longest that is not by itself, 6e-8 for 1,000,000.
The hashes have no seed: the same text always gives the same
number. Nothing guards them against one who looks for texts that collide.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from curate_text.characters import PIECE, Counts, Marks

Hashes = NDArray[np.uint64]

_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio
_BASE = 0xD6E8FEB86659FD93
_INVERSE = pow(_BASE, -1, 1 << 64)


def mixed(codes: NDArray[np.int64]) -> Hashes:
    """Spread numbers over 64 bits: the finalizer of SplitMix64 (Steele et al. 2014)."""
    values = (codes.astype(np.uint64) + np.uint64(1)) * _ODD
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def of_runs(values: Hashes, starts: Counts, ends: Counts) -> Hashes:
    """One hash for each run `values[start:end]`, the same wherever the run stands."""
    if not len(starts):
        return np.empty(0, np.uint64)
    sums_of = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(values * _powers(_BASE, len(values)), out=sums_of[1:])
    shifted = (sums_of[ends] - sums_of[starts]) * _powers(_INVERSE, len(values))[starts]
    return (shifted ^ (shifted >> np.uint64(32))) * _ODD


def _powers(base: int, count: int) -> Hashes:
    size = 1 << (count - 1).bit_length()
    return (_kept_powers if size <= PIECE else _new_powers)(base, size)[:count]


def _new_powers(base: int, count: int) -> Hashes:
    powers = np.full(count, base, np.uint64)
    powers[0] = 1
    return np.cumprod(powers, dtype=np.uint64)


_kept_powers = cache(_new_powers)


def windows(values: Hashes, n: int) -> Hashes:
    """One hash for each `n` neighbours: `len(values) - n + 1` of them, none where that is below 1.

    Windows of m and m give those of 2 m, so that it takes about log2(n) passes.
    """
    if len(values) < n:
        return np.empty(0, np.uint64)
    width = 1
    while width < n:
        step = min(width, n - width)
        values = _paired(values[:-step], values[step:])
        width += step
    return values


def _paired(first: Hashes, second: Hashes) -> Hashes:
    pair = first * _ODD
    pair ^= pair >> np.uint64(29)
    pair += second
    return pair


def within(sizes: Counts, n: int, gap: int) -> tuple[Counts, Marks]:
    """Windows that lie in one text: how many of each, and which of all are among them.

    Args:
        sizes: Values of each text.
        n: Values of a window.
        gap: Values that stand between two texts.
    """
    own = np.maximum(sizes - n + 1, 0)
    runs = np.column_stack([own, sizes + gap - own]).ravel()
    inside = np.repeat(np.tile([True, False], len(sizes)), runs)
    return own, inside[: max(int(sizes.sum()) + gap * len(sizes) - n + 1, 0)]


class Repeats:
    """How often equal windows occur in each text.

    Args:
        hashes: Of the windows, text by text.
        own: How many windows each text has.

    Attributes:
        total: Windows of each text.
        distinct: Of these, how many differ.
        owner: Of each window that occurs more than once, its text, ascending.
        times: How often it occurs.
    """

    def __init__(self, hashes: Hashes, own: Counts) -> None:
        self.total = own
        bits = np.uint64(max(len(own) - 1, 1).bit_length())
        texts = np.repeat(np.arange(len(own), dtype=np.uint64) << (np.uint64(64) - bits), own)
        keys = np.sort(texts | (hashes >> bits))
        first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)])
        times = np.diff(first, append=len(keys))
        again = times > 1
        owner = (keys[first[again]] >> (np.uint64(64) - bits)).astype(np.int64)
        self.owner, self.times = owner, times[again]
        surplus = np.bincount(owner, self.times - 1, len(own)).astype(np.int64)
        self.distinct = own - surplus

    def covered(self) -> Counts:
        """Windows of each text that occur more than once, every occurrence counted."""
        return np.bincount(self.owner, self.times, len(self.total)).astype(np.int64)

    def most(self) -> Counts:
        """Occurrences of the most frequent windows of each text: floor(sqrt(distinct)) of them.

        Only windows that occur more than once are among them.
        """
        order = np.lexsort((-self.times, self.owner))
        owner, times = self.owner[order], self.times[order]
        place = np.arange(len(owner)) - np.searchsorted(owner, owner)
        taken = place < np.floor(np.sqrt(self.distinct))[owner]
        return np.bincount(owner[taken], times[taken], len(self.total)).astype(np.int64)


def share(part: Counts, whole: Counts) -> NDArray[np.float64]:
    """Part by whole, 0 where there is nothing."""
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
