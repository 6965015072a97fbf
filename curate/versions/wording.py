"""What two texts have in common, and where they differ, word by word."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from itertools import takewhile

SAME, GONE, NEW = "=", "-", "+"

MOST = 2_000
"""Words and spaces of the differing middle of a text: to compare them takes their square."""

_BESIDE = 20
"""Characters on either side of a first difference."""

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")

Difference = tuple[str, str]


def told(messages: Sequence[Mapping[str, str]]) -> str:
    """A conversation as one text: `role: content`, an empty line between turns."""
    return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in messages)


def differences(before: str, after: str) -> list[Difference] | None:
    """How a text becomes another.

    Returns:
        Parts in order, each with what it is: `=` in both, `-` in the first alone, `+` in the
        second alone. Those of `=` and `-` make the first text, those of `=` and `+` the second.
        None where between the common beginning and end stand more than 2,000 words and spaces.
    """
    one, two = _WORDS.findall(before), _WORDS.findall(after)
    head = _common(one, two)
    tail = _common(one[head:][::-1], two[head:][::-1])
    inner = one[head : len(one) - tail], two[head : len(two) - tail]
    if max(map(len, inner)) > MOST:
        return None
    begin = "".join(one[:head])
    pairs = [(True, begin, begin)]
    for kind, a, b, c, d in SequenceMatcher(None, *inner, autojunk=False).get_opcodes():
        pairs.append((kind == "equal", "".join(inner[0][a:b]), "".join(inner[1][c:d])))
    end = "".join(one[len(one) - tail :])
    pairs.append((True, end, end))
    return [part for pair in _joined(pairs) for part in _parts(*pair) if part[1]]


def first_difference(before: str, after: str) -> list[Difference] | None:
    """The first place where a text becomes another, with at most 20 characters on either side.

    Returns:
        Parts as `differences` has them; None where the texts are the same, or not compared.
    """
    parts = differences(before, after)
    at = next((at for at, (kind, _) in enumerate(parts or ()) if kind != SAME), None)
    if parts is None or at is None:
        return None
    changed = [part for part in parts[at : at + 2] if part[0] != SAME]
    rest = parts[at + len(changed) : at + len(changed) + 1]
    left = [(SAME, text[-_BESIDE:]) for _, text in parts[:at]]
    return [*left, *changed, *((SAME, text[:_BESIDE]) for _, text in rest)]


def _joined(pairs: Sequence[tuple[bool, str, str]]) -> list[tuple[bool, str, str]]:
    """The same with nothing but space between two differences counted to them."""
    found: list[tuple[bool, str, str]] = []
    for at, (equal, a, b) in enumerate(pairs):
        between = 0 < at < len(pairs) - 1 and not pairs[at - 1][0] and not pairs[at + 1][0]
        same = equal and not (between and a.isspace())
        if found and found[-1][0] == same:
            found[-1] = (same, found[-1][1] + a, found[-1][2] + b)
        else:
            found.append((same, a, b))
    return found


def _parts(same: bool, before: str, after: str) -> list[Difference]:
    return [(SAME, before)] if same else [(GONE, before), (NEW, after)]


def _common(one: Sequence[str], two: Sequence[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, two, strict=False)))
