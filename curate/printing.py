"""What a person is shown: text from data, which may hold anything, made safe; numbers in words."""

from __future__ import annotations

import re

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"
    "\ud800-\udfff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""What hides, or hides or turns the text around it, or cannot be written; not newline and tab."""

_PLAIN = 1e15
"""Numbers from here on are written with an exponent."""

_LINES = re.compile("\r\n?")
_SPACE = re.compile(r"\s+")
_MARKS = re.compile(r"([\\`*\[\]<>|~$&#!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
_TICKS = re.compile(r"`+")


def counted(rows: int, word: str = "row") -> str:
    """A number of rows, or of something else, in words: `1 row`, `2,560 rows`."""
    return f"{rows:,} {word}" if abs(rows) == 1 else f"{rows:,} {word}s"


def figure(value: float, beside: float | None = None) -> str:
    """A number to read: in four digits, those before the point all shown: `0.1234`, `27,310`.

    Args:
        value: The number.
        beside: One that it stands beside: in so many digits that they read differently if they are.
    """
    shown = f"{value:,.0f}" if 1_000 <= abs(value) < _PLAIN else f"{value:.4g}"
    if beside is None or value == beside or shown != figure(beside):
        return shown
    digits = next(n for n in range(5, 18) if f"{value:.{n}g}" != f"{beside:.{n}g}")
    return f"{value:.{digits}g}"


def printable(text: str) -> str:
    """Text without hidden characters: no escape codes, no turned direction, nothing of no width."""
    return _HIDDEN.sub("", text)


def marked(text: str) -> str:
    """Text with line ends as newlines and each hidden character as a visible mark.

    Controls become their pictures (`␀` for NUL, `␛` for escape); marks of direction, zero-width
    characters and tags, which turn or hide the text around them, become `⟨U+202E⟩`.
    """
    return _HIDDEN.sub(_mark, _LINES.sub("\n", text))


def marked_line(text: str) -> str:
    """The same on one line, runs of whitespace as one space."""
    return _SPACE.sub(" ", marked(text)).strip()


def _mark(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"⟨U+{code:04X}⟩"


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
