"""Vectors as stages receive them, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.api import CurateError

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
            f"Stage '{stage}' does not know which vectors to compare.",
            "Name a column of vectors: `column: embed_sentence_embedding`.",
        )
    missing = rows[column].is_null()
    bad = missing
    if not missing.any():
        found: NDArray[np.float32] = rows[column].to_numpy()
        if np.isfinite(found).all():
            return found
        bad = pl.Series(~np.isfinite(found).all(axis=1))
    raise CurateError(
        f"Stage '{stage}': {bad.sum()} rows have no finite vector in '{column}', for instance "
        f"{rows['id'].filter(bad)[0]}.",
        "Embed every row that the stage sees, or leave such rows out with `where:`.",
    )
