"""What the recipe's exact dedup and five filters count, longhand: here and in data-juicer.

Both are written from their definitions, one text at a time, and share no code with what they are
held against.
"""

from __future__ import annotations

import math
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

RUN = 10
"""Characters of a run that may be repeated."""
_REMOVED = re.compile(rf"[^\S\x1c-\x1f]+|\d+|[{re.escape(string.punctuation)}]")
"""What data-juicer's `ignore_non_character` takes out; `regex` has no \\x1c to \\x1f in `\\s`."""
_SPACES = re.compile("[ \n\t]")
_HAN_AND_KANA = [(0x3005, 0x3007), (0x3041, 0x309F), (0x30A0, 0x30FF), (0x31F0, 0x31FF)]
_HAN_AND_KANA += [(0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0xFF66, 0xFF9F)]
_HAN_AND_KANA += [(0x20000, 0x3FFFF)]


@dataclass(frozen=True)
class Words:
    """The words of a text, and which of them are flagged.

    Args:
        count: All words.
        flagged: The flagged ones.
    """

    count: int
    flagged: tuple[str, ...]

    @property
    def share(self) -> float:
        """Flagged words, of all words."""
        return len(self.flagged) / self.count if self.count else 0.0


@dataclass(frozen=True)
class Counted:
    """What one side counts of a text.

    Args:
        key: Texts with the same key are equal.
        words: Its words.
        failed: Data-juicer's names of the filters that drop it.
    """

    key: str
    words: Words
    failed: frozenset[str]


def letters(text: str) -> str:
    """Letters and their marks, by Unicode's categories."""
    return "".join(c for c in text if c.isalpha() or unicodedata.category(c)[0] == "M")


def counted_here(text: str, entries: Sequence[Sequence[str]]) -> Counted:
    """As curate's README defines it.

    Args:
        text: Instruction, input and output.
        entries: The words of each entry of the list of flagged words.
    """
    found = words_of(text)
    inside = [False] * len(found)
    for entry in entries:
        if entry[0] in found:
            for at in range(len(found) - len(entry) + 1):
                if found[at : at + len(entry)] == [*entry]:
                    inside[at : at + len(entry)] = [True] * len(entry)
    flagged = tuple(word for word, held in zip(found, inside, strict=True) if held)
    words = Words(len(found), flagged)
    return Counted(letters(text.lower()), words, _failed(text, words))


def counted_there(text: str, flagged: Collection[str], special: Collection[str]) -> Counted:
    """As data-juicer's operators define it.

    Args:
        text: Instruction, input and output.
        flagged: The list of flagged words.
        special: What is stripped from words.
    """
    found = [_stripped(word.lower(), special) for word in _SPACES.split(text)]
    found = [word for word in found if word]
    words = Words(len(found), tuple(word for word in found if word in flagged))
    return Counted(_REMOVED.sub("", text.lower()).strip(), words, _failed(text, words))


def _failed(text: str, words: Words) -> frozenset[str]:
    """The filters that drop a text: but for words both sides count alike."""
    alnum = sum(map(str.isalnum, text)) / len(text) if text else 0.0
    longest = max(map(len, text.splitlines()), default=0)
    stays = {
        "alphanumeric_filter": alnum >= 0.1,
        "character_repetition_filter": repetition(text) <= 0.6,
        "flagged_words_filter": words.share <= 0.017,
        "maximum_line_length_filter": longest >= 20,
        "text_length_filter": len(text) >= 30,
    }
    return frozenset(name for name, yes in stays.items() if not yes)


def repetition(text: str) -> float:
    """Occurrences of the most frequent runs of characters, of all runs."""
    runs = Counter(text[at : at + RUN] for at in range(len(text) - RUN + 1))
    if not runs:
        return 0.0
    counts = sorted(runs.values(), reverse=True)
    repeated = sum(count > 1 for count in counts)
    most = sum(counts[: min(math.isqrt(len(counts)), repeated)])
    return most / sum(counts)


def words_of(text: str) -> list[str]:
    """Words as `text.stats` cuts them, in lower case."""
    found: list[str] = []
    at = 0
    while at < len(text):
        begin = at
        at += 1
        if text[begin].isalnum():
            if not _alone(text[begin]):
                at = _end(text, at)
            found.append("".join(map(_small, text[begin:at])))
    return found


def _end(text: str, at: int) -> int:
    """Where a word ends that has a letter or digit before `at`."""
    while True:
        while at < len(text) and unicodedata.category(text[at])[0] == "M":
            at += 1
        if _part(text[at : at + 1]):
            at += 1
        elif text[at : at + 1] in ("'", "\u2019", "-") and _part(text[at + 1 : at + 2]):
            at += 2
        else:
            return at


def _part(character: str) -> bool:
    return character.isalnum() and not _alone(character)


def _alone(character: str) -> bool:
    return any(low <= ord(character) <= high for low, high in _HAN_AND_KANA)


def _small(character: str) -> str:
    if character == "\u2019":
        return "'"
    return character.lower() if len(character.lower()) == 1 else character


def _stripped(word: str, special: Collection[str]) -> str:
    begin, end = 0, len(word)
    while begin < len(word) and word[begin] in special:
        begin += 1
    while end > 0 and word[end - 1] in special:
        end -= 1
    return word[begin:end]
