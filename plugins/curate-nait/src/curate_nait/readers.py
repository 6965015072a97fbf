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

_CACHED = 2**18
"""Numbers that are copied at once, about a megabyte of them."""


class Pooling:
    """One vector a row from the activations of one layer.

    Args:
        pool: `mean` over the real tokens, or the `last` real token.
        baseline: `first`: the first token's activation is taken off; `none`: it is not.
    """

    def __init__(self, pool: str, baseline: str) -> None:
        self._pool = pool
        self._baseline = baseline
        self._copy = torch.empty(0)

    def start(self, mask: torch.Tensor) -> None:
        """Begin a batch; `mask` bool [rows, tokens], real tokens first."""
        counts = mask.sum(dim=1)
        self._rows = torch.arange(len(mask), device=mask.device)
        self._ends = counts - 1
        self._both = torch.stack([torch.zeros_like(self._ends), self._ends], dim=1)
        self._weights = (mask.float() / counts.unsqueeze(-1)).unsqueeze(1)

    def pooled(self, values: torch.Tensor) -> torch.Tensor:
        """Activations [rows, tokens, width] to float32 [rows, width]."""
        if self._baseline == "none":
            return self.whole(values)
        if self._pool == "last":
            return self.drift(values)
        return self.whole(values) - values[:, 0].float()

    def whole(self, values: torch.Tensor) -> torch.Tensor:
        """The same before the baseline is taken off."""
        if self._pool == "last":
            return values[self._rows, self._ends].float()
        return self._mean(values)

    def _mean(self, values: torch.Tensor) -> torch.Tensor:
        if values.dtype == torch.float32:
            return torch.bmm(self._weights, values).squeeze(1)
        # in float32 a few rows at a time: the copy then stays in a processor's cache
        rows = max(1, _CACHED // values[0].numel()) if values.device.type == "cpu" else len(values)
        means = torch.empty(len(values), values.shape[2], device=values.device)
        for at in range(0, len(values), rows):
            some = values[at : at + rows]
            if self._copy.numel() < some.numel() or self._copy.device != some.device:
                self._copy = torch.empty(some.numel(), device=some.device)
            copy = self._copy[: some.numel()].view(some.shape).copy_(some)
            means[at : at + rows] = torch.bmm(self._weights[at : at + rows], copy).squeeze(1)
        return means

    def drift(self, values: torch.Tensor) -> torch.Tensor:
        """Last token minus first, float32 [rows, width]."""
        both = values[self._rows.unsqueeze(1), self._both].float()
        return both[:, 1] - both[:, 0]


class SampleReader:
    """What a fit reads of samples, float32 [rows, values].

    Pooled activations [layers * width]; if wanted as many of the drift; lengths of the pooled
    activations before the baseline was taken off [layers].

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
        self._lengths: list[torch.Tensor] = []

    def start(self, mask: torch.Tensor) -> None:
        """See `curate.passes.Reader`."""
        self._pooling.start(mask)
        self._pooled, self._drifts, self._lengths = [], [], []

    def see(self, site: Site, layer: int, values: torch.Tensor) -> None:  # noqa: ARG002 - layers come in order
        """See `curate.passes.Reader`."""
        self._pooled.append(self._pooling.pooled(values))
        if self._drift:
            self._drifts.append(self._pooling.drift(values))
        self._lengths.append(self._pooling.whole(values).norm(dim=1, keepdim=True))

    def finish(self) -> torch.Tensor:
        """See `curate.passes.Reader`."""
        return torch.cat([*self._pooled, *self._drifts, *self._lengths], dim=1)


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
        # their sum over components projects like the components together; [layers, width, 1]
        self._directions = [
            torch.from_numpy(each.astype(np.float64).sum(axis=1)).unsqueeze(2)
            for each in directions
        ]
        self._cosine = similarity == "cosine"
        self._vectors: list[torch.Tensor] = []
        self._rows = 0

    def start(self, mask: torch.Tensor) -> None:
        """See `curate.passes.Reader`."""
        self._rows = len(mask)
        self._pooling.start(mask)
        self._directions = [each.to(mask.device) for each in self._directions]
        self._vectors = []

    def see(self, site: Site, layer: int, values: torch.Tensor) -> None:  # noqa: ARG002 - layers come in order
        """See `curate.passes.Reader`."""
        self._vectors.append(self._pooling.pooled(values))

    def finish(self) -> torch.Tensor:
        """See `curate.passes.Reader`."""
        if not self._directions:
            return torch.empty(self._rows, 0)
        vectors = torch.stack(self._vectors).double()  # [layers, rows, width]
        found = [torch.bmm(vectors, each).squeeze(2) for each in self._directions]
        together = torch.stack(found)  # [capabilities, layers, rows]
        if self._cosine:
            together = together / vectors.norm(dim=2).clamp_min(1e-30)
        return together.permute(2, 0, 1).reshape(self._rows, -1).float()
