"""Core's own stages, `core.*`; they come in through the same hook as everybody else's."""

from __future__ import annotations

from collections.abc import Callable

from curate.api import Stage, hookimpl
from curate.stages.concat import Concat
from curate.stages.length import Length
from curate.stages.sample import Sample
from curate.stages.top import Top
from curate.stages.where import Where

CURATE_API = 1


@hookimpl
def register_stages(register: Callable[[type[Stage]], None]) -> None:
    """Offer them all."""
    for stage in (Concat, Length, Sample, Top, Where):
        register(stage)
