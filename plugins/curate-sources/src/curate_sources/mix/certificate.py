"""How each clause of a policy was met, from the rows taken alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from curate.api import Clause
from curate_sources.mix.pool import Counts, Pool, standing
from curate_sources.mix.rules import Rule

State = Literal["binding", "slack", "relaxed"]


def certify(
    pool: Pool, rules: Sequence[Rule], taken: Counts, relaxed: Collection[str]
) -> tuple[Clause, ...]:
    """Say of every rule what was asked, what was achieved and what there was.

    Args:
        pool: The blocks that there were to take from.
        rules: The policy.
        taken: Rows taken of each block.
        relaxed: Names of rules that were allowed to be missed.
    """
    size, found = int(taken.sum()), []
    for rule in rules:
        rows, slack = standing(pool, rule, taken)
        if rule.part == "size" and slack > 0:
            slack = 0  # of an open size the most is taken: not one row more would do
        missed = slack < 0
        assert not missed or rule.name in relaxed
        state: State = "relaxed" if missed else "binding" if slack == 0 else "slack"
        licensed = rule.part == "licenses" or "licenses" not in relaxed
        there = pool.available(rule, licensed=licensed)
        found.append(Clause(rule.name, rule.asked, rows, size, state, slack, there))
    return tuple(found)
