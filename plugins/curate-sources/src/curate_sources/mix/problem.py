"""A policy over the rows that there are: whether it can be met, by which rows, and why not."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.api import (
    Margin,
    PolicyError,
    counted,
    licenses_in,
    nearest,
    one_line,
    preferred_columns,
)
from curate_sources.mix.parts import Relax
from curate_sources.mix.policy import MixParams
from curate_sources.mix.rules import PARTS
from curate_sources.naming import UNKNOWN

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from curate_sources.mix.cells import Blocks, Cells
    from curate_sources.mix.conflicts import Conflict
    from curate_sources.mix.pool import Counts
    from curate_sources.mix.rules import Rule


@dataclass(frozen=True)
class Problem:
    """A policy over the rows that there are.

    Args:
        stage: The id of the stage, for messages.
        params: The policy as it is written.
        cells: The rows by the values that it names.
        blocks: The cells that none of its clauses tells apart.
        rules: Its clauses as numbers, limits with `per` repeated for each value of the rows.
    """

    stage: str
    params: MixParams
    cells: Cells
    blocks: Blocks
    rules: tuple[Rule, ...]

    @classmethod
    def of(cls, rows: pl.DataFrame, params: MixParams, stage: str) -> Problem:
        """A policy over rows that have its columns.

        Raises:
            PolicyError: There are no rows.
        """
        from curate_sources.mix.cells import into_blocks, into_cells

        if rows.is_empty():
            raise PolicyError(
                f"Stage '{stage}': no row reaches it.",
                "See which of the stages before it drop all.",
            )
        cells = into_cells(rows, params.columns)
        rules = params.rules(lambda limit: cells.values_for(limit, params.licenses))
        return cls(stage, params, cells, into_blocks(cells, rules, params.licenses), rules)

    def check_licenses(self) -> None:
        """Refuse rows whose licence nobody stated, where the policy says so."""
        licenses = self.params.licenses
        if licenses is None or licenses.unknown != "error":
            return
        by_source: dict[str, int] = {}
        for at, (license, source) in enumerate(
            zip(self.cells.values["license"], self.cells.values["source"], strict=True)
        ):
            if UNKNOWN in licenses_in(license):
                by_source[source] = by_source.get(source, 0) + int(self.cells.counts[at])
        if by_source:
            said = ", ".join(f"{name} ({count:,} rows)" for name, count in by_source.items())
            raise PolicyError(
                f"Stage '{self.stage}': the licence of rows of {said} is unknown.",
                "State it with `license:` at the source, or decide about such rows: "
                "`licenses: {unknown: keep}` or `drop`.",
            )

    def refuse(self, *, at_most: bool) -> None:
        """Raise PolicyError where the policy cannot be met, even if all gives way that may.

        Args:
            at_most: Rows may be dropped before: clauses that fewer rows could meet do not count.
        """
        from curate_sources.mix.conflicts import find_conflict

        rules = self.rules
        if at_most:
            # of `all` there may be less, and of a column for `per` fewer values
            rules = tuple(rule for rule in rules if not (rule.everything or rule.per))
        choice = self.params.on_infeasible
        if isinstance(choice, Relax):
            soft = self.giving_way(choice)
            rules = tuple(rule for rule in rules if rule.name not in soft)
        conflict = find_conflict(self.blocks.pool, rules)
        if conflict is not None:
            raise self.error(conflict, at_most=at_most)

    def giving_way(self, choice: Relax) -> tuple[str, ...]:
        """The names of the clauses that may be missed, in their order."""
        known = self.params.relaxable(self.rules)
        named = (name for each in choice.relax for name in known.get(each, ()))
        return tuple(dict.fromkeys(named))

    def relaxed(self) -> dict[str, int]:
        """Rules that have to be missed, and by how many rows; raises where they may not be."""
        from curate_sources.mix.conflicts import feasible
        from curate_sources.mix.relaxing import relax

        pool, rules = self.blocks.pool, self.rules
        if feasible(pool, rules) is not None:
            return {}
        choice = self.params.on_infeasible
        found = relax(pool, rules, self.giving_way(choice)) if isinstance(choice, Relax) else None
        if found is None:
            self.refuse(at_most=False)
            raise AssertionError("a policy that cannot be met has a conflict")
        return found

    def solve(
        self, place: NDArray[np.uint32], relaxed: Mapping[str, int], seed: int
    ) -> tuple[Counts, bool]:
        """Rows to take of each block, and whether no other mix is as good.

        Args:
            place: Of each row, in the order in which rows are taken.
            relaxed: Rules that are missed, and by how many rows.
            seed: Of the recipe.
        """
        import numpy as np

        from curate_sources.mix.program import Conditions
        from curate_sources.mix.ranked import best
        from curate_sources.mix.spread import Fill, rounded, spread

        pool, size = self.blocks.pool, self._size(relaxed)
        rules = [rule for rule in self.rules if rule.part != "size"]
        conditions = Conditions(pool, rules, size=size, eased=relaxed)
        if self.params.maximize:
            rank = self._ranks(place, among_denied=bool(relaxed.get("licenses")))
            order = np.argsort(self.blocks.of(self.cells), kind="stable")
            parts = np.split(rank[order], np.cumsum(pool.counts)[:-1])
            return best(conditions, [np.sort(part)[::-1] for part in parts])
        cells = [self.cells.counts[members] for members in self.blocks.cells]
        fill = Fill(cells, even=self.params.spread == "even")
        return rounded(conditions, spread(conditions, fill), self.blocks.keys, seed)

    def _ranks(self, place: NDArray[np.uint32], *, among_denied: bool) -> NDArray[np.int64]:
        """The rank of each row among those that may be taken, 0 the last; int64, no two equal."""
        import numpy as np

        order = np.argsort(place)[::-1]
        if not among_denied:
            denied = self.denied()[order]
            order = np.concatenate([order[denied], order[~denied]])
            start = -int(denied.sum())
        else:
            start = 0
        ranks = np.empty(len(place), dtype=np.int64)
        ranks[order] = np.arange(start, start + len(place))
        return ranks

    def _size(self, relaxed: Mapping[str, int]) -> int:
        """The rows to be taken: as many as the policy allows, up to what it asks for."""
        from curate_sources.mix.program import settled
        from curate_sources.mix.relaxing import settled_size

        exact = settled(self.rules)
        if exact is not None and "size" not in relaxed:
            return exact
        return settled_size(self.blocks.pool, self.rules, self.rules, relaxed)

    def denied(self) -> NDArray[np.bool_]:
        """The rows whose licence is ruled out."""
        denied: NDArray[np.bool_] = self.cells.denied(self.params.licenses)[self.cells.of]
        return denied

    def rows(self, counts: Counts, place: NDArray[np.uint32], seed: int) -> NDArray[np.int64]:
        """The rows taken: the first of each cell, or of each block where ranks are maximised.

        Args:
            counts: Rows to take of each block.
            place: Of each row, in the order in which rows are taken.
            seed: Of the recipe.
        """
        import numpy as np

        if self.params.maximize:
            group, wanted = self.blocks.of(self.cells), counts
        else:
            group, wanted = self.cells.of, self._of_cells(counts, seed)
        order = np.lexsort((place, group))
        first = np.searchsorted(group[order], np.arange(len(wanted)))
        within = np.arange(len(order)) - first[group[order]]
        taken: NDArray[np.int64] = np.sort(order[within < wanted[group[order]]])
        return taken

    def _of_cells(self, counts: Counts, seed: int) -> Counts:
        """Rows to take of each cell."""
        import numpy as np
        import xxhash

        from curate_sources.mix.cells import shared

        wanted = np.zeros(len(self.cells.counts), dtype=np.int64)
        for members, rows in zip(self.blocks.cells, counts, strict=True):
            keys = [
                xxhash.xxh3_64_intdigest(f"{seed}:{self.cells.key(int(cell))}".encode())
                for cell in members
            ]
            even = self.params.spread == "even"
            wanted[members] = shared(self.cells.counts[members], int(rows), keys, even=even)
        return wanted

    def margins(
        self, rows: pl.DataFrame, place: NDArray[np.uint32], taken: NDArray[np.int64]
    ) -> tuple[Margin, ...]:
        """How far the numbers stand from each other between which a cut was made."""
        import numpy as np
        import polars as pl

        name = self.params.rank_by
        if name is None:
            return ()
        is_taken = np.zeros(len(rows), dtype=np.bool_)
        is_taken[taken] = True
        if self.params.maximize:
            # which mix has the highest ranks depends on the order of all rows
            number = rows[name].drop_nulls().drop_nans().sort().to_numpy().astype(np.float64)
            between = np.diff(number)
            if not len(between):
                return ()
            return (Margin(f"order of rows by {name}", float(between.min()), name),)
        frame = rows.select(name, *preferred_columns(self.params.prefer)).with_columns(
            pl.Series("@cell", self.cells.of),
            pl.Series("@place", place),
            pl.Series("@taken", is_taken),
        )
        last = frame.filter("@taken").sort("@place").group_by("@cell").last()
        left = frame.filter(~pl.col("@taken") & ~pl.Series(self.denied())).sort("@place")
        both = last.join(left.group_by("@cell").first(), on="@cell", suffix="@left")
        alike = [
            pl.col(column).eq_missing(pl.col(f"{column}@left"))
            for column in preferred_columns(self.params.prefer)
        ]
        both = both.filter(*alike) if alike else both
        gaps = (both[name] - both[f"{name}@left"]).abs().drop_nulls().drop_nans()
        if gaps.is_empty():
            return ()
        return (Margin(f"rows of a cell by {name}", float(gaps.to_numpy().min()), name),)

    def taken_by_source(self, taken: NDArray[np.int64]) -> dict[str, int]:
        """Rows taken of each source."""
        import numpy as np

        counts: dict[str, int] = {}
        of = np.bincount(self.cells.of[taken], minlength=len(self.cells.counts))
        for source, rows in zip(self.cells.values["source"], of, strict=True):
            counts[source] = counts.get(source, 0) + int(rows)
        return counts

    def unmatched(self) -> list[str]:
        """Patterns of denied licences that no row's licence matches."""
        return self.cells.unmatched(self.params.licenses)

    def idle(self, rows: pl.DataFrame) -> bool:
        """Whether `prefer` decides nothing: no cell has rows that differ in what it looks at."""
        import polars as pl

        columns = preferred_columns(self.params.prefer)
        if not columns or self.params.maximize:
            return False
        cells = rows.select(columns).with_columns(pl.Series("@cell", self.cells.of))
        kinds = cells.group_by("@cell").agg(pl.struct(columns).n_unique().alias("kinds"))
        return int(kinds["kinds"].to_numpy().max()) == 1

    def notes(self, relaxed: Mapping[str, int], *, unique: bool) -> tuple[str, ...]:
        """What stands in the stage's line."""
        said = [f"{one_line(name)} relaxed by {counted(by)}" for name, by in relaxed.items()]
        if len(said) > 1:
            said = [f"{len(said)} clauses relaxed"]
        choice = self.params.on_infeasible
        if isinstance(choice, Relax):
            known = {*self.params.relaxable(self.rules), *PARTS}
            said += [
                f"relax names {one_line(n)}, no clause here" for n in choice.relax if n not in known
            ]
        said += [f"deny {one_line(each)} matches no licence" for each in self.unmatched()]
        if not unique:
            said.append("another mix is as good")
        return tuple(said)

    def error(self, conflict: Conflict, *, at_most: bool) -> PolicyError:
        """The message for a policy that cannot be met."""
        pool = self.blocks.pool
        total = f"{int(pool.counts.sum()):,} rows"
        lines = [
            f"Stage '{self.stage}': its policy cannot be met by the {total} that "
            + ("can reach it" if at_most else "reach it")
            + (
                ". These clauses ask for too much together:"
                if len(conflict.rules) > 1
                else ". This clause asks for too much:"
            )
        ]
        for rule, reachable in zip(conflict.rules, conflict.reachable, strict=True):
            lines.append(f"    {one_line(rule.name)}: {one_line(rule.asked)}")
            kept = "with the other clauses here kept: " if len(conflict.rules) > 1 else ""
            lines.append(f"        {kept}{reachable}{self._hint(rule)}")
        names = ", ".join(one_line(rule.name) for rule in conflict.surrender)
        quoted = ", ".join(_yaml(rule.name) for rule in conflict.surrender)
        several = len(conflict.surrender) > 1
        return PolicyError(
            "\n".join(lines),
            f"It can be met without {names}"
            + (" (no smaller set will do)" if several else "")
            + ". Change a clause, or let some give way: "
            f"`on_infeasible: {{relax: [{quoted}]}}`.",
        )

    def _hint(self, rule: Rule) -> str:
        """What is there, where a clause is about rows of which there are none."""
        if not rule.select or self.blocks.pool.available(rule, licensed=False):
            return ""
        said = []
        for column, wanted in rule.select:
            known = sorted(set(self.cells.values[column]))
            for value in sorted(wanted - set(known)):
                near = nearest(value, known) or f"There are {len(known):,} others."
                said.append(f"no row has {column} '{one_line(value)}'. {one_line(near)}")
        return "; " + " ".join(said or ["no row has all of these values"])


def _yaml(name: str) -> str:
    """A name as an item of a list in a recipe."""
    return name if re.fullmatch(r"[\w.-]+", name) else json.dumps(name, ensure_ascii=False)
