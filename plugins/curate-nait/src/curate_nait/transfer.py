"""How alike capabilities are: the transfer matrix between features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.api import CurateError
from curate_nait.features import Feature, differences

if TYPE_CHECKING:
    import polars as pl


def check_comparable(features: Sequence[Feature]) -> None:
    """Raise CurateError unless there are several features, all made alike."""
    if len(features) < 2:
        raise CurateError("One feature has nothing to be compared with.", "Name two files or more.")
    first = features[0]
    for other in features[1:]:
        differs = differences(other, first.model, first.fingerprints, first.options)
        if differs:
            raise CurateError(
                f"The feature '{other.capability}' cannot be compared with '{first.capability}': "
                f"it was made with {'; '.join(differs)}.",
                "Extract both with the same model and options.",
            )


def cosines(features: Sequence[Feature]) -> dict[str, Any]:
    """Cosines of the first components.

    Returns:
        `cosine` [n][n], the mean over layers, and `cosine_by_layer` [layers][n][n].
    """
    first = np.stack([f.arrays["directions"][:, 0].astype(np.float64) for f in features], axis=1)
    by_layer = np.clip(first @ first.swapaxes(1, 2), -1, 1)
    return {"cosine": by_layer.mean(axis=0).tolist(), "cosine_by_layer": by_layer.tolist()}


def correlations(scores: pl.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    """Spearman's rank correlations of score columns.

    Args:
        scores: A column for each name.
        names: The capabilities.

    Returns:
        `rank_correlation` [n][n].

    Raises:
        CurateError: There are too few rows.
    """
    if len(scores) < 3:
        raise CurateError(f"The pool has {len(scores)} rows.", "Name a file with more of them.")
    ranks = np.stack([scores[name].rank("average").to_numpy() for name in names])
    return {"rank_correlation": np.corrcoef(ranks).tolist()}


def by_layer(names: Sequence[str], values: Sequence[Sequence[Sequence[float]]]) -> str:
    """The cosine of each pair in each layer, as plain text."""
    pairs = [(one, two) for one in range(len(names)) for two in range(one + 1, len(names))]
    labels = [f"{names[one]} and {names[two]}" for one, two in pairs]
    wide = max(len(label) for label in labels)
    head = "".join(f"  {layer:>6}" for layer in range(1, len(values) + 1))
    lines = ["cosine of directions, by layer", " " * wide + head]
    for label, (one, two) in zip(labels, pairs, strict=True):
        cells = "".join(f"  {layer[one][two]:>6.3f}" for layer in values)
        lines.append(f"{label:<{wide}}{cells}")
    return "\n".join(lines)


def table(title: str, names: Sequence[str], values: Sequence[Sequence[float]]) -> str:
    """A matrix as plain text."""
    wide = max(len(name) for name in names)
    cell = max(6, wide)
    lines = [title, " " * wide + "".join(f"  {name:>{cell}}" for name in names)]
    for name, row in zip(names, values, strict=True):
        lines.append(f"{name:<{wide}}" + "".join(f"  {value:>{cell}.3f}" for value in row))
    return "\n".join(lines)
