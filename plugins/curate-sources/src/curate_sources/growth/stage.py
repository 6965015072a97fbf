"""The stage `sources.growth`: each ability grows at its own pace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from curate.api import Context, Decisions, FuseStage, InputFile, Margin, ModelFiles, Preset, Reads
from curate_sources.growth.accounts import certificate, facts, notes
from curate_sources.growth.census import Census, count, refuse_empty, refuse_others, split
from curate_sources.growth.curves import read_curves
from curate_sources.growth.doit import PRESETS
from curate_sources.growth.filling import check_reach, fill, reach
from curate_sources.growth.paces import GrowthTable, Pace
from curate_sources.growth.saturation import Fit, FitParams, fit_curves, paces_of
from curate_sources.naming import named
from curate_sources.ordering import OrderParams, placed, unranked

if TYPE_CHECKING:
    import polars as pl


class GrowthParams(OrderParams):
    """Parameters of `sources.growth`."""

    presets: ClassVar[Mapping[str, Preset]] = PRESETS

    preset: Annotated[
        Literal["doit-baseline", "doit-reconstruct", "doit-maximum"] | None,
        Field(description="A composition of DoIT (arXiv 2310.19651): its table and its size."),
    ] = None
    growth: Annotated[
        GrowthTable | None,
        Field(
            description="Ability: token | saturates at N | responsive. The order of the table says "
            "who gets spare rows."
        ),
    ] = None
    curves: Annotated[
        str | None,
        InputFile(),
        Field(
            description="Instead of `growth`: a CSV with the columns ability, rows, metric, from "
            "which the table is fitted."
        ),
    ] = None
    fit: Annotated[
        FitParams | None,
        Field(description="How `curves` are judged: the options of `curate growth`."),
    ] = None
    size: Annotated[
        int | None,
        Field(ge=1, description="Rows in all, exactly; by default all that the table gives."),
    ] = None
    token: Annotated[int, Field(ge=1, description="Rows of an ability at `token`.")] = 64
    column: Annotated[
        str, Reads("string", nulls=True), Field(description="Column of the ability.")
    ] = "ability"
    others: Annotated[
        Literal["error", "drop"],
        Field(
            description="What rows are whose ability is not in the table; those without one count "
            "as `unknown`."
        ),
    ] = "error"

    @model_validator(mode="before")
    @classmethod
    def _preset_counts(cls, given: object) -> object:
        """Refuse a preset of which nothing is left; this runs before it fills in."""
        name = given.get("preset") if isinstance(given, Mapping) else None
        preset = cls.presets.get(name) if isinstance(name, str) else None
        if preset is None or not isinstance(given, Mapping):
            return given
        if "growth" in given and given["growth"] is None:
            raise ValueError(
                f"`growth: null` takes away the table of `preset: {name}`: leave one of them out"
            )
        if all(each in given for each in preset.values):
            said = " and ".join(f"`{each}`" for each in preset.values)
            raise ValueError(
                f"`preset: {name}` has no effect beside {said}: it says nothing else. Leave it out"
            )
        return given

    @model_validator(mode="after")
    def _one_table(self) -> Self:
        if (self.growth is None) == (self.curves is None):
            how = "both are" if self.growth is not None else "neither is"
            raise ValueError(
                f"one of `growth` and `curves` must say how abilities grow, and {how} there "
                "(a preset is a `growth`)"
            )
        if self.curves is None and self.fit is not None:
            raise ValueError("`fit` has no effect without `curves`")
        return self


class Growth(FuseStage):
    """Take rows by ability, so that each grows at its own pace.

    For an ability with n rows, `token` gives min(n, 64), `saturates at N` min(n, N), and the
    `responsive` ones share what is left of the size evenly: the largest L for which the sum of
    min(n, L) fits, and spare rows one each in the order of the table. Without a size they give all.
    Which rows of an ability are taken is decided by `prefer`, then `rank_by`, then a hash of seed
    and id. A preview passes over abilities without rows and takes a size for the most.
    The table is written, a preset (DoIT, arXiv 2310.19651), or fitted from curves.
    """

    name = "sources.growth"
    version = 1
    Params = GrowthParams
    uses_seed = True
    reasons: ClassVar[Mapping[str, str]] = {
        "surplus": "its ability has more rows than its pace takes",
        "other_ability": "its ability is not in the growth table (`others: drop`)",
        "unranked": "it has no number in `rank_by` (`missing: drop`)",
    }
    params: GrowthParams

    def prepare(
        self,
        models: Mapping[str, ModelFiles],  # noqa: ARG002 - the signature is the contract's
        service: Callable[[str], Any],  # noqa: ARG002 - the same
    ) -> None:
        """Read the curves, so that a mistake in their file is found before any work."""
        if self.params.curves is not None:
            read_curves(Path(self.params.curves))

    def foresees(self) -> tuple[str, ...]:
        """The ability says how many rows there are of each."""
        return (self.params.column,)

    def foresee(self, tables: Mapping[str, pl.DataFrame], *, exact: bool) -> None:
        """Refuse what the counts of the pool cannot give.

        Where rows may be dropped before, only what fewer rows make no better is refused: an
        ability without rows, and a size out of reach. Other abilities may yet go, and tokens yet
        shrink below a size that they exceed.
        """
        paces, _ = self._table
        found = count(_together(tables, self.foresees()), self.params.column, paces)
        if exact and not (self.params.rank_by and self.params.missing == "drop"):
            self._judge(found, paces)
            fill(paces, found.available, self.params.token, self.params.size)
            return
        refuse_empty(found, self.params.column, paces)
        check_reach(paces, found.available, self.params.token, self.params.size)

    def fuse(self, tables: Mapping[str, pl.DataFrame], ctx: Context) -> Decisions:
        """Take rows by ability."""
        import polars as pl

        given = self.params
        paces, fits = self._table
        rows = _together(tables, self.inputs())
        left_out = unranked(rows, given, self.id) & (given.missing == "drop")
        rows = rows.with_columns(left_out.alias("@left_out"))
        ranked = rows.filter(~pl.col("@left_out"))
        found = count(ranked, given.column, paces)
        paces, absent = split(paces, found) if ctx.preview else (paces, ())
        self._judge(found, paces)
        size = given.size
        if ctx.preview and size is not None:
            size = min(size, reach(paces, found.available, given.token))
        filling = fill(paces, found.available, given.token, size)
        chosen = (
            ranked.with_columns(named(given.column).alias("@ability"))
            .with_columns(placed(ranked, given, ctx.seed).alias("@place"))
            .filter(pl.col("@ability").is_in(list(filling.taken)))
            .sort("@place")
            .with_columns(
                pl.int_range(pl.len()).over("@ability").alias("@at"),
                pl.col("@ability")
                .replace_strict(dict(filling.taken))
                .cast(pl.Int64)  # of an empty table polars makes text
                .alias("@limit"),
            )
        )
        decided = rows.select(
            "id",
            keep=pl.col("id").is_in(
                chosen.filter(pl.col("@at") < pl.col("@limit"))["id"].implode()
            ),
            reason=pl.when("@left_out")
            .then(pl.lit("unranked"))
            .when(~named(given.column).is_in(list(filling.taken)))
            .then(pl.lit("other_ability"))
            .otherwise(pl.lit("surplus")),
        ).with_columns(reason=pl.when(~pl.col("keep")).then("reason"))
        return Decisions(
            decided,
            self._margins(chosen),
            facts(paces, found.available, found.others, filling, fits),
            notes(filling, fits, absent, given.size),
            certificate(paces, found.available, filling, given.token, given.size),
        )

    @cached_property
    def _table(self) -> tuple[Sequence[Pace], Mapping[str, Fit]]:
        """The growth table and, where it follows from curves, their fits; made once."""
        if self.params.growth is not None:
            return self.params.growth.paces, {}
        assert self.params.curves is not None
        fits = fit_curves(read_curves(Path(self.params.curves)), self.params.fit or FitParams())
        return paces_of(fits), fits

    def _judge(self, census: Census, paces: Sequence[Pace]) -> None:
        """Refuse a pool whose abilities are not those of the table."""
        if self.params.others == "error":
            refuse_others(census)
        refuse_empty(census, self.params.column, paces)

    def _margins(self, chosen: pl.DataFrame) -> tuple[Margin, ...]:
        """How near, in `rank_by`, the last row taken and the first one left of an ability are."""
        import polars as pl

        by = self.params.rank_by
        if by is None:
            return ()
        number = pl.col(by).cast(pl.Float64)
        distances = (
            chosen.with_columns((number - number.shift(-1).over("@ability")).abs().alias("apart"))
            .filter((pl.col("@at") + 1 == pl.col("@limit")) & pl.col("apart").is_not_nan())
            .select(pl.col("apart").min())
            .item()
        )
        if distances is None:
            return ()
        return (Margin(f"{self.params.rank} {by} of each ability", distances, column=by),)


def _together(tables: Mapping[str, pl.DataFrame], columns: Sequence[str]) -> pl.DataFrame:
    import polars as pl

    return pl.concat(
        [table.select("id", *columns) for table in tables.values()], how="vertical_relaxed"
    )
