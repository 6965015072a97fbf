"""Rows that another row stands for, as filters named it in the ledger, or marked. Heavy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from curate.report.texts import conversations, full, preview
from curate.versions.open import Version

_CLUSTERS = 5
"""Clusters of a stage that are shown, the largest."""

_MEMBERS = 4
"""Rows of a cluster that are shown."""


@dataclass(frozen=True)
class Member:
    """A row of a cluster: id, text, and what the filter measured where it says so."""

    id: str
    text: str
    value: float | None


@dataclass(frozen=True)
class Cluster:
    """Rows of which one stands for all.

    Attributes:
        survivor: That one: a row, or `<reference>#<line>` of a table that was to be kept out.
        line: Its text on one line.
        text: Its text; None where it is of such a table.
        size: Rows, the survivor included.
        members: Some of the others.
    """

    survivor: str
    line: str
    text: str | None
    size: int
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Duplicates:
    """What a stage found.

    Attributes:
        stage: Its id.
        kind: Its name.
        rows: Rows that were dropped for another.
        clusters: How many others that were.
        sizes: Size of a cluster, survivor included > how many are of it, the largest first.
        measured: Whether the stage says how near a row is to its survivor.
        largest: The largest clusters, ties by id.
        marked: The stage dropped none of them: `survivor` is the row with the smallest id.
    """

    stage: str
    kind: str
    rows: int
    clusters: int
    sizes: tuple[tuple[int, int], ...]
    measured: bool
    largest: tuple[Cluster, ...]
    marked: bool = False


def duplicates(version: Version) -> list[Duplicates]:
    """For each stage that dropped or marked rows for another row, the clusters that it found."""
    if "ref" not in version.ledger.columns:
        return []
    named = version.ledger.filter((pl.col("fate") == "dropped") & pl.col("ref").is_not_null())
    found = []
    for stage in version.manifest["stages"]:
        refs = dict(named.filter(stage=stage["id"]).select("id", "ref").iter_rows())
        marked = stage["verb"] == "filter" and stage["params"].get("drop") is False
        if marked:
            refs = _marked(version, f"{stage['id']}_cluster")
        if refs:
            found.append(_of_stage(version, stage["id"], stage["stage"], refs, marked=marked))
    return found


def _marked(version: Version, column: str) -> dict[str, str]:
    """Rows of clusters, each with the first of its cluster, which is not among them."""
    if column not in version.scores.columns:
        return {}
    others = version.scores.select("id", column).filter(pl.col("id") != pl.col(column))
    return dict(others.iter_rows())


def _of_stage(
    version: Version, id: str, kind: str, refs: Mapping[str, str], *, marked: bool
) -> Duplicates:
    groups: dict[str, list[str]] = {}
    for row in sorted(refs):
        groups.setdefault(_root(row, refs), []).append(row)
    sizes = Counter(len(rows) + 1 for rows in groups.values())
    largest = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))[:_CLUSTERS]
    shown = {root: rows[:_MEMBERS] for root, rows in largest}
    texts = conversations(version, [id for root, rows in shown.items() for id in (root, *rows)])
    values = _values(version, f"{id}_value")
    return Duplicates(
        stage=id,
        kind=kind,
        rows=len(refs),
        clusters=len(groups),
        sizes=tuple(sorted(sizes.items(), reverse=True)),
        measured=bool(values),
        largest=tuple(
            Cluster(
                survivor=root,
                line=root if "#" in root else preview(texts[root]),
                text=None if "#" in root else full(texts[root]),
                size=len(rows) + 1,
                members=tuple(
                    Member(row, full(texts[row]), values.get(row)) for row in shown[root]
                ),
            )
            for root, rows in largest
        ),
        marked=marked,
    )


def _root(row: str, refs: Mapping[str, str]) -> str:
    """The row that stands for it in the end: refs may name rows that the stage dropped as well."""
    seen = {row}
    while row in refs and refs[row] not in seen:
        row = refs[row]
        seen.add(row)
    return row


def _values(version: Version, column: str) -> dict[str, float]:
    if column not in version.scores.columns:
        return {}
    return dict(version.scores.select("id", column).drop_nulls().iter_rows())
