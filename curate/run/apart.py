"""Stages and tables by themselves, outside of a recipe: what commands of plugins are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate.contract.parameters import Reference
from curate.errors import CurateError, Problem, RecipeError
from curate.host import Apart
from curate.ledger import FAILED
from curate.memo.store import Memo
from curate.plugins.registry import Registry, get_registry
from curate.run.arena import Arena
from curate.run.check import check
from curate.run.execute import Execution
from curate.run.facts import StageFacts
from curate.run.failures import RowError
from curate.run.outcome import load_sources
from curate.run.resolve import resolve
from curate.run.tools import Tools
from curate.sources.hashes import home

_NAME = "apart"
_POOL, _STAGE = "sources.pool", "pipeline.0"  # places in the recipe below


def fit(stage: str, params: Mapping[str, Any], *, seed: int) -> Apart:
    """See `curate.host.Host.fit`."""
    registry = get_registry()
    execution = _execution(registry, stage, params, _first_table(params), seed)
    (resolved,) = execution.resolved.steps
    nobody = np.empty(0, dtype=np.int64)
    facts = StageFacts()
    with closing(execution.tools):
        fitted = execution.fits.fit(resolved, [], nobody, facts)
    rows = {
        part: execution.fits.reference_rows(resolved, target, [], ())["id"].to_list()
        for part, target in resolved.step.stage.fits().items()
        if isinstance(target, Reference)
    }
    ids = {part: tuple(sorted(found)) for part, found in rows.items()}
    return Apart(resolved.step.stage, resolved.models, fitted.arrays, ids, facts.counts)


def score(
    stage: str,
    params: Mapping[str, Any],
    pool: Mapping[str, Any],
    may_fail: int,
    account: Callable[[Mapping[str, Any]], object] | None = None,
) -> pl.DataFrame:
    """See `curate.host.Host.score`."""
    execution = _execution(get_registry(), stage, params, pool, 0, may_fail)
    with closing(execution.tools):
        try:
            kept = execution.run()
        except RowError as error:  # there is no recipe that could say `on_failure:`
            raise CurateError(error.message, "Mend the row, or leave it out.") from error
    (resolved,) = execution.resolved.steps
    if account is not None:
        account(execution.tools.account(resolved))
    ledger, prefix = execution.arena.ledger, f"{resolved.step.id}_"
    rows = np.concatenate([kept, np.flatnonzero(ledger.fate == FAILED)])
    frame = execution.arena.frame(rows, resolved.step.adds)
    frame = frame.rename({name: name.removeprefix(prefix) for name in resolved.step.adds})
    errors = pl.Series("error", ledger.detail[rows].tolist(), dtype=pl.String)
    return frame.with_columns(errors)


def examples(table: str | Path | Mapping[str, Any]) -> pl.DataFrame:
    """See `curate.host.Host.examples`."""
    said = dict(table) if isinstance(table, Mapping) else {"path": str(table)}
    recipe = {"name": _NAME, "sources": {"pool": said}, "pipeline": [{"fuse": "core.concat"}]}
    try:
        checked = check(recipe, (), get_registry(), keep_rows=True)
    except RecipeError as error:
        raise RecipeError(_as_parameters(error.problems)) from error
    arena = Arena(load_sources(resolve(checked, get_registry()), None))
    (rows,) = arena.tables.values()
    frame = arena.rows[pl.Series(rows, dtype=pl.UInt32)].drop("@file", "@line")
    if frame.schema.get("original_source") != pl.String:
        return frame
    return frame.with_columns(source=frame["original_source"]).drop("original_source")


def _execution(
    registry: Registry,
    stage: str,
    params: Mapping[str, Any],
    table: Mapping[str, Any],
    seed: int,
    may_fail: int = 0,
) -> Execution:
    step = {"score": stage, "with": dict(params), "on_failure": {"set_aside": may_fail}}
    recipe = {
        "name": _NAME,
        "seed": seed,
        "sources": {"pool": dict(table)},
        "pipeline": [step],
    }
    try:
        checked = check(recipe, (), registry, keep_rows=True)
    except RecipeError as error:
        raise RecipeError(_as_parameters(error.problems)) from error
    resolved = resolve(checked, registry)
    tools = Tools(registry, Memo(home() / "memo"), registry.engine("local"), seed)
    return Execution(resolved, Arena(load_sources(resolved, None)), tools)


def _first_table(params: Mapping[str, Any]) -> dict[str, Any]:
    """The first reference table among parameters, as a source: a fit looks at no other pool."""
    for value in params.values():
        if isinstance(value, Mapping) and "path" in value:
            return {name: value[name] for name in value if name != "sample"}
        if isinstance(value, Mapping) and (found := _first_table(value)):
            return found
    return {}


def _as_parameters(problems: Sequence[Problem]) -> list[Problem]:
    """Problems in the words of someone who wrote parameters and a file, no recipe."""
    inner = f"{_STAGE}.with."
    found = [
        replace(problem, message=problem.message.replace(inner, "", 1))
        for problem in problems
        if not problem.message.startswith(_POOL)
    ]
    return found or [
        replace(problem, message=problem.message.replace(f"{_POOL}.path: ", "", 1))
        for problem in problems
    ]
