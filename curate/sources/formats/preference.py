"""The shape of TRL's preference pairs: an answer that was chosen and one that was rejected.

Each is a text, or a list of turns. The prompt stands in a field of its own (explicit), or is what
both begin with (implicit). As TRL does, whole conversations beside a prompt that is text are taken
for what they are: the prompt is what both begin with, and the text only says it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from curate.contract.pairs import alike, common_start
from curate.hookspecs import hookimpl
from curate.sources.formats.base import (
    Conversation,
    Format,
    NotTextError,
    RowError,
    spoken,
    stated,
    text_of,
)
from curate.sources.formats.messages import read_turns, written_turns
from curate.sources.formats.tools import tools_of, with_lists

CURATE_API = 1

_ANSWERS = ("chosen", "rejected")
_NO_PROMPT = "begins with nothing that `chosen` begins with: there is no prompt"


@dataclass(frozen=True)
class Pair:
    """A row by its parts, each as turns.

    Attributes:
        prompt: What both answers are given to; empty where an explicit prompt is.
        chosen: The better answer.
        rejected: The worse one.
        explicit: Whether the prompt stands in a field of its own alone.
        plain: Whether the fields are texts.
    """

    prompt: list[dict[str, Any]]
    chosen: list[dict[str, Any]]
    rejected: list[dict[str, Any]]
    explicit: bool
    plain: bool

    def fields(self) -> dict[str, Any]:
        """The row with an explicit prompt."""
        parts = {"prompt": self.prompt, "chosen": self.chosen, "rejected": self.rejected}
        return {name: said(turns) if self.plain else turns for name, turns in parts.items()}


class Preference(Format):
    """A prompt, the answer that was chosen, and the one that was rejected."""

    name = "preference"
    required = _ANSWERS
    optional = ("prompt", "tools")
    turn_keys = None
    paired = True
    plain = True
    shared = ("tools",)

    def read(self, row: Mapping[str, Any]) -> list[dict[str, str]]:
        """The turns of the prompt and of the chosen answer; the rejected one is looked at too."""
        pair = _pair(row, read_turns)
        return [*pair.prompt, *pair.chosen]

    def whole(self, row: Mapping[str, Any]) -> Conversation:
        """The same turns as they are, and those of the rejected answer."""
        pair = _pair(row, as_they_are)
        turns = [*pair.prompt, *pair.chosen]
        return Conversation(
            turns,
            tools_of(row),
            answered=len(pair.prompt),
            rejected=pair.rejected,
            plain=pair.plain,
            implicit=not pair.explicit,
        )

    def write(
        self,
        messages: Sequence[Mapping[str, Any]],  # noqa: ARG002 - the contract's
        tools: Sequence[Any] | None = None,  # noqa: ARG002 - the same
    ) -> dict[str, Any] | None:
        """Nothing: a conversation alone has no rejected answer."""
        return None

    def rows(self, whole: Conversation) -> list[dict[str, Any]] | None:
        """A pair with an explicit prompt, where there is a rejected answer."""
        if whole.rejected is None:
            return None
        prompt, chosen = whole.turns[: whole.answered], whole.turns[whole.answered :]
        pair = Pair(prompt, chosen, whole.rejected, True, whole.plain)
        return [pair.fields() | ({"tools": list(whole.tools)} if whole.tools else {})]

    def holds(self, row: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the prompt and the chosen answer are this conversation.

        Two texts part at another place where an answer was rewritten and begins as the rejected
        one does; the whole text counts.
        """
        pair = _pair(row, read_turns)
        if not pair.explicit and pair.plain:
            return bool(row["chosen"] == said(messages))
        return [*pair.prompt, *pair.chosen] == messages

    def rewrite(
        self, row: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """The other row with another chosen answer, where the prompt is still the same.

        An answer to another prompt was rejected for that one. So where the prompt is a new one, and
        where texts cannot say the new answer, the fields are empty, and `messages` says it.
        """
        fields: dict[str, Any] = dict.fromkeys(self.fields) | {"tools": row.get("tools")}
        try:
            old = _pair(row, as_they_are)
            prompt = _pair(row, read_turns).prompt
        except RowError:
            return fields
        turns = written_turns(messages)
        chosen = turns[len(prompt) :]
        texts = isinstance(row["chosen"], str)
        speaks = [turn["role"] for turn in chosen]
        if turns[: len(prompt)] != prompt or "assistant" not in speaks:
            return fields
        if texts and speaks != ["assistant"]:
            return fields
        whole = chosen if old.explicit else [*old.prompt, *chosen]
        return fields | {**row, "chosen": said(whole) if texts else whole}

    def rewrite_in_place(
        self,
        row: Mapping[str, Any],
        messages: Sequence[Mapping[str, Any]],
        rejected: Sequence[Mapping[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """With a new rejected answer: the same row, its turns with other contents."""
        if rejected is None:
            return self.rewrite(row, messages)
        old = _pair(row, as_they_are)
        was = [*old.prompt, *old.chosen, *old.rejected]
        now = [*messages, *rejected]
        if [turn["role"] for turn in was] != [turn["role"] for turn in now]:
            return self.rewrite(row, messages)
        turns = [
            turn if turn["content"] is None else {**turn, "content": new["content"]}
            for turn, new in zip(was, now, strict=True)
        ]
        answered, end = len(old.prompt), len(messages)
        start = [] if old.explicit else turns[:answered]
        parts = {"chosen": [*start, *turns[answered:end]], "rejected": [*start, *turns[end:]]}
        if old.explicit:
            parts["prompt"] = turns[:answered]
        fields = dict.fromkeys(self.fields) | dict(row)
        for name, part in parts.items():
            fields[name] = said(part) if isinstance(fields[name], str) else part
        if not old.explicit and row.get("prompt") is not None:
            # what a turn says, said again; what none says is no part of the conversation, and stays
            again = {turn["content"]: new["content"] for turn, new in zip(was, turns, strict=True)}
            fields["prompt"] = again.get(row["prompt"], row["prompt"])
        return fields

    def settle(self, rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        """Explicit prompts in all rows where forms differ, and lists where one has lists."""
        rows = with_lists(rows)
        pairs = [_pair(row, as_they_are) for row in rows]
        forms = {
            (type(row.get("prompt")), type(row["chosen"]), pair.explicit)
            for row, pair in zip(rows, pairs, strict=True)
        }
        if len(forms) < 2:
            return rows
        plain = all(pair.plain for pair in pairs)
        made = [replace(pair, plain=plain).fields() for pair in pairs]
        return [
            fields | {name: row[name] for name in row if name not in fields}
            for row, fields in zip(rows, made, strict=True)
        ]


Reading = Callable[[Mapping[str, Any], str], list[dict[str, Any]]]


def _pair(row: Mapping[str, Any], read: Reading) -> Pair:
    """A row by its parts.

    Raises:
        RowError: A field is missing or of another kind than the others, or there is no prompt.
    """
    for name in _ANSWERS:
        if row.get(name) is None:
            raise RowError(name, "is null" if name in row else "is missing")
        if not isinstance(row[name], str | list):
            raise NotTextError(name, f"is {spoken(row[name])}, not text or turns")
    plain = isinstance(row["chosen"], str)
    if plain is not isinstance(row["rejected"], str):
        raise RowError("rejected", f"is {spoken(row['rejected'])}, and `chosen` is not")
    given = row.get("prompt")
    if plain and given is None:
        texts = [text_of(row, name) for name in _ANSWERS]
        end = common_start(*texts)
        if not end:
            raise RowError("rejected", _NO_PROMPT)
        prompt = [{"role": "user", "content": texts[0][:end]}]
        chosen, rejected = ([{"role": "assistant", "content": text[end:]}] for text in texts)
        return Pair(prompt, chosen, rejected, False, True)
    chosen, rejected = (turns_in(row, name, "assistant", read) for name in _ANSWERS)
    shared = 0 if plain else alike(*(stated(row[name]) for name in _ANSWERS))
    shared = min(shared, len(chosen) - 1, len(rejected) - 1)
    if given is not None and not (isinstance(given, str) and shared):
        prompt = turns_in(row, "prompt", "user", read)
        return Pair(prompt, chosen, rejected, True, plain and isinstance(given, str))
    if not shared:
        raise RowError("rejected", _NO_PROMPT)
    return Pair(chosen[:shared], chosen[shared:], rejected[shared:], False, False)


def turns_in(
    row: Mapping[str, Any], field: str, speaker: str, read: Reading
) -> list[dict[str, Any]]:
    """The turns of a field; a text is one of the speaker."""
    if isinstance(row.get(field), list):
        return read(row, field)
    return [{"role": speaker, "content": text_of(row, field)}]


def as_they_are(row: Mapping[str, Any], field: str) -> list[dict[str, Any]]:
    """The turns of a field with all that they hold."""
    return written_turns(row[field])


def said(turns: Sequence[Mapping[str, Any]]) -> str:
    """The text of turns."""
    return "".join(turn["content"] for turn in turns)


@hookimpl
def register_formats(register: Callable[[Format], None]) -> None:
    """Offer the format."""
    register(Preference())
