"""`sources.mix`: rows of several sources under an explicit policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from curate.api import (
    Context,
    CurateError,
    Decisions,
    FuseStage,
    Margin,
    PolicyError,
    licenses_in,
    nearest,
    preferred_columns,
)
from curate_sources.policy import UNKNOWN, MixParams, Relax

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from curate_sources.cells import Blocks, Cells
    from curate_sources.conflicts import Conflict
    from curate_sources.rules import Counts, Rule


PREVIEWED = Relax(relax=["size", "limits", "shares"])
"""What gives way in a preview, which sees the first rows of each source only."""


class Mix(FuseStage):
    """Take the rows that meet a policy, spread over what it leaves open, and certify each clause.

    The idea that human and synthetic data need policies of their own, and abilities caps of their
    own, is that of DoIT (arXiv 2310.19651, sections 4 and 5); the solving is ours.
    """

    name = "sources.mix"
    version = 1
    Params = MixParams
    params: MixParams
    uses_seed = True
    reasons: ClassVar = {
        "license": "its licence is denied by the policy",
        "surplus": "the mix takes others in its place, or has no room for it",
        "unranked": "it has no number in `rank_by`, and `missing: drop` leaves such rows out",
    }

    def inputs(self) -> tuple[str, ...]:
        """The columns that order rows, and those of the policy; `source` is always one."""
        return tuple(dict.fromkeys([*super().inputs(), *self.params.columns]))

    def foresees(self) -> tuple[str, ...]:
        """The columns of the policy."""
        return self.params.columns

    def foresee(self, tables: Mapping[str, pl.DataFrame], *, exact: bool) -> None:
        """Refuse a policy that cannot be met; see `FuseStage.foresee`."""
        import polars as pl

        params = self.params
        rows = pl.concat([table.select(params.columns) for table in tables.values()])
        if isinstance(params.on_infeasible, Relax):
            return
        exact = exact and not (params.rank_by and params.missing == "drop")
        problem = _Problem.of(rows, params, self.id)
        if exact:
            problem.check_licenses()
        problem.refuse(at_most=not exact)

    def fuse(self, tables: Mapping[str, pl.DataFrame], ctx: Context) -> Decisions:
        """Take the best mix that meets the policy."""
        import numpy as np
        import polars as pl

        from curate_sources.certificate import certify
        from curate_sources.ordering import placed, unranked

        params = self.params
        if ctx.preview and params.on_infeasible == "error":
            params = params.model_copy(update={"on_infeasible": PREVIEWED})
        rows = pl.concat(list(tables.values())).sort("id")
        unknown = unranked(rows, params)
        self._check_ranked(rows, unknown)
        reason = np.full(len(rows), "surplus", dtype=object)
        drop = (unknown & (params.missing == "drop")).to_numpy()
        reason[drop] = "unranked"
        there = np.flatnonzero(~drop)
        problem = _Problem.of(rows[there], params, self.id)
        problem.check_licenses()
        relaxed = problem.relaxed()
        place = placed(rows[there], params, ctx.seed).to_numpy()
        counts, unique = problem.solve(place, relaxed, ctx.seed)
        taken = problem.rows(counts, place, ctx.seed)
        denied = problem.denied()
        reason[there[denied]] = "license"
        keep = np.zeros(len(rows), dtype=np.bool_)
        keep[there[taken]] = True
        certificate = certify(problem.blocks.pool, problem.rules, counts, relaxed)
        decided = rows.select("id").with_columns(
            pl.Series("keep", keep), pl.Series("reason", reason, dtype=pl.String)
        )
        return Decisions(
            decided.with_columns(pl.when("keep").then(None).otherwise("reason").alias("reason")),
            margins=problem.margins(rows[there], place, taken),
            facts={
                "cells": len(problem.cells.counts),
                "blocks": len(problem.blocks.keys),
                "unique": unique,
                "relaxed": dict(sorted(relaxed.items())),
                "taken": problem.taken_by_source(taken),
            },
            notes=problem.notes(relaxed, unique=unique),
            certificate=certificate,
        )

    def _check_ranked(self, rows: pl.DataFrame, unknown: pl.Series) -> None:
        count = int(unknown.sum())
        if count and self.params.missing == "error":
            first = rows["id"][int(unknown.arg_max() or 0)]
            raise CurateError(
                f"Stage '{self.id}' ranks rows by '{self.params.rank_by}', in which {count:,} of "
                f"{len(rows):,} have no number, the first being {first}.",
                "Say what such rows mean: `missing: last` or `missing: drop` under `with:`.",
            )


@dataclass(frozen=True)
class _Problem:
    """A policy over the rows that there are."""

    stage: str
    params: MixParams
    cells: Cells
    blocks: Blocks
    rules: tuple[Rule, ...]

    @classmethod
    def of(cls, rows: pl.DataFrame, params: MixParams, stage: str) -> _Problem:
        from curate_sources.cells import into_blocks, into_cells

        if rows.is_empty():
            raise PolicyError(
                f"Stage '{stage}': no row reaches it.",
                "See which of the stages before it drop all.",
            )
        cells = into_cells(rows, params.columns)
        values = {name: sorted(set(found)) for name, found in cells.values.items()}
        rules = params.rules(values)
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
        """Raise PolicyError where the policy cannot be met.

        Args:
            at_most: Rows may be dropped before: clauses that fewer rows could meet do not count.
        """
        from curate_sources.conflicts import find_conflict

        rules = self.rules
        if at_most:
            lasting = {rule.name for rule in self.params.rules({})}  # values of `per` may vanish
            rules = tuple(r for r in rules if r.name in lasting and not r.everything)
        conflict = find_conflict(self.blocks.pool, rules)
        if conflict is not None:
            raise self.error(conflict, at_most=at_most)

    def relaxed(self) -> dict[str, int]:
        """Rules that have to be missed, and by how many rows; raises where they may not be."""
        from curate_sources.conflicts import feasible
        from curate_sources.relaxing import relax

        pool, rules = self.blocks.pool, self.rules
        if feasible(pool, rules) is not None:
            return {}
        choice = self.params.on_infeasible
        if not isinstance(choice, Relax):
            self.refuse(at_most=False)
            raise AssertionError("a policy that cannot be met has a conflict")
        known = self.params.relaxable(rules)
        order = dict.fromkeys(name for each in choice.relax for name in known.get(each, ()))
        found = relax(pool, rules, tuple(order))
        if found is None:
            from curate_sources.conflicts import find_conflict

            conflict = find_conflict(pool, [rule for rule in rules if rule.name not in order])
            assert conflict is not None  # relax() said so
            raise self.error(conflict, at_most=False)
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

        from curate_sources.program import Conditions
        from curate_sources.ranked import best
        from curate_sources.spread import Fill, rounded, spread

        pool, size = self.blocks.pool, self._size(relaxed)
        rules = [rule for rule in self.rules if rule.part != "size"]
        conditions = Conditions(pool, rules, size=size, eased=relaxed)
        if self.params.maximize:
            rank = len(place) - 1 - place.astype(np.int64)
            order = np.argsort(self.blocks.of(self.cells), kind="stable")
            parts = np.split(rank[order], np.cumsum(pool.counts)[:-1])
            return best(conditions, [np.sort(part)[::-1] for part in parts])
        cells = [self.cells.counts[members] for members in self.blocks.cells]
        fill = Fill(cells, even=self.params.spread == "even")
        return rounded(conditions, spread(conditions, fill), self.blocks.keys, seed)

    def _size(self, relaxed: Mapping[str, int]) -> int:
        """The most rows that the policy allows, up to the size that it asks for if it can be."""
        from curate_sources.program import Conditions, settled, solve
        from curate_sources.rules import Rule

        exact = settled(self.rules)
        if exact is not None and "size" not in relaxed:
            return exact
        (asked,) = (rule for rule in self.rules if rule.part == "size")
        for rules, sign in (([Rule("up to", "", "size", None, asked.high)], -1), ([], 1)):
            # beyond what is asked for only where that is relaxed, and then by the least
            conditions = Conditions(self.blocks.pool, [*self.rules, *rules], eased=relaxed)
            found = solve(conditions, conditions.objective(sign=sign))
            if found is not None:
                return int(found.sum())
        raise AssertionError("a policy that can be met has a size")

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

        from curate_sources.cells import shared

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

    def notes(self, relaxed: Mapping[str, int], *, unique: bool) -> tuple[str, ...]:
        """What stands in the stage's line."""
        said = [f"{name} relaxed by {by:,} rows" for name, by in relaxed.items()]
        if len(said) > 1:
            said = [f"{len(said)} clauses relaxed"]
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
            lines.append(f"    {rule.name}: {rule.asked}")
            kept = "with the others kept: " if len(conflict.rules) > 1 else ""
            lines.append(f"        {kept}{reachable}{self._hint(rule)}")
        names = ", ".join(rule.name for rule in conflict.surrender)
        several = len(conflict.surrender) > 1
        return PolicyError(
            "\n".join(lines),
            f"It can be met without {names}"
            + (" (no smaller set will do)" if several else "")
            + ". Change a clause, or let some give way: "
            f"`on_infeasible: {{relax: [{names}]}}`.",
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
                said.append(f"no row has {column} '{value}'. {near}")
        return "; " + " ".join(said or ["no row has all of these values"])
