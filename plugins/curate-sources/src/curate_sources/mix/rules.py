"""The clauses of a policy as rules over numbers of rows."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Literal

Part = Literal["size", "limits", "shares", "licenses"]
PARTS: tuple[Part, ...] = ("size", "limits", "shares", "licenses")
"""Where rules stand in a policy, in the order in which a conflict is looked for without them."""


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
        everything: Every row that it is about, and that the licences allow, is asked for.
        select: The rows that it is about: values that each of these columns may have.
        per: It is one of those that a limit with `per` comes to.
        within: Names under which it is meant together with others, such as `shares.origin`.
    """

    name: str
    asked: str
    part: Part
    low: Fraction | None = None
    high: Fraction | None = None
    unit: Literal["rows", "share"] = "rows"
    everything: bool = False
    select: tuple[tuple[str, frozenset[str]], ...] = ()
    within: tuple[str, ...] = ()
    per: bool = False

    def rows(self, size: int) -> tuple[int | None, int | None]:
        """The bounds in whole rows where `size` rows are taken."""
        of = size if self.unit == "share" else 1
        low = None if self.low is None else ceil(self.low * of)
        high = None if self.high is None else floor(self.high * of)
        return low, high
