"""`lift.score`: quality and length as one number."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from curate.api import Context, CurateError, Output, Params, Reads, ScoreStage, Share

if TYPE_CHECKING:
    import polars as pl


class ScoreParams(Params):
    """Parameters of `lift.score`."""

    by: Annotated[str, Reads("number"), Field(description="Column of the quality, from 0 to 100.")]
    weight: Annotated[
        Share, Field(description="Of the length score in `final`; the quality has the rest.")
    ] = Decimal("0.1")
    percentile: Annotated[
        float,
        Field(
            gt=0,
            le=100,
            description="Percentile of the lengths from which on a row has the length score 100.",
        ),
    ] = 98


class Score(ScoreStage):
    """The number by which LIFT takes rows: mostly quality, and a little length.

    Quality curation of LIFT (arXiv 2312.11508; its code, generate_length_score.py and
    quality_curation.py). With c the characters (Unicode code points) of instruction, input and
    response without tabs and newlines, t the `percentile` of c over the pool (linear
    interpolation) and G the quality:

    - `length` L = min(100, 100 c / t), and 100 for all where t is 0;
    - `final` = (1 - weight) G + weight L, with the paper's 0.1: 0.9 G + 0.1 L.

    The pool are the rows inside `where:` that have a quality; in the paper those that variety left.
    The paper takes the 10,000 highest: `core.top` with `count: 10000`.
    """

    name = "lift.score"
    version = 1
    scope: ClassVar[Literal["row", "pool"]] = "pool"
    Params: ClassVar[type[Params]] = ScoreParams
    reads: ClassVar[tuple[str, ...]] = ("@both",)
    params: ScoreParams

    def outputs(self) -> Mapping[str, Output]:
        """Two numbers from 0 to 100."""
        return {"length": Output("number"), "final": Output("number")}

    def score(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Score all rows.

        Raises:
            CurateError: A quality is not between 0 and 100.
        """
        import numpy as np
        import polars as pl

        by, weight = self.params.by, self.params.weight
        stray = rows.filter(~pl.col(by).is_between(0, 100)).sort("id")
        if len(stray):
            raise CurateError(
                f"Stage '{self.id}': column '{by}' holds {stray[by][0]} (row {stray['id'][0]}); "
                "lengths count from 0 to 100, and so has the quality to.",
                "Name a column of such numbers, `lift.quality`'s total for instance.",
            )
        if rows.is_empty():
            return rows.select("id", *(pl.lit(None, pl.Float64).alias(name) for name in ctx.wanted))
        text = rows["@both"].str.replace_all(r"[\t\n]", "")
        characters = text.str.len_chars().to_numpy().astype(np.float64)
        enough = np.percentile(characters, self.params.percentile)
        length = np.full(len(rows), 100.0)
        short = characters < enough
        length[short] = 100 * characters[short] / enough
        quality = rows[by].cast(pl.Float64).to_numpy()
        final = float(1 - weight) * quality + float(weight) * length
        made = {"length": length, "final": final}
        return rows.select("id", **{name: pl.Series(made[name]) for name in ctx.wanted})
