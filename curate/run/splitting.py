"""The splits of a version: which of the kept rows are for training, which for validation.

What is drawn is a group, by a hash of its name and the seed, so that it depends on nothing else:

- A row that was made from no other is in the groups that the columns of `keep_together` name, or,
  where they are all null, in one named by its id.
- A row that was made from others is in all groups of its parents, and in those that these columns
  name for itself.
- A group whose rows are all in one group that comes before it says nothing new and is left out.
  Those named by ids come first, then those of the columns in their order.
- A row goes where its groups go. Where they go to different splits it bridges them and is dropped.

So rows with an ancestor or a group in common are never in different splits. Rows that come later
only ever bring groups back that were left out: they may make a row bridge splits, and never send it
to another split; without `keep_together` they do neither.

With `like` the rows of an earlier version stay where they were, and a group is where its rows of
that version are; the others are drawn. Imported when a run ends: heavy.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import xxhash

from curate.errors import CurateError
from curate.ledger import Positions

if TYPE_CHECKING:
    from curate.recipe.model import Output
    from curate.run.arena import Arena

BRIDGES = "bridges_splits"
"""The reason of rows that are dropped."""

_ALL = 1 << 64


@dataclass(frozen=True)
class Splitting:
    """Kept rows by split.

    Attributes:
        positions: Split > its rows in their order.
        dropped: Rows that bridge splits.
        facts: For the manifest: for each split the share asked for, its rows and their share; with
            `stratify` the rows of each value by split, and those of no value; with `like` the rows
            of the earlier version.
    """

    positions: Mapping[str, Positions]
    dropped: Positions
    facts: Mapping[str, Any]


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
    """The groups of rows without those that lie within a group of a lower rank.

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
        if any(ranks.get(other, 0) < ranks.get(name, 0) for other in others)
    }
    return [groups - inner for groups in rows]


def drawn(names: Iterable[str], shares: Mapping[str, Any], seed: int) -> dict[str, str]:
    """Draw a split for each group, by its hash alone: the splits share the range of the hash."""
    bounds = [
        (int(end * _ALL), name)
        for end, name in zip(accumulate(map(Fraction, shares.values())), shares, strict=True)
    ]
    found = {}
    for name in names:
        number = _number(name, seed)
        found[name] = next(split for bound, split in bounds if number < bound)
    return found


def stratified(
    rows: Mapping[str, int],
    strata: Mapping[str, str | None],
    shares: Mapping[str, Any],
    seed: int,
) -> dict[str, str]:
    """Give groups to splits, so that of each stratum and of all each split gets its share.

    The groups of a stratum stand in a line in the order of their hashes, each as long as it has
    rows. A split takes its share from the head of each line, as near as the groups allow, and what
    it got too much or too little of one line is settled with the next; the splits after it share
    what is left. Strata of small groups come first, so that none has to settle for a larger group
    than its own, then in the order of their hashes.

    With two splits, each is off by at most half the largest group over all, and by at most the
    largest group of a stratum within it; with three, by at most twice that.

    Args:
        rows: Group > its rows.
        strata: Group > its stratum; None is one too.
        shares: Split > its share.
        seed: Of the recipe.
    """
    by_stratum: dict[str | None, list[str]] = {}
    for name in sorted(rows, key=lambda name: (_number(name, seed), name)):
        by_stratum.setdefault(strata[name], []).append(name)
    lines = [
        by_stratum[value]
        for value in sorted(
            by_stratum,
            key=lambda value: (
                max(rows[name] for name in by_stratum[value]),
                _number(_name("stratum", value), seed),
            ),
        )
    ]
    *cut, last = shares
    found, rest = {}, Fraction(1)
    for split in cut:
        share, owed = Fraction(shares[split]), Fraction(0)
        for at, line in enumerate(lines):
            owed += share / rest * sum(rows[name] for name in line)
            head = 0
            while head < len(line) and rows[line[head]] < 2 * owed:
                found[line[head]] = split
                owed -= rows[line[head]]
                head += 1
            lines[at] = line[head:]
        rest -= share
    return found | {name: last for line in lines for name in line}


def _number(name: str, seed: int) -> int:
    number: int = xxhash.xxh3_64_intdigest(f"split:{seed}:{name}".encode())
    return number


def _name(column: str, value: str | None) -> str:
    """The name of what a column says; like no other's, and like no id."""
    return json.dumps([column, value])


def split(
    arena: Arena,
    kept: Positions,
    output: Output,
    seed: int,
    like: Mapping[str, str] | None = None,
) -> Splitting:
    """Split the rows that would be kept.

    Args:
        arena: All rows, those among them that are ancestors of others and were not kept.
        kept: The rows, in order.
        output: Splits, and how they are made.
        seed: Of the recipe.
        like: Row of the earlier version > its split there; None where there is no such version.

    Raises:
        CurateError: A column holds nested values, or is not there.
    """
    named, ranks = _named(arena, output.keep_together)
    groups = Groups(arena.parents(), named)
    ids = arena.frame(kept, [])["id"].to_list()
    before = like or {}
    found = dict(
        zip(
            everyone := list(dict.fromkeys([*ids, *before])),
            outermost([groups.of(id) for id in everyone], ranks),
            strict=True,
        )
    )
    taken: dict[str, set[str]] = {}
    for id, place in before.items():
        for name in found[id]:
            taken.setdefault(name, set()).add(place)
    free = {id: found[id] - taken.keys() for id in ids}
    values: list[str | None] = []
    if output.stratify is None:
        places = drawn(frozenset().union(*free.values()), output.splits, seed)
    else:
        values = _texts(arena, kept, output.stratify).to_list()
        places = _stratified(free, dict(zip(ids, values, strict=True)), output, seed)
    taken |= {name: {place} for name, place in places.items()}
    names = list(output.splits)
    at = np.array([_place(id, before, found[id], taken, names) for id in ids], dtype=np.int64)
    positions = {name: kept[at == number] for number, name in enumerate(names)}
    facts: dict[str, Any] = {"shares": _shares(positions, output)}
    if output.stratify is not None:
        facts |= _by_stratum(values, at, names)
    if like is not None:
        stayed = Counter(before[id] for id in ids if id in before)
        facts["like"] = {name: stayed[name] for name in names}
    return Splitting(positions, kept[at < 0], facts)


def _place(
    id: str,
    before: Mapping[str, str],
    groups: Set[str],
    taken: Mapping[str, Set[str]],
    names: Sequence[str],
) -> int:
    """The number of a row's split; -1 where it bridges several."""
    if id in before:
        return names.index(before[id])
    places = {place for name in groups for place in taken[name]}
    return names.index(next(iter(places))) if len(places) == 1 else -1


def _shares(positions: Mapping[str, Positions], output: Output) -> dict[str, Any]:
    staying = sum(map(len, positions.values()))
    return {
        name: {
            "asked": output.asked_shares[name],
            "rows": len(rows),
            "share": len(rows) / staying if staying else 0.0,
        }
        for name, rows in positions.items()
    }


def _named(arena: Arena, columns: Sequence[str]) -> tuple[dict[str, list[str]], dict[str, int]]:
    """For rows with a value in some of the columns, the groups that they name, and their ranks.

    A value that is the id of a row, as the label of a cluster is, names that row's group.
    """
    everything = np.arange(len(arena.rows), dtype=np.int64)
    ids = frozenset(arena.rows["id"]) if columns else frozenset()
    named: dict[str, list[str]] = {}
    ranks: dict[str, int] = {}
    for rank, column in enumerate(columns, 1):
        texts = _texts(arena, everything, column)
        there = texts.is_not_null()
        for id, text in zip(arena.rows["id"].filter(there), texts.filter(there), strict=True):
            name = text if text in ids else _name(column, text)
            named.setdefault(id, []).append(name)
            ranks.setdefault(name, rank)
    return named, ranks


def _texts(arena: Arena, positions: Positions, column: str) -> pl.Series:
    """A column as texts; null where a row has no value, and for NaN; zero has no sign."""
    values = arena.frame(positions, [column])[column]
    if values.dtype.is_nested():
        raise CurateError(
            f"`output` splits by '{column}', which holds nested values.",
            "Name a column of texts or numbers.",
        )
    if values.dtype.is_float():
        values = values.fill_nan(None)
        values = values.set(values == 0, 0.0)
    return values.cast(pl.String)


def _stratified(
    groups: Mapping[str, Set[str]],
    values: Mapping[str, str | None],
    output: Output,
    seed: int,
) -> dict[str, str]:
    """Splits of groups by strata; a row counts for each of its groups.

    The stratum of a group is the value that most of its rows have, of several the first by name;
    that of none where no row has one.
    """
    rows: Counter[str] = Counter()
    of: dict[str, Counter[str]] = {}
    for id, names in groups.items():
        value = values[id]
        for name in names:
            rows[name] += 1
            of.setdefault(name, Counter()).update([] if value is None else [value])
    strata = {
        name: min(counts, key=lambda value: (-counts[value], value), default=None)
        for name, counts in of.items()
    }
    return stratified(rows, strata, output.splits, seed)


def _by_stratum(
    values: Sequence[str | None], at: np.ndarray[Any, np.dtype[np.int64]], names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The rows by value and split; `no_value` where some have none."""
    counts = Counter(
        (value, number) for value, number in zip(values, at.tolist(), strict=True) if number >= 0
    )

    def by_split(value: str | None) -> dict[str, int]:
        return {name: counts[value, number] for number, name in enumerate(names)}

    there = {value for value, _ in counts}
    with_value = sorted(value for value in there if value is not None)
    facts = {"strata": {value: by_split(value) for value in with_value}}
    return {**facts, "no_value": by_split(None)} if None in there else {**facts}
