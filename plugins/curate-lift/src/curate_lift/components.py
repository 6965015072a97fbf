"""The arithmetic of variety: standardised vectors, their principal components, row variances.

All in float64, over blocks, so that memory does not grow with rows beyond the vectors themselves.
Imported when a stage works.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate_lift.vectors import Vectors, blocks, ordered

DEAD = 1e-6
"""A dimension is dead if its deviation is below this share of the median deviation."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Of some vectors.

    Args:
        count: How many.
        mean: float64 [width].
        scatter: float64 [width, width]: sum over vectors of (x - mean)(x - mean)^T.
    """

    count: int
    mean: Numbers
    scatter: Numbers


def moments(vectors: Vectors) -> Moments:
    """Mean and scatter in one pass over blocks, merged by the formula of Chan, Golub and LeVeque.

    The order of the vectors plays no part: blocks are made in `ordered`.

    Args:
        vectors: float32 [rows, width], finite.
    """
    width = vectors.shape[1]
    count, mean, scatter = 0, np.zeros(width), np.zeros((width, width))
    order, _ = ordered(vectors)
    for block in blocks(vectors, order):
        here = block.mean(axis=0)
        around = block - here
        apart, total = here - mean, count + len(block)
        scatter += around.T @ around
        scatter += np.outer(apart, apart) * (count * len(block) / total)
        mean += apart * (len(block) / total)
        count = total
    return Moments(count, mean, scatter)


def principal(found: Moments, *, keep_dead: bool) -> dict[str, NDArray[Any]]:
    """The principal components of standardised vectors, from the vectors' moments.

    What scikit-learn's StandardScaler and PCA(svd_solver="full") find, signs included (from 1.5 on:
    the loading of the largest size is positive). A dimension that is constant, up to rounding, has
    the scale 1.

    Args:
        found: Of at least one vector.
        keep_dead: Keep dimensions that are constant or dead; see `DEAD`.

    Returns:
        `mean`, `scale` float64 [width]; `used` int64: the dimensions that are used;
        `components` float64 [used, used], a component a row, the strongest first; `explained`
        float64 [used]: the share of the variance that each holds. The last three are empty where no
        dimension varies.
    """
    variance = np.diagonal(found.scatter) / found.count
    # what rounding makes of the mean and the variance of a constant
    slack = found.count * np.finfo(np.float64).eps
    constant = variance <= slack * variance + (slack * found.mean) ** 2
    scale = np.sqrt(np.where(constant, 1.0, variance))
    alive = ~constant
    if alive.any() and not keep_dead:
        alive &= scale >= DEAD * np.median(scale[alive])
    used = np.flatnonzero(alive | (keep_dead & (not constant.all())))
    correlation = found.scatter[np.ix_(used, used)] / found.count
    correlation /= np.outer(scale[used], scale[used])
    strengths, vectors = np.linalg.eigh(correlation)
    strengths, components = np.maximum(strengths[::-1], 0.0), vectors.T[::-1]
    largest = np.abs(components).argmax(axis=1) if len(used) else used
    components = components * np.sign(components[np.arange(len(used)), largest])[:, None]
    explained = strengths / strengths.sum()
    return {
        "mean": found.mean,
        "scale": scale,
        "used": used,
        "components": components,
        "explained": explained,
    }


def variances(vectors: Vectors, fit: Mapping[str, NDArray[Any]], count: int) -> Numbers:
    """The population variance of the first `count` projections of each vector.

    Equal vectors have equal values, whatever the order of all.

    Args:
        vectors: float32 [rows, width], finite.
        fit: Of `principal`.
        count: Components, at least 1.

    Returns:
        float64 [rows].
    """
    order, number = ordered(vectors)
    used, turned = fit["used"], fit["components"][:count].T
    mean, scale = fit["mean"][used], fit["scale"][used]
    first = order[np.flatnonzero(np.diff(number, prepend=-1))]
    found = [
        (((block[:, used] - mean) / scale) @ turned).var(axis=1) for block in blocks(vectors, first)
    ]
    values = np.empty(len(vectors))
    values[order] = np.concatenate([np.empty(0), *found])[number]
    return values
