"""`sources.mix`: rows of several sources under an explicit policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from curate.api import Context, Decisions, FuseStage
from curate_sources.mix.parts import Relax
from curate_sources.mix.policy import MixParams
from curate_sources.mix.problem import Problem

if TYPE_CHECKING:
    import polars as pl

PREVIEWED = ("size", "limits", "shares")
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
        exact = exact and not (params.rank_by and params.missing == "drop")
        problem = Problem.of(rows, params, self.id)
        if exact:
            problem.check_licenses()
        problem.refuse(at_most=not exact)

    def fuse(self, tables: Mapping[str, pl.DataFrame], ctx: Context) -> Decisions:
        """Take the best mix that meets the policy."""
        import numpy as np
        import polars as pl

        from curate_sources.mix.certificate import certify
        from curate_sources.ordering import placed, unranked

        params = self.params
        if ctx.preview:
            own = params.on_infeasible.relax if isinstance(params.on_infeasible, Relax) else []
            params = params.model_copy(update={"on_infeasible": Relax(relax=[*own, *PREVIEWED])})
        rows = pl.concat(list(tables.values())).sort("id")
        unknown = unranked(rows, params, self.id)
        reason = np.full(len(rows), "surplus", dtype=object)
        drop = (unknown & (params.missing == "drop")).to_numpy()
        reason[drop] = "unranked"
        there = np.flatnonzero(~drop)
        problem = Problem.of(rows[there], params, self.id)
        problem.check_licenses()
        relaxed = problem.relaxed()
        place = placed(rows[there], params, ctx.seed).to_numpy()
        counts, unique = problem.solve(place, relaxed, ctx.seed)
        taken = problem.rows(counts, place, ctx.seed)
        denied = problem.denied()
        reason[there[denied]] = "license"
        keep = np.zeros(len(rows), dtype=np.bool_)
        keep[there[taken]] = True
        notes = problem.notes(relaxed, unique=unique)
        if problem.idle(rows[there]):
            notes += ("prefer decides nothing: no cell has rows that differ in it",)
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
            notes=notes,
            certificate=certificate,
        )
