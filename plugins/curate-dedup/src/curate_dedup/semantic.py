"""The stage `dedup.semantic`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from curate.api import CurateError, Params, Reads, vectors_of
from curate_dedup.near import NearDedup
from curate_dedup.params import NearParams

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from curate_dedup.pairs import Indices
    from curate_dedup.texts import Keys
    from curate_dedup.vectors import VectorFinder, Vectors


class SemanticParams(NearParams):
    """Parameters of `dedup.semantic`."""

    column: Annotated[
        str | None,
        Reads("vector"),
        Field(description="The column of vectors; by default the only one of the table."),
    ] = None
    threshold: Annotated[
        float, Field(gt=0, le=1, description="Cosine at which two examples are near-duplicates.")
    ] = 0.95
    search: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="Cosine from which on pairs are looked for and remembered: a threshold "
            "above it needs no new search.",
        ),
    ] = 0.9
    linking: Annotated[
        Literal["star", "chain"],
        Field(
            description="star: each dropped row is near the one that stays; chain: rows joined by "
            "near ones, directly or over others, are one."
        ),
    ] = "star"
    method: Annotated[
        Literal["auto", "exact", "partition"],
        Field(
            description="exact: each vector with each; partition: with those in neighbouring "
            "cells; auto: exact up to 131,072 distinct vectors."
        ),
    ] = "auto"
    recall: Annotated[
        float,
        Field(gt=0, le=1, description="Share of the pairs that `partition` is to find."),
    ] = 0.99


class SemanticDedup(NearDedup):
    """Drops examples whose vector is near that of a more preferred example that stays.

    Every pair is decided in float64 where float32 might err. A zero vector is near nothing. With
    `partition` pairs may be missed; the manifest says which share of a sample's pairs was.
    """

    name = "dedup.semantic"
    version = 2
    Params: ClassVar[type[Params]] = SemanticParams
    value = "Cosine between a duplicate and the row that stands for it; null for others."
    compared = ("column",)
    searched = ("search", "method", "recall")
    params: SemanticParams

    def column(self) -> str:
        """The column of vectors.

        Raises:
            CurateError: None is named.
        """
        if self.params.column is None:
            raise CurateError(
                f"Stage '{self.id}' does not know which vectors to compare.",
                "Name a column of vectors: `column: embed_sentence_embedding`.",
            )
        return self.params.column

    def cut_column(self) -> str:
        """The vectors, which other machines may compute a little differently."""
        return self.column()

    def keys(self, rows: pl.DataFrame) -> Keys:
        """Of the vector.

        Raises:
            CurateError: A vector is null or not finite.
        """
        from curate_dedup.vectors import keys_of

        return keys_of(self.items(rows))

    def comparable(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows whose vector is not zero."""
        import polars as pl

        return rows.filter(pl.Series(self.items(rows).any(axis=1)))

    def items(self, rows: pl.DataFrame) -> Vectors:
        """The vectors.

        Raises:
            CurateError: A vector is null or not finite.
        """
        return vectors_of(rows, self.column(), self.id)

    def stored(self, items: Vectors) -> dict[str, NDArray[Any]]:
        """The vectors."""
        return {"vectors": items}

    def restored(self, arrays: Mapping[str, NDArray[Any]]) -> Vectors:
        """The vectors."""
        return arrays["vectors"]

    def together(self, first: Vectors, then: Vectors) -> Vectors:
        """All vectors."""
        import numpy as np

        return np.concatenate([first, then])

    def finder(self, items: Vectors, floor: float) -> VectorFinder:
        """Each with each, or within a partition."""
        from curate_dedup.vectors import EXACT, PartitionFinder, VectorFinder

        method = self.params.method
        if method == "exact" or (method == "auto" and len(items) <= EXACT):
            return VectorFinder(items, floor)
        return PartitionFinder(items, floor, self.params.recall)

    def similarities(self, items: Vectors, left: Indices, right: Indices) -> NDArray[np.float64]:
        """Cosines."""
        from curate_dedup.vectors import cosines

        return cosines(items, left, right)

    def told(self, finder: VectorFinder) -> dict[str, float]:
        """Of a partition: its cells, how many are probed, and the recall on a sample."""
        from curate_dedup.vectors import PartitionFinder

        if not isinstance(finder, PartitionFinder):
            return {}
        found = finder.partition
        return {
            "cells": int(found.home.max(initial=-1)) + 1,
            "cells_probed": found.probed.shape[1],
            "sampled_pairs": found.sampled,
            "sampled_pairs_missed": found.missed,
        }
