"""The shape of chat data: `messages`, a list of turns with role and content."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from curate.hookspecs import hookimpl
from curate.sources.formats.base import (
    Conversation,
    Format,
    RowError,
    short,
    spoken,
    turns_of,
)
from curate.sources.formats.tools import tools_of, with_lists

CURATE_API = 1

ROLES = ("system", "developer", "user", "assistant", "tool")


class Messages(Format):
    """A conversation in a row, as chat interfaces write it."""

    name = "messages"
    required = ("messages",)
    optional = ("tools",)
    synonyms: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "messages": ("conversation", "dialog", "dialogue", "chat")
    }
    turn_keys = None
    shared = ("tools",)

    def read(self, row: Mapping[str, Any]) -> list[dict[str, str]]:
        """The turns, reduced to role and content; a turn of tool calls alone has content ""."""
        return read_turns(row, "messages")

    def whole(self, row: Mapping[str, Any]) -> Conversation:
        """The turns as they are."""
        return Conversation(written_turns(row["messages"]), tools_of(row))

    def write(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None = None
    ) -> dict[str, Any] | None:
        """The conversation itself."""
        fields: dict[str, Any] = {"messages": written_turns(messages)}
        return fields | ({"tools": list(tools)} if tools else {})

    def settle(self, rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        """Content in every turn, null beside calls alone; tools as lists."""
        return [row | {"messages": written_turns(row["messages"])} for row in with_lists(rows)]


def read_turns(row: Mapping[str, Any], field: str) -> list[dict[str, str]]:
    """The turns of a field, reduced to role and content.

    Raises:
        RowError: One of them is no turn.
    """
    return [_turn(field, at, turn) for at, turn in enumerate(turns_of(row, field), 1)]


def written_turns(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Turns as they are, with a content in each."""
    return [
        dict(turn) if "content" in turn else {"role": turn["role"], "content": None, **turn}
        for turn in messages
    ]


def _turn(field: str, at: int, turn: Any) -> dict[str, str]:
    if not isinstance(turn, Mapping):
        what = "null" if turn is None else spoken(turn)
        raise RowError(field, f"has {what} for turn {at}, not role and content")
    role, content = turn.get("role"), turn.get("content")
    if role not in ROLES:
        shown = f"the role '{short(role)}'" if isinstance(role, str) else "no role"
        raise RowError(field, f"has {shown} in turn {at}", f"Roles are {', '.join(ROLES)}.")
    if content is None and (turn.get("tool_calls") or turn.get("function_call")):
        content = ""
    if not isinstance(content, str):
        what = "no content" if content is None else f"{spoken(content)} for content"
        raise RowError(field, f"has {what} in turn {at}", "The content of a turn is text.")
    return {"role": role, "content": content}


@hookimpl
def register_formats(register: Callable[[Format], None]) -> None:
    """Offer the format."""
    register(Messages())
