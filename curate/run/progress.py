"""Progress in the terminal: a bar while a stage works, a line when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)


class TerminalProgress:
    """An observer that draws on a terminal; make one only where there is a terminal."""

    def __init__(self, console: Console) -> None:
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self.task: TaskID | None = None

    def __enter__(self) -> TerminalProgress:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def run_started(self, facts: Mapping[str, Any]) -> None:
        """See `curate.run.observe.Observer`."""

    def stage_started(self, facts: Mapping[str, Any]) -> None:
        """Start a bar without an end: how much is to compute is not known yet."""
        self.task = self.progress.add_task(escape(facts["id"]), total=None)

    def stage_advanced(self, facts: Mapping[str, Any]) -> None:
        """Move the bar."""
        assert self.task is not None
        self.progress.update(self.task, completed=facts["done"], total=facts["total"])

    def stage_finished(self, facts: Mapping[str, Any]) -> None:
        """Replace the bar by a line."""
        assert self.task is not None
        self.progress.remove_task(self.task)
        self.progress.console.print(
            f"[dim]{facts['verb']:>7}[/] {escape(facts['id'])}  "
            f"{facts['in']:,} in, {facts['out']:,} out, {facts['seconds']:.1f} s",
            highlight=False,
        )

    def run_finished(self, facts: Mapping[str, Any]) -> None:
        """See `curate.run.observe.Observer`."""
