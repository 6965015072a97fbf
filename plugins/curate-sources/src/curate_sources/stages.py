"""The stages `sources.*`, registered."""

from __future__ import annotations

from collections.abc import Callable

from curate.api import Stage, hookimpl
from curate_sources.growth import Growth
from curate_sources.mix import Mix

CURATE_API = 1


@hookimpl
def register_stages(register: Callable[[type[Stage]], None]) -> None:
    """Offer the stages."""
    register(Mix)
    register(Growth)
