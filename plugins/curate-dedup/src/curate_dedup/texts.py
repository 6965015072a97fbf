"""Texts as they are compared: named normalisations, hashes. Imported when a stage works."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import polars_hash as plh
from numpy.typing import NDArray

if TYPE_CHECKING:
    from curate_dedup.params import Normalization

Keys = NDArray[np.uint64]
"""[n, 2]: 128 bits of hash for each row."""


def normalized(text: pl.Expr, names: Sequence[Normalization]) -> pl.Expr:
    """A text after normalisations, which are applied in one order however they are written."""
    if "nfkc" in names:
        text = text.str.normalize("NFKC")
    if "case" in names:
        text = text.str.to_lowercase()
    if "letters" in names:
        text = text.str.replace_all(r"[^\p{L}\p{M}]+", "")
    if "punctuation" in names:
        text = text.str.replace_all(r"[\p{P}\p{S}]+", "")
    if "whitespace" in names:
        text = text.str.replace_all(r"\s+", " ").str.strip_chars()
    return text


def hashes(texts: pl.Series, seed: int = 0) -> NDArray[np.uint64]:
    """xxh3 of each text, the same everywhere: uint64 [n]."""
    column = plh.col("text").nchash.xxh3_64(seed=seed)
    return texts.alias("text").to_frame().select(column).to_series().to_numpy()


def keys_of(texts: pl.Series) -> Keys:
    """128 bits of hash for each text."""
    return np.column_stack([hashes(texts, seed) for seed in (0, 1)])


def distinct(keys: Keys) -> tuple[Keys, NDArray[np.int64]]:
    """Each key once, sorted: uint64 [d, 2]; and where each stands first: int64 [d]."""
    rows = _frame(keys).with_row_index("at")
    once = rows.group_by("a", "b").agg(pl.col("at").min()).sort("a", "b")
    return once.select("a", "b").to_numpy(), once["at"].to_numpy().astype(np.int64)


def places(keys: Keys, among: Keys) -> NDArray[np.int64]:
    """Where each of `keys` stands in `among`, whose keys are distinct; -1: nowhere. int64 [n]."""
    known = _frame(among).with_row_index("at")
    found = _frame(keys).join(known, on=["a", "b"], how="left", maintain_order="left")["at"]
    return found.cast(pl.Int64).fill_null(-1).to_numpy()


def _frame(keys: Keys) -> pl.DataFrame:
    return pl.DataFrame({"a": keys[:, 0], "b": keys[:, 1]})
