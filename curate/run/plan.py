"""What a run would do, before any model is loaded. Imported where it is needed: it is heavy."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from curate.asking import LLM, LlmExpandStage, LlmScoreStage
from curate.contract.stages import POOL, ExpandStage, ScoreStage
from curate.memo.keys import changed, contents_of
from curate.memo.store import Memo
from curate.plugins.registry import get_registry
from curate.run.arena import Arena
from curate.run.check import check
from curate.run.execute import Execution
from curate.run.expanding import CHILDREN, children_components
from curate.run.fitting import Fitted
from curate.run.foreseeing import foresee, leading, reaching
from curate.run.outcome import load_sources
from curate.run.resolve import resolve
from curate.run.resolved import ResolvedStep, version_facts
from curate.run.scoring import output_components
from curate.run.tools import Tools
from curate.sources.hashes import home


@dataclass(frozen=True)
class PlannedStep:
    """What one stage would do.

    Attributes:
        rows: At most so many rows reach it.
        distinct: Distinct contents among all rows of the sources, None where that depends on
            columns that earlier stages write.
        remembered: How many of them the memo holds, for the output that holds fewest.
        changed: Components of the key that differ from the last run of this stage, if none of
            the contents is remembered.
        llm: Where it asks a language model: `calls` that it makes at most for what is not
            remembered, `reasks` beyond these at most, answers in the `journal`, `prompt_tokens` and
            `completion_tokens` of the calls at most, and their `money` (None without prices).
        unknown: It asks a language model, and what is made or written before decides about what:
            nothing can be said of tokens.
        calls: How often it asks then at most, re-asks left out; None where nobody knows.
    """

    id: str
    verb: str
    stage: str
    rows: int
    distinct: int | None = None
    remembered: int | None = None
    changed: tuple[str, ...] = ()
    llm: Mapping[str, Any] | None = None
    unknown: bool = False
    calls: int | None = None


@dataclass(frozen=True)
class PlannedSplits:
    """How the kept rows would be split.

    Attributes:
        rows: At most so many rows are.
        shares: Split > the share asked for, an exact decimal.
        keep_together: Columns whose values come to one split each.
        stratify: The column within each value of which the shares hold; None: there is none.
        like: The version whose rows stay in their splits, `name@v3`; None: there is none.
    """

    rows: int
    shares: Mapping[str, str]
    keep_together: tuple[str, ...]
    stratify: str | None
    like: str | None


@dataclass(frozen=True)
class Plan:
    """What a run would do; `splits` is None where the recipe names none."""

    name: str
    sources: Mapping[str, int]
    steps: tuple[PlannedStep, ...]
    splits: PlannedSplits | None
    models: Mapping[str, str]
    run_key: str


def plan(
    source: str | Path | Mapping[str, Any],
    sets: Sequence[str] = (),
    *,
    limit: int | None = None,
    out: Path | None = None,
) -> Plan:
    """Resolve a recipe, count its rows, and look up what is remembered. Loads no model.

    Args:
        source: The recipe: a path, or its content as a mapping.
        sets: Overrides, each `a.b.c=value`.
        limit: Plan for the first rows of each source only.
        out: Where published versions live; by default `curated`.

    Raises:
        RecipeError: The recipe is wrong.
        PolicyError: The rows of the sources show that a policy cannot be met.
        CurateError: Something that it names cannot be found or read.
    """
    registry = get_registry()
    beside = Path(source).parent if isinstance(source, str | Path) else None
    checked = check(source, sets, registry, keep_rows=limit is None, out=out)
    resolved = resolve(checked, registry, beside=beside, download=False, out=out)

    loaded = load_sources(resolved, limit)
    memo = Memo(home() / "memo")
    tools = Tools(registry, memo, registry.engine("local"), checked.recipe.seed)
    arena = Arena(loaded)
    if limit is None:
        foresee(resolved.steps, arena)
    execution = Execution(resolved, arena, tools)
    return Plan(
        name=checked.recipe.name,
        sources={name: len(rows.rows) + len(rows.unreadable) for name, rows in loaded.items()},
        steps=tuple(_step(execution, at) for at in range(len(resolved.steps))),
        splits=_splits(execution),
        models={name: facts["digest"] for name, facts in resolved.models_facts().items()},
        run_key=resolved.run_key,
    )


def _step(execution: Execution, at: int) -> PlannedStep:
    """Look at one step as if every row of its sources reached it unchanged."""
    steps = execution.resolved.steps
    resolved, before = steps[at], steps[:at]
    step, stage = resolved.step, resolved.step.stage
    rows = reaching(execution.arena, step.inputs, before)
    planned = PlannedStep(
        step.id,
        step.spec.verb,
        stage.name,
        len(rows),
        unknown=LLM in stage.services,
        calls=_calls(resolved, len(rows), before),
    )
    written = {name for earlier in before for name in earlier.step.adds}
    rewritten = any(isinstance(earlier.step.stage, ExpandStage) for earlier in before)
    if (
        not isinstance(stage, ScoreStage | LlmExpandStage)
        or stage.scope != "row"
        or rewritten
        or written & {*stage.inputs(), *(c for w in step.conditions.values() for c in w.columns)}
        or POOL in stage.fits().values()
    ):
        return planned
    frame = execution.arena.stage_frame(step, rows)
    contents = pl.Series("id", contents_of(frame, stage.inputs()), dtype=pl.String)
    fitted = execution.fits.keys(resolved, before)
    remembered, differs = [], []
    todo = contents.unique(maintain_order=True)
    lacking = set[str]()
    for name, components in _keys(resolved, fitted).items():
        last = execution.tools.memo.last_components(stage.name, name)
        column = execution.tools.memo.column(stage.name, name, components)
        known = column.lookup(contents)["id"]
        remembered.append(len(known))
        lacking.update(todo.filter(~todo.is_in(known.to_list())))
        if not remembered[-1] and last is not None:
            differs += changed(last, components)
    return replace(
        planned,
        distinct=contents.n_unique(),
        remembered=min(remembered, default=0),
        changed=tuple(dict.fromkeys(differs)),
        llm=_estimate(execution.tools, resolved, frame.with_columns(contents), lacking),
        unknown=False,
        calls=None,
    )


def _splits(execution: Execution) -> PlannedSplits | None:
    """Look at the splits as if every row of the sources that lead to the end were kept."""
    resolved, output = execution.resolved, execution.resolved.checked.recipe.output
    if not output.divided:
        return None
    rows = reaching(execution.arena, [resolved.steps[-1].step.result], resolved.steps)
    return PlannedSplits(
        len(rows),
        output.asked_shares,
        tuple(output.keep_together),
        output.stratify,
        version_facts(resolved.like).get("version"),
    )


def _calls(resolved: ResolvedStep, rows: int, before: Sequence[ResolvedStep]) -> int | None:
    """How often a stage asks a language model at most, where stages before it make all they can."""
    stage = resolved.step.stage
    if not isinstance(stage, LlmScoreStage | LlmExpandStage):
        return None
    for earlier in leading(resolved.step.inputs, before):
        if isinstance(earlier.step.stage, ExpandStage):
            if earlier.step.stage.makes is None:
                return None
            rows *= 1 + earlier.step.stage.makes
    if stage.scope == "row":
        return rows * stage.calls
    made = stage.makes if isinstance(stage, ExpandStage) else None
    return None if made is None else rows * made * stage.calls


def _keys(resolved: ResolvedStep, fitted: Fitted) -> dict[str, dict[str, Any]]:
    """The components of the key of each output, or of children."""
    stage = resolved.step.stage
    if not isinstance(stage, ScoreStage):
        return {CHILDREN: children_components(resolved, fitted)}
    return {name: output_components(resolved, fitted, name) for name in stage.outputs()}


def _estimate(
    tools: Tools, resolved: ResolvedStep, rows: pl.DataFrame, lacking: Collection[str]
) -> Mapping[str, Any] | None:
    """What a stage that asks a language model would ask about contents that it lacks, at most."""
    stage = resolved.step.stage
    if not isinstance(stage, LlmScoreStage | LlmExpandStage):
        return None
    asked = rows.filter(pl.col("id").is_in(list(lacking))).unique("id", maintain_order=True)
    estimate: Mapping[str, Any] = tools.registry.service(LLM).estimate(
        stage.params.llm,
        resolved.models.get(LLM),
        tools.memo.folder,
        asked.iter_rows(named=True),
        stage.ask,
        stage.calls,
    )
    return estimate
