"""The fits of a run, and the reference tables that they read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from curate.contract.parameters import Reference
from curate.contract.stages import ExpandStage, ScoreStage
from curate.errors import CurateError
from curate.ledger import Positions
from curate.memo.keys import contents_of, key_of
from curate.run.arena import Arena
from curate.run.expanding import expand
from curate.run.facts import StageFacts
from curate.run.fitting import Fitted, fit, fit_components, fit_rows
from curate.run.resolved import ResolvedStep, check_unchanged
from curate.run.scoring import score
from curate.run.steps import Step
from curate.run.tools import Tools
from curate.sources.load import load_reference


class Fits:
    """What the steps of a run are fitted to.

    Args:
        arena: The rows of the pool.
        tools: The means of the run.

    Attributes:
        made: The fits of the steps that have run, by id: references get the very same.
    """

    def __init__(self, arena: Arena, tools: Tools) -> None:
        self.arena = arena
        self.tools = tools
        self.made: dict[str, Fitted] = {}

    def fit(
        self,
        resolved: ResolvedStep,
        earlier: Sequence[ResolvedStep],
        pool: Positions,
        facts: StageFacts,
    ) -> Fitted:
        """Fit a step, or take what is remembered of it.

        Args:
            resolved: The step.
            earlier: The steps before it.
            pool: The rows that a fit on the pool reads.
            facts: Told what was computed.
        """
        return fit(
            resolved,
            lambda columns: self.arena.stage_frame(resolved.step, pool, columns),
            lambda reference, columns: self.reference_rows(resolved, reference, earlier, columns),
            self.tools,
            facts,
        )

    def keys(self, resolved: ResolvedStep, earlier: Sequence[ResolvedStep]) -> Fitted:
        """The keys of what a step fits on reference tables, without fitting."""

        def none(_columns: Sequence[str]) -> pl.DataFrame:
            raise AssertionError("a fit on the pool has no key before the pool is known")

        rows = fit_rows(
            resolved,
            none,
            lambda reference, columns: self.reference_rows(resolved, reference, earlier, columns),
        )
        seed = self.tools.seed
        keys: dict[str, str] = {}
        for part, table in rows:
            contents = contents_of(table, resolved.step.stage.fit_inputs(part))
            keys[part] = key_of(fit_components(resolved, part, contents, seed, keys))
        return Fitted({}, keys, seed)

    def reference_rows(
        self,
        resolved: ResolvedStep,
        reference: Reference,
        earlier: Sequence[ResolvedStep],
        columns: Sequence[str],
    ) -> pl.DataFrame:
        """`id` and columns of a reference table, as the stage reads it.

        The recipe's earlier row-scoped stages run on it too, without their `where:`: expansions in
        place always, scores where this stage (or one that must run for it) reads their columns.
        Filters choose among the pool, never among references.
        """
        files = next(found for one, found in resolved.references.values() if one == reference)
        loaded = load_reference("reference", reference, seed=self.tools.seed, files=files)
        check_unchanged(files)
        arena = Arena({"reference": loaded})
        inner = Fits(arena, self.tools)
        for before in _needed(resolved.step, columns, earlier):
            positions = next(iter(arena.tables.values()))
            facts = StageFacts()
            # the very fit of the pool; before the pool was fitted (in a plan) only reference fits
            fitted = self.made.get(before.step.id) or inner.fit(
                before, earlier[: earlier.index(before)], positions, facts
            )
            if isinstance(before.step.stage, ScoreStage):
                score(arena, before, positions, fitted, self.tools, 0, facts)
            else:
                made, gone = expand(arena, before, positions, fitted, self.tools, 0, facts)
                arena.tables["reference"] = np.concatenate([np.setdiff1d(positions, gone), made])
        there = {*arena.rows.columns, *arena.scores}
        for name in columns:
            if name not in there and name.removeprefix("@") not in resolved.step.conditions:
                raise CurateError(
                    f"Stage '{resolved.step.id}' reads '{name}', which the reference "
                    f"{reference.path} does not have.",
                    "It has: " + ", ".join(sorted(each for each in there if each[0] != "@")) + ".",
                )
        return arena.stage_frame(resolved.step, arena.tables["reference"], columns)


def _needed(step: Step, read: Sequence[str], earlier: Sequence[ResolvedStep]) -> list[ResolvedStep]:
    """The stages before `step` that run on a reference table, for columns to be read, in order."""
    tables, columns = set(step.inputs), set(read)
    chosen = []
    for resolved in reversed(earlier):
        if resolved.step.result not in tables:
            continue
        tables.update(resolved.step.inputs)
        stage = resolved.step.stage
        in_place = isinstance(stage, ExpandStage) and stage.in_place()
        wanted = isinstance(stage, ScoreStage) and columns & set(resolved.step.adds)
        if stage.scope == "row" and (in_place or wanted):
            chosen.append(resolved)
            columns.update(stage.inputs())
    return chosen[::-1]
