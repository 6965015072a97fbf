"""Whole-number programs over a policy's rules, solved by HiGHS and checked exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_array, vstack

from curate.api import CurateError
from curate_sources.mix.pool import Counts, Pool, missed
from curate_sources.mix.rules import Rule

Numbers = NDArray[np.float64]
INFINITE = np.inf
_STRICT = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
"""Of linear programs: the smallest tolerances that HiGHS takes."""
_INFEASIBLE = 2  # of scipy's status codes


@dataclass(frozen=True)
class Rows:
    """Linear conditions `low <= matrix @ variables <= high`.

    Args:
        matrix: float64 [conditions, variables].
        low: float64 [conditions].
        high: float64 [conditions].
    """

    matrix: csr_array[Any]
    low: Numbers
    high: Numbers


def split(
    rows: Rows,
) -> tuple[csr_array, Numbers, csr_array, Numbers]:
    """The conditions as `matrix @ x <= bounds` and `matrix @ x == equals`."""
    same = rows.low == rows.high
    lower, upper = np.isfinite(rows.low) & ~same, np.isfinite(rows.high) & ~same
    matrix = vstack([-rows.matrix[lower], rows.matrix[upper]]).tocsr()
    bounds = np.concatenate([-rows.low[lower], rows.high[upper]])
    return matrix, bounds, rows.matrix[same], rows.low[same]


class Conditions:
    """Linear conditions on the rows taken of each block, and on how far one rule may be missed.

    A mix has at least one row: what an empty one meets says nothing.

    The variables are the blocks, then, if a rule is soft, the rows by which it is missed.

    Args:
        pool: The blocks.
        rules: What has to hold.
        size: Rows to be taken, where that is settled: bounds are then whole rows.
        eased: Rule name > rows by which it may be missed.
        soft: Name of the rule that may be missed by any number of rows.
    """

    def __init__(
        self,
        pool: Pool,
        rules: Sequence[Rule],
        *,
        size: int | None = None,
        eased: Mapping[str, int] | None = None,
        soft: str | None = None,
    ) -> None:
        self.pool = pool
        self.rules = tuple(rules)
        self.size = size
        self.eased = dict(eased or {})
        self.soft = soft
        self.blocks = len(pool.counts)
        self.variables = self.blocks + (soft is not None)
        self.denies = any(rule.part == "licenses" for rule in rules)
        self._lines: list[Numbers] = []
        self._low: list[float] = []
        self._high: list[float] = []
        low, high = (1, INFINITE) if size is None else (size, size)
        self._add(np.ones(self.blocks), low, high, 0)
        for rule in self.rules:
            self._rule(rule)

    @property
    def upper(self) -> Numbers:
        """What can be taken of each block, and how far the soft rule may be missed."""
        most = self.pool.counts.astype(np.float64)
        if self.denies and self.soft != "licenses" and not self.eased.get("licenses"):
            most[self.pool.denied] = 0
        return np.append(most, [INFINITE] * (self.soft is not None))

    def rows(self) -> Rows:
        """The conditions over all variables."""
        matrix = np.array(self._lines).reshape(len(self._lines), self.variables)
        return Rows(csr_array(matrix), np.array(self._low), np.array(self._high))

    def objective(self, blocks: NDArray[np.bool_] | None = None, sign: int = 1) -> Numbers:
        """The cost of each variable where every row of some blocks costs `sign`; None: of all."""
        costs = np.zeros(self.variables)
        costs[: self.blocks] = sign if blocks is None else np.where(blocks, sign, 0)
        return costs

    def miss(self) -> Numbers:
        """The cost of each variable where every row by which the soft rule is missed costs one."""
        costs = np.zeros(self.variables)
        costs[self.blocks :] = 1
        return costs

    def _add(self, line: Numbers, low: float, high: float, by: float) -> None:
        """Add a condition; a row by which the soft rule is missed eases either side by `by`."""
        sides = [(low, high)] if not by else [(low, INFINITE), (-INFINITE, high)]
        for at, (least, most) in enumerate(sides):
            if least > -INFINITE or most < INFINITE:
                missed_by = [by if at == 0 else -by] * (self.soft is not None)
                self._lines.append(np.append(line, missed_by))
                self._low.append(least)
                self._high.append(most)

    def _rule(self, rule: Rule) -> None:
        eased = self.eased.get(rule.name, 0)
        by = 1 if rule.name == self.soft else 0
        if rule.part == "licenses":
            if eased or by:
                self._add(self.pool.denied.astype(np.float64), -INFINITE, eased, by)
            return
        line = self.pool.about(rule).astype(np.float64)
        if rule.everything:
            wanted = max(self.pool.available(rule), 1)
            self._add(line, wanted - eased, INFINITE, by)
            return
        if rule.unit == "share" and self.size is None:
            # q * inside - p * all, in whole numbers, for a share of p/q
            for bound, sign in ((rule.low, 1), (rule.high, -1)):
                if bound is not None:
                    q, p = bound.denominator, float(bound.numerator)
                    self._add(sign * (q * line - p), -q * eased, INFINITE, q * by)
            return
        least, most = rule.rows(self.size or 0)
        low = -INFINITE if least is None else least - eased
        high = INFINITE if most is None else most + eased
        self._add(line, low, high, by)


def linear(
    costs: Numbers, rows: Rows, lower: Numbers, upper: Numbers, method: str = "highs"
) -> Any | None:
    """The numbers, not whole, between `lower` and `upper` that cost least under conditions.

    Args:
        costs: Of each variable.
        rows: The conditions.
        lower: The least of each variable.
        upper: The most.
        method: Of scipy's `linprog`.

    Returns:
        scipy's result, its marginals in the order of `split`; None where nothing meets the
        conditions.

    Raises:
        CurateError: The solver gave up.
    """
    matrix, bounds, equal, equals = split(rows)
    # presolving was seen to call programs infeasible that are tight everywhere
    for options in (_STRICT, _STRICT | {"presolve": False}):
        result = linprog(
            costs,
            A_ub=matrix,
            b_ub=bounds,
            A_eq=equal if len(equals) else None,
            b_eq=equals if len(equals) else None,
            bounds=np.column_stack([lower, upper]),
            method=method,
            options=options,
        )
        if result.x is not None:
            return result
        if result.status != _INFEASIBLE:
            raise CurateError(
                f"HiGHS could not decide on the policy: {result.message}",
                "Name fewer columns or values in it.",
            )
    return None


def bound(conditions: Conditions, objective: Numbers) -> float | None:
    """The least cost of numbers that need not be whole; None where none meet the conditions."""
    upper = conditions.upper
    found = linear(objective, conditions.rows(), np.zeros_like(upper), upper)
    return None if found is None else float(found.fun)


def settled(rules: Sequence[Rule]) -> int | None:
    """The size that rules leave no choice about."""
    size = next((rule for rule in rules if rule.part == "size"), None)
    return int(size.low) if size and size.low is not None and size.low == size.high else None


def solve(conditions: Conditions, objective: Numbers) -> Counts | None:
    """The whole numbers that meet conditions at the least cost.

    Args:
        conditions: What has to hold.
        objective: Cost of each variable, float64 [variables].

    Returns:
        int64 [variables]; None where nothing meets the conditions.

    Raises:
        CurateError: The solver gave up, or its answer misses a rule.
    """
    found = minimize(objective, [conditions.rows()], conditions.upper)
    if found is None:
        return None
    taken = found[: conditions.blocks]
    allowed = conditions.eased | ({conditions.soft: int(found[-1])} if conditions.soft else {})
    over = missed(conditions.pool, conditions.rules, taken)
    wrong = [name for name, by in over.items() if by > allowed.get(name, 0)]
    if wrong or (conditions.size is not None and int(taken.sum()) != conditions.size):
        raise CurateError(
            f"HiGHS took a mix that misses {', '.join(wrong) or 'the size'} for one that meets the "
            "policy.",
            "Write shares with fewer decimal places, or rows in their place.",
        )
    return found


def minimize(
    objective: Numbers,
    rows: Sequence[Rows],
    upper: Numbers,
    lower: Numbers | None = None,
) -> Counts | None:
    """The whole numbers between `lower` (0) and `upper` that cost least under conditions.

    Returns:
        int64 [variables]; None where there are none.

    Raises:
        CurateError: The solver gave up.
    """
    least = np.zeros_like(upper) if lower is None else lower
    if not len(upper):
        fits = all((each.low <= 0).all() and (each.high >= 0).all() for each in rows)
        return np.empty(0, dtype=np.int64) if fits else None
    result = milp(
        objective,
        integrality=np.ones(len(upper)),
        bounds=Bounds(least, upper),
        constraints=[LinearConstraint(r.matrix, r.low, r.high) for r in rows if len(r.low)],
        options={"mip_rel_gap": 0},
    )
    if result.status == _INFEASIBLE:
        return None
    if result.x is None or not result.success:
        raise CurateError(
            f"HiGHS could not decide on the policy: {result.message}",
            "Name fewer columns or values in it.",
        )
    whole: Counts = np.rint(result.x).astype(np.int64)
    return whole
