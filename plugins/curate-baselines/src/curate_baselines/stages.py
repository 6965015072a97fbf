"""The table of this plugin's stages; each family has a module of its own."""

from __future__ import annotations

from collections.abc import Callable

from curate.api import Stage, hookimpl
from curate_baselines.difficulty import Ifd, Superfilter
from curate_baselines.perplexity import Perplexity

CURATE_API = 1


@hookimpl
def register_stages(register: Callable[[type[Stage]], None]) -> None:
    """Offer the stages."""
    for stage in (Ifd, Superfilter, Perplexity):
        register(stage)
