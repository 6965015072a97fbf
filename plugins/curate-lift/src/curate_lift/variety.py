"""`lift.variety`: the rows that stand out most from the pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from curate.api import (
    POOL,
    Context,
    CurateError,
    Decisions,
    FilterStage,
    Margin,
    Params,
    Reads,
    vectors_of,
)

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

PART = "components"


class VarietyParams(Params):
    """Parameters of `lift.variety`."""

    column: Annotated[
        str | None,
        Reads("vector"),
        Field(description="The column of vectors; by default the only one of the table."),
    ] = None
    variance: Annotated[
        float,
        Field(gt=0, lt=1, description="Share of the variance that the components hold."),
    ] = 0.95
    percentile: Annotated[
        float,
        Field(ge=0, lt=100, description="Rows above this percentile of the row variances stay."),
    ] = 80
    paper_exact: Annotated[
        bool,
        Field(
            description="As the authors' code: one component less, which holds slightly less than "
            "`variance`, and dimensions that hardly vary are kept."
        ),
    ] = False


class Variety(FilterStage):
    """Keeps the rows whose projections on the pool's principal components vary most.

    Variety curation of LIFT (arXiv 2312.11508; its code, embedding_variety_curation.py):

    1. Each dimension is standardised over the pool: mean 0, population deviation 1.
    2. PCA, exact; n is the smallest number of components that hold at least `variance`.
    3. r = the population variance of a row's n projections z: mean(z^2) - mean(z)^2. It is
       `<id>_value`.
    4. Rows with r strictly above the `percentile` (linear interpolation) stay.

    So about (100 - percentile) % stay, fewer where values are equal to the percentile. Rows with
    equal vectors have equal values and share their fate: this is no deduplicator, and it keeps
    outliers.

    r depends on the signs of the components; they are scikit-learn's from 1.5 on (the largest
    loading of each is positive). Dimensions with a deviation below 1e-6 of the median one are left
    out, since standardising would blow up their noise. With `paper_exact` they are kept, and the
    component that reaches `variance` is not counted, as in the authors' code (the 0-based index of
    `argmax(cumulative >= 0.95)` is taken for a number).

    The pool are the rows inside `where:`. How far an error of the vectors moves a value cannot be
    bounded (components that are about equally strong may turn into each other), so the cut is
    called close wherever vectors have a tolerance.
    """

    name = "lift.variety"
    version = 1
    Params: ClassVar[type[Params]] = VarietyParams
    params: VarietyParams
    reasons: ClassVar[Mapping[str, str]] = {
        "low_variance": "The variance of its projections is not above the percentile."
    }
    value = "Population variance of the row's projections on the components."

    def fits(self) -> Mapping[str, Literal["pool"]]:
        """The components of the pool."""
        return {PART: POOL}

    def fit_depends(self, part: str) -> tuple[str, ...]:  # noqa: ARG002 - there is one
        """Whether dead dimensions stay; `variance` and `percentile` choose among what is fitted."""
        return ("paper_exact",)

    def fit(self, part: str, rows: pl.DataFrame, ctx: Context) -> Mapping[str, NDArray[Any]]:  # noqa: ARG002 - the contract's
        """Fit mean, scale and components; see `curate_lift.components.principal`.

        Raises:
            CurateError: No column is named, a vector is not finite, or all are equal.
        """
        from curate_lift.components import moments, principal

        if rows.is_empty():
            return {}
        vectors = vectors_of(rows, self.params.column, self.id)
        found = principal(moments(vectors), keep_dead=self.params.paper_exact)
        if not len(found["used"]):
            raise CurateError(
                f"Stage '{self.id}': the vectors of its {len(rows)} rows are all equal, so none "
                "stands out.",
                "Give it rows that differ, or leave the stage out.",
            )
        return found

    def filter(self, rows: pl.DataFrame, ctx: Context) -> Decisions:
        """Decide on rows.

        Raises:
            CurateError: As in `fit`, or fewer than two components are counted.
        """
        import numpy as np
        import polars as pl

        from curate_lift.components import variances

        if rows.is_empty():
            return Decisions(rows.select("id", keep=pl.lit(value=True)))
        fit = ctx.fits[PART]
        held = np.cumsum(fit["explained"])
        reached = min(int(np.searchsorted(held, self.params.variance)), len(held) - 1)
        count = reached if self.params.paper_exact else reached + 1
        if count < 2:
            raise CurateError(
                f"Stage '{self.id}': {count} component{'s' * (count != 1)} to hold "
                f"{self.params.variance:g} of the variance of {len(rows)} rows; a row's variance "
                "needs two.",
                "Raise `variance`, or give it more rows that differ.",
            )
        vectors = vectors_of(rows, self.params.column, self.id)
        values = variances(vectors, fit, count)
        threshold = float(np.percentile(values, self.params.percentile))
        keep = values > threshold
        decided = rows.select("id", keep=pl.Series(keep), value=pl.Series(values)).with_columns(
            reason=pl.when(~pl.col("keep")).then(pl.lit("low_variance"))
        )
        dead = sorted(set(range(len(fit["mean"]))) - set(fit["used"].tolist()))
        facts = {
            "dimensions": len(fit["mean"]),
            "dead": dead,
            "components": count,
            "held": float(held[count - 1]),
            "threshold": threshold,
        }
        notes = [f"{count} components"]
        if dead:
            notes.append(f"{len(dead)} dead dimensions left out")
        margins = self._margins(values, keep, held, reached)
        return Decisions(decided, margins, facts, tuple(notes))

    def _margins(
        self,
        values: NDArray[np.float64],
        keep: NDArray[np.bool_],
        held: NDArray[np.float64],
        reached: int,
    ) -> tuple[Margin, ...]:
        """Of the number of components, and of the percentile: the gap between kept and dropped."""
        given = self.params
        around = held[max(reached - 1, 0) : reached + 1] - given.variance
        margins = [
            Margin(f"components {given.variance:g}", float(abs(around).min()), given.column, None)
        ]
        if keep.any():
            gap = values[keep].min() - values[~keep].max()
            margins.append(
                Margin(f"percentile {given.percentile:g}", float(gap), given.column, None)
            )
        return tuple(margins)
