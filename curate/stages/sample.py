"""`core.sample`: a random choice of rows, the same for the same seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.api import Context, Decisions, FilterStage
from curate.stages.quota import Quota, cut, shortfall

if TYPE_CHECKING:
    import polars as pl


class SampleParams(Quota):
    """Parameters of `core.sample`: `count` or `fraction`, and `per`."""


class Sample(FilterStage):
    """Keep rows at random, chosen by seed and id alone."""

    name = "core.sample"
    version = 1
    Params = SampleParams
    params: SampleParams
    uses_seed = True
    reasons = {"not_sampled": "the sample does not hold it"}  # noqa: RUF012 - read only

    def filter(self, rows: pl.DataFrame, ctx: Context) -> Decisions:
        """Keep the rows of each group whose hash with the seed (xxh3-128) is smallest."""
        import polars as pl
        import xxhash

        drawn = [xxhash.xxh3_128_hexdigest(f"{ctx.seed} {row}".encode()) for row in rows["id"]]
        per = self.params.per
        ordered = rows.select(
            "id",
            group=pl.col(per) if per else pl.lit(None),
            drawn=pl.Series(drawn, dtype=pl.String),
        ).sort("drawn", "id")
        placed = cut(ordered, self.params)
        decided = placed.select(
            "id", "keep", reason=pl.when(~pl.col("keep")).then(pl.lit("not_sampled"))
        )
        return Decisions(decided, facts=shortfall(placed, self.params))
