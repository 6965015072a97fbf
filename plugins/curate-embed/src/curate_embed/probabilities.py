"""From the logits of a classification head to probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.api import Site

if TYPE_CHECKING:
    import torch


class ClassReader:
    """A reader that gives float32 [rows, classes]: probabilities, or of a regression the logits.

    Args:
        task: `single_label`: softmax; `multi_label`: sigmoid; `regression`: the logits themselves.
    """

    sites: frozenset[Site] = frozenset({"classes"})

    def __init__(self, task: str) -> None:
        self._task = task
        self._found: Any = None

    def start(self, mask: torch.Tensor) -> None:
        """See `curate.passes.Reader`."""

    def see(self, site: Site, layer: int, values: torch.Tensor) -> None:  # noqa: ARG002 - it asks for one
        """See `curate.passes.Reader`."""
        logits = values.float()
        if self._task == "single_label":
            self._found = logits.softmax(dim=-1)
        else:
            self._found = logits.sigmoid() if self._task == "multi_label" else logits

    def finish(self) -> torch.Tensor:
        """See `curate.passes.Reader`."""
        found: torch.Tensor = self._found
        return found
