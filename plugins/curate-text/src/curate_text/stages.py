"""The stages `text.*`, registered."""

from __future__ import annotations

from collections.abc import Callable

from curate.api import Stage, hookimpl
from curate_text.match import Match
from curate_text.stats import Stats

CURATE_API = 1

STAGES: tuple[type[Stage], ...] = (
    Stats,  # one line each
    Match,
)


@hookimpl
def register_stages(register: Callable[[type[Stage]], None]) -> None:
    """Offer the stages."""
    for stage in STAGES:
        register(stage)
