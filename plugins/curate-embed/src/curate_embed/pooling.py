"""From hidden states to one vector a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.api import Site

if TYPE_CHECKING:
    import torch


class SentenceReader:
    """A reader that gives float32 [rows, width] from the final hidden state.

    Args:
        pooling: Over the real tokens: `mean`; `cls`, the first; `last`; `max` of each dimension;
            `mean_sqrt_len`, the sum over the root of their number; `weighted`, the mean with
            weights 1, 2, ... n (SGPT, arXiv 2202.08904).
        normalize: Scale to length 1.
        skip: Tokens at the start that are not pooled; the others keep their weights. Where a text
            was cut to no more than these, its last token is.
    """

    sites: frozenset[Site] = frozenset({"final"})

    def __init__(self, pooling: str, normalize: bool, skip: int = 0) -> None:
        self._pooling = pooling
        self._normalize = normalize
        self._skip = skip
        self._mask: Any = None
        self._vectors: Any = None

    def start(self, mask: torch.Tensor) -> None:
        """See `curate.passes.Reader`."""
        self._mask = mask

    def see(self, site: Site, layer: int, values: torch.Tensor) -> None:  # noqa: ARG002 - it asks for one
        """See `curate.passes.Reader`."""
        self._vectors = self._pool(values)

    def finish(self) -> torch.Tensor:
        """See `curate.passes.Reader`."""
        import torch

        vectors: torch.Tensor = self._vectors
        return torch.nn.functional.normalize(vectors, dim=-1) if self._normalize else vectors

    def _pool(self, values: torch.Tensor) -> torch.Tensor:
        import torch

        mask: torch.Tensor = self._mask
        tokens = mask.sum(dim=1)
        first = (tokens - 1).clamp(max=self._skip)
        if self._pooling in ("cls", "last"):
            at = first if self._pooling == "cls" else tokens - 1
            return values[torch.arange(len(values), device=values.device), at].float()
        places = torch.arange(mask.shape[1], device=mask.device)
        pooled = mask & (places >= first.unsqueeze(1))
        if self._pooling == "max":
            return values.float().masked_fill(~pooled.unsqueeze(-1), -torch.inf).amax(dim=1)
        weights = pooled.unsqueeze(-1).float()
        if self._pooling == "weighted":
            weights = weights * (places + 1).unsqueeze(-1)
        total = weights.sum(dim=1)
        if self._pooling == "mean_sqrt_len":
            total = total.sqrt()
        return (values.float() * weights).sum(dim=1) / total
