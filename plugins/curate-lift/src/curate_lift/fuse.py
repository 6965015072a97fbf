"""`lift.fuse`: originals and what was made of them become one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from curate.api import Context, CurateError, Decisions, FuseStage, Margin, Params, Reads

if TYPE_CHECKING:
    import polars as pl

    from curate_lift.families import Choice

NOT_BEST, NOT_BETTER, REPLACED = "not_best", "not_better", "replaced"


class FuseParams(Params):
    """Parameters of `lift.fuse`."""

    keep: Annotated[
        Literal["all", "best", "child_if_better"],
        Field(
            description="Which rows of a family stay: all; the one with the highest number; or "
            "children that are better than all that they descend from, in place of these."
        ),
    ] = "all"
    by: Annotated[
        str | None, Reads("number"), Field(description="Column of the number; higher is better.")
    ] = None

    @model_validator(mode="after")
    def _needed(self) -> Self:
        if self.keep != "all" and self.by is None:
            raise ValueError(f"`keep: {self.keep}` needs `by`, a column of numbers")
        if self.keep == "all" and self.by is not None:
            raise ValueError(
                f"`by: {self.by}` has no effect with `keep: all`, which keeps every row; leave it "
                "out, or set it to null"
            )
        return self


class Fuse(FuseStage):
    """Joins originals and expansions, and says which version of a family survives.

    A family are rows joined by `parents`: over rounds, over children of two parents, and over a
    parent that is not here any more (merged, or dropped before).

    - all: every row.
    - best: of each family the row that stands highest by `by`; ties go to the smaller id.
    - child_if_better: a row stays if it is better (strictly) than every row here that it descends
      from, and no descendant of it is. So a child that is no better than its parent leaves, a
      parent with a better child gives way to it, several better children all stay, and of a chain
      the best row stays, the earliest among equals.

    A row that is left out names in `ref` the row that stays for it. The paper (arXiv 2312.11508)
    keeps all.
    """

    name = "lift.fuse"
    version = 1
    Params: ClassVar[type[Params]] = FuseParams
    reads: ClassVar[tuple[str, ...]] = ("parents",)
    reasons: ClassVar[Mapping[str, str]] = {
        NOT_BEST: "The row in `ref`, of the same family, stands higher.",
        NOT_BETTER: "It is no better than a row that it descends from; `ref` stays for that one.",
        REPLACED: "The row in `ref`, which descends from it, is better.",
    }
    params: FuseParams

    def fuse(self, tables: Mapping[str, pl.DataFrame], ctx: Context) -> Decisions:  # noqa: ARG002 - the signature is the verb's
        """Decide on the rows of all tables.

        Raises:
            CurateError: A number is infinite, or a row descends from itself.
        """
        import polars as pl

        from curate_lift.families import ahead, best, counts, everyone, kinship

        rows = pl.concat(
            [table.select("id", *self.inputs()) for table in tables.values()],
            how="vertical_relaxed",
        ).sort("id")
        ids, by = rows["id"].to_list(), self.params.by
        kin = kinship(ids, rows["parents"].to_list())
        if by is None:
            choice = everyone(kin)
        else:
            self._check(rows, by)
            choose = best if self.params.keep == "best" else ahead
            choice = choose(kin, rows[by].to_list(), ids)
        margin = () if choice.margin is None else (Margin(f"better by {by}", choice.margin, by),)
        facts = counts(kin, choice)
        return Decisions(
            self._decided(ids, choice), margin, facts, (f"{facts['families']:,} families",)
        )

    def _check(self, rows: pl.DataFrame, by: str) -> None:
        import polars as pl

        stray = rows.filter(~pl.col(by).is_finite())
        if len(stray):
            raise CurateError(
                f"{self.id}: column '{by}' holds {stray[by][0]} (row {stray['id'][0]}); "
                "only finite numbers have an order",
                "Leave such rows out with `where:`, or repair the stage that made them.",
            )

    def _decided(self, ids: list[str], choice: Choice) -> pl.DataFrame:
        import polars as pl

        left = pl.col("id") != pl.col("ref")
        other = NOT_BEST if self.params.keep == "best" else NOT_BETTER
        frame = pl.DataFrame(
            {"id": ids, "ref": [ids[place] for place in choice.survivor]},
            schema=dict.fromkeys(["id", "ref"], pl.String),
        ).with_columns(beaten=pl.int_range(pl.len()).is_in([*choice.beaten]))
        why = pl.when("beaten").then(pl.lit(REPLACED)).otherwise(pl.lit(other))
        return frame.select(
            "id",
            keep=~left,
            reason=pl.when(left).then(why),
            ref=pl.when(left).then("ref"),
        )
