"""`baselines.diverse`: the best rows, none of them near another (DEITA)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from curate.api import (
    Context,
    CurateError,
    Decisions,
    FilterStage,
    Margin,
    Params,
    Reads,
    Share,
    vectors_of,
)

if TYPE_CHECKING:
    import polars as pl

    from curate_baselines.walk import Walked

NEAR, FULL = "near_kept", "over_budget"


class DiverseParams(Params):
    """Parameters of `baselines.diverse`."""

    by: Annotated[str, Reads("number"), Field(description="Column of numbers, highest first.")]
    threshold: Annotated[
        float, Field(gt=0, le=1, description="Cosine above which two rows are too near.")
    ] = 0.9
    column: Annotated[
        str | None,
        Reads("vector"),
        Field(description="The column of vectors; by default the only one of the table."),
    ] = None
    count: Annotated[int | None, Field(ge=1, description="Rows to keep at most.")] = None
    fraction: Annotated[
        Share | None, Field(description="Share of the rows to keep at most, rounded down.")
    ] = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.count is not None and self.fraction is not None:
            raise ValueError("give one of count and fraction, or none of them")
        return self

    def budget(self, size: int) -> int | None:
        """How many of `size` rows are kept at most; None: no limit."""
        return self.count if self.fraction is None else int(self.fraction * size)


class Diverse(FilterStage):
    """Keeps rows from the highest score down, passing over what is near a row that was kept.

    The walk of DEITA (Liu et al., arXiv 2312.15685, algorithm 1; its code, hkust-nlp/deita, drops a
    row whose cosine to a kept one is greater than the threshold, 0.9, and stops when there are
    enough): rows stand by `by`, highest first, ties by id. The first is kept; each of the others
    unless its cosine to one that was kept exceeds `threshold`; `ref` is then the first such row and
    `<id>_value` the cosine. The walk ends when `count` or `fraction` is reached.

    DEITA ranks by complexity times quality, from two trained scorers; here any number will do. Rows
    outside `where:` stay and stand in nobody's way.
    """

    name = "baselines.diverse"
    version = 1
    Params: ClassVar[type[Params]] = DiverseParams
    params: DiverseParams
    reasons: ClassVar[Mapping[str, str]] = {
        NEAR: "Its vector is nearer than `threshold` to that of the row in `ref`, which was kept.",
        FULL: "Rows before it filled `count` or `fraction`.",
    }
    value = "Cosine between a row that was passed over and the one in `ref`; null for all others."

    def filter(self, rows: pl.DataFrame, ctx: Context) -> Decisions:  # noqa: ARG002 - the contract's
        """Decide on rows.

        Raises:
            CurateError: A number or a vector is not finite, or no column of vectors is named.
        """
        import numpy as np
        import polars as pl

        from curate_baselines.walk import walk

        by = self.params.by
        stray = rows.filter(~pl.col(by).is_finite()).sort("id")
        if len(stray):
            raise CurateError(
                f"{self.id}: column '{by}' holds {stray[by][0]} (row {stray['id'][0]}); "
                "only finite numbers have an order",
                "Leave such rows out with `where:`, or repair the stage that made them.",
            )
        ordered = rows.sort(by, "id", descending=[True, False])
        vectors = vectors_of(ordered, self.params.column, self.id)
        found = walk(vectors, self.params.threshold, self.params.budget(len(ordered)))
        near = pl.Series(found.blocker >= 0)
        over = pl.Series(np.arange(len(ordered)) >= found.end)
        decided = ordered.select(
            "id",
            keep=~(near | over),
            reason=pl.when(near).then(pl.lit(NEAR)).when(over).then(pl.lit(FULL)),
            ref=pl.when(near).then(
                ordered["id"].gather(pl.Series(found.blocker).clip(lower_bound=0))
            ),
            value=pl.when(near).then(pl.Series(found.cosine)),
        )
        return Decisions(decided, self._margins(ordered, found), self._facts(decided, found))

    def _margins(self, ordered: pl.DataFrame, found: Walked) -> tuple[Margin, ...]:
        """Of the threshold, of the order of rows that are near each other, and of the budget."""
        import numpy as np
        import polars as pl

        by, params = self.params.by, self.params
        numbers = ordered[by].cast(pl.Float64).to_numpy()
        margins = [
            Margin(f"similarity {params.threshold}", found.margin, params.column, factor=2.0)
        ]
        passed = np.flatnonzero(found.blocker >= 0)
        if len(passed):
            gap = (numbers[found.blocker[passed]] - numbers[passed]).min()
            margins.append(Margin(f"order of near rows by {by}", float(gap), by))
        if 0 < found.end < len(ordered):
            gap = numbers[found.end - 1] - numbers[found.end]
            amount = params.count if params.count is not None else f"fraction {params.fraction}"
            margins.append(Margin(f"top {amount} by {by}", float(gap), by))
        return tuple(margins)

    def _facts(self, decided: pl.DataFrame, found: Walked) -> dict[str, Any]:
        """How many rows were walked and, where a count was not reached, what there was."""
        kept = int(decided["keep"].sum())
        short = self.params.count is not None and kept < self.params.count
        return {"walked": found.end} | ({"asked": self.params.count, "had": kept} if short else {})
