"""Rows that a command makes and lets a stage score: what the comparisons share.

Imported when a command runs.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import xxhash

from curate.api import CurateError, Host


def sampled(rows: pl.DataFrame, sample: int | None, seed: int) -> pl.DataFrame:
    """Some of the rows, by a seeded hash of their `id`: the same ones in whatever order they stand.

    Args:
        rows: With a column `id`.
        sample: How many; None: all, as they stand.
        seed: Of the hash.
    """
    if sample is None:
        return rows
    order = [xxhash.xxh3_64_intdigest(id.encode(), seed=seed) for id in rows["id"]]
    ranked = rows.with_columns(pl.Series("@order", order, dtype=pl.UInt64))
    return ranked.sort("@order", "id").head(sample).drop("@order")


def scored(
    host: Host,
    stage: str,
    params: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    may_fail: int | None,
) -> tuple[pl.DataFrame, Mapping[str, Any]]:
    """Score rows by a stage that asks, through the memo and the journal.

    Args:
        host: Core.
        stage: Its name.
        params: Of the stage.
        lines: Rows in the shape `alpaca`.
        names: What errors call each of them.
        may_fail: How many may stay without scores; None: a tenth of them, rounded up.

    Returns:
        For each line the stage's outputs or the `error`, and its number from 0, `at`; and what
        asking took, as a manifest records it.

    Raises:
        CurateError: More fail than may, or the run has to stop.
    """
    llm: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.jsonl")
        with path.open("w", encoding="utf-8") as file:
            for at, line in enumerate(lines):
                file.write(json.dumps({**line, "at": at}, ensure_ascii=False) + "\n")
        table = {"path": str(path), "format": "alpaca"}
        try:
            scores = host.score(
                stage,
                params,
                table,
                may_fail=-(-len(lines) // 10) if may_fail is None else may_fail,
                account=lambda services: llm.update(services["llm"]),
            )
        except CurateError as error:
            place = re.search(re.escape(str(path)) + r":(\d+)( \(id \w+\))?", error.message)
            if place is None:
                raise
            message = error.message.replace(place[0], names[int(place[1]) - 1])
            raise CurateError(message, "Let more of them fail: `--may-fail N`.") from error
        numbered = host.examples(table).select("id", "at")
    return scores.join(numbered, on="id", validate="1:1").sort("at"), llm
