"""The stages `dedup.exact` and `dedup.semantic`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from curate.api import (
    ASKED,
    Context,
    CurateError,
    Decisions,
    FilterStage,
    Margin,
    Params,
    Preferences,
    Reads,
    Stage,
    TextChoice,
    hookimpl,
    rank,
)

if TYPE_CHECKING:
    import polars as pl

CURATE_API = 1

_PREFER = "Which copy survives, first term first: column:value, highest:column, lowest:column, "
_PREFER += "longest, shortest; ties go by id."


class ExactParams(Params):
    """Parameters of `dedup.exact`."""

    text: Annotated[TextChoice, Field(description="Which text of an example is compared.")] = "both"
    prefer: Annotated[Preferences, Field(description=_PREFER, default_factory=list)]


class ExactDedup(FilterStage):
    """Drops examples whose text equals another's to the byte; `ref` is the one that stays.

    Of equal texts the most preferred one survives. Rows outside `where:` all survive and come
    before any preference.
    """

    name = "dedup.exact"
    version = 1
    Params: ClassVar[type[Params]] = ExactParams
    sees_all = True
    reasons: ClassVar[Mapping[str, str]] = {
        "duplicate": "Its text equals that of the row in `ref` to the byte."
    }
    params: ExactParams

    def filter(self, rows: pl.DataFrame, ctx: Context) -> Decisions:  # noqa: ARG002 - the contract's
        """Decide on rows."""
        import polars as pl

        text = f"@{self.params.text}"
        best = pl.col("id").first().over(text).alias("ref")
        decided = _in_order(rows, self.params.prefer).select("id", ASKED, best)
        dropped = pl.col(ASKED) & (pl.col("id") != pl.col("ref"))
        return Decisions(
            decided.select(
                "id",
                (~dropped).alias("keep"),
                pl.when(dropped).then(pl.lit("duplicate")).alias("reason"),
                pl.when(dropped).then("ref").alias("ref"),
            )
        )


class SemanticParams(Params):
    """Parameters of `dedup.semantic`."""

    threshold: Annotated[
        float, Field(gt=0, le=1, description="Cosine at which two examples are near-duplicates.")
    ] = 0.95
    column: Annotated[
        str | None,
        Reads("vector"),
        Field(description="The column of vectors; by default the only one of the table."),
    ] = None
    prefer: Annotated[Preferences, Field(description=_PREFER, default_factory=list)]


class SemanticDedup(FilterStage):
    """Drops examples whose vector is near that of a more preferred example that stays.

    Rows are walked by preference, those outside `where:` first (they all stay). A row stays unless
    its cosine to a row that stayed before it is at least `threshold`; `ref` is the most preferred
    such row. So no two rows inside `where:` that are near each other both stay, and every dropped
    row is near the one that stands for it. The comparison is exact: all pairs, borderline ones
    computed again in float64.
    """

    name = "dedup.semantic"
    version = 1
    Params: ClassVar[type[Params]] = SemanticParams
    sees_all = True
    reasons: ClassVar[Mapping[str, str]] = {
        "near_duplicate": "Its vector is near that of the row in `ref`."
    }
    value = "Cosine between a dropped row and the row in `ref`; null for rows that stay."
    params: SemanticParams

    def filter(self, rows: pl.DataFrame, ctx: Context) -> Decisions:  # noqa: ARG002 - the contract's
        """Decide on rows.

        Raises:
            CurateError: No column is named, or a vector is null or not finite.
        """
        import numpy as np
        import polars as pl

        from curate_dedup.nearness import greedy

        column = self.params.column
        if column is None:
            raise CurateError(
                f"Stage '{self.id}' does not know which vectors to compare.",
                "Name a column of vectors: `column: embed_sentence_embedding`.",
            )
        ordered = _in_order(rows, self.params.prefer)
        vectors = ordered[column].to_numpy()
        bad = pl.Series(~np.isfinite(vectors).all(axis=1)) | ordered[column].is_null()
        if bad.any():
            raise CurateError(
                f"Stage '{self.id}': {bad.sum()} rows have no finite vector in '{column}', for "
                f"instance {ordered['id'].filter(bad)[0]}.",
                "Embed every row that the stage sees, those outside its `where:` too.",
            )
        found = greedy(vectors, ordered[ASKED].to_numpy(), self.params.threshold)
        dropped = pl.Series(found.survivor >= 0)
        decided = pl.DataFrame(
            {
                "id": ordered["id"],
                "keep": ~dropped,
                "ref": ordered["id"].gather(pl.Series(found.survivor).clip(lower_bound=0)),
                "value": pl.Series(found.similarity),
            }
        )
        stays = pl.col("keep")
        margin = Margin(f"similarity {self.params.threshold}", found.margin, column, factor=2.0)
        return Decisions(
            decided.select(
                "id",
                "keep",
                pl.when(~stays).then(pl.lit("near_duplicate")).alias("reason"),
                pl.when(~stays).then("ref").alias("ref"),
                pl.when(~stays).then("value").alias("value"),
            ),
            margins=(margin,),
        )


def _in_order(rows: pl.DataFrame, prefer: list[str]) -> pl.DataFrame:
    """Rows that cannot be dropped first, then by preference and id."""
    return rows.with_columns(rank(rows, prefer).alias("@rank")).sort(ASKED, "@rank")


@hookimpl
def register_stages(register: Callable[[type[Stage]], None]) -> None:
    """Offer the stages."""
    register(ExactDedup)
    register(SemanticDedup)
