"""The shape of TRL's preference pairs: an answer that was chosen and one that was rejected.

Each is a text, or a list of turns. The prompt stands in a field of its own (explicit), or is what
both begin with (implicit).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
        explicit: Whether the prompt has a field of its own.
        plain: Whether the fields are texts.
    """

    prompt: list[dict[str, Any]]
    chosen: list[dict[str, Any]]
    rejected: list[dict[str, Any]]
    explicit: bool
    plain: bool

    def fields(self) -> dict[str, Any]:
        """The row in the form that it has."""
        answers = {"chosen": self.chosen, "rejected": self.rejected}
        if self.plain:
            prompt, start = said(self.prompt), "" if self.explicit else said(self.prompt)
            texts: dict[str, Any] = {name: start + said(turns) for name, turns in answers.items()}
            return {"prompt": prompt, **texts} if self.explicit else texts
        if self.explicit:
            return {"prompt": self.prompt, **answers}
        return {name: [*self.prompt, *turns] for name, turns in answers.items()}


class Preference(Format):
    """A prompt, the answer that was chosen, and the one that was rejected."""

    name = "preference"
    required = _ANSWERS
    optional = ("prompt", "tools")
    turn_keys = None
    paired = True
    shared = ("tools",)

    def read(self, row: Mapping[str, Any]) -> list[dict[str, str]]:
        """The turns of the prompt and of the chosen answer; the rejected one is looked at too."""
        pair = _pair(row, read_turns)
        return [*pair.prompt, *pair.chosen]

    def whole(self, row: Mapping[str, Any]) -> Conversation:
        """The same turns as they are, and those of the rejected answer."""
        pair = _pair(row, as_they_are)
        turns = [*pair.prompt, *pair.chosen]
        return Conversation(turns, tools_of(row), len(pair.prompt), pair.rejected, pair.plain)

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
        """In the form of the other row, with its rejected answer.

        The last turn of the assistant and what follows is the new chosen answer. Where the form
        cannot say the conversation, the fields are empty, and `messages` says it.
        """
        fields: dict[str, Any] = dict.fromkeys(self.fields) | {"tools": row.get("tools")}
        speaks = [at for at, turn in enumerate(messages) if turn["role"] == "assistant"]
        try:
            old = _pair(row, as_they_are)
        except RowError:
            return fields
        if not speaks or not speaks[-1]:
            return fields
        turns = written_turns(messages)
        prompt, chosen = turns[: speaks[-1]], turns[speaks[-1] :]
        if old.plain and not _texts_only(prompt, chosen):
            return fields
        return fields | Pair(prompt, chosen, old.rejected, old.explicit, old.plain).fields()

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
        parts = {"prompt": turns[:answered]}
        start = [] if old.explicit else turns[:answered]
        parts |= {"chosen": [*start, *turns[answered:end]], "rejected": [*start, *turns[end:]]}
        fields = dict.fromkeys(self.fields) | dict(row)
        for name, part in parts.items():
            if fields[name] is not None:
                fields[name] = said(part) if isinstance(fields[name], str) else part
        return fields

    def settle(self, rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        """Explicit prompts in all rows where one has one, and lists where one has lists."""
        rows = with_lists(rows)
        forms = {(_explicit(row), isinstance(row["chosen"], str)) for row in rows}
        if len(forms) < 2:
            return rows
        plain = all(texts for _, texts in forms)
        made = []
        for row in rows:
            pair = _pair(row, as_they_are)
            fields = Pair(pair.prompt, pair.chosen, pair.rejected, True, plain).fields()
            made.append(fields | {name: row[name] for name in row if name not in fields})
        return made


Reading = Callable[[Mapping[str, Any], str], list[dict[str, Any]]]


def _pair(row: Mapping[str, Any], read: Reading) -> Pair:
    """A row by its parts.

    Raises:
        RowError: A field is missing or of another kind than the others, or there is no prompt.
    """
    kinds = {name: type(row.get(name)) for name in _ANSWERS}
    for name in _ANSWERS:
        if row.get(name) is None:
            raise RowError(name, "is null" if name in row else "is missing")
        if not isinstance(row[name], str | list):
            raise NotTextError(name, f"is {spoken(row[name])}, not text or turns")
    plain = kinds["chosen"] is str
    if kinds["chosen"] is not kinds["rejected"]:
        raise RowError("rejected", f"is {spoken(row['rejected'])}, and `chosen` is not")
    if _explicit(row):
        prompt = turns_in(row, "prompt", "user", read)
        chosen, rejected = (turns_in(row, name, "assistant", read) for name in _ANSWERS)
        return Pair(prompt, chosen, rejected, True, plain and isinstance(row["prompt"], str))
    if plain:
        start = _common_text(*(text_of(row, name) for name in _ANSWERS))
        prompt = [{"role": "user", "content": start}]
        chosen, rejected = (
            [{"role": "assistant", "content": row[name][len(start) :]}] for name in _ANSWERS
        )
        return Pair(prompt, chosen, rejected, False, True)
    turns = {name: read(row, name) for name in _ANSWERS}
    shared = _alike(turns["chosen"], turns["rejected"])
    shared = min(shared, len(turns["chosen"]) - 1, len(turns["rejected"]) - 1)
    if not shared:
        raise RowError("rejected", _NO_PROMPT)
    chosen, rejected = (turns[name][shared:] for name in _ANSWERS)
    return Pair(turns["chosen"][:shared], chosen, rejected, False, False)


def _common_text(chosen: str, rejected: str) -> str:
    """What both begin with; a space before the place where they part belongs to the answers.

    Raises:
        RowError: They begin with nothing in common.
    """
    start = chosen[: _alike(chosen, rejected)]
    if start.endswith(" ") and len(start) < min(len(chosen), len(rejected)):
        start = start[:-1]
    if not start:
        raise RowError("rejected", _NO_PROMPT)
    return start


def _alike(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many of the first items, or characters, two have in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _explicit(row: Mapping[str, Any]) -> bool:
    return row.get("prompt") is not None


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


def _texts_only(prompt: Sequence[Mapping[str, Any]], *answers: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a prompt and answers are one text each, of the user and of the assistant."""
    return all(
        len(turns) == 1 and stated(turns[0]).keys() == {"role", "content"}
        for turns in (prompt, *answers)
    ) and [prompt[0]["role"], *(turns[0]["role"] for turns in answers)] == [
        "user",
        *["assistant"] * len(answers),
    ]


def said(turns: Sequence[Mapping[str, Any]]) -> str:
    """The text of turns."""
    return "".join(turn["content"] for turn in turns)


@hookimpl
def register_formats(register: Callable[[Format], None]) -> None:
    """Offer the format."""
    register(Preference())
