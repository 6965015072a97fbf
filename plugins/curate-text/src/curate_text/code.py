"""Which lines of a text are code: fenced, indented, or written like code.

Decided line by line and paragraph by paragraph with patterns that cannot backtrack far. A doubtful
paragraph is code: what reads prose leaves it alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

_WAVES = "~~~"
"""A fence at the beginning of a line only: elsewhere it is a long tone."""
_FENCES = ("```", _WAVES, '"""', "'''")
"""What opens code that reaches to where it stands again: fences, and strings of Python."""
_INDENTED = re.compile(r"(?: {4}|\t)[ \t]*\S")
_KEYWORDS = (
    "assert|async|await|break|case|catch|class|const|continue|def|default|del|elif|else|enum|"
    "except|export|extends|finally|fn|for|foreach|func|function|if|impl|import|interface|lambda|"
    "let|namespace|private|protected|public|raise|return|static|struct|switch|throw|try|var|void|"
    "while|with|yield"
)
_CODE = re.compile(
    rf"""[ \t]*(?:
        (?:{_KEYWORDS})\b[^\n]{{0,400}}[:;{{}}(\[=]\s*$         # if x > 1:
      | (?:def|class|function|func|fn)\s+\w+\s*[(<:{{]        # def f(
      | (?:import|using|package|require)\s+[\w.*{{}}"']+;?\s*$ # import os
      | (?:from\s+[\w.]+\s+import|import\s+\w[\w., ]*\s+(?:from|as))\b
      | (?:return|print|echo|yield|raise|throw)\b[ ]?[\w("'$\[]\S*\s*$
      | (?:int|float|double|char|bool|boolean|long|string|String|auto)\s+\w+\s*[=;(\[]
      | (?:SELECT|INSERT\ INTO|UPDATE|DELETE\ FROM|CREATE|DROP|ALTER|FROM|WHERE|GROUP\ BY|ORDER\ BY
          |INNER\ JOIN|LEFT\ JOIN|JOIN|VALUES|HAVING)\b
      | (?:\#include|\#define|\#!|@\w+\s*(?:\(|$)|//|/\*|\*/|<\?|<!|--\s|>>>|\$\ |\\begin|\\end)
      | [\w.\[\]"'$@]{{1,80}}\s*(?:[-+*/%|&:]?=|<-)\s*[^=\s]   # x = 1
      | [\w.$]{{1,80}}\([^\n]{{0,400}}\)\s*;?\s*$              # call(...)
      | [}}\])]                                              # closing alone
      | [^\n]{{0,400}}(?:[{{}}]|\[|=>|->|\|\||&&|\\)\s*$
      | [.\#]?[\w-]{{1,40}}\s*\{{                              # a rule of CSS
      | \|.*\|\s*$                                           # a row of a table
      | </?(?!(?:br|p|b|i|em|strong|u|span|font|center)\b(?!-)|[a-z]+-\d+>)[A-Za-z][\w:.-]*[\s/>]
    )""",
    re.VERBOSE,
)
_NAMES = rf"(?:{_KEYWORDS}|and|as|from|in|is|new|not|or)\b"
_SAID = re.compile(
    rf"[ \t]*(?:{_KEYWORDS})\b"
    rf"(?=[^\n]{{0,400}}\b(?!{_NAMES})[A-Za-z']+[ ](?!{_NAMES})[a-z']+\b(?!\())"
    r"[^\n={}\[\]<>;\"_$|&\\]*$"
)
"""What begins like a statement and is none: two words in a row that no code has so."""
_ENTITY = re.compile(r"&#?\w{2,8};")
_INLINE = re.compile(r"(?<!`)(`+)(?!`)[^\n]{1,200}?(?<!`)\1(?!`)")


def parts(text: str) -> Iterator[tuple[bool, str]]:
    """Split a text into stretches of whole lines, each with whether it is code.

    Code are fenced lines with their fences, and paragraphs (lines without a blank one between) of
    which one line is indented by four spaces or a tab, or written like code; blank lines between
    two such paragraphs belong to them. The stretches together are the text.
    """
    lines = text.split("\n")
    kinds = _kinds(lines)
    at = 0
    for code, group in groupby(kinds):
        size = sum(1 for _ in group)
        last = at + size == len(lines)
        yield code, "\n".join(lines[at : at + size]) + ("" if last else "\n")
        at += size


def spans(text: str) -> list[tuple[int, int]]:
    """Where code between backticks stands inside the lines of prose: starts and ends."""
    return [found.span() for found in _INLINE.finditer(text)] if "`" in text else []


def prose(text: str) -> str:
    """The text without its lines of code, and without what stands between backticks.

    A line beside code is prose here: instruction and code often stand without a blank one between.
    """
    lines = text.split("\n")
    told = "\n".join(
        line for code, line in zip(_kinds(lines, alone=True), lines, strict=True) if not code
    )
    return _INLINE.sub(" ", told) if "`" in told else told


def _kinds(lines: list[str], *, alone: bool = False) -> list[bool]:
    """Whether each line is code; of those that are not fenced each `alone`, or by paragraph."""
    fences = _FENCES[:2] if alone else _FENCES  # prose stands between quotes too
    kinds: list[bool | None] = [None] * len(lines)  # None: blank
    at = 0
    while at < len(lines):
        end = at + 1
        fence = _opens(lines[at], fences)
        if fence:
            while end < len(lines) and fence not in lines[end]:
                end += 1
            end = min(end + 1, len(lines))
            kinds[at:end] = [True] * (end - at)
        elif lines[at].strip():
            while not alone and end < len(lines) and lines[end].strip():
                if _opens(lines[end], fences):
                    break
                end += 1
            code = any(_is_code(line) for line in lines[at:end])
            code = code and not (alone and _SAID.match(lines[at]))
            kinds[at:end] = [code] * (end - at)
        at = end
    return _bridged(kinds)


def _opens(line: str, fences: Sequence[str]) -> str | None:
    """The fence that a line opens and does not close."""
    return next(
        (
            fence
            for fence in fences
            if line.count(fence) % 2 and (fence != _WAVES or line.lstrip().startswith(fence))
        ),
        None,
    )


def _bridged(kinds: list[bool | None]) -> list[bool]:
    """Blank lines as what stands on both sides, where both are code; as prose otherwise."""
    before, after = _carried(kinds), _carried(kinds[::-1])[::-1]
    return [one and other for one, other in zip(before, after, strict=True)]


def _carried(kinds: list[bool | None]) -> list[bool]:
    """Blank lines as the line before them that is not blank; prose where there is none."""
    found: list[bool] = []
    for kind in kinds:
        found.append(kind if kind is not None else bool(found) and found[-1])
    return found


def _is_code(line: str) -> bool:
    if _INDENTED.match(line):
        return True
    if "&" in line:
        line = _ENTITY.sub("", line)
    # a statement; prose and questions in Greek end in semicolons too
    if line.rstrip().endswith(";") and any(mark in line for mark in "=(){}[]<>"):
        return True
    return _CODE.match(line) is not None
