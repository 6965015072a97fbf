"""Readers of log-probabilities: losses of texts. Imports torch, so it is imported when needed."""

from __future__ import annotations

import torch

from curate.api import Site


class MeanLoss:
    """A reader that gives float64 [rows, 2]: the mean loss in nats, and over how many tokens."""

    sites: frozenset[Site] = frozenset({"likelihoods"})

    def start(self, mask: torch.Tensor) -> None:
        """See `curate.passes.Reader`."""

    def see(self, site: Site, layer: int, values: torch.Tensor) -> None:  # noqa: ARG002 - it asks for one
        """See `curate.passes.Reader`."""
        count = (~values.isnan()).sum(dim=1)
        total = -values.double().nansum(dim=1)
        self._found = torch.stack([total / count, count.double()], dim=1)

    def finish(self) -> torch.Tensor:
        """See `curate.passes.Reader`."""
        return self._found


class TokenLosses:
    """A reader that gives float32 [rows, tokens]: the loss of each token in nats.

    NaN where a token is not predicted. Batches differ in width: read them one at a time.
    """

    sites: frozenset[Site] = frozenset({"likelihoods"})

    def start(self, mask: torch.Tensor) -> None:
        """See `curate.passes.Reader`."""

    def see(self, site: Site, layer: int, values: torch.Tensor) -> None:  # noqa: ARG002 - it asks for one
        """See `curate.passes.Reader`."""
        self._found = -values

    def finish(self) -> torch.Tensor:
        """See `curate.passes.Reader`."""
        return self._found
