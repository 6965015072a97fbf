"""The service `forward`: forward passes of Hugging Face models, each loaded once a process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from curate.api import ModelFiles, hookimpl

if TYPE_CHECKING:
    from curate_embed.encoder import Encoder

CURATE_API = 1


class ForwardService:
    """See `curate.contract.Forward`."""

    def open(self, model: ModelFiles, *, max_length: int | None, batch_size: int) -> Encoder:
        """Load a model, or take the loaded one.

        Args:
            model: Where its files are.
            max_length: Tokens after which a text is cut, never more than the model reaches;
                None: as many as it reaches.
            batch_size: Batches computed between two results; changes no value.

        Raises:
            CurateError: The model cannot be loaded, or its blocks cannot be found.
        """
        from curate_embed.encoder import Encoder
        from curate_embed.loading import load

        return Encoder(load(model.path, model.digest), max_length, batch_size)


@hookimpl
def register_services(register: Callable[[Callable[[], Any]], None]) -> None:
    """Offer the service."""
    register(ForwardService)
