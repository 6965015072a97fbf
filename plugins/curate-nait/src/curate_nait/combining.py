"""Stages that make one choice of the scores of several capabilities."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from curate.api import (
    Context,
    Decisions,
    FilterStage,
    Margin,
    Output,
    Params,
    Reads,
    ScoreStage,
    Share,
)

if TYPE_CHECKING:
    import polars as pl


class CombineParams(Params):
    """Parameters of `nait.combine`."""

    columns: Annotated[
        list[str],
        Reads("number"),
        Field(min_length=2, description="The score columns of the capabilities."),
    ]
    method: Annotated[
        Literal["union_topk", "mean_zscore", "max_zscore"],
        Field(
            description="union_topk: the best rank in any capability; mean_zscore, max_zscore: of "
            "the scores standardised over the table."
        ),
    ] = "union_topk"
    weights: Annotated[
        dict[str, Annotated[float, Field(gt=0)]],
        Field(description="Column: its weight; 1 where it is not named."),
    ] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known(self) -> Self:
        if len(set(self.columns)) < len(self.columns):
            raise ValueError("`columns` names a column twice")
        for name in self.weights:
            if name not in self.columns:
                raise ValueError(f"`weights` names '{name}', which is none of the `columns`")
        return self


class Combine(ScoreStage):
    """One number for the scores of several capabilities; the highest are the ones to take.

    The paper leaves open how capabilities are combined (arXiv 2603.13201); one reading of it is
    the union of lists, the best of each capability.

    - union_topk: 1 / r, where r is the smallest rank of the row in any capability (1 for the
      highest score; equal scores share the better rank), divided by the capability's weight. The N
      highest are the union of the best k of each capability, with the k that makes N of them.
    - mean_zscore: the weighted mean of the scores, each standardised over the table (population
      standard deviation; a column that is constant counts as 0).
    - max_zscore: the largest of the standardised scores, each times its weight.
    """

    name = "nait.combine"
    version = 1
    Params: ClassVar[type[Params]] = CombineParams
    scope: ClassVar[Literal["row", "pool"]] = "pool"
    params: CombineParams

    def outputs(self) -> Mapping[str, Output]:
        """The combined number."""
        return {"combined": Output("number")}

    def score(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:  # noqa: ARG002 - the table says it all
        """Combine the columns of all rows."""
        import polars as pl

        weights = {name: self.params.weights.get(name, 1.0) for name in self.params.columns}
        if self.params.method == "union_topk":
            ranks = [
                pl.col(name).rank("min", descending=True) / weight
                for name, weight in weights.items()
            ]
            return rows.select("id", combined=1.0 / pl.min_horizontal(ranks))
        scores = []
        for name, weight in weights.items():
            values = rows[name].cast(pl.Float64)
            if values.min() == values.max():
                scores.append(pl.lit(0.0))
            else:
                scores.append((pl.col(name) - values.mean()) / values.std(ddof=0) * weight)
        if self.params.method == "max_zscore":
            return rows.select("id", combined=pl.max_horizontal(scores))
        return rows.select("id", combined=pl.sum_horizontal(scores) / sum(weights.values()))


class CoreParams(Params):
    """Parameters of `nait.core`."""

    columns: Annotated[
        list[str],
        Reads("number"),
        Field(min_length=2, description="The score columns of the capabilities."),
    ]
    fraction: Annotated[
        Share | None, Field(description="Of the rows, what each capability would select.")
    ] = None
    count: Annotated[
        int | None, Field(ge=0, description="How many rows each capability would select.")
    ] = None
    at_least: Annotated[
        int | None,
        Field(ge=1, description="Capabilities that must select a row; by default all of them."),
    ] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.fraction is None) == (self.count is None):
            raise ValueError("give either `fraction` or `count`")
        if len(set(self.columns)) < len(self.columns):
            raise ValueError("`columns` names a column twice")
        if self.at_least is not None and self.at_least > len(self.columns):
            raise ValueError(
                f"`at_least: {self.at_least}` is more than the {len(self.columns)} `columns`"
            )
        return self


class StableCore(FilterStage):
    """Keeps the rows that at least m of n capabilities would select: their stable core.

    Each capability selects its highest scores, a count or a fraction of the rows (rounded down),
    ties by id. arXiv 2603.13201 reports that such a core is picked under all its features.
    """

    name = "nait.core"
    version = 1
    Params: ClassVar[type[Params]] = CoreParams
    reasons: ClassVar[Mapping[str, str]] = {
        "outside_core": "Fewer capabilities would select it than are asked for."
    }
    value: ClassVar[str | None] = "the number of capabilities that would select the row"
    params: CoreParams

    def filter(self, rows: pl.DataFrame, ctx: Context) -> Decisions:  # noqa: ARG002 - the table says it all
        """Count the selections of each row."""
        import polars as pl

        given = self.params
        taken = given.count
        if given.fraction is not None:
            taken = int(Decimal(given.fraction) * len(rows))
        assert taken is not None
        selected, margins = [], []
        for name in given.columns:
            order = rows.select("id", name).sort([name, "id"], descending=[True, False])
            selected.append(rows["id"].is_in(order["id"][:taken].to_list()).cast(pl.UInt32))
            if 0 < taken < len(rows):
                distance = float(order[name][taken - 1] - order[name][taken])
                margins.append(Margin(f"{name} rank {taken}", distance, name))
        times = pl.Series("value", sum(selected[1:], selected[0]))
        keep = times >= (given.at_least or len(given.columns))
        sizes = times.value_counts().sort("value").rows() if len(rows) else []
        return Decisions(
            pl.DataFrame(
                {
                    "id": rows["id"],
                    "keep": keep,
                    "reason": pl.Series([None if kept else "outside_core" for kept in keep]).cast(
                        pl.String
                    ),
                    "value": times.cast(pl.Float64),
                }
            ),
            tuple(margins),
            {"selected_by": {str(number): count for number, count in sizes}},
        )
