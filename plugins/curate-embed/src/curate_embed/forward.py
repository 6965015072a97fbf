"""The service `forward`: forward passes of Hugging Face models, each loaded once a process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from curate.api import ModelFiles, Pass, hookimpl
from curate_embed import templates
from curate_embed.hardware import best_dtype

if TYPE_CHECKING:
    from curate_embed.encoder import Encoder

CURATE_API = 1


class ForwardService:
    """See `curate.passes.Forward`."""

    def auto(self, parameter: str) -> str:
        """See `curate.passes.Forward`; knows `dtype`."""
        if parameter != "dtype":
            raise ValueError(f"the service forward knows no automatic '{parameter}'")
        return best_dtype()

    def fingerprints(self, wanted: Pass) -> Mapping[str, str]:
        """See `curate.passes.Forward`."""
        return templates.fingerprints(wanted)

    def open(self, wanted: Pass, count: Callable[[str, int], None]) -> Encoder:
        """See `curate.passes.Forward`.

        Raises:
            CurateError: The model cannot be loaded, or its blocks cannot be found.
        """
        from curate_embed.encoder import Encoder
        from curate_embed.loading import load

        model: ModelFiles = wanted.model
        loaded = load(
            model.path, model.digest, wanted.dtype, wanted.compile, wanted.predicts is not None
        )
        return Encoder(loaded, wanted, count)


@hookimpl
def register_services(register: Callable[[Callable[[], Any]], None]) -> None:
    """Offer the service."""
    register(ForwardService)
