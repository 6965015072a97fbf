"""How each clause of a policy was met, from the rows taken alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from curate.api import Clause
from curate_sources.rules import Counts, Pool, Rule

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
    size = int(taken.sum())
    found = []
    for rule in rules:
        if rule.part == "licenses":
            denied = int(taken[pool.denied].sum())
            there = int(pool.counts[~pool.denied].sum())
            found.append(_clause(rule, size - denied, size, (size, None), there, relaxed))
            continue
        rows = int(taken[pool.about(rule)].sum())
        there = pool.available(rule)
        bounds = (max(there, 1), None) if rule.everything else rule.rows(size)
        found.append(_clause(rule, rows, size, bounds, there, relaxed))
    return tuple(found)


def _clause(
    rule: Rule,
    rows: int,
    size: int,
    bounds: tuple[int | None, int | None],
    available: int,
    relaxed: Collection[str],
) -> Clause:
    low, high = bounds
    distances = [*([] if low is None else [rows - low]), *([] if high is None else [high - rows])]
    slack = min(distances)
    missed = slack < 0
    assert not missed or rule.name in relaxed
    state: State = "relaxed" if missed else "binding" if slack == 0 else "slack"
    return Clause(rule.name, rule.asked, rows, size, state, slack, available)
