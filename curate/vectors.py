"""Vectors of rows as stages receive them, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.errors import CurateError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray


def vectors_of(rows: pl.DataFrame, column: str | None, stage: str) -> NDArray[np.float32]:
    """The vectors of some rows, float32 [rows, width].

    Args:
        rows: `id` and the column.
        column: Its name; None where the table has none, or several.
        stage: Id of the stage, for messages.

    Raises:
        CurateError: No column is named, or a vector is null or not finite.
    """
    import numpy as np
    import polars as pl

    if column is None:
        raise CurateError(
            f"Stage '{stage}' does not know which vectors to read.",
            "Name a column of vectors: `column: embed_sentence_embedding`.",
        )
    bad = rows[column].is_null()
    if not bad.any():
        with np.errstate(over="ignore", invalid="ignore"):  # what they would say is said below
            vectors = np.ascontiguousarray(rows[column].to_numpy(), dtype=np.float32)
            # a sum is finite only if all its terms are; of float32 in float64 it cannot overflow
            bad = pl.Series(~np.isfinite(vectors.sum(axis=1, dtype=np.float64)))
        if not bad.any():
            return vectors
    has = "1 row has" if bad.sum() == 1 else f"{bad.sum():,} rows have"
    raise CurateError(
        f"Stage '{stage}': {has} no finite vector in '{column}', for instance "
        f"{rows['id'].filter(bad).sort()[0]}.",
        "Embed every row that the stage sees, or drop such rows before it.",
    )
