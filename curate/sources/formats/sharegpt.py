"""The shape of ShareGPT: `conversations`, a list of turns with from and value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from curate.hookspecs import hookimpl
from curate.sources.formats.base import (
    Conversation,
    Format,
    RowError,
    optional_text_of,
    short,
    spoken,
    stated,
    turns_of,
)
from curate.sources.formats.tools import as_text, calls_of, text_of_calls, tools_of

CURATE_API = 1

CALL = "function_call"
"""Who speaks where the assistant calls a tool: the value is the JSON of the call."""

ROLES = {
    "system": "system",
    "human": "user",
    "gpt": "assistant",
    CALL: "assistant",
    "observation": "tool",
    "user": "user",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "tool": "tool",
}
"""Who speaks > role; of the words for one role the first is written."""

_SAID = ("from", "value")

_WORDS = {role: word for word, role in reversed(ROLES.items()) if word != CALL}


class ShareGPT(Format):
    """A conversation in a row, as ShareGPT wrote it and LLaMA-Factory reads it."""

    name = "sharegpt"
    required = ("conversations",)
    optional = ("system", "tools")
    turn_keys = frozenset({"role", "content", "tool_calls"})
    shared = ("tools",)
    synonyms: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def read(self, row: Mapping[str, Any]) -> list[dict[str, str]]:
        """The turns, after the field `system` where none of them is the system's."""
        turns = enumerate(turns_of(row, "conversations"), 1)
        read = [{"role": ROLES[who], "content": said} for who, said in _spoken_turns(turns)]
        system = optional_text_of(row, "system")
        if system and read[0]["role"] != "system":
            read.insert(0, {"role": "system", "content": system})
        return read

    def whole(self, row: Mapping[str, Any]) -> Conversation:
        """The turns with what else they hold, and calls as calls where their JSON says which."""
        read: list[dict[str, Any]] = [*self.read(row)]
        said = row["conversations"]
        for turn, source in zip(read[len(read) - len(said) :], said, strict=True):
            calls = calls_of(turn["content"]) if source["from"] == CALL else None
            if calls is not None:
                turn |= {"content": None, "tool_calls": calls}
            turn |= {key: value for key, value in stated(source).items() if key not in _SAID}
        return Conversation(read, tools_of(row))

    def write(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None = None
    ) -> dict[str, Any] | None:
        """Turns of known roles; one that calls tools says nothing besides."""
        turns = []
        for turn in messages:
            who, said = _WORDS.get(turn["role"]), turn.get("content")
            if turn.get("tool_calls"):
                said = None if said or who != "gpt" else text_of_calls(turn["tool_calls"])
                who = CALL
            if who is None or not isinstance(said, str):
                return None
            turns.append({"from": who, "value": said})
        if not turns:
            return None
        return {"conversations": turns} | ({"tools": as_text(list(tools))} if tools else {})

    def settle(self, rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        """Tools as JSON text, as LLaMA-Factory wants them."""
        return [
            row if row.get("tools") is None else row | {"tools": as_text(row["tools"])}
            for row in rows
        ]


def _spoken_turns(turns: enumerate[Any]) -> list[tuple[str, str]]:
    """Who says what; raises RowError where a turn does not say."""
    found = []
    for at, turn in turns:
        if not isinstance(turn, Mapping):
            what = "null" if turn is None else spoken(turn)
            raise RowError("conversations", f"has {what} for turn {at}, not from and value")
        who, said = turn.get("from"), turn.get("value")
        if who is None and "role" in turn:
            raise RowError(
                "conversations",
                f"has role and content in turn {at}, not from and value",
                "Write `format: messages` and `columns: {messages: conversations}` on the source.",
            )
        if who not in ROLES:
            shown = f"the speaker '{short(who)}'" if isinstance(who, str) else "no `from`"
            remedy = f"Speakers are {', '.join(ROLES)}."
            raise RowError("conversations", f"has {shown} in turn {at}", remedy)
        if not isinstance(said, str):
            what = "no value" if said is None else f"{spoken(said)} for value"
            remedy = "The value of a turn is text."
            raise RowError("conversations", f"has {what} in turn {at}", remedy)
        found.append((who, said))
    return found


@hookimpl
def register_formats(register: Callable[[Format], None]) -> None:
    """Offer the format."""
    register(ShareGPT())
