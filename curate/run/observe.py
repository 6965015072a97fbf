"""What a run tells those who watch it, and what becomes of a run whose watcher fails."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from curate.errors import CurateError, PluginError

if TYPE_CHECKING:
    from curate.plugins.registry import Registry

_OFTEN = 0.5
"""Seconds between two reports of how far a stage or a source is."""


class Observer(Protocol):
    """Told when a run, its sources and its stages start and finish. Facts are JSON values.

    Splitting the rows (`output: {splits: ...}`), which may drop some, is told like a stage that
    comes last: its id is `output`, its verb `split`.

    One that the user asked for by name may refuse the run by raising in `run_started`, before any
    work. Raising later, it is told no more; the run goes on, and says so at its end.
    """

    def run_started(self, facts: Mapping[str, Any]) -> None:
        """A run starts: `name`, `seed`, `run_key`, `stages` (their ids)."""

    def source_advanced(self, facts: Mapping[str, Any]) -> None:
        """Rows of a source were read: `name`, `rows`; before `run_started` where `check` reads."""

    def stage_started(self, facts: Mapping[str, Any]) -> None:
        """A stage starts: `id`, `verb`, `stage`, `rows`."""

    def stage_advanced(self, facts: Mapping[str, Any]) -> None:
        """A stage has computed more: `id`, `done` and `total` (contents, not rows), `services`.

        While it is in progress, another stage may need earlier ones on its references: they have
        ids of their own. `services` says what it asked a language model, as in the manifest.
        """

    def stage_finished(self, facts: Mapping[str, Any]) -> None:
        """A stage has finished: its entry of the manifest."""

    def run_finished(self, facts: Mapping[str, Any]) -> None:
        """A run has finished: `version`, `path`, `digest`, `new`, `up_to_date`.

        Where it was up to date, nothing else was told. Where a version was made again from its
        lock, nothing was published: `version` and `path` are that version's, and `same` says
        whether the digest is.
        """

    def run_failed(self, facts: Mapping[str, Any]) -> None:
        """A run has ended without a version: `error`."""


class Watch:
    """All observers of a run.

    Args:
        trusted: Core's own: what they raise is a bug.
        named: Those that the user asked for, by what was asked.

    Attributes:
        faults: What went wrong with observers that are told no more, by what was asked.
    """

    def __init__(
        self, trusted: Sequence[Observer] = (), named: Mapping[str, Observer] | None = None
    ) -> None:
        self._trusted = tuple(trusted)
        self._named = dict(named or {})
        self._told: dict[tuple[str, str], float] = {}
        self.faults: dict[str, str] = {}

    def tell(self, event: str, facts: Mapping[str, Any]) -> None:
        """Tell all of an event, by the name of their method.

        Raises:
            CurateError: A named observer refuses the run.
        """
        for observer in self._trusted:
            getattr(observer, event)(facts)
        for word, observer in list(self._named.items()):
            try:
                getattr(observer, event)(facts)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a plugin may raise anything; the run goes on
                if event != "run_started":
                    self.faults[word] = f"{type(error).__name__}: {error}"
                    self._leave(self._named.pop(word), event)
                elif isinstance(error, CurateError):
                    raise
                else:
                    raise PluginError(
                        f"The observer '{word}' cannot watch this run: "
                        f"{type(error).__name__}: {error}",
                        "Nothing was done yet. Run without it, or mend what it says.",
                    ) from error

    def _leave(self, observer: Observer, event: str) -> None:
        """Let an observer that is told no more end what it began, if it still can."""
        if event not in ("run_finished", "run_failed"):
            with suppress(Exception):  # its fault is known already
                observer.run_failed({"error": f"the observer failed at {event}"})

    def reading(self, name: str, rows: int) -> None:
        """Tell that so many rows of a source are read."""
        self.advance("source_advanced", {"name": name, "rows": rows})

    def failed(self, error: BaseException) -> None:
        """Tell that a run ends without a version."""
        interrupted = isinstance(error, KeyboardInterrupt)
        self.tell("run_failed", {"error": "interrupted" if interrupted else str(error)})

    def advance(self, event: str, facts: Mapping[str, Any], *, last: bool = False) -> None:
        """Tell of an advance, unless the same was said of half a second ago.

        Args:
            event: `stage_advanced` or `source_advanced`.
            facts: What to tell.
            last: Tell it in any case.
        """
        key = (event, str(facts.get("id", facts.get("name"))))
        now = time.monotonic()
        if last or now - self._told.get(key, float("-inf")) >= _OFTEN:
            self._told[key] = now
            self.tell(event, facts)


def named_observers(asked: Sequence[str], registry: Registry) -> dict[str, Observer]:
    """Observers by what was asked: `NAME` or `NAME=TARGET`.

    Raises:
        CurateError: There is none of this name, or it cannot watch this target.
    """
    made = {}
    for text in asked:
        word, _, target = text.partition("=")
        made[text] = registry.observer(word, target)
    return made
