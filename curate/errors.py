"""One kind of handled error: a clear message, the place it is about, and the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches


class CurateError(Exception):
    """A handled error: shown as one message without a traceback.

    Anything else that escapes is a bug and shows its traceback.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  {self.remedy}" if self.remedy else self.message


class UsageError(CurateError):
    """The command line is wrong (exit code 2)."""

    exit_code = 2


class PolicyError(CurateError):
    """A policy that the recipe states cannot be met (exit code 3)."""

    exit_code = 3


class PluginError(CurateError):
    """A plugin cannot be found or loaded, or broke the contract that it signed."""


@dataclass(frozen=True)
class Place:
    """Where in a file: 1-based line and column, and the line itself or a part of it.

    `caret` is the number of cells before the place in `snippet`; None: all columns before it.
    """

    file: str
    line: int
    column: int
    snippet: str = ""
    caret: int | None = None


@dataclass(frozen=True)
class Problem:
    """One mistake in a recipe."""

    message: str
    place: Place | None = None
    remedy: str = ""

    def __str__(self) -> str:
        lines = []
        if self.place is None:
            lines.append(self.message)
        else:
            at = f"{self.place.file}:{self.place.line}:{self.place.column}"
            lines.append(f"{at}: {self.message}")
            if self.place.snippet:
                lines.append(f"    {self.place.snippet}")
                before = self.place.column - 1 if self.place.caret is None else self.place.caret
                lines.append("    " + " " * before + "^")
        if self.remedy:
            lines.append(f"  {self.remedy}")
        return "\n".join(lines)


class RecipeError(CurateError):
    """Everything that is wrong with a recipe, all at once (exit code 2)."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=_order))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def _order(problem: Problem) -> tuple[str, int, int]:
    place = problem.place
    return (place.file, place.line, place.column) if place else ("", 0, 0)


def nearest(name: str, known: Sequence[str]) -> str:
    """Return a remedy that names the valid name nearest to `name`, or all of a short list."""
    close = (
        get_close_matches(name, known, n=1, cutoff=0.75)
        or get_close_matches(name, [k for k in known if k[:1] == name[:1]], n=1, cutoff=0.6)
        or [each for each in known if each in name.split("_")]
    )
    if close:
        return f"Did you mean '{close[0]}'?"
    if known and len(known) <= 12:
        return f"Known: {', '.join(sorted(known))}."
    return ""
