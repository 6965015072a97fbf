"""The observer `events`: a log of what happens in a run, one JSON object a line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import UsageError
from curate.hookspecs import hookimpl
from curate.sources.published import check_outside

if TYPE_CHECKING:
    from curate.run.observe import Observer

CURATE_API = 1

_OFTEN = 5.0
"""Seconds between two lines of how far the same stage or source is."""


class EventLog:
    """Appends a line for each event: `time` (UTC), `event`, and the event's facts.

    A line is written by one call, so that logs of several runs may share a file.

    Args:
        target: The file.

    Raises:
        UsageError: None is named, it cannot be written, or it is something else.
    """

    def __init__(self, target: str) -> None:
        if not target:
            raise UsageError("The observer 'events' needs a file.", "Write --observe events=FILE.")
        self._path = Path(target)
        self._advanced: dict[tuple[str, str], float] = {}
        check_outside(self._path)
        try:
            with self._path.open("ab+") as log:
                log.seek(0)
                if not _is_log(log.readline()):
                    raise UsageError(
                        f"{target} is there already, and no log of events.", "Name another file."
                    )
        except OSError as error:
            raise UsageError(f"{target} cannot be written: {error.strerror}.") from error

    def run_started(self, facts: Mapping[str, Any]) -> None:
        """See `curate.run.observe.Observer`."""
        self._write("run_started", facts)

    def source_advanced(self, facts: Mapping[str, Any]) -> None:
        """See `curate.run.observe.Observer`."""
        self._now_and_then("source_advanced", facts["name"], facts)

    def stage_started(self, facts: Mapping[str, Any]) -> None:
        """See `curate.run.observe.Observer`."""
        self._write("stage_started", facts)

    def stage_advanced(self, facts: Mapping[str, Any]) -> None:
        """See `curate.run.observe.Observer`."""
        self._now_and_then("stage_advanced", facts["id"], facts)

    def stage_finished(self, facts: Mapping[str, Any]) -> None:
        """See `curate.run.observe.Observer`."""
        self._write("stage_finished", facts)

    def run_finished(self, facts: Mapping[str, Any]) -> None:
        """See `curate.run.observe.Observer`."""
        self._write("run_finished", facts)

    def run_failed(self, facts: Mapping[str, Any]) -> None:
        """See `curate.run.observe.Observer`."""
        self._write("run_failed", facts)

    def _now_and_then(self, event: str, of: str, facts: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if now - self._advanced.get((event, of), float("-inf")) >= _OFTEN:
            self._advanced[event, of] = now
            self._write(event, facts)

    def _write(self, event: str, facts: Mapping[str, Any]) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": at, "event": event, **facts}, default=str)
        with self._path.open("ab", buffering=0) as log:
            log.write(f"{line}\n".encode())


def _is_log(line: bytes) -> bool:
    """Whether a file with this first line may be appended to: a log, or nothing yet."""
    try:
        first = json.loads(line) if line else {"time": "", "event": ""}
    except ValueError:
        return False
    return isinstance(first, dict) and {"time", "event"} <= first.keys()


@hookimpl
def register_observers(register: Callable[[Callable[[str], Observer]], None]) -> None:
    """Offer the observer."""
    register(EventLog)
