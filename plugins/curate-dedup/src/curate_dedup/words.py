"""The stage `dedup.minhash`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from curate.api import Params
from curate_dedup.near import NearDedup
from curate_dedup.params import NearParams, Normalization, Normalizations, Text

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from curate_dedup.minhash import MinHashFinder
    from curate_dedup.pairs import Indices
    from curate_dedup.shingles import Shingles
    from curate_dedup.texts import Keys


def _lower() -> list[Normalization]:
    return ["case"]


class MinHashParams(NearParams):
    """Parameters of `dedup.minhash`."""

    text: Text = "both"
    normalize: Normalizations = Field(default_factory=_lower)
    unit: Annotated[
        Literal["word", "character"],
        Field(description="What shingles are made of; words stand between white space."),
    ] = "word"
    size: Annotated[int, Field(ge=1, le=100, description="Words or characters of a shingle.")] = 3
    threshold: Annotated[
        float, Field(gt=0, le=1, description="Jaccard similarity at which two texts are near.")
    ] = 0.7
    search: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="Jaccard similarity from which on pairs are looked for and remembered: a "
            "threshold above it needs no new search.",
        ),
    ] = 0.7
    permutations: Annotated[
        int, Field(ge=16, le=1024, description="Values of a MinHash signature, at most.")
    ] = 128
    linking: Annotated[
        Literal["star", "chain"],
        Field(
            description="chain: texts joined by near ones, directly or over others, are one; star: "
            "each dropped text is near the one that stays."
        ),
    ] = "chain"


class MinHashDedup(NearDedup):
    """Drops examples whose shingles are nearly those of another, by exact Jaccard similarity.

    Candidates are texts whose MinHash signatures agree in a band; the bands are the most selective
    ones that miss at most 1 in 100 pairs of exactly `search`, fewer of more similar ones. Each is
    verified: what is dropped is as similar as it is said to be.
    """

    name = "dedup.minhash"
    version = 1
    Params: ClassVar[type[Params]] = MinHashParams
    compared = ("text", "normalize", "unit", "size")
    searched = ("search", "permutations")
    params: MinHashParams

    def column(self) -> str:
        """The text."""
        return f"@{self.params.text}"

    def keys(self, rows: pl.DataFrame) -> Keys:
        """Of the normalised text."""
        from curate_dedup.texts import keys_of

        return keys_of(self._texts(rows))

    def items(self, rows: pl.DataFrame) -> Shingles:
        """The shingles."""
        from curate_dedup.shingles import shingles_of

        return shingles_of(self._texts(rows), self.params.unit, self.params.size)

    def stored(self, items: Shingles) -> dict[str, NDArray[Any]]:
        """Hashes and ends."""
        return {"hashes": items.hashes, "ends": items.ends}

    def restored(self, arrays: Mapping[str, NDArray[Any]]) -> Shingles:
        """From hashes and ends."""
        from curate_dedup.shingles import Shingles

        return Shingles(arrays["hashes"], arrays["ends"])

    def together(self, first: Shingles, then: Shingles) -> Shingles:
        """Those of all texts."""
        return first.then(then)

    def finder(self, items: Shingles, floor: float) -> MinHashFinder:
        """By signatures."""
        from curate_dedup.minhash import MinHashFinder, bands_for

        cut = bands_for(self.params.search, self.params.permutations)
        return MinHashFinder(items, floor, cut)

    def similarities(self, items: Shingles, left: Indices, right: Indices) -> NDArray[np.float64]:
        """Jaccard similarities."""
        from curate_dedup.minhash import jaccard, sets_of

        return jaccard(sets_of(items), left, right)

    def told(self, finder: MinHashFinder) -> dict[str, float]:
        """The bands, and how likely they find a pair of exactly `search`."""
        cut = finder.cut
        chance = cut.chance(self.params.search)
        return {"bands": cut.bands, "rows_per_band": cut.rows, "chance_at_search": chance}

    def _texts(self, rows: pl.DataFrame) -> pl.Series:
        import polars as pl

        from curate_dedup.texts import normalized

        text = normalized(pl.col(self.column()), self.params.normalize)
        return rows.select(text.alias("text"))["text"]
