"""Text from data made visible: what hides, or turns other text around, is shown as a mark."""

from __future__ import annotations

import re

_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_LINES = re.compile("\r\n?")
_SPACE = re.compile(r"\s+")


def marked(text: str) -> str:
    """The text with line ends as newlines and each hidden character as a visible mark.

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
