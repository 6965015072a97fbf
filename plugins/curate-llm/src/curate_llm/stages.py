"""The stages `llm.*`, registered."""

from __future__ import annotations

from collections.abc import Callable

from curate.api import Stage, hookimpl
from curate_llm.judge import Judge
from curate_llm.rewrite import Rewrite

CURATE_API = 1


@hookimpl
def register_stages(register: Callable[[type[Stage]], None]) -> None:
    """Offer the stages."""
    register(Judge)
    register(Rewrite)
