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
to another split; without `keep_together` they do neither. Imported when a run ends: heavy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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
            `stratify` the rows of each value by split.
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
        known = self._known.get(id)
        if known is None:
            own = frozenset(self._named.get(id, ()))
            self._known[id] = own or frozenset([id])  # a row that is its own ancestor ends here
            above = (self.of(parent) for parent in self._parents.get(id, ()))
            known = own.union(*above) or frozenset([id])
            self._known[id] = known
        return known


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
    rows: Mapping[str, int], strata: Mapping[str, str], shares: Mapping[str, Any], seed: int
) -> dict[str, str]:
    """Give the groups of each stratum to splits, so that each gets its share of the rows.

    Groups stand in the order of their hashes, each as long as it has rows, and the splits cut the
    line by their shares; a group goes where its middle is. The only group of a stratum goes to the
    first split.

    Args:
        rows: Group > its rows.
        strata: Group > its stratum.
        shares: Split > its share.
        seed: Of the recipe.
    """
    lines: dict[str, list[str]] = {}
    for name in sorted(rows, key=lambda name: (_number(name, seed), name)):
        lines.setdefault(strata[name], []).append(name)
    ends = list(accumulate(map(Fraction, shares.values())))
    found = {}
    for line in lines.values():
        total, before = sum(rows[name] for name in line), 0
        for name in line:
            middle = Fraction(2 * before + rows[name], 2 * total)
            at = next(at for at, end in enumerate(ends) if middle < end) if len(line) > 1 else 0
            found[name] = list(shares)[at]
            before += rows[name]
    return found


def _number(name: str, seed: int) -> int:
    number: int = xxhash.xxh3_64_intdigest(f"split:{seed}:{name}".encode())
    return number


def split(arena: Arena, kept: Positions, output: Output, seed: int) -> Splitting:
    """Split the rows that would be kept.

    Args:
        arena: All rows, those among them that are ancestors of others and were not kept.
        kept: The rows, in order.
        output: Splits, and how they are made.
        seed: Of the recipe.

    Raises:
        CurateError: A column holds nested values, or is not there.
    """
    named, ranks = _named(arena, output.keep_together)
    groups = Groups(_parents(arena), named)
    ids = arena.frame(kept, [])["id"].to_list()
    found = outermost([groups.of(id) for id in ids], ranks)
    names = list(output.splits)
    stratum: list[str] = []
    if output.stratify is None:
        places = drawn({name for each in found for name in each}, output.splits, seed)
    else:
        stratum = _texts(arena, kept, output.stratify).fill_null("").to_list()
        places = _stratified(found, stratum, output, seed)
    where = [{places[name] for name in each} for each in found]
    at = np.array(
        [names.index(next(iter(each))) if len(each) == 1 else -1 for each in where], dtype=np.int64
    )
    positions = {name: kept[at == number] for number, name in enumerate(names)}
    staying = sum(map(len, positions.values()))
    shares = {
        name: {
            "asked": output.asked_shares[name],
            "rows": len(rows),
            "share": len(rows) / staying if staying else 0.0,
        }
        for name, rows in positions.items()
    }
    facts: dict[str, Any] = {"shares": shares}
    if output.stratify is not None:
        facts["strata"] = _by_stratum(stratum, at, names)
    return Splitting(positions, kept[at < 0], facts)


def _parents(arena: Arena) -> dict[str, list[str]]:
    made = arena.rows.select("id", "parents").filter(pl.col("parents").list.len() > 0)
    return dict(made.iter_rows())


def _named(arena: Arena, columns: Sequence[str]) -> tuple[dict[str, list[str]], dict[str, int]]:
    """For rows with a value in some of the columns, the values as texts; and the rank of each."""
    everything = np.arange(len(arena.rows), dtype=np.int64)
    named: dict[str, list[str]] = {}
    ranks: dict[str, int] = {}
    for rank, column in enumerate(columns, 1):
        texts = _texts(arena, everything, column)
        there = texts.is_not_null()
        for id, text in zip(arena.rows["id"].filter(there), texts.filter(there), strict=True):
            named.setdefault(id, []).append(text)
            ranks.setdefault(text, rank)
    return named, ranks


def _texts(arena: Arena, positions: Positions, column: str) -> pl.Series:
    """A column as texts; null where a row has no value."""
    values = arena.frame(positions, [column])[column]
    if values.dtype.is_nested():
        raise CurateError(
            f"`output` splits by '{column}', which holds nested values.",
            "Name a column of texts or numbers.",
        )
    if values.dtype.is_float():
        values = values.fill_nan(None)
    return values.cast(pl.String)


def _stratified(
    found: Sequence[frozenset[str]], stratum: Sequence[str], output: Output, seed: int
) -> dict[str, str]:
    """Splits of groups by strata; a row counts for each of its groups.

    The stratum of a group is that of most of its rows, of several the first by name.
    """
    rows: Counter[str] = Counter()
    of: dict[str, Counter[str]] = {}
    for each, value in zip(found, stratum, strict=True):
        for name in each:
            rows[name] += 1
            of.setdefault(name, Counter())[value] += 1
    strata = {
        name: min(values, key=lambda value: (-values[value], value)) for name, values in of.items()
    }
    return stratified(rows, strata, output.splits, seed)


def _by_stratum(
    stratum: Sequence[str], at: np.ndarray[Any, np.dtype[np.int64]], names: Sequence[str]
) -> dict[str, dict[str, int]]:
    counts = Counter(
        (value, number) for value, number in zip(stratum, at.tolist(), strict=True) if number >= 0
    )
    return {
        value: {name: counts[value, number] for number, name in enumerate(names)}
        for value in sorted({value for value, _ in counts})
    }
