"""The stages `text.*`, registered."""

from __future__ import annotations

from collections.abc import Callable

from curate.api import Stage, hookimpl
from curate_text.clean import Clean
from curate_text.language import Language
from curate_text.match import Match
from curate_text.stats import Stats
from curate_text.tokens import Tokens

CURATE_API = 1

STAGES: tuple[type[Stage], ...] = (
    Stats,  # one line each
    Match,
    Language,
    Tokens,
    Clean,
)


@hookimpl
def register_stages(register: Callable[[type[Stage]], None]) -> None:
    """Offer the stages."""
    for stage in STAGES:
        register(stage)
