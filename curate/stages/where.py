"""`core.where`: keep the rows for which a condition holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from curate.api import Condition, Context, Decisions, FilterStage, Params

if TYPE_CHECKING:
    import polars as pl


class WhereParams(Params):
    """Parameters of `core.where`."""

    keep: Annotated[
        str,
        Condition(),
        Field(description="The condition, in the SQL of `where:`, such as `length_words >= 3`."),
    ]


class Where(FilterStage):
    """Keep rows for which a condition is true; where a null leaves it open, the row is dropped."""

    name = "core.where"
    version = 1
    Params = WhereParams
    reasons = {  # noqa: RUF012 - a class attribute of the contract, read only
        "condition": "the condition is false",
        "unknown": "a null leaves the condition neither true nor false",
    }

    def filter(self, rows: pl.DataFrame, ctx: Context) -> Decisions:  # noqa: ARG002 - the signature is the verb's
        """Keep what is true."""
        import polars as pl

        held = pl.col("@keep")
        return Decisions(
            rows.select(
                "id",
                keep=held.fill_null(value=False),
                reason=pl.when(held.is_null())
                .then(pl.lit("unknown"))
                .when(~held)
                .then(pl.lit("condition")),
            )
        )
