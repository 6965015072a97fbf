"""`core.length`: how long a text is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from curate.api import Context, Output, Params, ScoreStage, TextChoice

if TYPE_CHECKING:
    import polars as pl


class LengthParams(Params):
    """Parameters of `core.length`."""

    text: Annotated[TextChoice, Field(description="Which text of an example is measured.")] = "both"


class Length(ScoreStage):
    """Count characters (Unicode code points) and words (separated by Unicode white space)."""

    name = "core.length"
    version = 1
    Params = LengthParams
    params: LengthParams

    def outputs(self) -> Mapping[str, Output]:
        """Two whole numbers."""
        return {"characters": Output("integer"), "words": Output("integer")}

    def score(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Count what is wanted."""
        import polars as pl

        text = pl.col(f"@{self.params.text}")
        counts = {
            "characters": text.str.len_chars().cast(pl.Int64),
            "words": text.str.count_matches(r"\S+").cast(pl.Int64),
        }
        return rows.select("id", **{name: counts[name] for name in ctx.wanted})
