"""The rules of `text.clean`, and how they are applied: to prose, until nothing changes any more."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

from curate_text import markup
from curate_text.code import parts
from curate_text.editing import edited, outside
from curate_text.redaction import REDACTIONS, Redactor

Mend = Callable[[str], tuple[str, int]]
"""From a stretch of prose to what it becomes, and how much was changed."""

Told = Sequence[Sequence[tuple[bool, str]]]
"""The stretches of each text, and whether they are code."""

_ROUNDS = 32


class Cleaned(NamedTuple):
    """What cleaning made of a conversation.

    Attributes:
        texts: The new contents of its turns.
        changes: By rule.
        left: What rules that redact left in code, by rule.
        removed: What they put marks in the place of, by rule, as it was written.
    """

    texts: list[str]
    changes: Counter[str]
    left: Counter[str]
    removed: Mapping[str, Sequence[str]]


def clean(
    texts: Sequence[str],
    rules: Sequence[str],
    *,
    in_code: bool = False,
    regions: Sequence[str] = (),
    ends: Sequence[tuple[bool, bool]] | None = None,
) -> Cleaned:
    """Clean the turns of one conversation.

    Args:
        texts: Their contents; whether they speak of markup is asked of all together.
        rules: Names of `MENDS` and `REDACTIONS`, in the order in which they work.
        in_code: Redact in code too.
        regions: Where phone numbers without a country code are from.
        ends: Of each text whether white space goes before it, and after it; by default all does.

    Raises:
        ValueError: After 32 rounds there is still something to change, which takes text that was
            made for it.
    """
    now, changes = list(texts), Counter[str]()
    redactor: Redactor | None = None
    for _ in range(_ROUNDS):
        told = [list(parts(text)) for text in now]
        mends = _mends(now, told, rules)
        new = [
            _round(stretches, rules, mends, redactor, changes, in_code, *cut)
            for stretches, cut in zip(told, ends or [(True, True)] * len(now), strict=True)
        ]
        if new == now:
            if redactor is None and not REDACTIONS.keys().isdisjoint(rules):
                redactor = Redactor(now, regions)  # which marks are there is known only now
                continue
            if redactor is None:
                return Cleaned(now, +changes, Counter(), {})
            removed = {rule: sorted(values) for rule, values in redactor.removed.items()}
            left = Counter[str]() if in_code else _left(now, told, rules, redactor)
            return Cleaned(now, +changes, left, removed)
        now = new
    raise ValueError("cleaning does not come to rest: each round finds something to change")


def _mends(texts: Sequence[str], told: Told, rules: Sequence[str]) -> dict[str, Mend]:
    """The rules that mend which this conversation may be mended by."""
    mends = {rule: MENDS[rule] for rule in rules if rule in MENDS}
    if "encoding" in mends and any(map(_ENCODINGS.search, texts)):
        mends["encoding"] = partial(encoding, decode=False)
    if any(markup.HINT.search(text) for text in texts):
        code = any(code for stretches in told for code, _ in stretches)
        for rule, is_topic in (("html", markup.is_topic), ("tags", markup.is_style_topic)):
            if rule in mends and (code or any(map(is_topic, texts))):
                del mends[rule]
    return mends


def _round(
    stretches: Sequence[tuple[bool, str]],
    rules: Sequence[str],
    mends: Mapping[str, Mend],
    redactor: Redactor | None,
    changes: Counter[str],
    in_code: bool,
    start: bool,
    end: bool,
) -> str:
    """Every rule once over every stretch that it may touch; without a redactor those that mend."""
    made = []
    for at, (code, stretch) in enumerate(stretches):
        text = stretch
        for rule in rules:
            if redactor and rule in REDACTIONS and (in_code or not code):
                text, times = redactor.redacted(text, rule, in_code=in_code)
            elif rule in mends and not code:
                text, times = mends[rule](text)
            else:
                continue
            if rule == "whitespace":
                text, ends = _ends(
                    text, first=start and at == 0, last=end and at == len(stretches) - 1
                )
                times += ends
            changes[rule] += times
        made.append(text)
    return "".join(made)


def _left(
    texts: Sequence[str], told: Told, rules: Sequence[str], redactor: Redactor
) -> Counter[str]:
    """What is still to be found where everything is: what stands in code."""
    left = Counter[str]()
    for text, stretches in zip(texts, told, strict=True):
        if "`" in text or any(code for code, _ in stretches):
            for rule in rules:
                if rule in REDACTIONS:
                    left[rule] += redactor.redacted(text, rule, in_code=True)[1]
    return +left


# Encoding.

_NOT_PLAIN = re.compile(r"[^\t\n\r\x20-\x7e]")
_LONE_CONTROL = re.compile(r"(?<![^\x00-\x7f])[\x80-\x9f](?![^\x00-\x7f])")
_CONTROLS = re.compile(r"[\x80-\x9f][^\x00-\x7f]|[^\x00-\x7f][\x80-\x9f]")
_LINES = re.compile("[\v\x1c-\x1f]|(?<=[A-Za-z])\x85(?=[A-Za-z])")
"""What ends a line, or parts fields: without it words would be joined."""
_ENCODINGS = re.compile(r"mojibake|decod|encod|utf-?8|latin-1|乱码|编码", re.IGNORECASE)
_LONE_LETTER = re.compile(r"(?<!\w)Ã(?!\w)")
"""The letter, or what is left of an `à`: nobody can say."""
_LOST = "\ufffd"
"""Where a byte is lost, what stands beside it can only be guessed."""


@cache
def _config(decode: bool) -> Any:
    """What ftfy may do: mend what was decoded wrongly, and nothing that is a matter of taste.

    HTML and line breaks are rules of their own; widths, quotes, ligatures and forms of Unicode are
    as they were written. Controls that Windows-1252 has characters for are read so below, and only
    where they stand alone: in a row they are what is left of something else.
    """
    from ftfy import TextFixerConfig

    return TextFixerConfig(
        unescape_html=False,
        fix_encoding=decode,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        fix_c1_controls=False,
        normalization=None,
        explain=False,
    )


def encoding(text: str, *, decode: bool = True) -> tuple[str, int]:
    """Text that was decoded wrongly, control characters and escapes of terminals; in lines.

    Args:
        text: Prose.
        decode: Whether what looks decoded wrongly is read anew.
    """
    if not _NOT_PLAIN.search(text):
        return text, 0
    from ftfy import fix_text

    def mend(part: str) -> str:
        if _LOST in part or not _NOT_PLAIN.search(part):
            return part
        alone = not decode or not _NOT_PLAIN.search(_LONE_LETTER.sub("", part))
        mended = fix_text(part, _config(not alone))
        if _CONTROLS.search(part) and _foreign(mended) == _foreign(part):
            mended = part  # read as Windows-1252, no more: what was several bytes would be one
        return _LONE_CONTROL.sub(_windows, mended) if decode else mended

    text, changes = edited(text, _LINES, new=lambda _: "\n")
    lines = text.split("\n")
    mended = [outside(line, mend) if _NOT_PLAIN.search(line) else line for line in lines]
    return "\n".join(mended), changes + sum(a != b for a, b in zip(lines, mended, strict=True))


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
    (re.compile(f"[\u2060\u00ad]|(?<![{_SEA}])\u200b(?![{_SEA}])"), ""),
    # two spaces before a line that goes on are a line break of Markdown
    (re.compile(r"(?<![ \t])(?!  \n[^\n])[ \t]+(?=\n)"), ""),
    (re.compile(r"\n{4,}"), "\n\n\n"),
)
_SOME_SPACE = re.compile("[\r\u00a0\u2007\u202f\u2060\u00ad\u200b]|[ \t]\n|\n{4}")
_LEADING = re.compile(r"\A(?:[ \t]*\n)+")
_TRAILING = re.compile(r"(?<!\s)\s+\Z|\A\s+\Z")


def whitespace(text: str) -> tuple[str, int]:
    """Line ends, spaces that do not break or have no width, trailing spaces, many blank lines."""
    if not _SOME_SPACE.search(text):
        return text, 0
    changes = 0
    for pattern, new in _SPACES:
        text, times = edited(text, pattern, new=_by(new))
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
    rf"(?P<between>(?<=[^\s{_DASHES}]) ?[{_DASHES}]++ ?(?=\S))|[{''.join(map(re.escape, _PLAIN))}]"
)


def punctuation(text: str) -> tuple[str, int]:
    """Quotes, dashes, dots and fullwidth marks as ASCII has them; long dashes between spaces."""
    return edited(text, _FANCY, new=lambda found: " - " if found["between"] else _PLAIN[found[0]])


MENDS: Mapping[str, Mend] = {
    "encoding": encoding,
    "whitespace": whitespace,
    "html": markup.mended,
    "tags": markup.untagged,
    "punctuation": punctuation,
}
"""The rules that mend, by name; those that redact are `REDACTIONS`."""
