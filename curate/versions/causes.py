"""Why a row that one version keeps is not in another. Heavy: import it where it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from curate.ledger import DROPPED, FAILED, KEPT, MERGED
from curate.versions.lineage import Lineage
from curate.versions.open import Version


def placed(rows: pl.DataFrame, version: Version) -> pl.DataFrame:
    """Rows with their `source`, `file`, `line` and place in the ledger (`at`), in that order."""
    places = version.ledger.select("id", "source", "file", "line").with_row_index("at")
    return places.join(rows, on="id", how="inner").sort("at", maintain_order=True)


def why(
    rows: pl.DataFrame, here: Lineage, there: Lineage, absent: str, unmade: str
) -> pl.DataFrame:
    """Why rows that one version keeps are not kept by the other.

    Args:
        rows: `id` of rows that version `here` keeps.
        here: The version that keeps them.
        there: The other.
        absent: Reason of rows that the sources of the other do not hold.
        unmade: Reason of rows that were not made in the other.

    Returns:
        `id`, its place, and `stage`, `reason`, `detail`, `ref`.
    """
    ledger = there.version.ledger.select("id", "fate", "stage", "reason", "detail", "ref")
    found = placed(rows, here.version).join(ledger, on="id", how="left", maintain_order="left")
    born = pl.col("id").is_in(list(here.parents))
    plain = found.filter(pl.col("fate").is_not_null() & (pl.col("fate") != MERGED))
    missing = found.filter(pl.col("fate").is_null() & ~born).with_columns(reason=pl.lit(absent))
    rest = found.filter((pl.col("fate") == MERGED) | (pl.col("fate").is_null() & born))
    told = _told(rest, here, there, absent, unmade)
    return pl.concat([plain, missing, told]).sort("at", maintain_order=True)


def _told(
    rows: pl.DataFrame, here: Lineage, there: Lineage, absent: str, unmade: str
) -> pl.DataFrame:
    """The same for rows whose children fell, or that were made here and not there."""
    if not len(rows):
        return rows
    fates = {
        id: tuple(rest)
        for id, *rest in there.version.ledger.select(
            "id", "fate", "stage", "reason", "detail", "ref"
        ).iter_rows()
    }
    makers = here.makers(rows.filter(pl.col("fate").is_null())["id"])
    stages, reasons, details, refs = [], [], [], []
    for id, fate in rows.select("id", "fate").iter_rows():
        if fate == MERGED:
            kept, fallen = _replacements(id, there, fates)
            if kept:
                stage, reason, detail, ref = fates[id][1:]
                detail = f"{', '.join(kept)} in its place: kept in both"
            else:
                stage, reason, detail, ref = fates[fallen][1:]
                detail = f"as {fallen}" + (f": {detail}" if detail else "")
        else:
            stage, reason, detail, ref = makers[id], unmade, None, None
            if stage is None:  # it came with its parents, from another version
                reason = absent
            for parent in _ancestors(id, here) if stage else ():
                if parent not in fates:
                    if parent not in here.parents:
                        stage, reason, detail = None, absent, f"its parent {parent}"
                        break
                elif fates[parent][0] in (DROPPED, FAILED):
                    stage, reason = fates[parent][1:3]
                    detail = f"its parent {parent}"
                    break
        stages.append(stage)
        reasons.append(reason)
        details.append(detail)
        refs.append(ref)
    columns = {"stage": stages, "reason": reasons, "detail": details, "ref": refs}
    return rows.with_columns(
        pl.Series(name, values, dtype=pl.String) for name, values in columns.items()
    )


def _replacements(
    id: str, lineage: Lineage, fates: Mapping[str, tuple[Any, ...]]
) -> tuple[list[str], str]:
    """The rows that replaced a row, one after another.

    Returns:
        Those that are kept, and the first that fell last; the row itself where none fell.
    """
    kept: list[str] = []
    ends: list[str] = []
    queue = [id]
    while queue:
        at = queue.pop(0)
        if fates[at][0] == KEPT:
            kept.append(at)
        elif fates[at][0] == MERGED:
            queue[:0] = lineage.replacements(at)
        else:
            ends.append(at)
    return kept, ends[0] if ends else id


def _ancestors(id: str, lineage: Lineage) -> Iterator[str]:
    """Parents, nearest first, each once."""
    queue, seen = list(lineage.parents.get(id, ())), set()
    while queue:
        parent = queue.pop(0)
        if parent in seen:
            continue
        seen.add(parent)
        yield parent
        queue += lineage.parents.get(parent, ())
