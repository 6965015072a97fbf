"""Rows by the values that a policy names, and blocks of cells that no clause tells apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curate.api import alternatives, licenses_in
from curate_sources.mix.parts import Licenses, Limit
from curate_sources.mix.pool import Counts, Pool
from curate_sources.mix.rules import Rule
from curate_sources.naming import UNKNOWN, named

if TYPE_CHECKING:
    import polars as pl

_EXACT = 2**53  # up to here every whole number is a float of its own


def _matcher(pattern: str) -> Callable[[str], object]:
    """Matches a licence, in small letters, in which `*` stands for any characters."""
    parts = (re.escape(part) for part in pattern.casefold().split("*"))
    return re.compile(".*".join(parts), re.DOTALL).fullmatch


@dataclass(frozen=True)
class Cells:
    """Combinations of values, in the order of the values.

    Args:
        values: Column > its value in each cell.
        counts: Rows by cell.
        of: The cell of each row, int64 [rows].
    """

    values: Mapping[str, tuple[str, ...]]
    counts: Counts
    of: NDArray[np.int64]

    def having(self, select: Iterable[tuple[str, frozenset[str]]]) -> NDArray[np.bool_]:
        """The cells that have, in each column, one of some values; bool [cells]."""
        inside = np.ones(len(self.counts), dtype=np.bool_)
        for column, allowed in select:
            inside &= np.array([value in allowed for value in self.values[column]], dtype=np.bool_)
        return inside

    def denied(self, licenses: Licenses | None) -> NDArray[np.bool_]:
        """The cells whose licence is ruled out; bool [cells]. Unknown ones are, unless kept."""
        if licenses is None:
            return np.zeros(len(self.counts), dtype=np.bool_)
        denied = [_matcher(pattern) for pattern in licenses.deny]

        def denies(license: str) -> bool:
            """Whether one of the licences that hold together is ruled out."""
            for each in licenses_in(license):
                choices = alternatives(each)
                if all(
                    licenses.unknown != "keep"
                    if choice == UNKNOWN
                    else any(matches(choice.casefold()) for matches in denied)
                    for choice in choices
                ):
                    return True
            return False

        found = {value: denies(value) for value in set(self.values["license"])}
        return np.array([found[value] for value in self.values["license"]], dtype=np.bool_)

    def unmatched(self, licenses: Licenses | None) -> list[str]:
        """Patterns of denied licences that no row's licence matches."""
        if licenses is None:
            return []
        there = {
            choice.casefold()
            for license in set(self.values["license"])
            for each in licenses_in(license)
            for choice in alternatives(each)
        }
        return [each for each in licenses.deny if not any(map(_matcher(each), there))]

    def values_for(self, limit: Limit, licenses: Licenses | None) -> list[str]:
        """The values of a limit's `per` among the rows that it is about and that are allowed."""
        if limit.per is None:
            return []
        where = [(column, frozenset(names)) for column, names in limit.where.items()]
        inside = self.having(where) & ~self.denied(licenses)
        return sorted({self.values[limit.per][cell] for cell in np.flatnonzero(inside)})

    def key(self, cell: int) -> str:
        """The values of a cell as one text, the same in every pool."""
        return "\n".join(f"{name}={values[cell]}" for name, values in self.values.items())


def into_cells(rows: pl.DataFrame, columns: Sequence[str]) -> Cells:
    """Count rows by the values of columns.

    Args:
        rows: The columns, of any type that has a text; nulls are `unknown`.
        columns: Their names.
    """
    frame = rows.select(_text(rows[name]) for name in columns)
    counted = frame.group_by(columns).len("rows").sort(columns).with_row_index("cell")
    of = frame.join(counted, on=list(columns), how="left", maintain_order="left")["cell"]
    return Cells(
        {name: tuple(counted[name].to_list()) for name in columns},
        counted["rows"].to_numpy().astype(np.int64),
        of.to_numpy().astype(np.int64),
    )


def _text(values: pl.Series) -> pl.Series:
    """Values as text: whole numbers without a fraction, blanks and nulls as `unknown`."""
    import polars as pl

    column = pl.col(values.name)
    text = column.cast(pl.String)
    if values.dtype.is_float():
        whole = (column == column.floor()) & (column.abs() < _EXACT)
        text = (
            pl.when(whole)
            .then(column.cast(pl.Int64, strict=False).cast(pl.String))
            .otherwise(pl.when(column.is_nan()).then(None).otherwise(text))
        )
    return values.to_frame().select(text.alias(values.name)).select(named(values.name)).to_series()


@dataclass(frozen=True)
class Blocks:
    """Cells put together that the same rules are about.

    Args:
        pool: Their rows, as the rules see them.
        cells: The cells of each block, ascending.
        keys: A name of each block: the rules that are about it.
    """

    pool: Pool
    cells: tuple[NDArray[np.int64], ...]
    keys: tuple[str, ...]

    def of(self, cells: Cells) -> NDArray[np.int64]:
        """The block of each row of the cells."""
        block = np.empty(len(cells.counts), dtype=np.int64)
        for at, members in enumerate(self.cells):
            block[members] = at
        rows: NDArray[np.int64] = block[cells.of]
        return rows

    def counted(self, rows: NDArray[np.int64]) -> Counts:
        """How many of some rows are in each block, by the block of each."""
        return np.bincount(rows, minlength=len(self.keys)).astype(np.int64)


def into_blocks(cells: Cells, rules: Sequence[Rule], licenses: Licenses | None) -> Blocks:
    """Put cells together; blocks stand in the order of their keys."""
    denied = cells.denied(licenses)
    named = [rule for rule in rules if rule.select]
    having = {rule.name: cells.having(rule.select) for rule in named}
    table = np.column_stack([denied, *(having[rule.name] for rule in named)])
    signatures, first, at = np.unique(table, axis=0, return_index=True, return_inverse=True)
    at = at.reshape(-1)
    keys = [
        "\n".join(
            ["denied" if row[0] else "allowed"]
            + [rule.name for rule, inside in zip(named, row[1:], strict=True) if inside]
        )
        for row in signatures
    ]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    members = [np.flatnonzero(at == block) for block in order]
    pool = Pool(
        np.array([int(cells.counts[each].sum()) for each in members], dtype=np.int64),
        np.array([bool(denied[first[block]]) for block in order], dtype=np.bool_),
        {
            name: np.array([bool(inside[first[block]]) for block in order], dtype=np.bool_)
            for name, inside in having.items()
        },
    )
    return Blocks(pool, tuple(members), tuple(keys[block] for block in order))


def shared(cells: Counts, rows: int, keys: Sequence[int], *, even: bool) -> Counts:
    """Share the rows of a block among its cells.

    Args:
        cells: Rows that each cell has.
        rows: Rows to take of them together; no more than there are.
        keys: A number of each cell by which ties are decided, the lowest first.
        even: Every cell gives the same number, or all it has, and spare rows come one each from
            cells that have more; otherwise by largest remainder of the proportional share.

    Returns:
        int64 [cells].
    """
    if even:
        low, high = 0, int(cells.max(initial=0))
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (
                (middle, high) if np.minimum(cells, middle).sum() <= rows else (low, middle - 1)
            )
        taken = np.minimum(cells, low)
        rank = (cells > low).astype(np.int64)
    else:
        total = int(cells.sum())
        # whole numbers throughout: a product may be beyond 64 bits
        parts = [divmod(rows * int(cell), total) for cell in cells] if total else []
        taken = np.array([whole for whole, _ in parts], dtype=np.int64)
        rank = np.array([rest for _, rest in parts], dtype=np.int64)
    spare = rows - int(taken.sum())
    order = sorted(range(len(cells)), key=lambda at: (-int(rank[at]), keys[at]))
    for at in order[:spare]:
        taken[at] += 1
    return taken.astype(np.int64)
