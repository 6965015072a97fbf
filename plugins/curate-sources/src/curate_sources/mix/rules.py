"""A policy as numbers: rules over blocks of rows that no rule tells apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Part = Literal["size", "limits", "shares", "licenses"]
PARTS: tuple[Part, ...] = ("size", "limits", "shares", "licenses")
"""Where rules stand in a policy, in the order in which a conflict is looked for without them."""

Counts = NDArray[np.int64]
"""Rows by block, int64 [blocks]."""


@dataclass(frozen=True)
class Rule:
    """One clause of a policy.

    Args:
        name: Its place, such as `shares.origin.human`.
        asked: As the recipe writes it.
        part: The part of the policy in which it stands.
        low: At least so much; None: no lower bound.
        high: At most so much; None: no upper bound.
        unit: Of both: rows, or shares of all rows taken.
        everything: Every row that it is about is asked for.
        select: The rows that it is about: values that each of these columns may have.
    """

    name: str
    asked: str
    part: Part
    low: Fraction | None = None
    high: Fraction | None = None
    unit: Literal["rows", "share"] = "rows"
    everything: bool = False
    select: tuple[tuple[str, frozenset[str]], ...] = ()

    def rows(self, size: int) -> tuple[int | None, int | None]:
        """The bounds in whole rows where `size` rows are taken."""
        of = size if self.unit == "share" else 1
        low = None if self.low is None else ceil(self.low * of)
        high = None if self.high is None else floor(self.high * of)
        return low, high


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


def bounds_of(
    pool: Pool, rule: Rule, taken: Counts, *, licensed: bool = True
) -> tuple[int, int, int | None, int | None]:
    """What a mix has of the rows that a rule is about, and what the rule asks for.

    Args:
        pool: The blocks.
        rule: The rule.
        taken: Rows taken of each block.
        licensed: Of a rule that asks for everything: everything that the licences allow.

    Returns:
        Rows that it is about, all rows, and the bounds in rows (None: there is no such bound). The
        rule of licences is about those that are allowed, and asks that all are.
    """
    size = int(taken.sum())
    if rule.part == "licenses":
        return size - int(taken[pool.denied].sum()), size, size, None
    rows = int(taken[pool.about(rule)].sum())
    if rule.everything:
        return rows, size, max(pool.available(rule, licensed=licensed), 1), None
    return rows, size, *rule.rows(size)


def missed(pool: Pool, rules: Iterable[Rule], taken: Counts, *, licensed: bool) -> dict[str, int]:
    """By how many rows each rule is missed, exactly; rules that are met are not in it.

    Args:
        pool: The blocks.
        rules: All rules that hold together.
        taken: Rows taken of each block.
        licensed: Whether a rule that asks for everything asks for what the licences allow.
    """
    found = {}
    for rule in rules:
        rows, _, low, high = bounds_of(pool, rule, taken, licensed=licensed)
        by = max((low or 0) - rows, rows - (rows if high is None else high), 0)
        if by:
            found[rule.name] = by
    return found
