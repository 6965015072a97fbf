"""Rows that could not be computed: stop the run, or let up to so many leave."""

from __future__ import annotations

from curate.errors import CurateError


class RowError(CurateError):
    """A row could not be computed, and the recipe sets none (or no more) aside."""


class Failures:
    """Counts failed rows of one stage and stops the run at the first too many."""

    def __init__(self, stage: str, allowed: int) -> None:
        self.stage = stage
        self.allowed = allowed
        self.count = 0

    def add(self, place: str, error: str, rows: int = 1) -> None:
        """Count a failure of `rows` rows.

        Args:
            place: The (first) row, for the message.
            error: What went wrong, for the message.
            rows: How many rows hold the content that failed.

        Raises:
            RowError: More rows failed than are allowed.
        """
        self.count += rows
        if self.count > self.allowed:
            so_far = f" {self.count} rows failed, {self.allowed} may." if self.allowed else ""
            raise RowError(
                f"Stage '{self.stage}' failed on {place}: {error.rstrip('.')}.{so_far}",
                "Mend the row, or let rows like it leave with fate 'failed': "
                "`on_failure: {set_aside: N}` (a count or a share such as 2%) beside the stage.",
            )


def describe(error: BaseException) -> str:
    """An exception in one line: its type and its message."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
