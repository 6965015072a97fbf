"""Carrying the rows from stage to stage, and every judgement on them to the ledger."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version as installed_version
from typing import Any

import numpy as np
import polars as pl

from curate.asking import LLM
from curate.contract.columns import ASKED
from curate.contract.context import Context
from curate.contract.stages import POOL, ExpandStage, FilterStage, FuseStage, ScoreStage
from curate.ledger import DROPPED, FAILED, KEPT, Positions
from curate.passes import ForwardStage
from curate.recipe.names import OUTPUT
from curate.run.arena import Arena
from curate.run.clauses import failures
from curate.run.deciding import check_decisions, settle
from curate.run.expanding import expand
from curate.run.facts import StageFacts
from curate.run.fits import Fits
from curate.run.fitting import Fitted
from curate.run.resolved import Resolved, ResolvedStep, check_unchanged, version_facts
from curate.run.scoring import Guest, score
from curate.run.splitting import BRIDGES, Splitting, split
from curate.run.tools import Tools
from curate.run.touching import received, touchable
from curate.services.llm.budget import BudgetError
from curate.sources.kept import earlier


class Execution:
    """One run over loaded sources.

    Args:
        resolved: The recipe with everything found.
        arena: The rows of the sources.
        tools: The means of the run.

    Attributes:
        judged: The rows among which the selection was made: those that the stage could drop which
            dropped the most (inside its `where:`, having what it reads). None of them where nothing
            was dropped since rows were last made.
        splitting: The splits of the kept rows; None where the recipe names none.
    """

    def __init__(self, resolved: Resolved, arena: Arena, tools: Tools) -> None:
        self.resolved = resolved
        self.arena = arena
        self.tools = tools
        self.entries: list[dict[str, Any]] = []
        self.tolerances: dict[str, float | None] = {}
        self.fits = Fits(arena, tools)
        self.ahead: dict[str, Guest] = {}
        self.judged: Positions = np.empty(0, dtype=np.int64)
        self.splitting: Splitting | None = None
        self._dropped = 0

    def run(self) -> Positions:
        """Run all stages; returns the positions of kept rows, in order.

        Raises:
            CurateError: A stage failed, broke its contract, or the books do not balance.
        """
        self.arena.ledger.check_tables(self.arena.tables)
        for at, resolved in enumerate(self.resolved.steps):
            self._step(resolved, self.resolved.steps[:at])
        for entry, resolved in zip(self.entries, self.resolved.steps, strict=True):
            services = self.tools.account(resolved)
            if services:  # later stages may have run it on their references
                entry["services"] = services
        kept = self._divided() if self.resolved.checked.recipe.output.divided else self._last()
        self.arena.ledger.settle(kept, KEPT, stage=None)
        return kept

    def flags(self) -> dict[str, dict[str, dict[str, int]]]:
        """What became of the rows that raise a flag: stage > flag > fate > rows."""
        return {
            entry["id"]: {flag: self._fates(f"{entry['id']}_{flag}") for flag in entry["flags"]}
            for entry in self.entries
            if entry["flags"]
        }

    def _fates(self, column: str) -> dict[str, int]:
        raised = self.arena.scores[column].fill_null(value=False).to_numpy()
        return dict(Counter(self.arena.ledger.fate[raised].tolist()))

    def _last(self) -> Positions:
        """The rows that the last stage left, in order."""
        (left,) = self.arena.tables.values()
        return self.arena.ordered(left)

    def _divided(self) -> Positions:
        """Split the rows; returns those that stay, in order. It has an entry like a stage's."""
        started, recipe = time.perf_counter(), self.resolved.checked.recipe
        rows, output = self._last(), recipe.output
        head = {"id": OUTPUT, "verb": "split", "stage": OUTPUT}
        self.tools.tell("stage_started", head | {"rows": len(rows)})
        files = self.resolved.like
        like = earlier(files, output.keep_together) if files else None
        check_unchanged(files)
        self.splitting = split(self.arena, rows, output, recipe.seed, like)
        self.arena.ledger.settle(
            self.splitting.dropped,
            DROPPED,
            stage=OUTPUT,
            reason=BRIDGES,
            detail=self.splitting.why,
        )
        (last,) = self.arena.tables
        stay = np.setdiff1d(rows, self.splitting.dropped)
        self.arena.tables[last] = stay
        facts = StageFacts(facts=dict(self.splitting.facts))
        facts.books.entered = len(rows)
        self._close(OUTPUT, facts, len(stay))
        if facts.books.dropped:
            facts.reasons[BRIDGES] = facts.books.dropped
        facts.notes = [f"{name} {len(at):,}" for name, at in self.splitting.positions.items()]
        facts.seconds = time.perf_counter() - started
        entry = {
            **head,
            "version": 1,
            "auto": {},
            "plugin": {"name": "curate-data", "version": installed_version("curate-data")},
            "inputs": [last],
            "result": f"@{OUTPUT}",
            "where": None,
            "params": {
                "splits": output.asked_shares,
                "keep_together": list(output.keep_together),
                "stratify": output.stratify,
                "like": version_facts(files).get("version"),
            },
            **facts.entry(),
        }
        self.entries.append(entry)
        self.tools.tell("stage_finished", entry)
        return self.arena.ordered(stay)

    def _step(self, resolved: ResolvedStep, earlier: Sequence[ResolvedStep]) -> None:
        step, arena = resolved.step, self.arena
        started = time.perf_counter()
        tables = {name: arena.tables.pop(name) for name in step.inputs}
        rows = arena.ordered(np.concatenate(list(tables.values())))
        facts = self.ahead[step.id].facts if step.id in self.ahead else StageFacts()
        facts.books.entered = len(rows)
        self.tools.tell(
            "stage_started",
            {"id": step.id, "verb": step.spec.verb, "stage": step.spec.stage, "rows": len(rows)},
        )
        asked, rows = touchable(arena, step, rows, facts)
        try:
            out = self._verb(resolved, earlier, tables, rows, asked, facts)
        except BudgetError as error:
            if facts.memo is None:
                raise
            done = self.tools.account(resolved).get(LLM, {}).get("done", 0)
            total = facts.memo["distinct"]
            left = total - facts.memo["hits"] - done
            raise error.with_left(left, total, "rows") from error
        facts.services = self.tools.account(resolved)
        arena.tables[step.result] = arena.ordered(out)
        self._close(step.id, facts, len(out))
        if isinstance(step.stage, ExpandStage):
            self.judged, self._dropped = asked[:0], 0
        elif isinstance(step.stage, FilterStage | FuseStage) and facts.books.dropped >= max(
            self._dropped, 1
        ):
            self.judged, self._dropped = asked, facts.books.dropped
        facts.seconds = time.perf_counter() - started
        entry = self._head(resolved) | facts.entry()
        self.entries.append(entry)
        self.tools.tell("stage_finished", entry)

    def _close(self, id: str, facts: StageFacts, out: int) -> None:
        """Count what happened at this stage from the ledger itself, and balance."""
        ledger = self.arena.ledger
        here = ledger.stage == id
        facts.books.out = out
        facts.books.dropped = int((here & (ledger.fate == DROPPED)).sum())
        facts.books.failed = int((here & (ledger.fate == FAILED)).sum())
        facts.books.merged = int((here & (ledger.fate == "merged")).sum())
        facts.books.check(id)
        ledger.check_tables(self.arena.tables)

    def _verb(
        self,
        resolved: ResolvedStep,
        earlier: Sequence[ResolvedStep],
        tables: Mapping[str, Positions],
        rows: Positions,
        asked: Positions,
        facts: StageFacts,
    ) -> Positions:
        step, stage = resolved.step, resolved.step.stage
        rule = step.on_failure
        allowed = rule.allowed(len(asked)) if rule else 0
        ahead = self.ahead.get(step.id)
        seen = received(self.arena, step, rows, asked)
        fitted = ahead.fitted if ahead else self.fits.fit(resolved, earlier, seen, facts)
        self.fits.made[step.id] = fitted
        if isinstance(stage, ScoreStage):
            for name in stage.outputs():
                column = f"{stage.id}_{name}"
                self.tolerances[column] = self._tolerance(stage, name, fitted)
            guests = self._guests(resolved)
            failed = score(self.arena, resolved, asked, fitted, self.tools, allowed, facts, guests)
            return np.setdiff1d(rows, failed)
        if isinstance(stage, ExpandStage):
            made, gone = expand(self.arena, resolved, asked, fitted, self.tools, allowed, facts)
            return np.concatenate([np.setdiff1d(rows, gone), made])
        service = self.tools.service(resolved)
        context = Context(
            self.tools.seed,
            resolved.models,
            fitted.arrays,
            (),
            service,
            facts.count,
            self.tools.preview,
        )
        if isinstance(stage, FilterStage):
            return self._filter(resolved, stage, rows, seen, asked, context, facts)
        assert isinstance(stage, FuseStage)
        return self._fuse(resolved, stage, tables, rows, asked, context, facts)

    def _filter(
        self,
        resolved: ResolvedStep,
        stage: FilterStage,
        rows: Positions,
        seen: Positions,
        asked: Positions,
        context: Context,
        facts: StageFacts,
    ) -> Positions:
        frame = self.arena.stage_frame(resolved.step, seen)
        if stage.sees_all:
            frame = frame.with_columns(pl.Series(ASKED, np.isin(seen, asked)))
        decisions = stage.filter(frame, context)
        some = len(asked) < len(seen)
        droppable = set(self.arena.frame(asked, [])["id"].to_list()) if some else None
        decided = check_decisions(
            stage.name, decisions, frame["id"], droppable, stage.reasons, stage.labels
        )
        if stage.value is not None:
            self.arena.set_scores(f"{stage.id}_value", seen, decided["value"])
        for name in stage.labels:
            self.arena.set_scores(f"{stage.id}_{name}", seen, decided[name])
        facts.note(decisions, self.tolerances)
        stay = settle(self.arena, stage.id, seen, decided, facts)
        keep = resolved.step.conditions.get("keep")
        # one that the environment completes is not repeated in the manifest
        shown = keep is not None and keep.text == self._head(resolved)["params"].get("keep")
        if keep is not None and shown and len(stay) < len(seen):
            facts.clauses = failures(self.arena, keep, seen)
        return np.concatenate([np.setdiff1d(rows, seen), stay])

    def _fuse(
        self,
        resolved: ResolvedStep,
        stage: FuseStage,
        tables: Mapping[str, Positions],
        rows: Positions,
        asked: Positions,
        context: Context,
        facts: StageFacts,
    ) -> Positions:
        ordered = {
            name: self.arena.ordered(np.intersect1d(table, asked)) for name, table in tables.items()
        }
        frames = {
            name: self.arena.stage_frame(resolved.step, table) for name, table in ordered.items()
        }
        together = np.concatenate(list(ordered.values()))
        ids = pl.concat([frame["id"] for frame in frames.values()])
        decisions = stage.fuse(frames, context)
        decided = check_decisions(stage.name, decisions, ids, None, stage.reasons)
        facts.note(decisions, self.tolerances)
        stay = settle(self.arena, stage.id, together, decided, facts)
        return np.concatenate([np.setdiff1d(rows, together), stay])

    def _tolerance(self, stage: ScoreStage, output: str, fitted: Fitted) -> float | None:
        """How far a score may be moved; None where what it is made of may, nobody knows how far."""
        made_of = [self.tolerances.get(name, 0.0) for name in stage.inputs()]
        if stage.scope == POOL and any(each is None or each > 0 for each in made_of):
            return None
        return stage.tolerance(output, fitted.arrays)

    def _guests(self, resolved: ResolvedStep) -> list[Guest]:
        """Later stages that can share a forward pass of this one, fitted.

        Those down the tree from here that need an equal pass, are asked about all rows and are
        not fitted on the pool; up to the first stage that rewrites texts.
        """
        stage, steps = resolved.step.stage, self.resolved.steps
        if not isinstance(stage, ForwardStage):
            return []
        wanted, result, guests = stage.passing(resolved.models), resolved.step.result, []
        for at in range(steps.index(resolved) + 1, len(steps)):
            later = steps[at]
            if result not in later.step.inputs:
                continue
            result, guest = later.step.result, later.step.stage
            if isinstance(guest, ExpandStage) and guest.in_place():
                break
            if (
                isinstance(guest, ForwardStage)
                and guest.passing(later.models) == wanted
                and guest.inputs() == stage.inputs()
                and later.step.where is None
                and POOL not in guest.fits().values()
            ):
                if later.step.id not in self.ahead:
                    facts = StageFacts()
                    nobody = np.empty(0, dtype=np.int64)
                    fitted = self.fits.fit(later, steps[:at], nobody, facts)
                    self.ahead[later.step.id] = Guest(later, fitted, facts)
                guests.append(self.ahead[later.step.id])
        return guests

    def _head(self, resolved: ResolvedStep) -> dict[str, Any]:
        step, plugin = resolved.step, resolved.plugin
        shown = self.resolved.checked.document.shown_at(("pipeline", step.index))
        return {
            "id": step.id,
            "verb": step.spec.verb,
            "stage": step.spec.stage,
            "version": step.stage.version,
            "auto": dict(resolved.automatic),
            "plugin": {"name": plugin.name, "version": plugin.version},
            "inputs": list(step.inputs),
            "result": step.result,
            "where": shown.get("where"),
            "params": shown.get("with") or {},
        }
