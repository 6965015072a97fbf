"""The verb `score`: ask the memo first, compute the rest, write score columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, reduce
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.contract.context import Context
from curate.contract.results import Output
from curate.contract.stages import ScoreStage
from curate.engines.base import Work
from curate.errors import CurateError
from curate.ledger import FAILED, Positions
from curate.memo.keys import contents_of
from curate.memo.store import Column
from curate.passes import ForwardStage
from curate.run.arena import Arena
from curate.run.computing import DTYPES, check_scores, compute
from curate.run.facts import StageFacts
from curate.run.failures import Failures
from curate.run.fitting import Fitted
from curate.run.resolved import ResolvedStep
from curate.run.tools import Tools

_NAMED = 3
"""Rows that are named of those that raise a flag."""


@dataclass(frozen=True)
class Guest:
    """A later stage that takes part in the forward pass of this one."""

    resolved: ResolvedStep
    fitted: Fitted
    facts: StageFacts


def score(
    arena: Arena,
    resolved: ResolvedStep,
    asked: Positions,
    fitted: Fitted,
    tools: Tools,
    allowed: int,
    facts: StageFacts,
    guests: Sequence[Guest] = (),
) -> Positions:
    """Score rows; returns the positions of those that failed, settled in the ledger.

    Where rows pass through a model, what `guests` will ask of the same pass is remembered too.

    Raises:
        RowError: More than `allowed` rows failed.
        PluginError: The stage broke its contract.
    """
    return _Scoring(arena, resolved, asked, fitted, tools, allowed, facts, guests).run()


class _Scoring:
    def __init__(
        self,
        arena: Arena,
        resolved: ResolvedStep,
        asked: Positions,
        fitted: Fitted,
        tools: Tools,
        allowed: int,
        facts: StageFacts,
        guests: Sequence[Guest],
    ) -> None:
        stage = resolved.step.stage
        assert isinstance(stage, ScoreStage)
        self.stage = stage
        self.arena = arena
        self.resolved = resolved
        self.asked = asked
        self.fitted = fitted
        self.tools = tools
        self.facts = facts
        self.guests = guests
        self.outputs = stage.outputs()
        self.rows = arena.stage_frame(resolved.step, asked)
        self.failures = Failures(stage.id, allowed)
        self.errors: dict[str, str] = {}

    def run(self) -> Positions:
        keys, values = self._by_content() if self.stage.scope == "row" else self._by_table()
        for name, output in self.outputs.items():
            self.arena.set_scores(f"{self.stage.id}_{name}", self.asked, values[name])
            if output.flag:
                self._note_flag(name, values[name])
        self.facts.notes += self.stage.notes(values.select(list(self.outputs)))
        details = [self.errors[key] for key in keys if key in self.errors]
        failed = self.asked[[key in self.errors for key in keys]]
        self.arena.ledger.settle(
            failed, FAILED, stage=self.stage.id, reason="error", detail=details
        )
        return failed

    def _note_flag(self, name: str, values: pl.Series) -> None:
        raised = values.fill_null(False)
        self.facts.flags[name] = int(raised.sum())
        rows = self.arena.frame(self.asked[raised.to_numpy()], ["source"])
        counts = rows["source"].value_counts().sort("source").rows()
        self.facts.flags_by_source[name] = dict(counts)
        self.facts.flagged[name] = rows["id"].sort().head(_NAMED).to_list()

    def _context(self, wanted: Sequence[str]) -> Context:
        return Context(
            seed=self.tools.seed,
            models=self.resolved.models,
            fits=self.fitted.arrays,
            wanted=tuple(wanted),
            service=self.tools.service(self.resolved),
            count=self.facts.count,
            preview=self.tools.preview,
        )

    def _by_table(self) -> tuple[pl.Series, pl.DataFrame]:
        """A pool-scoped stage: all rows at once, every time. Returns ids and values."""
        ids = self.rows["id"]
        result = self.stage.score(self.rows, self._context(list(self.outputs)))
        good, self.errors = check_scores(
            self.stage.name, result, set(ids), self.outputs, whole=True
        )
        at = dict(zip(ids, self.asked.tolist(), strict=True))
        for id, error in self.errors.items():
            self.failures.add(self.arena.place(at[id]), error)
        return ids, ids.to_frame().join(good, on="id", how="left", maintain_order="left")

    def _by_content(self) -> tuple[pl.Series, pl.DataFrame]:
        """A row-scoped stage: equal contents once, the memo first. Returns contents and values."""
        contents = pl.Series("id", contents_of(self.rows, self.stage.inputs()), dtype=pl.String)
        distinct = self.rows.with_columns(contents).unique("id", keep="first", maintain_order=True)
        columns = columns_of(self.resolved, self.fitted, self.tools)
        found = {output: column.lookup(distinct["id"]) for output, column in columns.items()}
        missing = _missing(distinct["id"], found)
        todo = int(missing.select(pl.any_horizontal(pl.all())).to_series().sum())
        memo = {"distinct": len(distinct), "hits": len(distinct) - todo, "computed": 0}
        self.facts.memo = memo
        self.facts.repeats = len(contents) - len(distinct)
        self.facts.remembered = {output: len(known) for output, known in found.items()}
        occurrences = cache(lambda: _occurrences(contents, self.asked))  # only failures need them

        def fail(id: str, error: str) -> None:
            times, first = occurrences()
            self.errors[id] = error
            self.failures.add(self.arena.place(first[id]), error, times[id])

        def keep(result: pl.DataFrame) -> None:
            for seat in seats:  # first: where a process dies in between, the pass is made again
                seat.keep(result)
            for output in self.outputs:
                if output in result.columns:
                    columns[output].append(result.select("id", value=output))
            memo["computed"] += len(result)

        came = 0

        def took(count: int) -> None:
            nonlocal came
            came += count
            self.tools.advance(self.resolved, came, todo)

        if todo:
            self.tools.advance(self.resolved, came, todo)
        seats = [_Seat(guest, self.tools, self.stage.id) for guest in self.guests] if todo else []
        for wanted, part in _by_missing(distinct, missing):
            some = {output: self.outputs[output] for output in wanted}
            work = Work(self.stage, self._context(wanted), here=bool(self.resolved.served))
            recalled = [found[name].rename({"value": name}) for name in self._recalled(wanted)]
            if not recalled:
                taken = [seat.take(part["id"]) for seat in seats]
                work = replace(work, guests=[guest for guest in taken if guest is not None])
            else:
                self.facts.count("recalled", len(part))
            given = reduce(lambda rows, known: rows.join(known, on="id"), recalled, part)
            compute(self.tools.engine, work, given, some, keep, fail, took)
        whole = ~missing.select(pl.any_horizontal(pl.all())).to_series()
        self.tools.recall(self.resolved, distinct.filter(whole))
        values = contents.to_frame()
        for output, declared in self.outputs.items():
            # what is used is what is stored, also of what was computed just now
            known = columns[output].lookup(distinct["id"]) if todo else found[output]
            known = known.rename({"value": output})
            values = values.join(known, on="id", how="left", maintain_order="left")
            if values[output].dtype == pl.Null:
                values = values.with_columns(pl.col(output).cast(_dtype(declared)))
        lost = values.filter(~pl.col("id").is_in(list(self.errors))).drop("id")
        if any(lost[output].null_count() for output in self.outputs):
            raise CurateError(
                f"The memo lost values of stage '{self.stage.id}' while it ran.",
                "Was its folder emptied? Run again: what is missing will be computed.",
            )
        return contents, values

    def _recalled(self, wanted: Sequence[str]) -> list[str]:
        """Remembered outputs from which all those wanted can be made; none if they cannot."""
        needs = [self.stage.recalls(output) for output in wanted]
        names = list(dict.fromkeys(name for need in needs for name in need))
        return names if all(needs) and not set(names) & set(wanted) else []


class _Seat:
    """The place of a guest in a pass: what it still lacks is taken along and remembered."""

    def __init__(self, guest: Guest, tools: Tools, host: str) -> None:
        stage = guest.resolved.step.stage
        assert isinstance(stage, ForwardStage)
        self.stage = stage
        self.guest = guest
        self.tools = tools
        self.host = host
        self.outputs = stage.outputs()
        self.columns = columns_of(guest.resolved, guest.fitted, tools)
        self.known: dict[str, pl.Series] = {}

    def take(self, contents: pl.Series) -> tuple[ForwardStage, Context] | None:
        """The guest, with a context that wants what some contents lack; None if none does."""
        self.known = {name: c.lookup(contents)["id"] for name, c in self.columns.items()}
        lacking = [name for name in self.outputs if len(self.known[name]) < contents.n_unique()]
        if not lacking:
            return None
        self.guest.facts.shares_pass_of = self.host
        context = Context(
            self.tools.seed,
            self.guest.resolved.models,
            self.guest.fitted.arrays,
            tuple(lacking),
            self.tools.service(self.guest.resolved),
            self.guest.facts.count,
            self.tools.preview,
        )
        return self.stage, context

    def keep(self, result: pl.DataFrame) -> None:
        """Remember the guest's part of a result; what is no value it will meet on its own."""
        for name, output in self.outputs.items():
            full = f"{self.stage.id}.{name}"
            if full not in result.columns:
                continue
            new = result.filter(
                ~pl.col("id").is_in(self.known[name].to_list()), pl.col(full).is_not_null()
            )
            frame = new.select("id", pl.col(full).alias(name))
            good, _ = check_scores(self.stage.name, frame, set(new["id"]), {name: output})
            self.columns[name].append(good.rename({name: "value"}))
            if name == next(iter(self.outputs)):
                self.guest.facts.count("pass.shared", len(good))


def columns_of(resolved: ResolvedStep, fitted: Fitted, tools: Tools) -> dict[str, Column]:
    """The memo's column for each output of a score stage."""
    stage = resolved.step.stage
    assert isinstance(stage, ScoreStage)
    return {
        output: tools.memo.column(stage.name, output, output_components(resolved, fitted, output))
        for output in stage.outputs()
    }


def _missing(contents: pl.Series, found: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """For each content and output whether it is not remembered."""
    return pl.DataFrame(
        {output: ~contents.is_in(known["id"].to_list()) for output, known in found.items()}
    )


def output_components(resolved: ResolvedStep, fitted: Fitted, output: str) -> dict[str, Any]:
    """The components of the key under which one output's values are remembered."""
    stage = resolved.step.stage
    assert isinstance(stage, ScoreStage)
    depends = stage.depends(output)
    parts = resolved.components(depends.params)
    fits = fitted.keys if depends.fits is None else {p: fitted.keys[p] for p in depends.fits}
    parts |= {"output": output, "fits": dict(fits)}
    if stage.uses_seed:
        parts["seed"] = fitted.seed
    return parts


def _occurrences(contents: pl.Series, asked: Positions) -> tuple[dict[str, int], dict[str, int]]:
    times: dict[str, int] = {}
    first: dict[str, int] = {}
    for content, position in zip(contents, asked.tolist(), strict=True):
        times[content] = times.get(content, 0) + 1
        first.setdefault(content, position)
    return times, first


def _by_missing(
    distinct: pl.DataFrame, missing: pl.DataFrame
) -> list[tuple[list[str], pl.DataFrame]]:
    """Rows grouped by the set of outputs that they lack; rows that lack none are left out."""
    pattern: NDArray[np.bool_] = missing.to_numpy().astype(np.bool_).reshape(missing.shape)
    groups = []
    for lacking in np.unique(pattern, axis=0):
        names = [name for name, lacks in zip(missing.columns, lacking, strict=True) if lacks]
        if names:
            groups.append((names, distinct.filter(pl.Series((pattern == lacking).all(axis=1)))))
    return groups


def _dtype(output: Output) -> Any:
    return pl.Array(pl.Float32, 0) if output.kind == "vector" else DTYPES[output.kind]
