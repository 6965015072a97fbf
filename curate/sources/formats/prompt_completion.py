"""The shape of TRL's `prompt` and `completion`: two texts, or two lists of turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from curate.hookspecs import hookimpl
from curate.sources.formats.base import Conversation, Format, stated, text_of
from curate.sources.formats.messages import read_turns, written_turns
from curate.sources.formats.tools import tools_of, with_lists

if TYPE_CHECKING:
    import polars as pl

CURATE_API = 1

_SPEAKERS = {"prompt": "user", "completion": "assistant"}


class PromptCompletion(Format):
    """What is given and what is learned."""

    name = "prompt-completion"
    required = ("prompt", "completion")
    optional = ("tools",)
    turn_keys = None
    plain = True
    shared = ("tools",)
    synonyms: ClassVar[Mapping[str, tuple[str, ...]]] = {"completion": ("canonical_solution",)}

    def read(self, row: Mapping[str, Any]) -> list[dict[str, str]]:
        """The turns of both; a text is a turn of the user, or of the assistant."""
        read = []
        for field, speaker in _SPEAKERS.items():
            if isinstance(row.get(field), list):
                ended = field == "completion" and not row[field]
                read += [] if ended else read_turns(row, field)
            else:
                read.append({"role": speaker, "content": text_of(row, field)})
        return read

    def read_texts(self, texts: Mapping[str, pl.Series]) -> Sequence[tuple[str, pl.Series]] | None:
        """Both texts, where every row has them."""
        found = [(speaker, texts.get(field)) for field, speaker in _SPEAKERS.items()]
        if any(text is None or text.null_count() for _, text in found):
            return None
        return [(speaker, text) for speaker, text in found if text is not None]

    def whole(self, row: Mapping[str, Any]) -> Conversation:
        """The turns of both as they are."""
        turns: list[dict[str, Any]] = []
        for field, speaker in _SPEAKERS.items():
            turns += _list(row[field], speaker)
        plain = all(isinstance(row[field], str) for field in _SPEAKERS)
        return Conversation(turns, tools_of(row), plain=plain)

    def write(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None = None
    ) -> dict[str, Any] | None:
        """Two texts for one question and its answer, else two lists; the last answer is learned."""
        more = {"tools": list(tools)} if tools else {}
        plain = all(set(stated(turn)) == {"role", "content"} for turn in messages)
        if plain and [turn["role"] for turn in messages] == [*_SPEAKERS.values()]:
            return dict(zip(_SPEAKERS, (turn["content"] for turn in messages), strict=True)) | more
        lists = _lists(messages)
        return None if lists is None else lists | more

    def rewrite(
        self, row: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """In the form of the other row: a column holds texts or lists."""
        fields = super().rewrite(row, messages)
        if isinstance(row.get("prompt"), list) or isinstance(row.get("completion"), list):
            return fields | (_lists(messages) or {})
        if not isinstance(fields["prompt"], str):
            fields |= dict.fromkeys(_SPEAKERS)  # two texts cannot say it; `messages` does
        return fields

    def settle(self, rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        """Lists in all rows, where one has lists."""
        rows = with_lists(rows)
        if all(isinstance(row[field], str) for row in rows for field in _SPEAKERS):
            return rows
        return [
            row | {field: _list(row[field], speaker) for field, speaker in _SPEAKERS.items()}
            for row in rows
        ]


def _list(said: Any, speaker: str) -> list[dict[str, Any]]:
    """Turns; a text is one of the speaker."""
    return written_turns([{"role": speaker, "content": said}] if isinstance(said, str) else said)


def _lists(messages: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Turns before the last of the assistant, and from it on; None where one is empty."""
    speaks = [at for at, turn in enumerate(messages) if turn["role"] == "assistant"]
    if not speaks or not speaks[-1]:
        return None
    turns = written_turns(messages)
    return {"prompt": turns[: speaks[-1]], "completion": turns[speaks[-1] :]}


@hookimpl
def register_formats(register: Callable[[Format], None]) -> None:
    """Offer the format."""
    register(PromptCompletion())
