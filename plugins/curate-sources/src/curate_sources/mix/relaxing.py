"""A policy that cannot be met, met as nearly as it allows: clauses that may be missed, in order."""

from __future__ import annotations

from collections.abc import Sequence

from curate_sources.mix.conflicts import feasible
from curate_sources.mix.program import Conditions, settled, solve
from curate_sources.mix.rules import Pool, Rule


def relax(pool: Pool, rules: Sequence[Rule], order: Sequence[str]) -> dict[str, int] | None:
    """By how many rows rules have to be missed.

    The first that are named give way first: rules are let go in their order until the others can
    be met. Then each of those let go is brought back, the last first, to the fewest rows by which
    it has to be missed.

    Args:
        pool: The blocks.
        rules: The rules.
        order: Names of rules, in the order in which they give way.

    Returns:
        Rule name > rows by which it is missed, those that need not be left out; None where the
        rules that may not be missed cannot be met.
    """
    # licences that give way let rows in; what `all` asks for is what they allow
    licensed = any(rule.part == "licenses" for rule in rules)
    soft = _let_go(pool, rules, order, licensed=licensed)
    if soft is None:
        return None
    allowed: dict[str, int] = {}
    for name in reversed(soft):
        # rules let go before this one still are; those after it keep what they were brought to
        held = [r for r in rules if r.name not in soft or r.name in allowed or r.name == name]
        size = None if "size" in soft else settled(held)
        conditions = Conditions(pool, held, size=size, eased=allowed, soft=name, licensed=licensed)
        found = solve(conditions, conditions.miss())
        assert found is not None  # with this rule let go as well there was a mix
        allowed[name] = int(found[-1])
    return {name: by for name, by in allowed.items() if by}


def _let_go(
    pool: Pool, rules: Sequence[Rule], order: Sequence[str], *, licensed: bool
) -> list[str] | None:
    """The first rules of an order without which the others can be met; None: there are none."""
    for count in range(len(order) + 1):
        soft = list(order[:count])
        held = [rule for rule in rules if rule.name not in soft]
        if feasible(pool, held, licensed=licensed) is not None:
            return soft
    return None
