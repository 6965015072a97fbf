"""Remains of HTML in prose: entities, line breaks, and the tags of running text.

Text that speaks of markup, or holds any other tag, is left alone: there it is meant.
"""

from __future__ import annotations

import html
import re

from curate_text.editing import edited

_STYLES = "b|i|u|em|strong|span|font|center|small|big"

HINT = re.compile(r"&#?\w{2,8};|</?[a-zA-Z]")
"""Without one of these there is nothing to mend."""

_WORDS = re.compile(
    r"\b(?:x?html?5?|xml|css|svg|sgml|markup|markdown|latex|tags?|tagged|attributes?|href|url[- ]?"
    r"encod\w*|javascript|typescript|jsx|php|json|rss|asp|jsp|dom|regex\w*|pars(?:e|er|ing)|"
    r"unescap\w*|escap(?:e|ed|es|ing)|entit(?:y|ies)|ampersand|angle brackets?|web ?pages?|"
    r"websites?|hyperlinks?|browsers?|pseudo-?code|algorithms?|snippets?|source code|"
    r"programming)\b"
    r"|标签|网页|网站|代码|实体|转义|链接"
    r"|&lt;\s?[/!?]?[a-zA-Z]|<!--|<!DOCTYPE|</?\s",
    re.IGNORECASE,
)
_STYLE_WORDS = re.compile(
    r"\b(?:bold(?:ed|ing)?|italic\w*|underlin\w*|emphasi\w*|highlight\w*|format(?:s|ted|ting)?|"
    r"paragraphs?|styles?|styled|styling|fonts?)\b|粗体|加粗|斜体|下划线|格式|段落|字体",
    re.IGNORECASE,
)


def _tags_but(names: str) -> re.Pattern[str]:
    """Tags with other names; `<email-1>` is what redaction leaves, and no tag."""
    return re.compile(
        rf"</?(?!(?:{names})\b(?!-)|[a-z]+-\d+>)[a-zA-Z][\w.:-]{{0,40}}(?:\s[^<>\n]{{0,300}})?/?>",
        re.IGNORECASE,
    )


_NO_BREAK = _tags_but("br")
_NO_STYLE = _tags_but(f"br|p|{_STYLES}")
_ENTITY = re.compile(
    r"&(?:(?:amp|AMP|#0{0,4}38|#[xX]0{0,4}26);)*"
    r"(#\d{2,6}|#[xX][0-9a-fA-F]{2,5}|[a-zA-Z][a-zA-Z0-9]{1,31});"
)
_BREAK = re.compile(r"</?br(?:\s[^<>\n]{0,200})?/?>[ \t]{0,8}\n?", re.IGNORECASE)
_STYLED = re.compile(
    rf"<({_STYLES})(?:\s[^<>\n]{{0,200}})?>(?P<text>[^<>\n]{{1,1000}})</\1>", re.IGNORECASE
)
_PARAGRAPH = re.compile(
    r"<p(?:\s[^<>\n]{0,200})?>[ \t]{0,8}\n?(?P<text>(?:[^<>]|</?br[^<>\n]{0,200}>){1,5000})</p>",
    re.IGNORECASE,
)
_NAME = re.compile(rf"<(/?)({_STYLES}|p)(?:\s[^<>\n]{{0,200}})?>", re.IGNORECASE)


def is_topic(text: str) -> bool:
    """Whether a text speaks of markup or programs, or holds tags that are not line breaks."""
    return any(pattern.search(text) for pattern in (_WORDS, _NO_BREAK))


def is_style_topic(text: str) -> bool:
    """Whether a text speaks of markup, programs or how text looks, or holds tags of other kinds."""
    said = _NAME.sub("", text)
    return any(pattern.search(said) for pattern in (_WORDS, _STYLE_WORDS, _NO_STYLE))


def mended(text: str) -> tuple[str, int]:
    """Entities as their characters, breaks as line ends."""
    if not HINT.search(text):
        return text, 0
    text, entities = edited(text, _ENTITY, new=_character)
    text, breaks = edited(text, _BREAK, new=lambda _: "\n")
    return text, entities + breaks


def untagged(text: str) -> tuple[str, int]:
    """Paragraphs and styles without their tags: of names that open as often as they close."""
    if "</" not in text:
        return text, 0
    open: dict[str, int] = {}
    for closes, name in _NAME.findall(text):
        open[name.lower()] = open.get(name.lower(), 0) + (-1 if closes else 1)

    def inside(found: re.Match[str]) -> str | None:
        return None if open[found[1].lower()] else found["text"]

    def paragraph(found: re.Match[str]) -> str | None:
        """A paragraph begins and ends a line."""
        if open["p"]:
            return None
        before, after = found.string[: found.start()][-1:], found.string[found.end() :][:1]
        start = "" if before in ("", "\n", ">") else "\n"
        return start + found["text"] + ("" if after in ("", "\n") else "\n")

    text, styles = edited(text, _STYLED, new=inside)
    text, paragraphs = edited(text, _PARAGRAPH, new=paragraph)
    return text, styles + paragraphs


def _character(found: re.Match[str]) -> str | None:
    """The character of an entity; an unknown one, and one that would be a control, stays."""
    entity = f"&{found[1]};"
    said = html.unescape(entity)
    if said == entity or ";" in said or not said or not (said.isprintable() or said.isspace()):
        return None
    return " " if said.isspace() else said
