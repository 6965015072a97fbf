"""A policy that cannot be met, met as nearly as it allows: clauses that may be missed, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from curate_sources.mix.conflicts import feasible
from curate_sources.mix.pool import Pool
from curate_sources.mix.program import Conditions, solve
from curate_sources.mix.rules import Rule
from curate_sources.mix.sizes import furthest_size


def relax(pool: Pool, rules: Sequence[Rule], order: Sequence[str]) -> dict[str, int] | None:
    """By how many rows rules have to be missed.

    The first that are named give way first: rules are let go in their order until the others can
    be met. Then each of those let go, the last first, is taken back if it can be met beside the
    others. What then can be met settles the size: the most rows up to what is asked, or else the
    fewest beyond. Of this size the rules that could not be taken back are missed by the fewest
    rows, again the last first.

    Args:
        pool: The blocks.
        rules: The rules.
        order: Names of rules, in the order in which they give way.

    Returns:
        Rule name > rows by which it is missed, those that need not be left out; None where the
        rules that may not be missed cannot be met.
    """
    soft = _let_go(pool, rules, order)
    if soft is None:
        return None
    held = [rule for rule in rules if rule.name not in soft]
    back = [rule for name in reversed(soft) for rule in rules if rule.name == name]
    missing = []
    for rule in back:
        if rule.part != "size" and feasible(pool, [*held, rule]) is not None:
            held.append(rule)
        elif rule.part != "size":
            missing.append(rule)
    size = settled_size(pool, held, rules)
    eased: dict[str, int] = {}
    for rule in missing:
        conditions = Conditions(pool, [*held, rule], size=size, eased=eased, soft=rule.name)
        found = solve(conditions, conditions.miss())
        assert found is not None  # without this rule there was a mix of that size
        eased[rule.name] = int(found[-1])
        held.append(rule)
    (asked,) = (rule for rule in rules if rule.part == "size")
    low, high = asked.rows(size)
    eased["size"] = max((low or 0) - size, size - (size if high is None else high), 0)
    return {name: by for name, by in eased.items() if by}


def settled_size(
    pool: Pool,
    rules: Sequence[Rule],
    policy: Sequence[Rule],
    eased: Mapping[str, int] | None = None,
) -> int:
    """The size that rules allow and that is nearest to what a policy asks for.

    Of the sizes asked for the largest; else the largest below or the smallest above, whichever
    misses by less, the smaller one of two.

    Args:
        pool: The blocks.
        rules: What holds, which can be met.
        policy: All rules, the size among them.
        eased: Rule name > rows by which it may be missed.
    """
    (asked,) = (rule for rule in policy if rule.part == "size")
    low, high = asked.rows(0)
    found = furthest_size(pool, [*rules, Rule("up to", "", "size", None, asked.high)], -1, eased)
    below = None if found is None else int(found.sum())
    if below is not None and (high is None or below >= (low or 0)):
        return below
    found = furthest_size(pool, [*rules, Rule("from", "", "size", asked.high, None)], 1, eased)
    above = None if found is None else int(found.sum())
    if above is None or (below is not None and (low or 0) - below <= above - (high or 0)):
        assert below is not None  # rules that can be met have a size
        return below
    return above


def _let_go(pool: Pool, rules: Sequence[Rule], order: Sequence[str]) -> list[str] | None:
    """The first rules of an order without which the others can be met; None: there are none."""
    for count in range(len(order) + 1):
        soft = list(order[:count])
        held = [rule for rule in rules if rule.name not in soft]
        if feasible(pool, held) is not None:
            return soft
    return None
