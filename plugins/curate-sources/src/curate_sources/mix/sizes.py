"""The largest and the smallest mixes that meet a policy whose size is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from curate_sources.mix.pool import Counts, Pool
from curate_sources.mix.program import Conditions, bound, solve
from curate_sources.mix.rules import Rule

_STEPS = 64
_SLACK = 1e-6  # of a row: what a linear program may be off


def furthest_size(
    pool: Pool, rules: Sequence[Rule], sign: int, eased: Mapping[str, int] | None = None
) -> Counts | None:
    """A mix of the smallest (sign 1) or largest (-1) size that rules allow.

    Shares of an open size make hard whole-number programs, shares of a settled one easy ones. So
    sizes are tried from the bound of the linear program on, which few are away from it; the hard
    program decides if that does not end.

    Args:
        pool: The blocks.
        rules: What has to hold; bounds on the size among it, if there are any.
        sign: Which end.
        eased: As of `Conditions`.

    Returns:
        int64 [blocks]; None where no mix meets the rules.
    """
    conditions = Conditions(pool, rules, eased=eased)
    found = bound(conditions, conditions.objective(sign=sign))
    if found is None:
        return None
    first = int(found * sign + _SLACK) if sign < 0 else int(found + 1 - _SLACK)
    for size in range(first, first + sign * _STEPS, sign):
        if size < 1 or size > pool.counts.sum():
            return None
        settled = Conditions(pool, rules, size=size, eased=eased)
        taken = solve(settled, settled.objective(sign=0))
        if taken is not None:
            return taken
    last = Fraction(first + sign * _STEPS)
    low, high = (None, last) if sign < 0 else (last, None)
    beyond = Rule("beyond those tried", "", "size", low, high)
    conditions = Conditions(pool, [*rules, beyond], eased=eased)
    return solve(conditions, conditions.objective(sign=sign))
