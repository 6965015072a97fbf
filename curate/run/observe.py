"""What a run tells those who watch it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Observer(Protocol):
    """Told when a run and its stages start and finish. Facts are JSON values.

    An exception raised by an observer ends the run: one that is asked for must work.
    """

    def run_started(self, facts: Mapping[str, Any]) -> None:
        """A run starts: `name`, `seed`, `stages` (their ids)."""

    def stage_started(self, facts: Mapping[str, Any]) -> None:
        """A stage starts: `id`, `verb`, `stage`, `rows`."""

    def stage_advanced(self, facts: Mapping[str, Any]) -> None:
        """A stage has computed more: `id`, `done` and `total` (contents, not rows)."""

    def stage_finished(self, facts: Mapping[str, Any]) -> None:
        """A stage has finished: its entry of the manifest."""

    def run_finished(self, facts: Mapping[str, Any]) -> None:
        """A run has finished: `version`, `path`, `digest`, `new`."""
