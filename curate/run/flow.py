"""Columns on their way through the pipeline: what every table holds before anything is read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from curate.contract.columns import TEXTS, Kind
from curate.contract.stages import FilterStage, ScoreStage, Stage
from curate.examples.columns import FRAMEWORK

ORIGINALS: Mapping[str, Kind] = {
    **dict.fromkeys((*FRAMEWORK, *TEXTS), "string"),
    "messages": "nested",
    "parents": "nested",
}
"""Columns that every table has."""

KINDS: Mapping[Kind, str] = {
    "string": "text",
    "integer": "whole numbers",
    "number": "numbers",
    "boolean": "true or false",
    "vector": "vectors",
    "nested": "nested values",
}


@dataclass(frozen=True)
class Table:
    """The columns of a table.

    Attributes:
        columns: Those that are known.
        open: There may be others: remote rows were not looked at.
        hidden: Beginnings of the names that would be known but for a problem already reported.
        nulls: Columns that hold nothing but nulls, and so go with every kind.
        lacked: Score columns that some rows lack, with the stage that makes these rows.
    """

    columns: Mapping[str, Kind]
    open: bool = False
    hidden: frozenset[str] = frozenset()
    nulls: frozenset[str] = frozenset()
    lacked: Mapping[str, str] = field(default_factory=dict)

    def may_hold(self, name: str) -> bool:
        """Whether a column is there, or may be for all that is known."""
        return name in self.columns or self.open or any(map(name.startswith, self.hidden))

    def holding(self, kinds: Sequence[Kind]) -> list[str]:
        """The known columns of some kinds."""
        return [name for name, kind in self.columns.items() if kind in kinds]

    def without(self, prefix: str) -> Table:
        """The table after a stage that is wrong: what it would add begins with `prefix`."""
        return replace(self, hidden=self.hidden | {prefix})

    def after(self, adds: Mapping[str, Kind]) -> Table:
        """The table after a stage that writes `adds`."""
        lacked = {name: maker for name, maker in self.lacked.items() if name not in adds}
        return replace(self, columns={**self.columns, **adds}, lacked=lacked)

    def grown(self, maker: str, scores: Collection[str]) -> Table:
        """The table after a stage that makes rows, which have no scores of earlier stages."""
        lacked = {name: maker for name in self.columns if name in scores}
        return replace(self, lacked={**lacked, **self.lacked})


NOTHING = Table(ORIGINALS, hidden=frozenset({""}))
"""A table of which nothing is known."""


@dataclass(frozen=True)
class Clash:
    """A column that two tables hold differently."""

    column: str
    first: str
    second: str
    kinds: tuple[Kind, Kind]


def join(tables: Mapping[str, Table]) -> tuple[Table, list[Clash]]:
    """The union of tables by name; whole numbers and numbers together are numbers."""
    columns: dict[str, Kind] = dict(ORIGINALS)
    holders: dict[str, str] = {}
    clashes = []
    for name, table in tables.items():
        for column, kind in table.columns.items():
            if column in table.nulls:
                continue
            known = columns.get(column, kind)
            if known != kind and {known, kind} != {"integer", "number"}:
                clashes.append(Clash(column, holders[column], name, (known, kind)))
                continue
            columns[column] = kind if known == kind else "number"
            holders.setdefault(column, name)
    nulls = frozenset[str]().union(*(table.nulls for table in tables.values())) - columns.keys()
    columns |= {
        column: table.columns[column] for table in tables.values() for column in table.nulls & nulls
    }
    hidden = frozenset[str]().union(*(table.hidden for table in tables.values()))
    lacked = {name: maker for table in tables.values() for name, maker in table.lacked.items()}
    some = any(table.open for table in tables.values())
    return Table(columns, some, hidden, nulls, lacked), clashes


def added(stage: Stage) -> dict[str, Kind]:
    """The score columns that a stage writes, by full name."""
    if isinstance(stage, ScoreStage):
        return {f"{stage.id}_{name}": output.kind for name, output in stage.outputs().items()}
    if isinstance(stage, FilterStage):
        columns: dict[str, Kind] = {f"{stage.id}_{name}": "string" for name in stage.labels}
        if stage.value is not None:
            columns[f"{stage.id}_value"] = "number"
        return columns
    return {}
