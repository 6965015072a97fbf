"""The rows that a mix can be made of, and what it has of what rules ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate_sources.mix.rules import Rule

Counts = NDArray[np.int64]
"""Rows by block, int64 [blocks]."""


@dataclass(frozen=True)
class Pool:
    """The rows that a mix can be made of, in blocks: rows that the same rules are about.

    Args:
        counts: Rows by block, at least one each.
        denied: Blocks that the licences of the policy rule out; bool [blocks].
        members: Name of a rule that selects rows > the blocks that it is about; bool [blocks].
    """

    counts: Counts
    denied: NDArray[np.bool_]
    members: Mapping[str, NDArray[np.bool_]]

    def about(self, rule: Rule) -> NDArray[np.bool_]:
        """The blocks that a rule is about; a size is about all."""
        return self.members[rule.name] if rule.select else np.ones(len(self.counts), dtype=np.bool_)

    def available(self, rule: Rule, *, licensed: bool = True) -> int:
        """The rows that a rule is about; that of licences is about those allowed.

        Args:
            rule: The rule.
            licensed: Leave out what the licences rule out.
        """
        inside = self.about(rule) & ~self.denied if licensed else self.about(rule)
        return int(self.counts[inside].sum())


def standing(pool: Pool, rule: Rule, taken: Counts) -> tuple[int, int]:
    """What a mix has of the rows that a rule is about, and by how much that is well.

    Args:
        pool: The blocks.
        rule: The rule.
        taken: Rows taken of each block.

    Returns:
        Rows that it is about, and rows to the nearest bound: below 0 those by which it is missed,
        0 without a bound. The rule of licences is about rows that are allowed, and asks that all
        are.
    """
    size = int(taken.sum())
    if rule.part == "licenses":
        denied = int(taken[pool.denied].sum())
        return size - denied, -denied
    rows = int(taken[pool.about(rule)].sum())
    if rule.everything:
        return rows, rows - max(pool.available(rule), 1)
    low, high = rule.rows(size)
    below = [] if low is None else [rows - low]
    above = [] if high is None else [high - rows]
    return rows, min(below + above, default=0)


def missed(pool: Pool, rules: Iterable[Rule], taken: Counts) -> dict[str, int]:
    """By how many rows each rule is missed, exactly; rules that are met are not in it.

    Args:
        pool: The blocks.
        rules: All rules that hold together.
        taken: Rows taken of each block.
    """
    slack = {rule.name: standing(pool, rule, taken)[1] for rule in rules}
    return {name: -by for name, by in slack.items() if by < 0}
