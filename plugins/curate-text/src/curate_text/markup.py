"""Remains of HTML in prose: entities and the tags of running text.

Text that speaks of markup, or holds any other tag, is left alone: there it is meant.
"""

from __future__ import annotations

import html
import re

from curate_text.editing import edited
from curate_text.redaction import MARKS

_STYLES = "b|i|u|em|strong|span|font|center|small|big"
_NAMES = "|".join([_STYLES, "br", "p", *(mark.strip("<>") for mark in MARKS.values())])

HINT = re.compile(r"&#?\w{2,8};|</?[a-zA-Z]")
"""Without one of these there is nothing to mend."""

_TOPIC = re.compile(
    r"\b(?:x?html?5?|xml|css|svg|sgml|markup|markdown|latex|tags?|tagged|attributes?|href|url[- ]?"
    r"encod\w*|javascript|typescript|jsx|php|json|rss|asp|jsp|dom|regex\w*|pars(?:e|er|ing)|"
    r"unescap\w*|escap(?:e|ed|es|ing)|entit(?:y|ies)|ampersand|angle brackets?|web ?pages?|"
    r"websites?|hyperlinks?|browsers?|pseudo-?code|algorithms?|snippets?|source code|"
    r"programming)\b"
    r"|标签|网页|网站|代码|实体|转义|链接"
    rf"|</?(?!(?:{_NAMES})\b)[a-zA-Z][\w.-]{{0,40}}(?:\s[^<>\n]{{0,300}})?/?>"
    r"|&lt;\s?[/!?]?[a-zA-Z]|<!--|<!DOCTYPE|</?\s",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:amp;)*(#\d{2,6}|#[xX][0-9a-fA-F]{2,5}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_BREAK = re.compile(r"<br[ \t]{0,4}/?>[ \t]{0,8}\n?", re.IGNORECASE)
_PARAGRAPH = re.compile(r"<p>[ \t]{0,8}\n?|</p>", re.IGNORECASE)
_STYLED = re.compile(
    rf"<({_STYLES})(?:\s[^<>\n]{{0,200}})?>(?P<text>[^<>\n]{{1,1000}})</\1>", re.IGNORECASE
)


def is_topic(text: str) -> bool:
    """Whether a text speaks of markup or programs, or holds tags that are no remains."""
    return _TOPIC.search(text) is not None


def mended(text: str) -> tuple[str, int]:
    """Entities as their characters, breaks as line ends, paragraphs and styles without tags."""
    if not HINT.search(text):
        return text, 0
    changes = 0
    rules = [(_ENTITY, _character), (_BREAK, _line_end), (_STYLED, _inside)]
    if "</p>" in text.lower():  # alone it may be a name between brackets
        rules.append((_PARAGRAPH, _paragraph))
    for pattern, new in rules:
        text, times = edited(text, pattern, new)
        changes += times
    return text, changes


def _character(found: re.Match[str]) -> str | None:
    """The character of an entity; an unknown one, and one that would be a control, stays."""
    entity = f"&{found[1]};"
    said = html.unescape(entity)
    if said == entity or ";" in said or not (said.isprintable() or said.isspace()):
        return None
    return " " if said.isspace() else said


def _line_end(_: re.Match[str]) -> str:
    return "\n"


def _paragraph(found: re.Match[str]) -> str:
    """A paragraph begins where it stands, and ends with its line."""
    closes = found[0].startswith("</")
    return "\n" if closes and found.string[found.end() :][:1] not in ("", "\n") else ""


def _inside(found: re.Match[str]) -> str:
    return found["text"]
