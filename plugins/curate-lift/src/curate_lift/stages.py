"""The stages `lift.*`, registered."""

from __future__ import annotations

from collections.abc import Callable

from curate.api import Stage, hookimpl
from curate_lift.expand import Expand
from curate_lift.fuse import Fuse
from curate_lift.fusion import Fusion
from curate_lift.quality import Quality
from curate_lift.score import Score
from curate_lift.variety import Variety

CURATE_API = 1


@hookimpl
def register_stages(register: Callable[[type[Stage]], None]) -> None:
    """Offer the stages."""
    for stage in (Expand, Fusion, Variety, Quality, Score, Fuse):
        register(stage)
