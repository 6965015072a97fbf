"""The groups of rows that never straddle two splits: families, and what columns name. Heavy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from curate.errors import CurateError
from curate.printing import one_line

_SHOWN = 40
"""Characters of a value that are shown."""
_ID = 12
"""Characters of an id that are shown."""


class Groups:
    """The groups of rows, by their names.

    Args:
        parents: Row > the rows that it was made from; rows without any may be left out.
        named: Row > the groups that columns name for it; rows without any may be left out.
    """

    def __init__(
        self, parents: Mapping[str, Sequence[str]], named: Mapping[str, Iterable[str]]
    ) -> None:
        self._parents = parents
        self._named = named
        self._known: dict[str, frozenset[str]] = {}

    def of(self, id: str) -> frozenset[str]:
        """The groups of a row; at least one."""
        if id not in self._parents:
            return frozenset(self._named.get(id, (id,)))
        known, path, on = self._known, [id], set[str]()
        while path:
            at = path[-1]
            parents = self._parents.get(at, ())
            # a row that is its own ancestor ends the walk
            left = [p for p in parents if p not in known and p not in on] if at not in known else []
            if left:
                on.add(at)
                path += left
                continue
            path.pop()
            if at not in known:
                above = (known.get(parent, frozenset([parent])) for parent in parents)
                known[at] = frozenset(self._named.get(at, ())).union(*above) or frozenset([at])
        return known[id]


def outermost(rows: Sequence[frozenset[str]], ranks: Mapping[str, int]) -> list[frozenset[str]]:
    """The groups of rows without those that lie within a group before them.

    Before a group that a column names stand those of lower ranks, and of its own rank those whose
    names come first: an order that no row changes.

    Args:
        rows: The groups of each row.
        ranks: Group > its rank; 0 for those that are not in it.
    """
    if not ranks:
        return list(rows)
    shared: dict[str, frozenset[str]] = {}
    for groups in rows:
        for name in groups:
            shared[name] = shared.get(name, groups) & groups
    inner = {
        name
        for name, others in shared.items()
        if name in ranks
        and any((ranks.get(each, 0), each) < (ranks[name], name) for each in others)
    }
    return [groups if groups.isdisjoint(inner) else groups - inner for groups in rows]


@dataclass(frozen=True)
class Named:
    """The groups that columns name for rows.

    Attributes:
        of: Row > its groups; rows without a value have none.
        ranks: Group > the number of the first column that names it, from 1.
        values: Group > that column, and the value.
    """

    of: dict[str, list[str]] = field(default_factory=dict)
    ranks: dict[str, int] = field(default_factory=dict)
    values: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(
        self, rank: int, column: str, ids: pl.Series, texts: pl.Series, rows: frozenset[str]
    ) -> None:
        """Take up the values of a column; an empty text is none.

        A value that is the id of a row, as the label of a cluster is, names that row's group.

        Args:
            rank: The number of the column.
            column: Its name.
            ids: Of rows.
            texts: Their values, see `as_texts`.
            rows: The ids of all rows.
        """
        there = texts.str.strip_chars().fill_null("") != ""
        ids, texts = ids.filter(there), texts.filter(there)
        names = {text: text if text in rows else named(column, text) for text in texts.unique()}
        for text, name in names.items():
            self.ranks.setdefault(name, rank)
            self.values.setdefault(name, (column, text))
        for id, text in zip(ids, texts, strict=True):
            self.of.setdefault(id, []).append(names[text])

    def tell(self, name: str) -> str:
        """A group in words."""
        if name not in self.values:
            return f"the family of {one_line(name)[:_ID]}"
        column, text = self.values[name]
        return f"{one_line(column)} {shortened(text)!r}"


def shortened(text: str) -> str:
    """The beginning of a value on one line."""
    line = one_line(text[: 4 * _SHOWN])
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def named(column: str, value: str | None) -> str:
    """The name of what a column says; like no other's, and like no id."""
    return json.dumps([column, value])


def as_texts(values: pl.Series, column: str) -> pl.Series:
    """A column as texts; null where a row has no value, and for NaN; zero has no sign.

    Raises:
        CurateError: It holds nested values.
    """
    if values.dtype.is_nested():
        raise CurateError(
            f"`output` splits by '{column}', which holds nested values.",
            "Name a column of texts or numbers.",
        )
    if values.dtype.is_float():
        values = values.fill_nan(None)
        values = values.set(values == 0, 0.0)
    return values.cast(pl.String)
