"""Text from data, made safe to show: it may hold anything."""

from __future__ import annotations

import re

_UNSHOWN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)
_SPACE = re.compile(r"\s+")
_MARKS = re.compile(r"([\\`*\[\]<>|~$&#!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
_TICKS = re.compile(r"`+")


def printable(text: str) -> str:
    """Text without control characters but newline and tab: no escape codes, no turned direction."""
    return _UNSHOWN.sub("", text)


def visible(text: str) -> str:
    """Text in which each control character but newline and tab is named: `<U+202E>`."""
    return _UNSHOWN.sub(lambda found: f"<U+{ord(found[0]):04X}>", text)


def one_line(text: str) -> str:
    """Printable text on one line, runs of whitespace as one space."""
    return _SPACE.sub(" ", printable(text)).strip()


def markdown(text: str) -> str:
    """One line of text that Markdown shows as it is, in a table too."""
    return _MARKS.sub(r"\\\1", one_line(text))


def fenced(text: str, language: str) -> str:
    """A Markdown code block that its own content cannot end."""
    longest = max((len(ticks) for ticks in _TICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
