"""The splits of a version: which of the kept rows are for training, which for validation.

What is drawn is a group, by a hash of its name and the seed, so that it depends on nothing else:

- A row that was made from no other is in the groups that the columns of `keep_together` name, or,
  where they are all null, in one named by its id.
- A row that was made from others is in all groups of its parents, and in those that these columns
  name for itself.
- A group whose rows are all in one group that comes before it says nothing new and is left out.
  Those named by ids come first, then those of the columns in their order, each by name.
- A row goes where its groups go. Where they go to different splits it bridges them and is dropped.

So rows with an ancestor or a group in common are never in different splits. Rows that come later
only ever bring groups back that were left out: they may make a row bridge splits, and never send it
to another split; without `keep_together` they do neither.

With `like` the rows of an earlier version stay where they were, and a group is where its rows of
that version are, also those that are not here any more; the others are drawn. Imported when a run
ends: heavy.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import xxhash

from curate.ledger import Positions
from curate.run.grouping import Groups, Named, as_texts, named, outermost, shortened

if TYPE_CHECKING:
    from curate.recipe.model import Output
    from curate.run.arena import Arena
    from curate.sources.kept import Earlier

BRIDGES = "bridges_splits"
"""The reason of rows that are dropped."""

_ALL = 1 << 64
_FAR = 4
"""Standard deviations beyond which a share is told to be far from what was asked."""


@dataclass(frozen=True)
class Splitting:
    """Kept rows by split.

    Attributes:
        positions: Split > its rows in their order.
        dropped: Rows that bridge splits.
        why: For each of them which groups are in which splits, in words.
        facts: For the manifest: for each split the share asked for, its rows and their share; with
            `stratify` the rows of each value by split, and those of no value; with `like` the rows
            of the earlier version; `uneven` where the shares could not be met, see `_uneven`.
    """

    positions: Mapping[str, Positions]
    dropped: Positions
    why: Sequence[str]
    facts: Mapping[str, Any]


def drawn(names: Iterable[str], shares: Mapping[str, Any], seed: int) -> dict[str, str]:
    """Draw a split for each group, by its hash alone: the splits share the range of the hash."""
    bounds = [int(end * _ALL) for end in accumulate(map(Fraction, shares.values()))]
    splits = list(shares)
    return {name: splits[bisect_right(bounds, _number(name, seed))] for name in names}


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
                _number(named("stratum", value), seed),
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


def split(
    arena: Arena,
    kept: Positions,
    output: Output,
    seed: int,
    like: Earlier | None = None,
) -> Splitting:
    """Split the rows that would be kept.

    Args:
        arena: All rows, those among them that are ancestors of others and were not kept.
        kept: The rows, in order.
        output: Splits, and how they are made.
        seed: Of the recipe.
        like: The rows of the earlier version; None where there is no such version.

    Raises:
        CurateError: A column holds nested values, or is not there.
    """
    columns = _named(arena, output.keep_together, like)
    parents = arena.parents() if like is None else {**like.parents, **arena.parents()}
    groups = Groups(parents, columns.of)
    ids = arena.frame(kept, [])["id"].to_list()
    before = {} if like is None else like.splits
    everyone = list(dict.fromkeys([*ids, *before]))
    outer = outermost([groups.of(id) for id in everyone], columns.ranks)
    found = dict(zip(everyone, outer, strict=True))
    taken: dict[str, set[str]] = {}
    for id, place in before.items():
        for name in found[id]:
            taken.setdefault(name, set()).add(place)
    free = {id: found[id] - taken.keys() if taken else found[id] for id in ids}
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
    placed = {id: found[id] for id, where in zip(ids, at.tolist(), strict=True) if where >= 0}
    if uneven := _uneven(placed, places, output, columns):
        facts["uneven"] = uneven
    dropped = kept[at < 0]
    why = [_why(found[ids[i]], taken, names, columns) for i in np.flatnonzero(at < 0).tolist()]
    return Splitting(positions, dropped, why, facts)


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
    places = frozenset[str]().union(*(taken[name] for name in groups))
    return names.index(next(iter(places))) if len(places) == 1 else -1


def _why(
    groups: Set[str], taken: Mapping[str, Set[str]], names: Sequence[str], columns: Named
) -> str:
    """Which groups of a row are in which splits: as many as show that it bridges them."""
    said, seen = [], set[str]()
    for name in sorted(groups, key=lambda name: (columns.ranks.get(name, 0), name)):
        if not taken[name] <= seen:
            places = " and ".join(place for place in names if place in taken[name])
            said.append(f"{columns.tell(name)} in {places}")
            seen |= taken[name]
    more = len(groups) - len(said)
    return "; ".join(said) + (f"; and {more} more" if more else "")


def _uneven(
    groups: Mapping[str, Set[str]], places: Mapping[str, str], output: Output, columns: Named
) -> dict[str, Any] | None:
    """What says that shares are not met, or can hardly be; None where all is well.

    It is told where a split is further from its share than groups of such sizes explain, by more
    than a tenth of it, or where one group alone has more rows than the smallest share.

    Args:
        groups: Row that is in a split > its groups.
        places: Group that was drawn > its split. Only rows of such groups alone count here.
        output: Splits, and how they are made.
        columns: What columns name.

    Returns:
        `got`: split > such rows; `far`: whether a split is far from its share; and of the largest
        group `rows`, `split`, `column` (None for a family), and `value` (or the id that names it).
    """
    sizes: Counter[str] = Counter()
    got = dict.fromkeys(output.splits, 0)
    for names in groups.values():
        if names <= places.keys():
            sizes.update(names)
            got[places[next(iter(names))]] += 1
    rows = sum(got.values())
    if not rows:
        return None
    size, name = max((size, name) for name, size in sizes.items())
    squares = sum(each * each for each in sizes.values())

    def allowed(share: float) -> float:
        explained = _FAR * sqrt(share * (1 - share) * squares)
        if output.stratify is not None:
            explained = (len(got) - 1) / 2 * size
        return explained + max(1, share * rows / 10)

    shares = {split: float(share) for split, share in output.splits.items()}
    far = any(abs(got[one] - share * rows) > allowed(share) for one, share in shares.items())
    if not far and size <= max(1, min(shares.values()) * rows):
        return None
    column, value = columns.values.get(name, (None, name))
    largest = {"rows": size, "split": places[name], "column": column, "value": shortened(value)}
    return {"got": got, "far": far, "largest": largest}


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


def _named(arena: Arena, columns: Sequence[str], like: Earlier | None) -> Named:
    """The groups that columns name for the rows, and for those of the earlier version alone."""
    everything = np.arange(len(arena.rows), dtype=np.int64)
    found, ids = Named(), frozenset(arena.rows["id"]) if columns else frozenset()
    for rank, column in enumerate(columns, 1):
        found.add(rank, column, arena.rows["id"], _texts(arena, everything, column), ids)
        if like is not None and column in like.values:
            before = like.values[column].filter(~pl.col("id").is_in(arena.rows["id"].implode()))
            found.add(rank, column, before["id"], as_texts(before[column], column), ids)
    return found


def _texts(arena: Arena, positions: Positions, column: str) -> pl.Series:
    return as_texts(arena.frame(positions, [column])[column], column)


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
    counts = Counter((name, values[id]) for id, names in groups.items() for name in names)
    rows: Counter[str] = Counter()
    most: dict[str, tuple[int, str]] = {}
    for (name, value), count in counts.items():
        rows[name] += count
        if value is not None:
            most[name] = min(most.get(name, (0, "")), (-count, value))
    strata = {name: most[name][1] if name in most else None for name in rows}
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
