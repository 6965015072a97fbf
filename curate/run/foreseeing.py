"""What fuses can refuse before any work: their tables as the rows of the sources show them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from curate.contract.stages import ExpandStage, FuseStage, ScoreStage
from curate.ledger import Positions
from curate.run.arena import Arena
from curate.run.resolved import ResolvedStep


def foresee(steps: Sequence[ResolvedStep], arena: Arena) -> None:
    """Ask every fuse whether what it is to do can be done with the rows of the sources.

    A fuse is asked where, on the way to it, no rows are made and nothing is written that it (or its
    `where:`) would have to read. Its tables hold all rows of the sources from which they stem.

    Args:
        steps: All steps of the recipe, in order.
        arena: The rows of the sources, before any step.

    Raises:
        PolicyError: What a fuse is asked for cannot be met.
        CurateError: A column is not there, or holds another type than a condition needs.
    """
    for at, resolved in enumerate(steps):
        _foresee(resolved, steps[:at], arena)


def reaching(arena: Arena, names: Iterable[str], before: Sequence[ResolvedStep]) -> Positions:
    """The rows of the sources from which tables stem.

    Args:
        arena: The rows, before any step.
        names: The tables.
        before: The steps that may have made them, in order.
    """
    sources = {*names}.union(*(earlier.step.inputs for earlier in leading(names, before)))
    return np.concatenate([rows for name, rows in arena.tables.items() if name in sources])


def leading(names: Iterable[str], before: Sequence[ResolvedStep]) -> list[ResolvedStep]:
    """The steps that lead to tables, the last first."""
    wanted, way = set(names), []
    for earlier in reversed(before):
        if earlier.step.result in wanted:
            wanted.update(earlier.step.inputs)
            way.append(earlier)
    return way


def _foresee(resolved: ResolvedStep, before: Sequence[ResolvedStep], arena: Arena) -> None:
    step, stage = resolved.step, resolved.step.stage
    columns = stage.foresees() if isinstance(stage, FuseStage) else None
    if columns is None:
        return
    assert isinstance(stage, FuseStage)
    conditions = [where for name, where in step.conditions.items() if f"@{name}" in columns]
    conditions += [step.where] if step.where else []
    read = {*columns}.union(*(where.columns for where in conditions))
    way = leading(step.inputs, before)
    if any(isinstance(earlier.step.stage, ExpandStage) for earlier in way) or any(
        read & earlier.step.adds.keys() for earlier in way
    ):
        return
    tables = {}
    for name in step.inputs:
        rows = arena.ordered(reaching(arena, [name], before))
        tables[name] = arena.stage_frame(step, rows[arena.inside(step, rows)], columns)
    stage.foresee(tables, exact=_all_arrive(resolved, way))


def _all_arrive(resolved: ResolvedStep, way: Iterable[ResolvedStep]) -> bool:
    """Whether every row of the sources that is inside a step's `where:` is sure to reach it."""
    step = resolved.step
    safe = step.spec.missing == "error" or not step.strict
    return safe and all(
        isinstance(earlier.step.stage, ScoreStage) and earlier.step.on_failure is None
        for earlier in way
    )
