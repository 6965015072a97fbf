"""`text.stats`: numbers about a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from curate.api import Context, Output, Params, ScoreStage, TextChoice

if TYPE_CHECKING:
    import polars as pl


class StatsParams(Params):
    """Parameters of `text.stats`."""

    text: Annotated[TextChoice, Field(description="Which text of an example is measured.")] = "both"


class Stats(ScoreStage):
    """Numbers about a text."""

    name = "text.stats"
    version = 1
    Params = StatsParams
    params: StatsParams

    def outputs(self) -> Mapping[str, Output]:
        """Whole numbers."""
        return {"characters": Output("integer")}

    def score(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Count what is wanted."""
        import polars as pl

        text = pl.col(f"@{self.params.text}")
        counts = {"characters": text.str.len_chars().cast(pl.Int64)}
        return rows.select("id", **{name: counts[name] for name in ctx.wanted})
