"""The stages `baselines.*`, registered."""

from __future__ import annotations

from collections.abc import Callable

from curate.api import Stage, hookimpl
from curate_baselines.difficulty import Ifd, Superfilter
from curate_baselines.diverse import Diverse
from curate_baselines.perplexity import Perplexity
from curate_baselines.rds import RDS

CURATE_API = 1


@hookimpl
def register_stages(register: Callable[[type[Stage]], None]) -> None:
    """Offer the stages."""
    for stage in (RDS, Diverse, Ifd, Superfilter, Perplexity):
        register(stage)
