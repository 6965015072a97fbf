"""By which clauses of its condition a filter dropped rows."""

from __future__ import annotations

from typing import Any

import polars as pl

from curate.ledger import Positions
from curate.recipe.where import Where
from curate.run.arena import Arena


def failures(arena: Arena, where: Where, positions: Positions) -> list[dict[str, Any]]:
    """How many rows each clause of a condition fails, in the order of the recipe.

    Args:
        arena: All rows.
        where: The condition: its clauses are what its AND at the top joins.
        positions: The rows that were judged.

    Returns:
        For each clause its text (`clause`) and numbers of rows: `failed`, those for which it is
        false or null; `unknown`, of these those for which it is null; `alone`, those that fail no
        other clause. Empty where there is one clause only.
    """
    clauses = where.clauses()
    if len(clauses) < 2:
        return []
    held = arena.frame(positions, where.columns).select(
        clause.expr().alias(str(at)) for at, clause in enumerate(clauses)
    )
    failed = held.select(~pl.all().fill_null(value=False))
    once = failed.select(pl.sum_horizontal(pl.all()) == 1).to_series()
    return [
        {
            "clause": clause.text,
            "failed": int(each.sum()),
            "unknown": held[each.name].null_count(),
            "alone": int((each & once).sum()),
        }
        for clause, each in zip(clauses, failed, strict=True)
    ]
