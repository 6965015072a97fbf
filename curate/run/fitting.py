"""Fitting: reference sets or the pool in, named arrays out, once for each key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.contract.context import Context
from curate.contract.parameters import Artifact, Reference
from curate.memo.keys import content_of_table, contents_of, key_of
from curate.run.computing import broken
from curate.run.facts import StageFacts
from curate.run.resolved import ResolvedStep, check_unchanged
from curate.run.tools import Tools
from curate.sources.files import SourceFile

Pool = Callable[[tuple[str, ...]], pl.DataFrame]
"""Gives `id` and columns of the pool."""
Table = Callable[[Reference, tuple[str, ...]], pl.DataFrame]
"""Gives `id` and columns of a reference table."""


@dataclass(frozen=True)
class Fitted:
    """What was fitted: arrays by part and name, the key of each part, and the seed."""

    arrays: Mapping[str, Mapping[str, NDArray[Any]]]
    keys: Mapping[str, str]
    seed: int


def fit_components(
    resolved: ResolvedStep,
    part: str,
    contents: Sequence[str],
    seed: int,
    fitted: Mapping[str, str],
) -> dict[str, Any]:
    """The components of a fit's key: a hash of what the fit reads, never of its floats.

    Args:
        resolved: The step.
        part: The part.
        contents: The content of each row that it is fitted on.
        seed: Of the recipe.
        fitted: The keys of the parts that were fitted before.
    """
    stage = resolved.step.stage
    parts = resolved.components(stage.fit_depends(part))
    parts["part"] = part
    target = stage.fits()[part]
    if isinstance(target, Artifact):
        (file,) = _files(resolved, target)
        parts["artifact"] = file.sha256
    else:
        parts["table"] = content_of_table(contents)
    needed = stage.fit_needs(part)
    if needed:
        parts["fits"] = {name: fitted[name] for name in needed}
    if stage.uses_seed:
        parts["seed"] = seed
    return parts


def _files(resolved: ResolvedStep, target: Artifact) -> tuple[SourceFile, ...]:
    return next(files for one, files in resolved.references.values() if one == target)


def fit_rows(
    resolved: ResolvedStep,
    pool: Pool,
    reference: Table,
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Each part with the rows (`id` and the columns that it reads) that it is fitted on."""
    for part, target in resolved.step.stage.fits().items():
        columns = resolved.step.stage.fit_inputs(part)
        if isinstance(target, Artifact):
            yield part, pl.DataFrame(schema=dict.fromkeys(["id", *columns], pl.String))
        elif isinstance(target, Reference):
            yield part, reference(target, columns)
        else:
            yield part, pool(columns)


def fit(
    resolved: ResolvedStep,
    pool: Pool,
    reference: Table,
    tools: Tools,
    facts: StageFacts,
) -> Fitted:
    """Fit every part that is not remembered.

    Args:
        resolved: The step.
        pool: Gives columns of the rows that the stage is fitted on.
        reference: Gives those of a reference table.
        tools: The means of the run.
        facts: Notes for each part whether it came from the memo.
    """
    stage = resolved.step.stage
    arrays: dict[str, Mapping[str, NDArray[Any]]] = {}
    keys: dict[str, str] = {}
    for part, rows in fit_rows(resolved, pool, reference):
        contents = contents_of(rows, stage.fit_inputs(part))
        late = set(stage.fit_needs(part)) - set(keys)
        if late:
            raise broken(stage.name, f"fits() lists '{part}' before '{late.pop()}', which it needs")
        components = fit_components(resolved, part, contents, tools.seed, keys)
        stored = tools.memo.fit(stage.name, part, components)
        found = stored.load()
        facts.fits[part] = "memo" if found is not None else "computed"
        if found is None:
            service = tools.service(resolved)
            needed = {name: arrays[name] for name in stage.fit_needs(part)}
            context = Context(
                tools.seed, resolved.models, needed, (), service, facts.count, tools.preview
            )
            # by content, as in the key: equal tables give equal fits whatever the ids
            order = pl.Series(contents).arg_sort()
            fitted = stage.fit(part, rows[order], context)
            for name, array in fitted.items():
                if not isinstance(array, np.ndarray) or array.dtype.hasobject:
                    raise broken(stage.name, f"fit('{part}') returned a '{name}' of no plain type")
            target = stage.fits()[part]
            if isinstance(target, Artifact):
                check_unchanged(_files(resolved, target))
            stored.save(fitted)
            found = stored.load()
            assert found is not None
        arrays[part] = found
        keys[part] = key_of(components)
    return Fitted(arrays, keys, tools.seed)
