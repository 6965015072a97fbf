"""A finished data set against a policy, from its rows alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate_sources.mix.cells import into_blocks, into_cells
from curate_sources.mix.policy import MixParams
from curate_sources.mix.rules import Counts, Pool, Rule, bounds_of

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Finding:
    """What the rows say of a clause.

    Args:
        clause: Its place in the policy.
        asked: As the recipe writes it.
        rows: How many of the rows it is about.
        of: All rows.
        slack: Rows to the nearest bound, below 0 those by which it is missed; None: the rows alone
            do not tell, as the clause asks for all there were.
        available: The rows that there were; None: nobody knows.
    """

    clause: str
    asked: str
    rows: int
    of: int
    slack: int | None
    available: int | None

    @property
    def state(self) -> str:
        """`met`, `missed`, or `untold` where the rows do not tell."""
        if self.slack is None:
            return "untold"
        return "met" if self.slack >= 0 else "missed"


def check_rows(
    rows: pl.DataFrame, params: MixParams, left: pl.DataFrame | None
) -> tuple[Finding, ...]:
    """Check rows against each clause of a policy.

    Args:
        rows: The columns of the policy, for the rows of the data set.
        params: The policy.
        left: The same columns for the rows that there were to take besides; None: nobody knows.
    """
    import polars as pl

    both = rows if left is None else pl.concat([rows, left])
    cells = into_cells(both, params.columns)
    rules = params.rules(lambda limit: cells.values_for(limit, params.licenses))
    blocks = into_blocks(cells, rules, params.licenses)
    block = blocks.of(cells)
    taken = blocks.counted(block[: len(rows)])
    known = left is not None
    return tuple(_finding(rule, blocks.pool, taken, known=known) for rule in rules)


def _finding(rule: Rule, pool: Pool, taken: Counts, *, known: bool) -> Finding:
    rows, size, low, high = bounds_of(pool, rule, taken)
    distances = [*([] if low is None else [rows - low]), *([] if high is None else [high - rows])]
    there = pool.available(rule)
    slack = None if rule.everything and not known else min(distances)
    return Finding(rule.name, rule.asked, rows, size, slack, there if known else None)
