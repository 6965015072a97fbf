"""A finished data set against a policy, from its rows alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.api import Clause, counted
from curate_sources.mix.cells import into_blocks, into_cells
from curate_sources.mix.policy import MixParams
from curate_sources.mix.pool import Counts, Pool, standing
from curate_sources.mix.rules import Rule

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
            do not tell, as the clause asks for all there were, or for some of every value.
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

    def words(self) -> tuple[str, str, str, str, str]:
        """The finding in words, as those of a clause."""
        state = self.state
        if self.slack:
            state += (
                f" by {counted(-self.slack)}" if self.slack < 0 else f", {self.slack:,} to spare"
            )
        plain = Clause(self.clause, self.asked, self.rows, self.of, "binding", 0, self.available)
        name, asked, achieved, _, available = plain.words()
        return name, asked, achieved, state, available


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
    return tuple(_finding(rule, blocks.pool, taken, known=left is not None) for rule in rules)


def _finding(rule: Rule, pool: Pool, taken: Counts, *, known: bool) -> Finding:
    rows, least = standing(pool, rule, taken)
    # of `per`, a value of which no row is left has no clause here
    open_ended = rule.everything or (rule.low is not None and rule.per)
    slack = None if open_ended and not known and least >= 0 else least
    there, size = pool.available(rule), int(taken.sum())
    return Finding(rule.name, rule.asked, rows, size, slack, there if known else None)
