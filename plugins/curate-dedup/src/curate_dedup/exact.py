"""The stage `dedup.exact`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from curate.api import (
    ASKED,
    Context,
    Decisions,
    FilterStage,
    Params,
    Reads,
    Reference,
    rank,
)
from curate_dedup.params import CLUSTER, DedupParams, Normalizations, Text

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from curate_dedup.texts import Keys


class ExactParams(DedupParams):
    """Parameters of `dedup.exact`."""

    text: Text = "both"
    columns: Annotated[
        list[str] | None,
        Reads("string"),
        Field(min_length=1, description="Columns of text that are compared in place of `text`."),
    ] = None
    normalize: Normalizations = Field(default_factory=list)


class ExactDedup(FilterStage):
    """Drops examples whose text equals another's; `ref` is the one that stays.

    Texts are equal if they are so to the byte after the normalisations asked for. Of equal ones
    the most preferred survives. Rows outside `where:` all survive and come before any preference.
    Rows that equal one of a reference table are dropped first, and `ref` names its line.
    """

    name = "dedup.exact"
    version = 2
    Params: ClassVar[type[Params]] = ExactParams
    sees_all = True
    reasons: ClassVar[Mapping[str, str]] = {
        "duplicate": "Its text equals that of the row in `ref`.",
        "in_reference": "Its text equals that of the row of a reference table in `ref`.",
    }
    labels = CLUSTER
    params: ExactParams

    def fits(self) -> Mapping[str, Reference]:
        """The reference tables, by name."""
        return self.params.against

    def fit_inputs(self, part: str) -> tuple[str, ...]:  # noqa: ARG002 - alike for all
        """What is compared, and the lines."""
        return (*self._compared(), "@line")

    def fit_depends(self, part: str) -> tuple[str, ...]:  # noqa: ARG002 - alike for all
        """What is compared, and how."""
        return ("text", "columns", "normalize")

    def fit(self, part: str, rows: pl.DataFrame, ctx: Context) -> Mapping[str, NDArray[Any]]:  # noqa: ARG002 - the contract's
        """The contents of a reference table and their first lines."""
        from curate_dedup.texts import distinct

        rows = rows.sort("@line")
        keys, first = distinct(self._keys(rows))
        return {"key": keys, "line": rows["@line"].to_numpy()[first]}

    def filter(self, rows: pl.DataFrame, ctx: Context) -> Decisions:
        """Decide on rows."""
        import polars as pl

        ranks = rank(rows, self.params.prefer)
        keys = self._keys(rows)
        table = rows.select("id", ASKED, self._group(rows)).with_columns(
            ranks.alias("rank"), a=keys[:, 0], b=keys[:, 1], reason=pl.lit(None, dtype=pl.String)
        )
        table = table.with_columns(pl.lit(None, dtype=pl.String).alias("ref"))
        facts: dict[str, dict[str, int]] = {}
        for name in self.params.against:
            table, facts[name] = _without(table, name, ctx.fits[name])
        left = pl.col("reason").is_null()
        # of equal rows the first by (may be dropped, rank) among those that are left
        first = pl.col("id").sort_by(~left, ASKED, "rank").first().over("a", "b", "group")
        several = left.sum().over("a", "b", "group") > 1
        cluster = pl.when(left & several).then(
            pl.col("id").filter(left).min().over("a", "b", "group")
        )
        table = table.with_columns(first.alias("first"), cluster.alias("cluster"))
        again = left & pl.col(ASKED) & (pl.col("id") != pl.col("first")) & self.params.drop
        decided = table.select(
            "id",
            keep=left & ~again,
            reason=pl.when(again).then(pl.lit("duplicate")).otherwise("reason"),
            ref=pl.when(again).then("first").otherwise("ref"),
            cluster="cluster",
        )
        notes = [
            f"{found['dropped']:,} in the {found['contents']:,} of {name}"
            for name, found in facts.items()
        ]
        return Decisions(decided, facts={"against": facts} if facts else {}, notes=tuple(notes))

    def _group(self, rows: pl.DataFrame) -> pl.Series:
        import polars as pl

        if self.params.per is None:
            return pl.repeat(0, len(rows), eager=True).alias("group")
        return rows[self.params.per].alias("group")

    def _compared(self) -> tuple[str, ...]:
        return tuple(self.params.columns or (f"@{self.params.text}",))

    def _keys(self, rows: pl.DataFrame) -> Keys:
        """128 bits of hash for what is compared of each row."""
        import polars as pl

        from curate_dedup.texts import keys_of, normalized

        names = self._compared()
        texts = rows.select(normalized(pl.col(name), self.params.normalize) for name in names)
        if len(names) == 1:
            return keys_of(texts[names[0]])
        # with its length before each, so that no two rows are the same when joined
        parts = [pl.format("{}:{}", pl.col(name).str.len_bytes(), name) for name in names]
        return keys_of(texts.select(pl.concat_str(parts).alias("parts"))["parts"])


def _without(
    table: pl.DataFrame, name: str, known: Mapping[str, NDArray[Any]]
) -> tuple[pl.DataFrame, dict[str, int]]:
    """The table with rows marked that a reference holds, and how many there are."""
    import polars as pl

    key, line = known["key"], known["line"]
    lines = pl.DataFrame({"a": key[:, 0], "b": key[:, 1], "line": line})
    table = table.join(lines, on=["a", "b"], how="left", maintain_order="left")
    hit = pl.col("line").is_not_null() & pl.col(ASKED) & pl.col("reason").is_null()
    table = table.with_columns(hit.alias("hit"))
    marked = table.with_columns(
        reason=pl.when("hit").then(pl.lit("in_reference")).otherwise("reason"),
        ref=pl.when("hit").then(pl.format(f"{name}#{{}}", "line")).otherwise("ref"),
    )
    counts = {"contents": len(lines), "dropped": int(table["hit"].sum())}
    return marked.drop("line", "hit"), counts
