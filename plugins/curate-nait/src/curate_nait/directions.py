"""The arithmetic of NAIT: activations to directions, projections to scores.

Imports numpy and scipy; imported when a stage works.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from curate.api import CurateError

ERRORS = {"float32": 2e-6, "bfloat16": 2e-3}
"""How far another machine may move a projection, by dtype: a share of the activation's length.

Estimates, found on all-MiniLM-L6-v2 with other kernels and other padding."""

Arrays = Mapping[str, NDArray[Any]]


def directions_of(
    activations: NDArray[np.float32],
    drift: NDArray[np.float32] | None = None,
    lengths: NDArray[np.float32] | None = None,
    *,
    center: bool,
    components: int = 1,
) -> dict[str, NDArray[Any]]:
    """The directions of a capability: in each layer the first principal components.

    Each points where the capability's examples go: the mean drift projects on it positively, or,
    where no drift is given, the mean activation.

    Args:
        activations: float32 [samples, layers, width], pooled.
        drift: float32 [samples, layers, width]: last token minus first.
        lengths: float32 [samples, layers] of the pooled activations before any baseline is taken
            off; by default of `activations`.
        center: Take the mean off before the decomposition.
        components: How many.

    Returns:
        `directions` float32 [layers, components, width], unit vectors; `explained` float64
        [layers, components], the share of the (un)centred sum of squares that each explains;
        `mean` float32 [layers, width]; and of the samples' own projections, for each similarity,
        `centre_<similarity>` and `spread_<similarity>` float64 [layers]: mean and standard
        deviation; and `size_<similarity>` float64 [layers]: what an error of the activations that
        is as long as they are would make of a projection.

    Raises:
        ValueError: There are too few samples, or they are zero or (centred) do not differ.
    """
    if len(activations) < components:
        raise ValueError(
            f"it has {len(activations)} examples for {components} components"
            if len(activations)
            else "it has no examples"
        )
    found: dict[str, list[Any]] = {}
    for layer in range(activations.shape[1]):
        samples = activations[:, layer].astype(np.float64)
        mean = samples.mean(axis=0)
        vectors, explained = _principal(samples - mean if center else samples, components)
        if vectors is None:
            raise ValueError(f"the activations of layer {layer + 1} do not differ enough")
        toward = mean if drift is None else drift[:, layer].astype(np.float64).mean(axis=0)
        vectors = np.array([_pointing(vector, toward) for vector in vectors]).astype(np.float32)
        dots = (samples @ vectors.astype(np.float64).T).sum(axis=1)
        norms = np.maximum(np.linalg.norm(samples, axis=1), 1e-30)
        size = float((norms if lengths is None else lengths[:, layer]).mean())
        own = {"dot": dots, "cosine": dots / norms}
        parts = {"directions": vectors, "explained": explained, "mean": mean.astype(np.float32)}
        parts |= {f"centre_{name}": values.mean() for name, values in own.items()}
        parts |= {f"spread_{name}": values.std() for name, values in own.items()}
        parts |= {"size_dot": size, "size_cosine": size / norms.mean()}
        for name, value in parts.items():
            found.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in found.items()}


def _principal(
    samples: NDArray[np.float64], components: int
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """The first right singular vectors [components, width] and their shares of the energy.

    By the smaller of the two Gram matrices, since both the samples and the width may be thousands.
    """
    count, width = samples.shape
    tall = count > width
    gram = samples.T @ samples if tall else samples @ samples.T
    total = float(np.trace(gram))
    size = len(gram)
    if not total > 0 or components > size:
        return None, np.empty(0)
    strengths, vectors = eigh(gram, subset_by_index=[size - components, size - 1])
    strengths, vectors = strengths[::-1], vectors[:, ::-1].T
    if not strengths[-1] > total * 1e-14:
        return None, np.empty(0)
    if not tall:
        vectors = vectors @ samples
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, strengths / total


def _pointing(direction: NDArray[np.float64], toward: NDArray[np.float64]) -> NDArray[np.float64]:
    along = float(toward @ direction) or float(direction[np.abs(direction).argmax()])
    return direction if along > 0 else -direction


def chosen(layers: str | Sequence[int], count: int) -> list[int]:
    """The layers that a recipe chooses, counted from 0.

    Args:
        layers: `all`, a range such as `2..6`, or numbers from 1; negative ones count from the end.
        count: How many the model has.

    Raises:
        CurateError: The model has no such layer, or one is named twice.
    """
    if layers == "all":
        return list(range(count))
    if isinstance(layers, str):
        first, last = (int(each) for each in re.findall(r"\d+", layers))
        numbers = list(range(first, last + 1))
    else:
        numbers = [number if number > 0 else count + 1 + number for number in layers]
    if not numbers or min(numbers) < 1 or max(numbers) > count or len(set(numbers)) < len(numbers):
        raise CurateError(
            f"`layers: {layers}` does not choose among the model's {count} blocks.",
            f"Write all, a range such as 2..{count}, or a list of numbers from 1 to {count} (or "
            "from -1 backwards), each once.",
        )
    return sorted(number - 1 for number in numbers)


def combined(
    projections: NDArray[np.float32], fit: Arrays, similarity: str, scale: str, layers: list[int]
) -> NDArray[np.float64]:
    """The score of each row, from its projection in each layer.

    Args:
        projections: float32 [rows, layers].
        fit: Of `directions_of`.
        similarity: `dot` or `cosine`, as the projections were made.
        scale: `none`, or `zscore`: in each layer take off the mean of the capability's own samples
            and divide by their standard deviation.
        layers: Those that count, from 0.

    Raises:
        CurateError: The samples do not differ in a layer that is to be scaled by how they do.
    """
    total = np.zeros(len(projections))
    for layer in layers:
        values = projections[:, layer].astype(np.float64)
        if scale == "zscore":
            spread = fit[f"spread_{similarity}"][layer]
            if not spread > 0:
                raise CurateError(
                    f"`layer_scale: zscore`: the samples do not differ in layer {layer + 1}.",
                    "Give the capability more examples, or write `layer_scale: none`.",
                )
            values = (values - fit[f"centre_{similarity}"][layer]) / spread
        total += values
    return total


def tolerance_of(fit: Arrays, similarity: str, scale: str, layers: list[int], dtype: str) -> float:
    """How far another machine may move a score; arguments as in `combined`."""
    # the projections on several unit vectors are added up
    sizes = fit[f"size_{similarity}"] * np.sqrt(fit["directions"].shape[1])
    if scale == "zscore":
        sizes = sizes / np.maximum(fit[f"spread_{similarity}"], 1e-12)
    return float(ERRORS[dtype] * sizes[layers].sum())
