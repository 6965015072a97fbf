"""Texts as one array of code points, and what each of these is. Imported where texts are measured.

Nothing here runs once a row or once a character: what a character is, is asked once a process.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.intp]
Counts = NDArray[np.int64]
Marks = NDArray[np.bool_]

PIECE = 1 << 17
"""Characters looked at together, unless one text alone has more: bounds memory, fits in caches."""

TOGETHER = 4096
"""Texts looked at together at most: see `hashing`."""

ALONE = 65_536
"""A text of more characters is looked at by itself: see `hashing`."""

BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""What ends a line: as `str.splitlines` has it; a carriage return and line feed are one break."""

JOINERS = "'\u2019-"
"""Apostrophes and hyphen: part of a word where they stand inside it."""

_SINGLE = (
    (0x3005, 0x3007),  # iteration mark, closing mark, zero
    (0x3041, 0x309F),  # Hiragana
    (0x30A0, 0x30FF),  # Katakana
    (0x31F0, 0x31FF),  # Katakana, small
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),  # Katakana, half width
    (0x20000, 0x3FFFF),  # Han, further planes
)


def is_single(character: str) -> bool:
    """Whether a character is a word by itself: Han and kana, written without spaces."""
    code = ord(character)
    return character.isalnum() and any(low <= code <= high for low, high in _SINGLE)


def is_mark(character: str) -> bool:
    """Whether a character belongs to the one before it: Unicode's categories M."""
    return unicodedata.category(character).startswith("M")


def is_special(character: str) -> bool:
    """Neither letter, digit, mark nor white space: punctuation, symbols, emoji, controls."""
    return not (character.isalnum() or character.isspace() or is_mark(character))


_POINTS = 0x110000

KINDS: Mapping[str, Callable[[str], bool]] = {
    "alnum": str.isalnum,
    "alpha": str.isalpha,
    "upper": lambda character: character.isalpha() and character.isupper(),
    "special": is_special,
    "mark": is_mark,
    "single": is_single,
    "joiner": JOINERS.__contains__,
    "break": BREAKS.__contains__,
}
"""What a character may be, several at once."""


def _bits(character: str) -> int:
    return sum(1 << at for at, holds in enumerate(KINDS.values()) if holds(character))


def lowered(character: str) -> str:
    """A character in lower case, itself where that would be several; one kind of apostrophe."""
    small = "'" if character == "\u2019" else character.lower()
    return small if len(small) == 1 else character


def pieces(lengths: Counts) -> Iterator[slice]:
    """Runs of at most `TOGETHER` texts and `PIECE` characters; those over `ALONE` by themselves."""
    start = held = last = 0
    for at, length in enumerate(lengths.tolist()):
        full = held + length > PIECE or at - start == TOGETHER
        if at > start and (full or max(last, length) > ALONE):
            yield slice(start, at)
            start, held = at, 0
        held, last = held + length, length
    if start < len(lengths):
        yield slice(start, len(lengths))


class Table:
    """What is asked of a character, by its code point, found when one first occurs.

    Threads may share it: they would write the same.

    Args:
        ask: Gives the values of some code points.
        kind: The type of the values.
    """

    def __init__(self, ask: Callable[[Sequence[str]], Any], kind: type[np.generic]) -> None:
        self._ask = ask
        self._values = np.zeros(_POINTS, kind)
        self._known = np.zeros(_POINTS, np.bool_)

    def of(self, codes: Codes) -> NDArray[Any]:
        """The value of each code point."""
        if not self._known[codes].all():
            new = np.unique(codes[~self._known[codes]])
            self._values[new] = self._ask([chr(code) for code in new.tolist()])
            self._known[new] = True
        found: NDArray[Any] = self._values[codes]
        return found


_KINDS_OF = Table(lambda characters: [_bits(character) for character in characters], np.uint8)


@dataclass(frozen=True)
class Texts:
    """Texts one after another, each followed by one line feed of ours.

    Args:
        codes: Their code points, of the type that indexes fastest.
        starts: Where each text begins.
        lengths: Its characters, without the line feed.
    """

    codes: Codes
    starts: Counts
    lengths: Counts

    @classmethod
    def of(cls, texts: Sequence[str], lengths: Counts) -> Texts:
        """Lay texts side by side; `lengths` are their characters."""
        joined = "".join(f"{text}\n" for text in texts)
        codes = np.frombuffer(joined.encode("utf-32-le"), np.uint32).astype(np.intp)
        return cls(codes, np.cumsum(lengths + 1) - lengths - 1, lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def _kinds(self) -> NDArray[np.uint8]:
        """For each code point the bits of its kinds."""
        found: NDArray[np.uint8] = _KINDS_OF.of(self.codes)
        return found

    def which(self, kind: str) -> Marks:
        """For each code point whether it is of a kind."""
        found: Marks = (self._kinds & np.uint8(1 << list(KINDS).index(kind))) != 0
        return found

    def count(self, marked: Marks) -> Counts:
        """How many of its own code points are marked in each text."""
        own = marked.copy()
        own[self.starts + self.lengths] = False
        return sums(own, self.starts)


def sums(values: NDArray[Any], starts: Counts) -> Counts:
    """Sums of runs that begin at `starts`, each of at least one value; together they are all."""
    found: Counts = np.add.reduceat(values, starts, dtype=np.int64)
    return found
