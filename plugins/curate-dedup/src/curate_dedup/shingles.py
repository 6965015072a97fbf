"""Texts as sets of shingles, hashed: runs of neighbouring words or characters."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate_dedup.pairs import Indices, slices
from curate_dedup.texts import hashes

Unit = Literal["word", "character"]

_BYTES = 4_000_000  # of texts cut at once; their tokens take some twenty times as many
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no token of a run is lost
_SPACES = ["\n", "\t", "\r", "\v", "\f"]


@dataclass(frozen=True)
class Shingles:
    """The shingles of some texts, one after the other; one may occur several times.

    Args:
        hashes: uint64 [s].
        ends: int64 [n + 1]; text i has those from `ends[i]` to `ends[i + 1]`.
    """

    hashes: NDArray[np.uint64]
    ends: Indices

    def __len__(self) -> int:
        return len(self.ends) - 1

    @property
    def lengths(self) -> Indices:
        """How many shingles each text has: int64 [n]."""
        return np.diff(self.ends)

    def take(self, which: Indices) -> Shingles:
        """Those of some texts."""
        lengths = self.lengths[which]
        ends = _ends(lengths)
        at = np.arange(ends[-1]) + np.repeat(self.ends[which] - ends[:-1], lengths)
        return Shingles(self.hashes[at], ends)

    def then(self, other: Shingles) -> Shingles:
        """These texts, and then others."""
        ends = np.concatenate([self.ends, self.ends[-1] + other.ends[1:]])
        return Shingles(np.concatenate([self.hashes, other.hashes]), ends)


def shingles_of(texts: pl.Series, unit: Unit, size: int) -> Shingles:
    """Cut texts into shingles.

    Words are what stands between ASCII white space. A text of fewer tokens than a shingle has is
    one shingle; a text without any token has none.

    Args:
        texts: Strings, without nulls.
        unit: What a token is.
        size: Tokens of a shingle.
    """
    some = [texts[first:last] for first, last in slices(texts.str.len_bytes().to_numpy(), _BYTES)]
    with ThreadPoolExecutor(2) as pool:  # what takes time lets go of the interpreter
        parts = list(pool.map(lambda part: _part(part, unit, size), some))
    if not parts:
        return Shingles(np.empty(0, dtype=np.uint64), np.zeros(1, dtype=np.int64))
    lengths = np.concatenate([part.lengths for part in parts])
    return Shingles(np.concatenate([part.hashes for part in parts]), _ends(lengths))


def _part(texts: pl.Series, unit: Unit, size: int) -> Shingles:
    if unit == "word":
        spaced = texts.str.replace_many(_SPACES, [" "] * len(_SPACES))
        tokens, lengths = _exploded(spaced.str.split(" "))
        empty = (tokens == "").to_numpy()
        if empty.any():
            lengths = lengths - _counts(empty, lengths)
            tokens = tokens.filter(pl.Series(~empty))
    else:
        tokens, lengths = _exploded(texts.str.split(""))
    return _rolled(hashes(tokens), lengths, size)


def _exploded(lists: pl.Series) -> tuple[pl.Series, Indices]:
    lengths = lists.list.len().to_numpy().astype(np.int64)
    tokens = lists.explode()
    if (lengths == 0).any():  # an empty list explodes to a null
        tokens = tokens.drop_nulls()
    return tokens, lengths


def _counts(marks: NDArray[np.bool_], lengths: Indices) -> Indices:
    """How many marks each text has."""
    before = np.concatenate([[0], np.cumsum(marks)])
    return np.diff(before[_ends(lengths)])


def _rolled(tokens: NDArray[np.uint64], lengths: Indices, size: int) -> Shingles:
    """Hashes of runs of tokens: of `size` tokens, or of all where there are fewer."""
    runs = max(len(tokens) - size + 1, 0)
    rolled = tokens[:runs].copy()  # at each token, whether or not its run ends in the same text
    for step in range(1, size):
        rolled = rolled * _MIX + tokens[step : step + runs]
    starts = _ends(lengths)[:-1]
    ends = _ends(np.where(lengths >= size, lengths - size + 1, np.minimum(lengths, 1)))
    made = np.diff(ends)
    at = np.arange(ends[-1]) + np.repeat(starts - ends[:-1], made)
    whole = at < runs
    hashes = np.empty(len(at), dtype=np.uint64)
    hashes[whole] = rolled[at[whole]]
    for length in range(1, size):
        texts = np.flatnonzero(lengths == length)
        short = tokens[starts[texts]]
        for step in range(1, length):
            short = short * _MIX + tokens[starts[texts] + step]
        hashes[ends[texts]] = short
    return Shingles(hashes, ends)


def _ends(lengths: Indices) -> Indices:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
