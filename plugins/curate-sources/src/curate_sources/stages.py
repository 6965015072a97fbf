"""The stages `sources.*`, registered."""

from __future__ import annotations

from collections.abc import Callable

from curate.api import Stage, hookimpl
from curate_sources.ability import AssignAbility
from curate_sources.growth.stage import Growth
from curate_sources.mix.stage import Mix
from curate_sources.weight import Weight

CURATE_API = 1


@hookimpl
def register_stages(register: Callable[[type[Stage]], None]) -> None:
    """Offer the stages."""
    for stage in (Mix, Growth, Weight, AssignAbility):
        register(stage)
