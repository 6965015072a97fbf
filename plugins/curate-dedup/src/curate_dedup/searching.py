"""The search for near pairs, as arrays that can be remembered. Imported when a stage works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate_dedup.pairs import Finder, Pairs, collect, joined
from curate_dedup.texts import distinct, places

if TYPE_CHECKING:
    from curate_dedup.near import NearDedup

Arrays = Mapping[str, NDArray[Any]]

CROWDED = "crowded"
"""Name of an array that is there if pairs were too many to be kept."""


def pairs_among(stage: NearDedup, rows: pl.DataFrame) -> Arrays:
    """Near pairs of the distinct contents of rows.

    Returns:
        `key` uint64 [d, 2], the contents, sorted; `late`, `early` int32 [p] and `similarity`
        float64 [p], or `crowded`; `gap`; and the numbers that the stage tells, as `told.<name>`.
    """
    keys, first = distinct(stage.keys(rows))
    finder = stage.finder(stage.items(rows[pl.Series(first)]), stage.params.search)
    found = collect(finder)
    arrays: dict[str, NDArray[Any]] = {"key": keys, **_said(stage, finder)}
    if found is None:
        return {**arrays, CROWDED: np.array(True)}
    pairs = found.sorted()
    return {
        **arrays,
        "late": pairs.late.astype(np.int32),
        "early": pairs.early.astype(np.int32),
        "similarity": pairs.similarity,
    }


def nearest(stage: NearDedup, rows: pl.DataFrame, references: Sequence[Arrays]) -> Arrays:
    """For each content of rows the nearest row of the references, if one is near.

    Returns:
        `key` uint64 [m, 2], the contents near one; `reference` int32 [m], its place among the rows
        of all references, one after the other; `similarity` float64 [m]; `gap` and `told.<name>`
        as above. One that is equal, or else the most similar one; of several the first.
    """
    keys, first = distinct(stage.keys(rows))
    items = stage.items(rows[pl.Series(first)])
    tables = [stage.restored(reference) for reference in references]
    known = tables[0]
    for table in tables[1:]:
        known = stage.together(known, table)
    count = len(known)
    finder = stage.finder(stage.together(known, items), stage.params.search)
    parts = []
    for start in range(count, finder.count, finder.block):
        stop = min(start + finder.block, finder.count)
        parts += [_best(part) for part in finder.near(start, stop, until=count)]
    best = _best(joined(parts))
    reference = np.full(len(keys), -1, dtype=np.int32)
    similarity = np.zeros(len(keys))
    reference[best.late - count] = best.early
    similarity[best.late - count] = best.similarity
    theirs, at = distinct(np.concatenate([table["key"] for table in references]))
    place = places(keys, theirs)
    equal = place >= 0
    reference[equal] = at[place[equal]]
    similarity[equal] = 1.0
    near = reference >= 0
    return {
        "key": keys[near],
        "reference": reference[near],
        "similarity": similarity[near],
        **_said(stage, finder),
    }


def _said(stage: NearDedup, finder: Finder) -> dict[str, NDArray[Any]]:
    told = {f"told.{name}": np.array(number) for name, number in stage.told(finder).items()}
    return {"gap": np.array(finder.gap), **told}


def told(found: Arrays) -> dict[str, float]:
    """What a stage told of a search."""
    names = (name for name in found if name.startswith("told."))
    return {name.removeprefix("told."): found[name].item() for name in names}


def _best(pairs: Pairs) -> Pairs:
    """For each late item the most similar early one, of equal ones the first."""
    ordered = pairs.take(np.lexsort((pairs.early, -pairs.similarity, pairs.late)))
    opens = np.ones(len(ordered), dtype=np.bool_)
    opens[1:] = ordered.late[1:] != ordered.late[:-1]
    return ordered.take(opens)
