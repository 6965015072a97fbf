"""Changes to prose that leave what stands between backticks alone."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence

from curate_text.code import spans


def edited(
    text: str,
    *patterns: re.Pattern[str],
    new: Callable[[re.Match[str]], str | None],
    in_code: bool = False,
) -> tuple[str, int]:
    """Replace what patterns find, in the order of the text.

    Args:
        text: Prose.
        patterns: What to look for; where one has a group `it`, that alone is replaced. Where two
            find the same, the first does.
        new: What stands there then; None: it stays.
        in_code: Also between backticks.

    Returns:
        The text, and how often something was replaced.
    """
    kept = [] if in_code else spans(text)
    finds = [
        (found.span("it" if "it" in pattern.groupindex else 0), found)
        for pattern in patterns
        for found in pattern.finditer(text)
    ]
    made: list[str] = []
    at = changes = 0
    for (start, end), found in sorted(finds, key=lambda find: find[0][0]):
        put = None if start < at or _meets(kept, start, end) else new(found)
        if put is None or put == text[start:end]:
            continue
        made += text[at:start], put
        at = end
        changes += 1
    return ("".join([*made, text[at:]]), changes) if changes else (text, 0)


def outside(text: str, change: Callable[[str], str]) -> str:
    """The text with everything changed that does not stand between backticks."""
    made: list[str] = []
    at = 0
    for start, end in spans(text):
        made += change(text[at:start]), text[start:end]
        at = end
    return "".join([*made, change(text[at:])])


def _meets(kept: Sequence[tuple[int, int]], start: int, end: int) -> bool:
    """Whether a stretch touches one that is kept."""
    before = bisect_right(kept, (start, start)) - 1
    return any(
        from_ < end and start < to for from_, to in kept[max(before, 0) : before + 2 + end - start]
    )
