"""Which rows a stage may touch, and what becomes of those that lack what it reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from curate.contract.stages import FilterStage
from curate.errors import CurateError
from curate.ledger import DROPPED, Positions
from curate.run.arena import Arena
from curate.run.facts import StageFacts
from curate.run.steps import Step

Mask = np.ndarray[Any, np.dtype[np.bool_]]


def touchable(
    arena: Arena, step: Step, rows: Positions, facts: StageFacts
) -> tuple[Positions, Positions]:
    """The rows that a stage is asked about, and all rows but those dropped for a missing value.

    Args:
        arena: The rows.
        step: The stage.
        rows: Those that came to it.
        facts: Told how many are left untouched.

    Raises:
        CurateError: A row lacks what the stage reads, and nothing says what that means.
    """
    inside = arena.inside(step, rows)
    if step.strict:
        missing = _missing(arena, step, rows) & inside
        if missing.any():
            rows, inside = _without(arena, step, rows, inside, missing, facts)
    facts.untouched = int(len(rows) - inside.sum())
    return rows[inside], rows


def received(arena: Arena, step: Step, rows: Positions, asked: Positions) -> Positions:
    """The rows that the stage receives: those asked, or all for a filter that sees all."""
    if not (isinstance(step.stage, FilterStage) and step.stage.sees_all):
        return asked
    if not step.strict:
        return rows
    # what is not asked and has no value is not seen either
    return rows[~_missing(arena, step, rows) | np.isin(rows, asked)]


def _missing(arena: Arena, step: Step, rows: Positions) -> Mask:
    """Which rows have no value in a column that the stage cannot do without."""
    columns = step.strict
    frame = arena.frame(rows, columns)
    nulls = [
        frame[name].is_null() | (frame[name].is_nan() if frame[name].dtype.is_float() else False)
        for name in columns
    ]
    mask = pl.DataFrame({str(at): null for at, null in enumerate(nulls)})
    return mask.select(pl.any_horizontal(pl.all())).to_series().to_numpy().astype(np.bool_)


def _without(
    arena: Arena, step: Step, rows: Positions, inside: Mask, missing: Mask, facts: StageFacts
) -> tuple[Positions, Mask]:
    """Rows, and which of them the stage may touch, when `missing:` is heard."""
    choice, count = step.spec.missing, int(missing.sum())
    if choice == "keep":
        return rows, inside & ~missing
    if choice == "drop":
        arena.ledger.settle(rows[missing], DROPPED, stage=step.id, reason="missing")
        facts.reasons["missing"] = count
        return rows[~missing], inside[~missing]
    place = arena.place(int(rows[missing][0]))
    raise CurateError(
        f"Stage '{step.id}' reads {', '.join(step.strict)}, which {count} rows do not have, "
        f"the first being {place}.",
        "Say what such rows mean: `missing: keep` (they pass untouched)"
        + (" or `missing: drop`" if step.spec.verb in ("filter", "fuse") else "")
        + " beside the stage, or leave them out with `where:`.",
    )
