"""The shape of plain text: one text a row, of which nobody says what was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from curate.hookspecs import hookimpl
from curate.sources.formats.base import Format, text_of

if TYPE_CHECKING:
    import polars as pl

CURATE_API = 1


class Text(Format):
    """A text alone: a turn of the assistant with nothing before it.

    `format: auto` leaves it alone: other shapes often have a column `text` too.
    """

    name = "text"
    required = ("text",)
    automatic = False
    asks = False

    def read(self, row: Mapping[str, Any]) -> list[dict[str, str]]:
        """The text as what the assistant says, so that all of it is learned."""
        return [{"role": "assistant", "content": text_of(row, "text")}]

    def read_texts(self, texts: Mapping[str, pl.Series]) -> Sequence[tuple[str, pl.Series]] | None:
        """The text, where every row has one."""
        text = texts.get("text")
        return None if text is None or text.null_count() else [("assistant", text)]

    def write(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None = None
    ) -> dict[str, Any] | None:
        """The text of a single turn of the assistant; nothing else is one text."""
        if tools or [turn["role"] for turn in messages] != ["assistant"]:
            return None
        return {"text": messages[0]["content"]}


@hookimpl
def register_formats(register: Callable[[Format], None]) -> None:
    """Offer the format."""
    register(Text())
