"""Readers of forward passes: pooled activations of samples, projections of candidates.

Imports torch; imported when a stage works.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from curate.api import Site

SITES: dict[str, Site] = {"block_output": "blocks", "mlp_neurons": "neurons"}


class Pooling:
    """One vector a row from the activations of one layer.

    Args:
        pool: `mean` over the real tokens, or the `last` real token.
        baseline: `first`: the first token's activation is taken off; `none`: it is not.
    """

    def __init__(self, pool: str, baseline: str) -> None:
        self._pool = pool
        self._baseline = baseline

    def start(self, mask: torch.Tensor) -> None:
        """Begin a batch; `mask` bool [rows, tokens], real tokens first."""
        counts = mask.sum(dim=1)
        self._rows = torch.arange(len(mask), device=mask.device)
        self._ends = counts - 1
        self._weights = (mask.float() / counts.unsqueeze(-1)).unsqueeze(1)

    def pooled(self, values: torch.Tensor) -> torch.Tensor:
        """Activations [rows, tokens, width] to float32 [rows, width]."""
        if self._pool == "last":
            vectors = values[self._rows, self._ends].float()
        else:
            vectors = torch.bmm(self._weights, values.float()).squeeze(1)
        return vectors - values[:, 0].float() if self._baseline == "first" else vectors

    def drift(self, values: torch.Tensor) -> torch.Tensor:
        """Last token minus first, float32 [rows, width]."""
        return values[self._rows, self._ends].float() - values[:, 0].float()


class SampleReader:
    """Pooled activations, float32 [rows, layers * width], twice as many with the drift behind.

    Args:
        hook: `block_output` or `mlp_neurons`.
        pooling: How tokens become one vector.
        drift: Whether the drift is wanted too.
    """

    def __init__(self, hook: str, pooling: Pooling, *, drift: bool) -> None:
        self.sites: frozenset[Site] = frozenset({SITES[hook]})
        self._pooling = pooling
        self._drift = drift
        self._pooled: list[torch.Tensor] = []
        self._drifts: list[torch.Tensor] = []

    def start(self, mask: torch.Tensor) -> None:
        """See `curate.passes.Reader`."""
        self._pooling.start(mask)
        self._pooled, self._drifts = [], []

    def see(self, site: Site, layer: int, values: torch.Tensor) -> None:  # noqa: ARG002 - layers come in order
        """See `curate.passes.Reader`."""
        self._pooled.append(self._pooling.pooled(values))
        if self._drift:
            self._drifts.append(self._pooling.drift(values))

    def finish(self) -> torch.Tensor:
        """See `curate.passes.Reader`."""
        return torch.cat([*self._pooled, *self._drifts], dim=1)


class ProjectionReader:
    """Projections on the directions of capabilities, float32 [rows, capabilities * layers].

    Each capability is projected on by itself and in float64, so that its values do not depend on
    what else is asked.

    Args:
        hook: `block_output` or `mlp_neurons`.
        pooling: How tokens become one vector.
        directions: For each capability float32 [layers, components, width]; the projections on the
            components are added up.
        similarity: `dot`, or `cosine`: divided by the length of the pooled activation.
    """

    def __init__(
        self,
        hook: str,
        pooling: Pooling,
        directions: Sequence[NDArray[np.float32]],
        similarity: str,
    ) -> None:
        self.sites: frozenset[Site] = frozenset({SITES[hook]} if directions else ())
        self._pooling = pooling
        # their sum over components projects like the components together
        self._directions = [
            torch.from_numpy(each.astype(np.float64).sum(axis=1)) for each in directions
        ]
        self._cosine = similarity == "cosine"
        self._found: list[list[torch.Tensor]] = []
        self._rows = 0

    def start(self, mask: torch.Tensor) -> None:
        """See `curate.passes.Reader`."""
        self._rows = len(mask)
        self._pooling.start(mask)
        self._directions = [each.to(mask.device) for each in self._directions]
        self._found = [[] for _ in self._directions]

    def see(self, site: Site, layer: int, values: torch.Tensor) -> None:  # noqa: ARG002 - it asks for one
        """See `curate.passes.Reader`."""
        vectors = self._pooling.pooled(values).double()
        if self._cosine:
            vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp_min(1e-30)
        for direction, found in zip(self._directions, self._found, strict=True):
            found.append((vectors * direction[layer]).sum(dim=1))

    def finish(self) -> torch.Tensor:
        """See `curate.passes.Reader`."""
        every = [values for found in self._found for values in found]
        return torch.stack(every, dim=1).float() if every else torch.empty(self._rows, 0)
