"""From texts to pooled activations and from these to scores. Imported when a stage works."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from curate.api import HiddenStates, LoadedModel

Reader = Callable[[HiddenStates], torch.Tensor]


def pooling_reader(pool: str, baseline: str) -> Reader:
    """A reader of pooled block outputs A_l, float32 [rows, layers * width].

    Args:
        pool: `mean` over the real tokens, or the `last` real token.
        baseline: `first`: the first token's activation is taken off; `none`: it is not.
    """

    def read(states: HiddenStates) -> torch.Tensor:
        mask: torch.Tensor = states.mask
        counts = mask.sum(dim=1)
        rows = torch.arange(len(mask), device=mask.device)
        pooled = []
        for block in states.blocks:
            if pool == "mean":
                weights = mask.unsqueeze(-1).to(block.dtype)
                value = (block * weights).sum(dim=1) / counts.unsqueeze(-1)
            else:
                value = block[rows, counts - 1]
            pooled.append(value - block[:, 0] if baseline == "first" else value)
        return torch.cat(pooled, dim=1)

    return read


def scoring_reader(pool: Reader, directions: Sequence[NDArray[np.float32]]) -> Reader:
    """A reader of scores: the sum over layers of A_l . v_l, float64 [rows, targets].

    Each target is projected on by itself, so that its scores do not depend on the others.

    Args:
        pool: Gives the activations.
        directions: One float32 [layers, width] a target.
    """
    flat = [torch.from_numpy(np.array(each, dtype=np.float64).ravel()) for each in directions]

    def read(states: HiddenStates) -> torch.Tensor:
        activations = pool(states).double()
        scores = [(activations * each.to(activations.device)).sum(dim=1) for each in flat]
        return torch.stack(scores, dim=1) if scores else activations[:, :0]

    return read


def activations_of(model: LoadedModel, texts: Sequence[str], pool: Reader) -> NDArray[np.float32]:
    """Pooled activations of texts: float32 [texts, layers, width], in their order.

    Raises:
        ValueError: A text has no token.
    """
    found = np.empty((len(texts), model.blocks * model.width), dtype=np.float32)
    for positions, values, _ in model.run(texts, pool):
        found[positions] = values
    return found.reshape(len(texts), model.blocks, model.width)


def directions_of(activations: NDArray[np.float32], *, center: bool) -> dict[str, NDArray[Any]]:
    """The direction of a capability in each layer: the first principal component.

    Its sign is that of the mean activation: the mean projects on it positively.

    Args:
        activations: float32 [samples, layers, width].
        center: Take the mean off before the decomposition.

    Returns:
        `directions` float32 [layers, width], unit vectors; `explained` float64 [layers], the share
        of the (un)centred sum of squares that they explain; `mean` float32 [layers, width].

    Raises:
        ValueError: There are no samples, they are zero, or they do not differ (centred).
    """
    if not len(activations):
        raise ValueError("it has no examples")
    directions, explained, means = [], [], []
    for layer in range(activations.shape[1]):
        samples = activations[:, layer].astype(np.float64)
        mean = samples.mean(axis=0)
        _, strengths, components = np.linalg.svd(
            samples - mean if center else samples, full_matrices=False
        )
        total = float((strengths**2).sum())
        if not total > 0:
            raise ValueError(f"the activations of block {layer + 1} do not differ")
        direction = components[0]
        toward = float(mean @ direction) or float(direction[np.abs(direction).argmax()])
        directions.append(direction if toward > 0 else -direction)
        explained.append(strengths[0] ** 2 / total)
        means.append(mean)
    return {
        "directions": np.array(directions, dtype=np.float32),
        "explained": np.array(explained),
        "mean": np.array(means, dtype=np.float32),
    }
