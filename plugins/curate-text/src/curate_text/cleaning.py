"""The rules of `text.clean`, and how they are applied: to prose, until nothing changes any more."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from curate_text import markup
from curate_text.code import parts
from curate_text.editing import edited, outside
from curate_text.redaction import REDACTIONS, redacted

Rule = Callable[[str], tuple[str, int]]
"""From a stretch of prose to what it becomes, and how much was changed."""

_ROUNDS = 32


def clean(
    texts: Sequence[str], rules: Sequence[str], *, in_code: bool = False
) -> tuple[list[str], Counter[str]]:
    """Clean the turns of one conversation.

    Args:
        texts: Their contents; whether they speak of markup is asked of all together.
        rules: Names from `RULES`, in that order.
        in_code: Redact in code too.

    Returns:
        The new contents, and the changes by rule.

    Raises:
        ValueError: After 32 rounds there is still something to change, which takes text that was
            made for it.
    """
    now, changes = list(texts), Counter[str]()
    for _ in range(_ROUNDS):
        told = [list(parts(text)) for text in now]
        skipped = {"html"} if "html" in rules and _about_markup(now, told) else set()
        applied = [rule for rule in rules if rule not in skipped]
        new = [_round(stretches, applied, changes, in_code=in_code) for stretches in told]
        if new == now:
            return now, changes
        now = new
    raise ValueError("cleaning does not come to rest: each round finds something to change")


def _about_markup(texts: Sequence[str], told: Sequence[Sequence[tuple[bool, str]]]) -> bool:
    some = any(markup.HINT.search(text) for text in texts)
    return some and (
        any(code for stretches in told for code, _ in stretches) or any(map(markup.is_topic, texts))
    )


def _round(
    stretches: Sequence[tuple[bool, str]],
    rules: Sequence[str],
    changes: Counter[str],
    *,
    in_code: bool,
) -> str:
    """Every rule once over every stretch that it may touch."""
    made = []
    for at, (code, stretch) in enumerate(stretches):
        text = stretch
        for rule in rules:
            if rule in REDACTIONS:
                if not code or in_code:
                    text = _note(redacted(text, rule, in_code=in_code), rule, changes)
            elif not code:
                text = _note(RULES[rule](text), rule, changes)
        if not code and "whitespace" in rules:
            ends = _ends(text, first=at == 0, last=at == len(stretches) - 1)
            text = _note(ends, "whitespace", changes)
        made.append(text)
    return "".join(made)


def _note(found: tuple[str, int], rule: str, changes: Counter[str]) -> str:
    text, times = found
    if times:
        changes[rule] += times
    return text


# Encoding.

_NOT_PLAIN = re.compile(r"[^\t\n\r\x20-\x7e]")
_LONE_CONTROL = re.compile(r"(?<![^\x00-\x7f])[\x80-\x9f](?![^\x00-\x7f])")
_CONTROLS = re.compile(r"[\x80-\x9f][^\x00-\x7f]|[^\x00-\x7f][\x80-\x9f]")
_LOST = "\ufffd"
"""Where a byte is lost, what stands beside it can only be guessed."""


@cache
def _config() -> Any:
    """What ftfy may do: mend what was decoded wrongly, and nothing that is a matter of taste.

    HTML and line breaks are rules of their own; widths, quotes, ligatures and forms of Unicode are
    as they were written. Controls that Windows-1252 has characters for are read so below, and only
    where they stand alone: in a row they are what is left of something else.
    """
    from ftfy import TextFixerConfig

    return TextFixerConfig(
        unescape_html=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        fix_c1_controls=False,
        normalization=None,
        explain=False,
    )


def encoding(text: str) -> tuple[str, int]:
    """Text that was decoded wrongly, control characters and escapes of terminals; in lines."""
    if not _NOT_PLAIN.search(text):
        return text, 0
    from ftfy import fix_text

    def mend(part: str) -> str:
        if _LOST in part or not _NOT_PLAIN.search(part):
            return part
        mended = fix_text(part, _config())
        if _CONTROLS.search(part) and _foreign(mended) == _foreign(part):
            mended = part  # read as Windows-1252, no more: what was several bytes would be one
        return _LONE_CONTROL.sub(_windows, mended)

    lines = text.split("\n")
    mended = [outside(line, mend) if _NOT_PLAIN.search(line) else line for line in lines]
    return "\n".join(mended), sum(a != b for a, b in zip(lines, mended, strict=True))


def _foreign(text: str) -> int:
    """Characters that are not ASCII."""
    return sum(character > "\x7f" for character in text)


def _windows(found: re.Match[str]) -> str:
    """The character of Windows-1252, where it has one."""
    return found[0].encode("latin-1").decode("cp1252", "ignore") or found[0]


# White space.

_SEA = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
"""Thai, Lao, Burmese and Khmer, which part words by spaces without width."""

_SPACES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\r\n?"), "\n"),
    (re.compile("[\u00a0\u2007\u202f]"), " "),
    (re.compile(f"[\u2060\ufeff\u00ad]|(?<![{_SEA}])\u200b(?![{_SEA}])"), ""),
    # two spaces before a line that goes on are a line break of Markdown
    (re.compile(r"(?<![ \t])(?!  \n[^\n])[ \t]+(?=\n)"), ""),
    (re.compile(r"\n{4,}"), "\n\n\n"),
)
_SOME_SPACE = re.compile("[\r\u00a0\u2007\u202f\u2060\ufeff\u00ad\u200b]|[ \t]\n|\n{4}")
_LEADING = re.compile(r"\A(?:[ \t]*\n)+")
_TRAILING = re.compile(r"(?<!\s)\s+\Z|\A\s+\Z")


def whitespace(text: str) -> tuple[str, int]:
    """Line ends, spaces that do not break or have no width, trailing spaces, many blank lines."""
    if not _SOME_SPACE.search(text):
        return text, 0
    changes = 0
    for pattern, new in _SPACES:
        text, times = edited(text, pattern, _by(new))
        changes += times
    return text, changes


def _ends(text: str, *, first: bool, last: bool) -> tuple[str, int]:
    """Blank lines before a text, and white space after it."""
    changes = 0
    if first:
        text, times = _LEADING.subn("", text)
        changes += times
    if last and text[-1:].isspace():
        text, times = _TRAILING.subn("", text)
        changes += times
    return text, changes


def _by(new: str) -> Callable[[re.Match[str]], str]:
    return lambda _: new


# Punctuation.

_DASHES = "\u2014\u2015"
_PLAIN: Mapping[str, str] = {
    # fullwidth forms lie 0xFEE0 above ASCII; letters and digits stay as they are written
    **{chr(at + 0xFEE0): chr(at) for at in range(0x21, 0x7F) if not chr(at).isalnum()},
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u00b4", "'"),
    **dict.fromkeys(
        "\u201c\u201d\u201e\u201f\u00ab\u00bb\u300a\u300b\u300c\u300d\u300e\u300f", '"'
    ),
    **dict.fromkeys("\u2010\u2011\u2012\u2013" + _DASHES, "-"),
    "\u3001": ",",
    "\u3002": ".",
    "\u3008": "<",
    "\u3009": ">",
    "\u3010": "[",
    "\u3011": "]",
    "\u2026": "...",
}
_FANCY = re.compile(
    rf"(?P<between>(?<=\S) ?[{_DASHES}]++ ?(?=\S))|[{''.join(map(re.escape, _PLAIN))}]"
)


def punctuation(text: str) -> tuple[str, int]:
    """Quotes, dashes, dots and fullwidth marks as ASCII has them; long dashes between spaces."""
    return edited(text, _FANCY, lambda found: " - " if found["between"] else _PLAIN[found[0]])


def _redacting(rule: str) -> Rule:
    return lambda text: redacted(text, rule, in_code=False)


RULES: Mapping[str, Rule] = {
    "encoding": encoding,
    "whitespace": whitespace,
    "html": markup.mended,
    "punctuation": punctuation,
    **{rule: _redacting(rule) for rule in REDACTIONS},
}
"""The rules by name, in the order in which they work."""
