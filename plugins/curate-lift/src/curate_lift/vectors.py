"""Vectors as a stage receives them: checked, and in an order that is theirs alone.

Imported when a stage works.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import xxhash
from numpy.typing import NDArray

from curate.api import CurateError

Vectors = NDArray[np.float32]

_BLOCK = 4096  # vectors that are float64 at once


def vectors_of(rows: pl.DataFrame, column: str | None, stage: str) -> Vectors:
    """The vectors of some rows, float32 [rows, width].

    Args:
        rows: `id` and the column.
        column: Its name; None where the table has none, or several.
        stage: Id of the stage, for messages.

    Raises:
        CurateError: No column is named, or a vector is null or not finite.
    """
    if column is None:
        raise CurateError(
            f"Stage '{stage}' does not know which vectors to read.",
            "Name a column of vectors: `column: embed_sentence_embedding`.",
        )
    bad = rows[column].is_null()
    if not bad.any():
        vectors: Vectors = rows[column].to_numpy()
        # a sum is finite only if all its terms are; of a float32 in float64 it cannot overflow
        bad = pl.Series(~np.isfinite(vectors.sum(axis=1, dtype=np.float64)))
        if not bad.any():
            return vectors
    raise CurateError(
        f"Stage '{stage}': {bad.sum()} rows have no finite vector in '{column}', for instance "
        f"{rows['id'].filter(bad).sort()[0]}.",
        "Embed every row that the stage reads, or leave such rows out with `where:`.",
    )


def ordered(vectors: Vectors) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """An order that depends on what the vectors are, not on where they stand.

    Returns:
        `order` int64 [rows], the places of the vectors by their xxh3-128, and `number` int64
        [rows]: which of the different vectors, from 0 on, stands at each place of that order.
    """
    digests = b"".join(xxhash.xxh3_128_digest(row.tobytes()) for row in vectors)
    keys = np.frombuffer(digests, dtype="<u8").reshape(-1, 2)
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    new = (np.diff(keys[order], axis=0) != 0).any(axis=1)
    return order, np.concatenate([np.zeros(min(len(order), 1), np.int64), np.cumsum(new)])


def blocks(vectors: Vectors, order: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
    """The vectors in this order as float64, some thousands at a time."""
    for at in range(0, len(order), _BLOCK):
        yield vectors[order[at : at + _BLOCK]].astype(np.float64)
