"""The mix with the highest sum of percentile ranks that meets a policy.

Inside a block the best rows are taken first, so a block's sum is a concave function of the rows
taken of it, and few rows decide. A linear program over runs of rows, cut finer wherever its prices
say that a block's last row is, gives a bound and a price for each block's rows. A row whose rank is
further from its block's price than the best mix found is from the bound is taken in every best mix,
or in none (reduced-cost fixing); over the few that remain a whole-number program decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from curate.api import CurateError
from curate_sources.mix.pool import Counts
from curate_sources.mix.program import Conditions, Numbers, Rows, linear, minimize, split

_ROUNDS = 100
_RUNS = 16
"""Runs of rows that a block begins with."""

_NEAR = 3
"""Rows on either side of a block's price that the first whole-number program decides on."""


@dataclass(frozen=True)
class _Prices:
    """What the linear program found.

    Args:
        rows: The rank from which on a block's rows are worth taking, float64 [blocks].
        bound: No mix has a higher sum of ranks.
    """

    rows: Numbers
    bound: float


@dataclass(frozen=True)
class _Answer:
    """A mix: which of the rows that were open it takes, its rows of each block, and its cost."""

    open: Counts
    taken: Counts
    cost: int


def total(ranks: Sequence[NDArray[np.int64]], taken: Counts) -> int:
    """The sum of the highest ranks of each block, exactly."""
    return sum(int(each[:rows].sum()) for each, rows in zip(ranks, taken, strict=True))


def best(conditions: Conditions, ranks: Sequence[NDArray[np.int64]]) -> tuple[Counts, bool]:
    """The rows of each block whose ranks have the highest sum.

    Args:
        conditions: What has to hold; it can be met, and nothing in it is soft.
        ranks: For each block the ranks of its rows in the pool, 0 the worst, the highest first.

    Returns:
        int64 [blocks], and whether no other mix has that sum.
    """
    most = conditions.upper.astype(np.int64)
    usable = [each[:rows] for each, rows in zip(ranks, most, strict=True)]
    rows = conditions.rows()
    prices = _prices(rows, usable)
    ordered = [
        np.sort(np.abs(each - price)) for each, price in zip(usable, prices.rows, strict=True)
    ]
    near = float(
        np.median([each[min(_NEAR, len(each)) - 1] for each in ordered if len(each)] or [0])
    )
    while True:
        window = _Window(rows, usable, prices.rows, near)
        found = window.solve(None)
        gap = np.inf if found is None else prices.bound - total(usable, found.taken) + 1
        if gap <= near or window.whole:
            break
        near = 2 * near + 1 if found is None else gap
    if found is None:
        raise CurateError("HiGHS could not maximise the ranks: no whole numbers meet the policy.")
    other = window.solve(found)
    while other is not None and other.cost < found.cost:
        # sums of many ranks are near the solver's tolerance: the better one is the answer
        found, other = other, window.solve(other)
    return found.taken, other is None or other.cost > found.cost


def _prices(rows: Rows, ranks: Sequence[NDArray[np.int64]]) -> _Prices:
    """Solve the linear program over runs of rows, finer and finer around the prices."""
    blocks = len(ranks)
    sums = [np.concatenate([[0], np.cumsum(each)]).astype(np.float64) for each in ranks]
    ends = [np.unique(np.linspace(0, len(each), _RUNS + 1).astype(np.int64)) for each in ranks]
    matrix, bounds, equal, equals = split(rows)
    for _ in range(_ROUNDS):
        block = np.repeat(np.arange(blocks), [len(end) - 1 for end in ends])
        length = np.concatenate([np.diff(end) for end in ends]).astype(np.float64)
        gain = np.concatenate([np.diff(s[end]) for s, end in zip(sums, ends, strict=True)])
        runs = Rows(csr_array(rows.matrix[:, block]), rows.low, rows.high)
        # interior points are three times as fast as simplex where blocks are many
        result = linear(-gain / length, runs, np.zeros_like(length), length, "highs-ipm")
        if result is None:
            raise CurateError("HiGHS could not maximise the ranks: no mix meets the policy.")
        price = -(matrix.T @ result.ineqlin.marginals)
        constant = -float(bounds @ result.ineqlin.marginals)
        if len(equals):
            price = price - equal.T @ result.eqlin.marginals
            constant -= float(equals @ result.eqlin.marginals)
        last = [
            int(np.searchsorted(-each, -each_price))
            for each, each_price in zip(ranks, price, strict=True)
        ]
        finer = [
            np.unique(np.clip([*end, at - 1, at, at + 1, *_middle(end, at)], 0, end[-1]))
            for end, at in zip(ends, last, strict=True)
        ]
        if all(len(new) == len(old) for new, old in zip(finer, ends, strict=True)):
            worth = sum(
                float(s[at] - each_price * at)
                for s, at, each_price in zip(sums, last, price, strict=True)
            )
            return _Prices(price, constant + worth)
        ends = finer
    raise CurateError(f"No prices were found in {_ROUNDS} rounds.", "Leave out `maximize: rank`.")


def _middle(ends: NDArray[np.int64], at: int) -> list[int]:
    """The middle of the run that holds a row, rounded down."""
    right = int(np.searchsorted(ends, at, side="right"))
    if right >= len(ends):
        return []
    return [int(ends[right - 1] + ends[right]) // 2]


class _Window:
    """The whole-number program over the rows whose ranks are near their block's price.

    Args:
        rows: The conditions on blocks.
        ranks: Of each block.
        prices: Of each block.
        near: How far from its block's price a rank may be.
    """

    def __init__(
        self, rows: Rows, ranks: Sequence[NDArray[np.int64]], prices: Numbers, near: float
    ) -> None:
        start, end = [], []
        for each, price in zip(ranks, prices, strict=True):
            start.append(int(np.searchsorted(-each, -(price + near))))
            end.append(int(np.searchsorted(-each, -(price - near), side="right")))
        self.start = np.array(start, dtype=np.int64)
        length = np.array(end, dtype=np.int64) - self.start
        self.whole = not self.start.any() and all(
            len(each) == rows_in for each, rows_in in zip(ranks, end, strict=True)
        )
        self.block = np.repeat(np.arange(len(ranks)), length)
        self.blocks = len(ranks)
        open_ranks = [e[s:t] for e, s, t in zip(ranks, start, end, strict=True)]
        joined = np.concatenate([*open_ranks, np.empty(0, dtype=np.int64)])
        # as many rows are taken in every mix, so that a number off all ranks changes nothing
        self.costs: Counts = -(joined - int(np.median(joined)) if len(joined) else joined)
        already = rows.matrix @ self.start.astype(np.float64)
        self.rows = Rows(
            csr_array(rows.matrix[:, self.block]), rows.low - already, rows.high - already
        )

    def solve(self, forbidden: _Answer | None) -> _Answer | None:
        """The best mix, or the best but one."""
        conditions = [self.rows]
        if forbidden is not None:
            line = np.where(forbidden.open == 1, -1.0, 1.0)[None, :]
            away = np.array([1.0 - forbidden.open.sum()])
            conditions.append(Rows(csr_array(line), away, np.full(1, np.inf)))
        found = minimize(self.costs.astype(np.float64), conditions, np.ones(len(self.costs)))
        if found is None:
            return None
        counted = np.bincount(self.block, weights=found, minlength=self.blocks)
        taken: Counts = self.start + np.rint(counted).astype(np.int64)
        return _Answer(found, taken, int(self.costs @ found))
