"""The mix that is spread best: no block's rate can be raised without lowering a lower one.

The blocks' rates are maximised in the order of the lowest, the next lowest, and so on, by linear
programs (what such an order has at its end is one point, as what meets a policy is convex), then
rounded to the nearest whole numbers that meet the policy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray
from scipy.sparse import csr_array, eye_array, hstack, vstack

from curate.api import CurateError
from curate_sources.mix.pool import Counts
from curate_sources.mix.program import Conditions, Numbers, Rows, linear, minimize

GRID = 10_000
"""Parts of a row: less makes a tie, so that no last bit of a solver counts."""

_STUCK = 1e-7  # a smaller price is none
_SLACK = 1e-8  # rows by which what one program found is eased for the next
_SALTS = 16


class Fill:
    """How many rows of each block a level asks for.

    Natural: a share `level` of every block. Even: `level` rows of every cell, or all it has.

    Args:
        cells: Rows by cell, for each block.
        even: Whether rows are spread evenly.
    """

    def __init__(self, cells: Sequence[Counts], *, even: bool) -> None:
        self.counts = np.array([int(cell.sum()) for cell in cells], dtype=np.float64)
        self.even = even
        self._cells = [np.sort(cell) for cell in cells]
        steps = np.unique(np.concatenate([*self._cells, np.zeros(1, dtype=np.int64)]))
        self.steps = steps.astype(np.float64) if even else np.array([0.0, 1.0])
        """Levels between which the rows grow along a line, ascending."""

    def at(self, level: float) -> Numbers:
        """Rows of each block at a level, float64 [blocks]."""
        if not self.even:
            return self.counts * level
        return np.array([np.minimum(cell, level).sum() for cell in self._cells])

    def slope(self, level: float) -> Numbers:
        """Rows that each block gains for a level more, from here on."""
        if not self.even:
            return self.counts
        return np.array([float((cell > level).sum()) for cell in self._cells])


def spread(conditions: Conditions, fill: Fill) -> Numbers:
    """Rows of each block, not yet whole, whose levels no other mix betters.

    Args:
        conditions: What has to hold; it can be met, and nothing in it is soft.
        fill: What a level is.

    Returns:
        float64 [blocks].
    """
    rows, most = conditions.rows(), conditions.upper
    target, least = np.zeros_like(most), np.zeros_like(most)
    free = most > 0
    level = 0.0
    while free.any():
        step = _segment(rows, most, least, free, fill, level)
        start, end = fill.steps[step], fill.steps[step + 1]
        slope = np.where(free, fill.slope(start), 0.0)
        full = free & (slope == 0)
        target[full] = least[full] = most[full]
        free = free & ~full
        if not free.any():
            break
        level, stuck = _raise(rows, most, least, free, fill.at(start) - slope * start, slope, end)
        target[free] = fill.at(level)[free]
        least = np.maximum(target - _SLACK, 0)
        if level >= fill.steps[-1]:
            break
        free &= ~stuck
    return target


def _segment(
    rows: Rows,
    most: Numbers,
    least: Numbers,
    free: NDArray[np.bool_],
    fill: Fill,
    level: float,
) -> int:
    """The last step at whose level there still is a mix."""
    low = int(np.searchsorted(fill.steps, level, side="right")) - 1
    high = len(fill.steps) - 1
    while high - low > 1:
        middle = (low + high) // 2
        asked = np.where(free, np.maximum(fill.at(fill.steps[middle]), least), least)
        if not _fits(rows, most, np.minimum(asked, most)):
            high = middle
        else:
            low = middle
    return min(low, len(fill.steps) - 2)


def _raise(
    rows: Rows,
    most: Numbers,
    least: Numbers,
    free: NDArray[np.bool_],
    base: Numbers,
    slope: Numbers,
    end: float,
) -> tuple[float, NDArray[np.bool_]]:
    """The highest level that all free blocks can have, and those that can have no more.

    A block that has a price at the optimum is at that level in every optimal mix.
    """
    at = np.flatnonzero(free)
    one = np.ones(len(at))
    own = csr_array((one, (np.arange(len(at)), at)), shape=(len(at), len(most)))
    below = hstack([own, csr_array(-slope[at][:, None])])
    nothing = csr_array((rows.matrix.shape[0], 1))
    # the free blocks' own conditions come first among those with a lower bound alone
    whole = Rows(
        csr_array(vstack([below, hstack([rows.matrix, nothing])])),
        np.concatenate([base[at], rows.low]),
        np.concatenate([np.full(len(at), np.inf), rows.high]),
    )
    costs = np.append(np.zeros(len(most)), -1.0)
    result = linear(costs, whole, np.append(np.minimum(least, most), 0.0), np.append(most, end))
    if result is None:
        raise CurateError("HiGHS could not spread the mix: it finds no mix where there is one.")
    prices = -result.ineqlin.marginals[: len(at)] * slope[at]
    stuck = np.zeros_like(free)
    stuck[at[prices >= min(_STUCK, float(prices.max()))]] = True
    return float(result.x[-1]), stuck


def _fits(rows: Rows, most: Numbers, least: Numbers) -> bool:
    """Whether there is a mix between two bounds."""
    return linear(np.zeros(len(most)), rows, least, most) is not None


def rounded(
    conditions: Conditions, target: Numbers, keys: Sequence[str], seed: int
) -> tuple[Counts, bool]:
    """The whole numbers nearest to a target that meet conditions.

    Nearest in the sum of distances, to the 10,000th of a row; between equal ones the least sum of
    seeded hashes of the blocks' keys decides, and another solution, with this one forbidden, shows
    that no other has that sum.

    Args:
        conditions: What has to hold; it can be met.
        target: Rows of each block, float64 [blocks].
        keys: A name of each block, by which ties are decided.
        seed: Of the recipe.

    Returns:
        int64 [blocks], and whether it is the only one.
    """
    parts = np.rint(target * GRID).astype(np.int64)
    whole, over = parts // GRID, parts % GRID
    most = conditions.upper.astype(np.int64)
    blocks = len(whole)
    # a block's rows are `whole + up + more - fewer`: `up` costs what rounding up adds to the
    # distance, every row beyond the two neighbours of the target costs one
    up = (over > 0) & (whole < most)
    costs = np.concatenate([GRID - 2 * over, np.full(2 * blocks, GRID)])
    upper: Numbers = np.concatenate([up, most - whole - up, whole]).astype(np.float64)
    one = eye_array(blocks)
    turned = hstack([one, one, -one]).tocsr()
    moved = _moved(conditions.rows(), turned, whole)
    nearest = minimize(costs.astype(np.float64), [moved], upper)
    if nearest is None:
        raise CurateError("HiGHS could not round the mix: no whole numbers meet the policy.")
    low, high = _open(costs, moved, upper, nearest)
    best = float(costs @ nearest)
    close = Rows(csr_array(costs[None, :].astype(np.float64)), _no(1), np.array([best + 0.5]))
    for salt in range(_SALTS):
        weights = np.array([_hash(f"{seed}:{salt}:{key}") for key in keys], dtype=np.int64)
        signed = np.concatenate([weights, weights, -weights]).astype(np.float64)
        first = minimize(signed, [moved, close], high, low)
        if first is None:
            raise CurateError("HiGHS could not decide between mixes that are equally good.")
        other = minimize(signed, [moved, close, _other(first, low, high)], high, low)
        alone = other is None or bool(signed @ other > signed @ first)
        if alone:
            break
    taken: Counts = whole + (turned @ first).astype(np.int64)
    assert first is not None
    return taken, alone and not _between(first, low, high).any()


def _open(costs: Counts, rows: Rows, upper: Numbers, found: Counts) -> tuple[Numbers, Numbers]:
    """Bounds between which every solution lies that costs as little as the one found.

    Reduced-cost fixing: moving a variable from its bound costs at least its reduced cost in the
    linear program; where that is more than there is between its optimum and the one found, no
    solution as good moves it.
    """
    result = linear(costs.astype(np.float64), rows, np.zeros_like(upper), upper)
    if result is None:
        return np.zeros_like(upper), upper
    between = float(costs @ found) - result.fun + 0.5
    up, down = result.lower.marginals > between, -result.upper.marginals > between
    return np.where(down, upper, 0.0), np.where(up, 0.0, upper)


def _no(count: int) -> Numbers:
    return np.full(count, -np.inf)


def _hash(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode()) % 65_536 + 1


def _moved(rows: Rows, turned: csr_array, start: Counts) -> Rows:
    """Conditions on rows, as conditions on what is added to a start."""
    already = rows.matrix @ start.astype(np.float64)
    return Rows(csr_array(rows.matrix @ turned), rows.low - already, rows.high - already)


def _between(found: Counts, least: Numbers, most: Numbers) -> NDArray[np.bool_]:
    """The variables that are at neither of their bounds."""
    inside: NDArray[np.bool_] = (found > least) & (found < most)
    return inside


def _other(found: Counts, least: Numbers, most: Numbers) -> Rows:
    """A condition that this solution does not meet: some variable at a bound leaves it.

    Every other solution meets it unless this one has variables between their bounds.
    """
    fixed = least == most
    low, high = (found == least) & ~fixed, (found == most) & ~fixed
    line = low.astype(np.float64) - high.astype(np.float64)
    away = 1.0 + least[low].sum() - most[high].sum()
    return Rows(csr_array(line[None, :]), np.array([away]), np.full(1, np.inf))
