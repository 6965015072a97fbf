"""Showing readers what passes through a model: hooks that stay, and the readers of the moment.

Imports torch; imported by `loading`. The hooks are there before anything is compiled, since a
compiled block does not notice those that come later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, get_args

import torch

from curate.api import CurateError, Reader, Site
from curate_embed.structure import find_projections, neurons_of


class Watch:
    """The places of a model where readers look.

    Args:
        blocks: Its transformer blocks.
        width: Of its hidden states.
        name: Its name, for messages.
        compiled: Whether its blocks are going to be compiled; the hooks are kept out of that.
    """

    def __init__(
        self, blocks: Sequence[torch.nn.Module], width: int, name: str, *, compiled: bool
    ) -> None:
        self._readers: dict[Site, list[Reader]] = {site: [] for site in get_args(Site)}
        self._unknown: CurateError | None = None
        hide: Callable[[Any], Any] = torch.compiler.disable if compiled else _as_it_is
        for layer, block in enumerate(blocks):
            block.register_forward_hook(hide(self._after("blocks", layer)))
        try:
            projections = find_projections(blocks, width, name)
        except CurateError as error:  # matters only to those who ask for neurons
            self._unknown = error
            return
        self._neurons = neurons_of(projections[0])
        for layer, projection in enumerate(projections):
            projection.register_forward_pre_hook(hide(self._before("neurons", layer)))

    @property
    def neurons(self) -> int:
        """Neurons of each block's MLP.

        Raises:
            CurateError: They cannot be found in this model.
        """
        if self._unknown is not None:
            raise self._unknown
        return self._neurons

    @contextmanager
    def shown_to(self, readers: Sequence[Reader]) -> Iterator[None]:
        """Show the activations to readers, each what it asks for.

        Raises:
            CurateError: One asks for neurons, which cannot be found in this model.
        """
        if self._unknown is not None and any("neurons" in reader.sites for reader in readers):
            raise self._unknown
        try:
            for site, known in self._readers.items():
                known[:] = [reader for reader in readers if site in reader.sites]
            yield
        finally:
            for known in self._readers.values():
                known.clear()

    def final(self, values: torch.Tensor) -> None:
        """Show the model's final hidden state."""
        for reader in self._readers["final"]:
            reader.see("final", 0, values)

    def likelihoods(self, made: Callable[[], torch.Tensor]) -> None:
        """Show the log-probabilities of the tokens; they are made only if somebody looks."""
        values = made() if self._readers["likelihoods"] else None
        for reader in self._readers["likelihoods"]:
            reader.see("likelihoods", 0, values)

    def classes(self, values: torch.Tensor) -> None:
        """Show the logits of the classes."""
        for reader in self._readers["classes"]:
            reader.see("classes", 0, values)

    def _after(self, site: Site, layer: int) -> Callable[..., None]:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            values = output[0] if isinstance(output, tuple) else output
            for reader in self._readers[site]:
                reader.see(site, layer, values)

        return hook

    def _before(self, site: Site, layer: int) -> Callable[..., None]:
        def hook(_module: Any, inputs: Any) -> None:
            for reader in self._readers[site]:
                reader.see(site, layer, inputs[0])

        return hook


def _as_it_is(hook: Callable[..., None]) -> Callable[..., None]:
    return hook
