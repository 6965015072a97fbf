"""What a selection is to be compared with: random picks of its size, and the longest rows.

The selection was made by the filter or fuse that dropped the most rows (the last of several): the
pool is what it could drop, the selection what of that is in the version. Where nothing was dropped
since rows were last made there is none. The picks are a function of the set of rows alone: their
order plays no part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import xxhash
from numpy.typing import NDArray

from curate.ledger import Positions
from curate.run.arena import Arena

SHARED = ("source", "origin", "generator", "ability")
"""Columns whose shares are recorded."""

RANDOM = 5
"""Random picks, numbered from 1."""

BINS = (0, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
"""Lower ends of the bins of lengths, in characters; the last has no upper end."""

_QUANTILES = {"min": 0, "q1": 0.25, "median": 0.5, "q3": 0.75, "p90": 0.9, "max": 1}


def baselines(arena: Arena, pool: Positions, kept: Positions, seed: int) -> dict[str, Any] | None:
    """Compare what is left of a pool with picks of equal size from the same rows.

    Args:
        arena: All rows.
        pool: The rows among which the selection was made.
        kept: The rows of the version.
        seed: The recipe's.

    Returns:
        JSON values, None where all or none of the pool was kept: `pool` (rows), `bins` (see
        `BINS`), `expected` (`share` and `rows` of the selection that a random pick of its size
        shares with it on average), and what is said of each of `selection`, `random` (a list, with
        the number of each `pick`) and `length`: `size`, `overlap` (rows that it shares with the
        selection), `characters` (see `_Pool.describe`) and `shares` (column > value > rows).
    """
    chosen = np.isin(pool, kept)
    size = int(chosen.sum())
    if size in (0, len(pool)):
        return None
    rows = _Pool.of(arena, pool, chosen)
    return {
        "pool": len(pool),
        "expected": {"share": size / len(pool), "rows": size * size / len(pool)},
        "bins": list(BINS),
        "selection": rows.describe(np.flatnonzero(rows.chosen)),
        "random": [
            {"pick": pick, **rows.describe(np.argpartition(rows.drawn(seed, pick), size)[:size])}
            for pick in range(1, RANDOM + 1)
        ],
        "length": rows.describe(rows.first(-rows.characters, size)),
    }


@dataclass(frozen=True)
class _Pool:
    """The rows that could be dropped, in the order of their ids.

    Attributes:
        ids: Each id as two words, uint64 [rows, 2].
        chosen: Whether a row was kept, bool [rows].
        characters: Of instruction and response together (`@both`), int64 [rows].
        codes: Column > the values found in it, and for each row which one it holds.
    """

    ids: NDArray[np.uint64]
    chosen: NDArray[np.bool_]
    characters: NDArray[np.int64]
    codes: Mapping[str, tuple[list[str], NDArray[np.uint32]]]

    @classmethod
    def of(cls, arena: Arena, pool: Positions, chosen: NDArray[np.bool_]) -> _Pool:
        """Gather what is compared."""
        frame = arena.frame(pool, SHARED)
        raw = bytes.fromhex("".join(frame["id"].to_list()))
        ids = np.frombuffer(raw, dtype=">u8").reshape(-1, 2).astype(np.uint64)
        order = np.lexsort((ids[:, 1], ids[:, 0]))
        index = pl.Series(pool[order], dtype=pl.UInt32)
        # measured where the texts stand, which need not be copied for it
        characters = arena.rows["@both"].str.len_chars().gather(index).cast(pl.Int64)
        ordered = frame[pl.Series(order, dtype=pl.UInt32)]
        codes = {name: _coded(ordered[name].fill_null("")) for name in SHARED}
        return cls(ids[order], chosen[order], characters.to_numpy(), codes)

    def drawn(self, seed: int, pick: int) -> NDArray[np.uint64]:
        """A number for each row, made of seed, pick and id alone.

        The finalizer of SplitMix64 over both words of the id, keyed by xxh3-64 of seed and pick.
        """
        key = np.uint64(xxhash.xxh3_64_intdigest(f"{seed} {pick}".encode()))
        return _mixed(_mixed(self.ids[:, 0] ^ key) ^ self.ids[:, 1])

    @staticmethod
    def first(keys: NDArray[Any], size: int) -> Positions:
        """The rows with the smallest keys; ties go by id."""
        return np.argsort(keys, kind="stable")[:size]

    def describe(self, rows: Positions) -> dict[str, Any]:
        """What is said of a pick.

        Returns:
            `size`, `overlap`, `shares`, and `characters`: `min`, `q1`, `median`, `q3`, `p90`,
            `max` (interpolated linearly between rows), `mean`, and `bins`, the rows of each bin.
        """
        lengths = self.characters[rows]
        quantiles = np.quantile(lengths, list(_QUANTILES.values()))
        return {
            "size": len(rows),
            "overlap": int(self.chosen[rows].sum()),
            "characters": {
                **dict(zip(_QUANTILES, quantiles.tolist(), strict=True)),
                "mean": int(lengths.sum()) / len(rows),
                "bins": np.histogram(lengths, [*BINS, np.inf])[0].tolist(),
            },
            "shares": {name: _counts(*coded, rows) for name, coded in self.codes.items()},
        }


def _coded(column: pl.Series) -> tuple[list[str], NDArray[np.uint32]]:
    """The values of a column, sorted, and for each row the place of its own."""
    values = column.unique().sort()
    places = column.cast(pl.Enum(values)).to_physical().cast(pl.UInt32)
    return values.to_list(), places.to_numpy()


def _counts(values: Sequence[str], codes: NDArray[np.uint32], rows: Positions) -> dict[str, int]:
    """How many of the rows hold each value; values that none holds are left out."""
    counts = np.bincount(codes[rows], minlength=len(values)).tolist()
    return {value: count for value, count in zip(values, counts, strict=True) if count}


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, 2014): each word spread over all bits."""
    mixed = words + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
