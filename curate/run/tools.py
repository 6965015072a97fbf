"""What the runner hands from stage to stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curate.engines.base import Engine
from curate.memo.store import Memo
from curate.plugins.registry import Registry
from curate.run.observe import Observer


@dataclass(frozen=True)
class Tools:
    """The means of a run.

    Attributes:
        observers: Told of everything that happens.
        preview: Whether only the first rows of each source are there.
    """

    registry: Registry
    memo: Memo
    engine: Engine
    seed: int
    observers: Sequence[Observer] = ()
    preview: bool = False

    def tell(self, event: str, facts: Mapping[str, Any]) -> None:
        """Tell all observers of an event, by the name of their method."""
        for observer in self.observers:
            getattr(observer, event)(facts)
