"""A score stage by itself, outside of a recipe: what commands of plugins are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from curate.contract import Reference
from curate.errors import CurateError
from curate.host import Apart
from curate.memo.store import Memo
from curate.plugins.registry import Registry, get_registry
from curate.run.arena import Arena
from curate.run.check import check
from curate.run.execute import Execution
from curate.run.facts import StageFacts
from curate.run.outcome import load_sources
from curate.run.resolve import resolve
from curate.run.tools import Tools
from curate.sources.hashes import home

_ID = "apart"


def fit(stage: str, params: Mapping[str, Any], *, seed: int) -> Apart:
    """See `curate.host.Host.fit`."""
    registry = get_registry()
    made = registry.stage(stage).Params.model_validate(dict(params))
    references = [value for value in _values(made) if isinstance(value, Reference)]
    if not references:
        raise CurateError(f"'{stage}' has no reference table to be fitted on.")
    table = references[0].model_dump(exclude={"sample"}, exclude_defaults=True)
    execution = _execution(registry, stage, params, table, seed)
    (resolved,) = execution.resolved.steps
    nobody = np.empty(0, dtype=np.int64)
    fitted = execution.fit(resolved, [], nobody, StageFacts())
    rows = {
        part: execution.reference_rows(resolved, target, [])["id"].to_list()
        for part, target in resolved.step.stage.fits().items()
        if isinstance(target, Reference)
    }
    ids = {part: tuple(sorted(found)) for part, found in rows.items()}
    return Apart(resolved.step.stage, resolved.models, fitted.arrays, ids)


def score(stage: str, params: Mapping[str, Any], pool: str) -> pl.DataFrame:
    """See `curate.host.Host.score`."""
    execution = _execution(get_registry(), stage, params, {"path": pool}, 0)
    kept = execution.run()
    (resolved,) = execution.resolved.steps
    frame = execution.arena.frame(kept, resolved.step.adds)
    return frame.rename({name: name.removeprefix(f"{_ID}_") for name in resolved.step.adds})


def _execution(
    registry: Registry, stage: str, params: Mapping[str, Any], table: Mapping[str, Any], seed: int
) -> Execution:
    recipe = {
        "name": _ID,
        "seed": seed,
        "sources": {"pool": dict(table)},
        "pipeline": [{"score": stage, "id": _ID, "with": dict(params)}],
    }
    resolved = resolve(check(recipe, (), registry), registry)
    tools = Tools(registry, Memo(home() / "memo"), registry.engine("local"), seed)
    return Execution(resolved, Arena(load_sources(resolved, None)), tools)


def _values(value: Any) -> list[Any]:
    from curate.run.parameters import references

    return [found for _, found in references(value)]
