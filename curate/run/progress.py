"""Progress in the terminal: a bar while a stage works, a line when it is done."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID
from rich.text import Text

_NAME = 24


class TerminalProgress:
    """An observer that draws on a terminal; make one only where there is a terminal.

    How much is to compute is known for stages that work on each row: their bar has a rate and the
    time left. What works on the whole table at once shows the time that it has taken.
    """

    def __init__(self, console: Console) -> None:
        self.progress = Progress(
            SpinnerColumn(),
            _Name(),
            BarColumn(bar_width=16),
            _Pace(),
            console=console,
            transient=True,
        )
        self.task: TaskID | None = None
        self.id: str | None = None
        self.read: str | None = None

    def __enter__(self) -> TerminalProgress:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def run_started(self, facts: Mapping[str, Any]) -> None:  # noqa: ARG002 - the protocol's
        """Files that the check read are read."""
        self._end()

    def source_advanced(self, facts: Mapping[str, Any]) -> None:
        """Count the rows; how many there are is not known."""
        if self.read != facts["name"]:
            self._end()
            self.read = facts["name"]
            self._begin(f"reading {self.read}")
        self._update(completed=facts["rows"])

    def stage_started(self, facts: Mapping[str, Any]) -> None:
        """Start a bar without an end: how much is to compute is not known yet."""
        self._end()
        self.id = facts["id"]
        self._begin(facts["id"])

    def stage_advanced(self, facts: Mapping[str, Any]) -> None:
        """Move the bar; an earlier stage that works on references of this one has its own."""
        if facts["id"] != self.id:
            self._end()
            self.id = facts["id"]
            self._begin(facts["id"])
        asked = facts.get("services", {}).get("llm")
        self._update(completed=facts["done"], total=facts["total"], asked=asked)

    def stage_finished(self, facts: Mapping[str, Any]) -> None:
        """Replace the bar by a line."""
        self._end()
        self.progress.console.print(
            f"[dim]{facts['verb']:>7}[/] {escape(facts['id'])}  "
            f"{facts['in']:,} in, {facts['out']:,} out, {facts['seconds']:.1f} s",
            highlight=False,
        )

    def run_finished(self, facts: Mapping[str, Any]) -> None:  # noqa: ARG002 - the protocol's
        """See `curate.run.observe.Observer`."""
        self._end()

    def run_failed(self, facts: Mapping[str, Any]) -> None:  # noqa: ARG002 - the protocol's
        """See `curate.run.observe.Observer`."""
        self._end()

    def _begin(self, description: str) -> None:
        self.task = self.progress.add_task(description, total=None, began=time.monotonic())

    def _update(self, **fields: Any) -> None:
        assert self.task is not None
        self.progress.update(self.task, **fields)

    def _end(self) -> None:
        self.id = self.read = None
        if self.task is not None:
            self.progress.remove_task(self.task)
            self.task = None


class _Name(ProgressColumn):
    """What is being done, cut where it is long."""

    def render(self, task: Task) -> Text:
        name = Text(task.description, style="bold", no_wrap=True)
        name.truncate(_NAME, overflow="ellipsis")
        return name


class _Pace(ProgressColumn):
    """How far, how fast, how long still, and what was spent."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        return Text(pace(task), no_wrap=True, overflow="ellipsis")


def pace(task: Task) -> str:
    """A bar's numbers in words: `64/178, 12/s, 0:09 left`; without a total the time taken."""
    done = int(task.completed)
    if not task.total:
        taken = _clock(task.elapsed or 0)
        return f"{done:,} rows, {taken}" if done else taken
    said = [f"{done:,}/{int(task.total):,}"]
    asked = task.fields.get("asked")
    if asked is None:
        if task.speed:
            said.append(f"{task.speed:,.0f}/s" if task.speed >= 10 else f"{task.speed:.1f}/s")
    elif asked["done"]:
        minutes = max(time.monotonic() - task.fields["began"], 1) / 60
        said.append(f"{(asked['sent'] + asked['journal']) / minutes:,.0f} answers/min")
    if task.time_remaining is not None:
        said.append(f"{_clock(task.time_remaining)} left")
    if asked is not None and asked["sent"]:
        tokens = asked["prompt_tokens"] + asked["completion_tokens"]
        money = f" = {float(asked['money']):,.4f}" if asked["money"] is not None else ""
        said.append(f"{tokens:,} tokens{money}")
    return ", ".join(said)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
