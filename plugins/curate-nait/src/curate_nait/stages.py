"""The stages `nait.*`, registered."""

from __future__ import annotations

from collections.abc import Callable

from curate.api import Stage, hookimpl
from curate_nait.alignment import Alignment
from curate_nait.combining import Combine, StableCore

CURATE_API = 1


@hookimpl
def register_stages(register: Callable[[type[Stage]], None]) -> None:
    """Offer the stages."""
    for stage in (Alignment, Combine, StableCore):
        register(stage)
