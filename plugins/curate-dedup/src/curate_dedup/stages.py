"""The stages of this plugin."""

from __future__ import annotations

from collections.abc import Callable

from curate.api import Stage, hookimpl
from curate_dedup.exact import ExactDedup
from curate_dedup.semantic import SemanticDedup
from curate_dedup.words import MinHashDedup

CURATE_API = 1


@hookimpl
def register_stages(register: Callable[[type[Stage]], None]) -> None:
    """Offer the stages."""
    register(ExactDedup)
    register(MinHashDedup)
    register(SemanticDedup)
