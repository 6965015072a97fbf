"""Fates, and the balance: every row that was ever seen is accounted for, once.

Rows are known by their position: sources enter theirs first, children follow as they are made.
A *table* is an array of positions (int64). A row is live until it gets a fate, and at every moment
each live row stands in exactly one table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from curate.errors import CurateError

KEPT, DROPPED, FAILED, MERGED = "kept", "dropped", "failed", "merged"
FATES = (KEPT, DROPPED, FAILED, MERGED)
UNREADABLE = "unreadable"

Positions = NDArray[np.int64]


class BalanceError(CurateError):
    """The books do not balance; nothing is published. Always a bug of curate."""


@dataclass
class Books:
    """The account of one stage: in + created = out + dropped + failed + merged."""

    entered: int = 0
    created: int = 0
    out: int = 0
    dropped: int = 0
    failed: int = 0
    merged: int = 0

    def check(self, stage: str) -> None:
        """Raise BalanceError unless both sides are equal."""
        left = self.entered + self.created
        right = self.out + self.dropped + self.failed + self.merged
        if left != right:
            raise BalanceError(
                f"The books of stage '{stage}' do not balance: {left} in, {right} accounted for "
                f"({asdict(self)})."
            )


class Ledger:
    """The fate of every row, with the stage, the reason and what it refers to."""

    def __init__(self) -> None:
        self.fate: NDArray[np.object_] = np.empty(0, dtype=object)
        self.stage: NDArray[np.object_] = np.empty(0, dtype=object)
        self.reason: NDArray[np.object_] = np.empty(0, dtype=object)
        self.detail: NDArray[np.object_] = np.empty(0, dtype=object)
        self.ref: NDArray[np.object_] = np.empty(0, dtype=object)
        self.entered = 0
        self.created = 0

    def __len__(self) -> int:
        return len(self.fate)

    def enter(self, count: int) -> Positions:
        """Take up rows of a source; returns their positions."""
        self.entered += count
        return self._grow(count)

    def create(self, count: int) -> Positions:
        """Take up rows that a stage made; returns their positions."""
        self.created += count
        return self._grow(count)

    def _grow(self, count: int) -> Positions:
        start = len(self)
        for name in ("fate", "stage", "reason", "detail", "ref"):
            setattr(self, name, np.concatenate([getattr(self, name), np.full(count, None)]))
        return np.arange(start, start + count, dtype=np.int64)

    def settle(
        self,
        positions: Positions,
        fate: str,
        *,
        stage: str | None,
        reason: Iterable[str | None] | str | None = None,
        detail: Iterable[str | None] | str | None = None,
        ref: Iterable[str | None] | None = None,
    ) -> None:
        """Give rows their fate; raises BalanceError where one already has one."""
        taken = self.fate[positions] != None  # noqa: E711 - elementwise over an object array
        if taken.any() or len(np.unique(positions)) != len(positions):
            raise BalanceError(f"A row would get a second fate at stage '{stage}'.")
        self.fate[positions] = fate
        self.stage[positions] = stage
        for column, given in ((self.reason, reason), (self.detail, detail), (self.ref, ref)):
            column[positions] = given if given is None or isinstance(given, str) else list(given)

    def live(self) -> NDArray[np.bool_]:
        """Which rows have no fate yet."""
        live: NDArray[np.bool_] = self.fate == None  # noqa: E711 - elementwise
        return live

    def check_tables(self, tables: Mapping[str, Positions]) -> None:
        """Raise BalanceError unless every live row is in exactly one table, and no other row is."""
        times = np.zeros(len(self), dtype=np.int64)
        for table in tables.values():
            times += np.bincount(table, minlength=len(self))
        if not np.array_equal(times, self.live().astype(np.int64)):
            row = int(np.flatnonzero(times != self.live())[0])
            raise BalanceError(
                f"Row {row} is in {times[row]} tables and its fate is {self.fate[row]}."
            )

    def totals(self) -> dict[str, int]:
        """Counts for a finished run; raises BalanceError where the version does not balance.

        Keys: `sources` and `created`, then one for each fate.
        """
        counts = {fate: int((self.fate == fate).sum()) for fate in FATES}
        if self.entered + self.created != sum(counts.values()):
            raise BalanceError(
                f"{self.entered} rows from sources and {self.created} created, "
                f"but {sum(counts.values())} with a fate."
            )
        return {"sources": self.entered, "created": self.created, **counts}
