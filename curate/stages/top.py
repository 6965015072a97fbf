"""`core.top`: the best rows by a number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from curate.api import Context, CurateError, Decisions, FilterStage, Margin, Reads
from curate.stages.quota import Quota, cut, shortfall

if TYPE_CHECKING:
    import polars as pl


class TopParams(Quota):
    """Parameters of `core.top`."""

    by: Annotated[str, Reads("number"), Field(description="Column of numbers to order by.")]
    lowest: Annotated[bool, Field(description="Keep the lowest, not the highest.")] = False


class Top(FilterStage):
    """Keep the rows that stand highest by a column; ties go to the smaller id."""

    name = "core.top"
    version = 1
    Params = TopParams
    params: TopParams
    reasons = {"below_cut": "other rows stand higher"}  # noqa: RUF012 - read only

    def filter(self, rows: pl.DataFrame, ctx: Context) -> Decisions:  # noqa: ARG002 - the signature is the verb's
        """Keep the first of each group.

        Raises:
            CurateError: If a number is infinite or not a number.
        """
        import polars as pl

        by, per = self.params.by, self.params.per
        stray = rows.filter(~pl.col(by).is_finite()).sort("id")
        if len(stray):
            raise CurateError(
                f"{self.id}: column '{by}' holds {stray[by][0]} (row {stray['id'][0]}); "
                "only finite numbers have an order",
                "Leave such rows out with `where:`, or repair the stage that made them.",
            )
        ordered = rows.select(
            "id", value=pl.col(by), group=pl.col(per) if per else pl.lit(None)
        ).sort("value", "id", descending=[not self.params.lowest, False])
        placed = cut(ordered, self.params)
        decided = placed.select(
            "id", "keep", reason=pl.when(~pl.col("keep")).then(pl.lit("below_cut"))
        )
        return Decisions(decided, self._margins(placed), shortfall(placed, self.params))

    def _margins(self, placed: pl.DataFrame) -> tuple[Margin, ...]:
        """The smallest distance, over groups, between the last row kept and the first dropped."""
        import polars as pl

        value = pl.col("value").cast(pl.Float64)
        at_cut = placed.select(
            distance=(value - value.shift(-1).over("group")).abs(),
            last=(pl.col("at") + 1 == pl.col("limit")) & (pl.col("limit") < pl.col("size")),
        ).filter("last")
        if not len(at_cut):
            return ()
        which = "lowest" if self.params.lowest else "top"
        distance = min(at_cut["distance"].to_list())
        words = f"{which} {self.params} by {self.params.by}"
        return (Margin(words, distance, column=self.params.by),)
