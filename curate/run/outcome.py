"""What a finished run hands over for publishing, and how it is put together."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import xxhash

from curate.errors import CurateError
from curate.ledger import Positions
from curate.provenance import UNKNOWN
from curate.run.arena import Arena
from curate.run.baselines import SHARED, baselines
from curate.run.execute import Execution
from curate.run.foreseeing import foresee
from curate.run.locking import lock_of, package_versions
from curate.run.resolved import Resolved, check_unchanged, files_facts, version_facts
from curate.run.splitting import Splitting
from curate.run.tools import Tools
from curate.sources.hub import repositories
from curate.sources.load import Loaded, count_facts, load


@dataclass(frozen=True)
class Outcome:
    """A finished run: tables, books and recipe of a version to be.

    Args:
        name: The dataset's name, which is also its folder's.
        data: The kept rows in their order, split by split: the framework's columns, then the
            original ones.
        dropped: Every readable row that was not kept, same columns; None: not to be published.
        ledger: `id`, `source`, `file`, `line`, `fate`, `stage`, `reason`, `detail`, `ref`,
            `parents`; one row for every example ever seen.
        scores: `id` and the score columns, for rows that were dropped too.
        manifest: Books, stages, sources, models and environment as JSON values; publishing adds
            `name`, `version`, `digest` and `parent`.
        recipe: The recipe's text, as it was asked.
        lock: What the recipe resolved to.
        identity: What the digest covers besides rows and inputs: the resolved recipe without
            comments, engine, paths and neutral parameters, as hashes of its parts.
        shards: Files to spread the rows of a split over; never more than there are rows.
        splits: Split > how many of the rows it has, in their order; None: all are in `train`.
        ancestors: `id` and `parents` of rows that those here stem from, made in versions that are
            sources, and in no table of this one; None where there are none.
    """

    name: str
    data: pl.DataFrame
    dropped: pl.DataFrame | None
    ledger: pl.DataFrame
    scores: pl.DataFrame
    manifest: Mapping[str, Any]
    recipe: str
    lock: Mapping[str, Any]
    identity: Mapping[str, Any]
    shards: int = 1
    splits: Mapping[str, int] | None = None
    ancestors: pl.DataFrame | None = None


def execute(resolved: Resolved, tools: Tools, limit: int | None) -> Outcome:
    """Load the sources, run the stages, and put together what is to be published.

    Raises:
        PolicyError: A policy cannot be met, which the sources show before any stage works.
        CurateError: A source cannot be read, or a stage failed.
    """
    loaded = load_sources(resolved, limit, tools.watch.reading)
    arena = Arena(loaded)
    if limit is None:
        foresee(resolved.steps, arena)
    execution = Execution(resolved, arena, tools)
    kept = execution.run()
    return _outcome(resolved, execution, kept, _sources_facts(resolved, loaded, arena, kept), limit)


def load_sources(
    resolved: Resolved, limit: int | None, told: Callable[[str, int], None] | None = None
) -> dict[str, Loaded]:
    """Load every source from the files that were hashed, or take what the check read of them.

    Args:
        resolved: The recipe.
        limit: Only the first rows of each source.
        told: Told the name of a source that is being read, and how many rows were.

    Raises:
        CurateError: A source cannot be read, or a file changed since it was hashed.
    """
    loaded = {}
    for name, source in resolved.checked.recipe.sources.items():
        files = resolved.files[name]
        known = resolved.checked.loaded.pop(name, None)
        if known is None or known.files != files or limit is not None:
            read = partial(told, name) if told else None
            known = load(name, source, files=files, limit=limit, beside=resolved.beside, told=read)
        loaded[name] = known
        check_unchanged(files)
    _check_ids(loaded)
    return loaded


def _check_ids(loaded: Mapping[str, Loaded]) -> None:
    """Raise CurateError where rows of two sources are the same: versions bring their ids along."""
    if not any(file.version for source in loaded.values() for file in source.files):
        return
    ids = pl.concat(
        [source.rows.select("id", pl.lit(n).alias("at")) for n, source in loaded.items()]
    )
    twice = ids.filter(pl.col("id").is_duplicated()).sort("id", "at")
    if twice.is_empty():
        return
    id, first = twice.row(0)
    second = twice.row(1)[1]
    rows = twice["id"].n_unique()
    raise CurateError(
        f"the sources {first} and {second} hold the same row {id}"
        + (f", and {rows - 1} more" if rows > 1 else ""),
        "A row of a version keeps its id. Take each row from one source only.",
    )


def _sources_facts(
    resolved: Resolved, loaded: Mapping[str, Loaded], arena: Arena, kept: Positions
) -> dict[str, Any]:
    facts = {}
    for name, source in resolved.checked.recipe.sources.items():
        rows = loaded[name]
        facts[name] = {
            "files": files_facts(rows.files),
            "rows": len(rows.rows) + len(rows.unreadable),
            "unreadable": len(rows.unreadable),
            "format": rows.format.name,
            "origin": source.origin,
            "generator": source.generator,
            "license": source.license,
            "dataset": source.dataset,
            "revision": source.revision,
            "hub": repositories(rows.files),
            "columns": dict(rows.columns),
            **version_facts(rows.files),
            "facts": dict(rows.facts),
            "facts_kept": _facts_kept(name, rows, arena, kept),
        }
    return facts


def _facts_kept(name: str, loaded: Loaded, arena: Arena, kept: Positions) -> dict[str, int]:
    """What is worth knowing about a source, of its kept rows alone."""
    if not any(loaded.facts.values()):
        return dict(loaded.facts)
    rows = arena.rows[kept]
    return count_facts(rows.filter(rows["source"] == name), loaded.format, loaded.columns)


def _outcome(
    resolved: Resolved,
    execution: Execution,
    kept: Positions,
    sources: Mapping[str, Any],
    limit: int | None,
) -> Outcome:
    arena, recipe = execution.arena, resolved.checked.recipe
    everything = arena.ordered(np.arange(len(arena.rows), dtype=np.int64))
    columns = [name for name in arena.rows.columns if not name.startswith("@")]
    splitting = execution.splitting
    parts = [kept] if splitting is None else list(splitting.positions.values())
    if recipe.output.shuffle:
        parts = [_shuffled(arena, part, recipe.seed) for part in parts]
    kept = np.concatenate(parts)
    is_kept = np.isin(everything, kept)
    readable = arena.rows["messages"].is_not_null().to_numpy()
    dropped = everything[~is_kept & readable[everything]]
    scored = everything[readable[everything]]
    vectors = [n for n, column in arena.scores.items() if isinstance(column.dtype, pl.Array)]
    published = [n for n in arena.scores if recipe.output.vectors or n not in vectors]
    manifest = {
        "run_key": resolved.run_key,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "curate": package_versions()["curate-data"],
        "seed": recipe.seed,
        "limit": limit,
        "books": arena.ledger.totals(),
        "sources": dict(sources),
        "references": resolved.references_facts(),
        "models": resolved.models_facts(),
        "stages": execution.entries,
        "flags_by_fate": execution.flags(),
        "columns": [
            {
                "name": name,
                "kind": kind,
                "stage": r.step.id,
                "published": name in published,
                "tolerance": execution.tolerances.get(name, 0.0),
            }
            for r in resolved.steps
            for name, kind in r.step.adds.items()
        ],
        "shares": _shares(arena, kept),
        "licenses": _licenses(arena, kept),
        "language": recipe.output.language,
        **({} if splitting is None else {"splits": _splits(splitting, resolved)}),
        "baselines": baselines(arena, execution.judged, kept, recipe.seed),
        "environment": {
            "python": ".".join(map(str, sys.version_info[:3])),
            "platform": f"{platform.system()} {platform.machine()}",
            "packages": package_versions(),
        },
    }
    return Outcome(
        name=recipe.name,
        data=arena.frame(kept, columns),
        dropped=arena.frame(dropped, columns) if recipe.output.dropped else None,
        ledger=_ledger(arena, everything),
        ancestors=None if (before := arena.before()).is_empty() else before,
        scores=arena.frame(scored, published),
        manifest=manifest,
        recipe=resolved.checked.document.text,
        lock=lock_of(resolved, execution.tools, {n: s["format"] for n, s in sources.items()}),
        identity=resolved.prints,
        shards=recipe.output.shards,
        splits=None
        if splitting is None
        else {name: len(rows) for name, rows in splitting.positions.items()},
    )


def _splits(splitting: Splitting, resolved: Resolved) -> dict[str, Any]:
    facts = dict(splitting.facts)
    if resolved.like:
        facts["like"] = version_facts(resolved.like) | {"rows": facts["like"]}
    return facts


def _shuffled(arena: Arena, kept: Positions, seed: int) -> Positions:
    ids = arena.frame(kept, [])["id"]
    keys = [xxhash.xxh3_128_hexdigest(f"{seed}:{id}".encode()) for id in ids]
    shuffled: Positions = kept[np.argsort(np.array(keys), kind="stable")]
    return shuffled


def _ledger(arena: Arena, everything: Positions) -> Any:
    ledger = arena.ledger
    frame = arena.frame(everything, ["source", "@file", "@line", "parents"])
    columns = {
        name: pl.Series(name, getattr(ledger, name)[everything].tolist(), dtype=pl.String)
        for name in ("fate", "stage", "reason", "detail", "ref")
    }
    return (
        frame.rename({"@file": "file", "@line": "line"})
        .with_columns(pl.col("parents").fill_null([]), **columns)
        .select("id", "source", "file", "line", *columns, "parents")
    )


def _shares(arena: Arena, kept: Positions) -> dict[str, Any]:
    entered = arena.rows[: arena.ledger.entered]
    before = entered.filter(entered["messages"].is_not_null())
    after = arena.frame(kept, SHARED)
    return {
        column: {
            "before": _counts(before[column]),
            "after": _counts(after[column]),
        }
        for column in SHARED
    }


def _licenses(arena: Arena, kept: Positions) -> dict[str, int]:
    """The licence of a version: those of its rows, each with the number of rows under it."""
    stated = pl.when(pl.col("license").str.strip_chars() != "").then("license")
    frame = arena.frame(kept, ["license"]).select(stated.fill_null(UNKNOWN).alias("license"))
    return _counts(frame["license"])


def _counts(values: pl.Series) -> dict[str, int]:
    counts = values.fill_null("").alias("value").value_counts(name="rows")
    return dict(counts.sort("value").iter_rows())
