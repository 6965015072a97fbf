"""What stages for near-duplicates share: a search that is remembered, and a choice of survivors.

The search is a fit on the pool: which contents are near which, from `search` on. Thresholds above
that only choose among these pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from curate.api import (
    ASKED,
    POOL,
    Artifact,
    Context,
    CurateError,
    Decisions,
    FilterStage,
    Margin,
    Reference,
    rank,
)
from curate_dedup.params import CLUSTER, NearParams

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from curate_dedup.pairs import Finder, Indices
    from curate_dedup.texts import Keys

AGAINST = "against."
"""Before the name of a reference table in the name of the part of the fit that is made of it."""


class NearDedup(FilterStage):
    """Drops rows that are near others, or near rows of reference tables.

    A subclass says what is compared (`column`, `items`), when two rows are equal (`keys`) and how
    near pairs are found (`finder`).
    """

    sees_all = True
    reasons: ClassVar[Mapping[str, str]] = {
        "near_duplicate": "It is near the row in `ref`, or joined with it by rows that are near.",
        "in_reference": "It is near the row of a reference table in `ref`.",
    }
    value = "Similarity of a duplicate to the row that stands for it; null for others."
    labels = CLUSTER
    params: NearParams
    compared: ClassVar[tuple[str, ...]]
    """The parameters that say what is compared."""
    searched: ClassVar[tuple[str, ...]]
    """Those on which the search depends besides."""

    # What a subclass gives.

    def column(self) -> str:
        """The column that is compared."""
        raise NotImplementedError

    def keys(self, rows: pl.DataFrame) -> Keys:
        """128 bits for each row; rows with equal ones have similarity 1."""
        raise NotImplementedError

    def comparable(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that can be near others at all."""
        return rows

    def items(self, rows: pl.DataFrame) -> Any:
        """What is compared of rows, in order; something with a `len`."""
        raise NotImplementedError

    def stored(self, items: Any) -> dict[str, NDArray[Any]]:
        """Items as arrays."""
        raise NotImplementedError

    def restored(self, arrays: Mapping[str, NDArray[Any]]) -> Any:
        """Items from arrays."""
        raise NotImplementedError

    def together(self, first: Any, then: Any) -> Any:
        """Items, and then others."""
        raise NotImplementedError

    def finder(self, items: Any, floor: float) -> Finder:
        """What finds near pairs of items."""
        raise NotImplementedError

    def similarities(self, items: Any, left: Indices, right: Indices) -> NDArray[np.float64]:
        """Similarities of pairs of items."""
        raise NotImplementedError

    def told(self, finder: Any) -> dict[str, float]:
        """Numbers about how the pairs were found, for the manifest."""
        raise NotImplementedError

    # The search.

    def fits(self) -> Mapping[str, Reference | Artifact | Literal["pool"]]:
        """The pairs of the pool; each reference table; the rows of the pool near one."""
        against = self.params.against
        tables = {f"{AGAINST}{name}": table for name, table in against.items()}
        return {"pairs": POOL, **tables, **({"near": POOL} if against else {})}

    def fit_inputs(self, part: str) -> tuple[str, ...]:
        """What is compared; of reference tables the lines too."""
        return (self.column(), "@line") if part.startswith(AGAINST) else (self.column(),)

    def fit_needs(self, part: str) -> tuple[str, ...]:
        """Reference tables are read before what is near them is looked for."""
        return tuple(f"{AGAINST}{name}" for name in self.params.against) if part == "near" else ()

    def fit_depends(self, part: str) -> tuple[str, ...]:
        """Of the search what it needs, of reference tables what is compared."""
        return self.compared if part.startswith(AGAINST) else (*self.compared, *self.searched)

    def fit(self, part: str, rows: pl.DataFrame, ctx: Context) -> Mapping[str, NDArray[Any]]:
        """Search, or make a reference table ready for it."""
        from curate_dedup.searching import nearest, pairs_among

        rows = self.comparable(rows)
        if part.startswith(AGAINST):
            rows = rows.sort("@line")
            lines = {"line": rows["@line"].to_numpy(), "key": self.keys(rows)}
            return {**lines, **self.stored(self.items(rows))}
        if part == "near":
            return nearest(self, rows, [ctx.fits[name] for name in self.fit_needs(part)])
        return pairs_among(self, rows)

    # The choice.

    def filter(self, rows: pl.DataFrame, ctx: Context) -> Decisions:
        """Decide on rows.

        Raises:
            CurateError: `keep` cannot be reached.
        """
        import polars as pl

        from curate_dedup.choosing import Choice

        ordered = rows.with_columns(rank(rows, self.params.prefer).alias("@rank"))
        ordered = ordered.sort(ASKED, "@rank")
        choice = Choice(self, ordered, ctx.fits)
        choice.drop_those_in_references()
        threshold = self.params.threshold
        if self.params.keep is not None:
            found = choice.threshold_for(self.params.keep)
            if found is None:
                raise CurateError(
                    f"Stage '{self.id}': at the lowest similarity that is tried, "
                    f"{self.params.search}, more than {self.params.keep:,} rows stay: "
                    f"{choice.staying(self.params.search):,}.",
                    "Give a lower `search`, or cut the rest with another stage, such as core.top.",
                )
            threshold = found
        choice.drop_duplicates(threshold)
        margins = [
            Margin(cut, distance, self.cut_column(), factor=2.0)
            for cut, distance in choice.distances.items()
        ]
        marked = choice.reason == "near_duplicate"
        columns = {
            "id": ordered["id"],
            "keep": pl.Series((choice.reason == "") | (marked & (not self.params.drop))),
            "reason": pl.Series(choice.reason, dtype=pl.String),
            "ref": pl.Series(choice.ref, dtype=pl.String),
            "value": pl.Series(choice.value, nan_to_null=True),
            "cluster": choice.clusters(),
        }
        stays = pl.col("keep")
        decided = pl.DataFrame(columns).with_columns(
            pl.when(~stays).then(name).alias(name) for name in ("reason", "ref")
        )
        return Decisions(
            decided, tuple(margins), choice.facts(threshold), tuple(choice.notes(threshold))
        )

    def cut_column(self) -> str | None:
        """The column whose tolerance bears on the cut."""
        return None
