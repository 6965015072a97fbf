"""Why a policy cannot be met, and what would have to be given up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from curate_sources.mix.pool import Counts, Pool
from curate_sources.mix.program import Conditions, Rows, minimize, settled, solve
from curate_sources.mix.rules import PARTS, Rule
from curate_sources.mix.sizes import furthest_size


@dataclass(frozen=True)
class Conflict:
    """Clauses that cannot be met together, though any one fewer of them can.

    Args:
        rules: The clauses.
        reachable: For each of them, in words, what there is with the others kept.
        surrender: The fewest clauses of the whole policy without which the rest can be met.
    """

    rules: tuple[Rule, ...]
    reachable: tuple[str, ...]
    surrender: tuple[Rule, ...]


def feasible(pool: Pool, rules: Sequence[Rule]) -> Counts | None:
    """Rows of each block that meet all rules; None where there are none."""
    size = settled(rules)
    if size is None:
        return furthest_size(pool, rules, -1)
    conditions = Conditions(pool, rules, size=size)
    return solve(conditions, conditions.objective(sign=0))


def find_conflict(pool: Pool, rules: Sequence[Rule]) -> Conflict | None:
    """Why rules cannot be met; None where they can.

    Rules are left out in the order of `PARTS`, and stay out where the others still contradict each
    other. The fewest to give up are a smallest set that hits every conflict found: while what is
    left without it has another conflict, that one has to be hit as well.
    """
    if feasible(pool, rules) is not None:
        return None
    first = _minimal(pool, rules)
    found, given_up = [first], _hitting([first], rules)
    while True:
        rest = [rule for rule in rules if rule not in given_up]
        if feasible(pool, rest) is not None:
            break
        found.append(_minimal(pool, rest))
        given_up = _hitting(found, rules)
    reachable = tuple(_reachable(pool, rule, [r for r in first if r != rule]) for rule in first)
    return Conflict(tuple(first), reachable, tuple(given_up))


def _minimal(pool: Pool, rules: Sequence[Rule]) -> list[Rule]:
    """One set of rules that contradict each other, of which none can be left out."""
    left = sorted(rules, key=lambda rule: (PARTS.index(rule.part), rule.name))
    at, step = 0, 1
    while at < len(left):
        fewer = left[:at] + left[at + step :]
        if feasible(pool, fewer) is None:
            left, step = fewer, step * 2  # many at once, while that goes well
        elif step > 1:
            step = 1
        else:
            at += 1
    return left


def _hitting(conflicts: Sequence[Sequence[Rule]], rules: Sequence[Rule]) -> list[Rule]:
    """The fewest rules of which every conflict has one; between equal ones the first by part."""
    order = sorted(rules, key=lambda rule: (PARTS.index(rule.part), rule.name))
    table = np.array([[rule in conflict for rule in order] for conflict in conflicts], dtype=float)
    costs = len(order) ** 2 + np.arange(len(order), dtype=np.float64)
    hit = Rows(csr_array(table), np.ones(len(conflicts)), np.full(len(conflicts), np.inf))
    chosen = minimize(costs, [hit], np.ones(len(order)))
    assert chosen is not None  # all rules together hit every conflict
    return [rule for rule, taken in zip(order, chosen, strict=True) if taken]


def _reachable(pool: Pool, rule: Rule, others: Sequence[Rule]) -> str:
    if rule.part == "licenses":
        conditions = Conditions(pool, others, size=settled(others))
        taken = solve(conditions, conditions.objective(pool.denied))
        assert taken is not None  # without the licences the others can be met
        rows = int(taken[pool.denied].sum())
        return f"{_rows(rows)} with denied or unknown licences would be needed"
    if rule.part == "size":
        return _sizes(pool, rule, others)
    least, most = (_extreme(pool, rule, others, sign) for sign in (1, -1))
    if rule.everything:
        there = pool.available(rule)
        return (
            f"at most {most[0]:,} of its {_rows(there)} can be taken" if there else "there is none"
        )
    if rule.low is not None and _value(rule, most) < rule.low:
        return f"at most {_said(rule, most)}"
    if rule.high is not None and _value(rule, least) > rule.high:
        return f"at least {_said(rule, least)}"
    return f"{_said(rule, least)} or {_said(rule, most)}, but nothing that is asked for"


def _sizes(pool: Pool, rule: Rule, others: Sequence[Rule]) -> str:
    """The sizes nearest to the one asked for."""
    said = []
    for sign, word in ((-1, "below"), (1, "above")):
        side = (
            Rule("up to", "", "size", None, rule.high)
            if sign < 0
            else Rule("from", "", "size", rule.low, None)
        )
        taken = furthest_size(pool, [*others, side], sign)
        if taken is not None:
            said.append((word, int(taken.sum())))
    return "; ".join(f"the nearest {word} is {_rows(size)}" for word, size in said)


def _extreme(pool: Pool, rule: Rule, others: Sequence[Rule], sign: int) -> tuple[int, int]:
    """The fewest (sign 1) or most (-1) that a rule can have with others kept.

    Returns:
        Its rows, and all rows of that mix. Of a share where the size is open the extreme of the
        quotient, by Dinkelbach's method (1967): maximise `rows - share * size` for the share of
        the last mix, until that is no better.
    """
    inside = pool.about(rule)
    size = settled(others)
    open_share = rule.unit == "share" and size is None
    conditions = Conditions(pool, others, size=size)
    taken = solve(conditions, conditions.objective(inside, sign))
    assert taken is not None  # without the rule the others can be met
    best = _counted(taken, inside)
    while open_share:
        share = Fraction(*best)
        costs = np.where(inside, float(share.denominator), 0.0) - float(share.numerator)
        taken = solve(conditions, sign * costs)
        assert taken is not None
        better = _counted(taken, inside)
        if sign * Fraction(*better) >= sign * share:
            break
        best = better
    return best


def _counted(taken: Counts, inside: NDArray[np.bool_]) -> tuple[int, int]:
    return int(taken[inside].sum()), int(taken.sum())


def _value(rule: Rule, found: tuple[int, int]) -> Fraction:
    rows, size = found
    return Fraction(rows) if rule.unit == "rows" else Fraction(rows, size)


def _said(rule: Rule, found: tuple[int, int]) -> str:
    rows, size = found
    if rule.unit == "rows":
        return _rows(rows)
    return f"{float(_value(rule, found)):.4g} ({rows:,} of {_rows(size)})"


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"
