"""The shape of chat data: `messages`, a list of turns with role and content."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from curate.hookspecs import hookimpl
from curate.sources.formats.base import Format, RowError, short, spoken

CURATE_API = 1

ROLES = ("system", "developer", "user", "assistant", "tool")


class Messages(Format):
    """A conversation in a row, as chat interfaces write it."""

    name = "messages"
    required = ("messages",)
    synonyms: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "messages": ("conversation", "dialog", "dialogue", "chat")
    }

    def read(self, row: Mapping[str, Any]) -> list[dict[str, str]]:
        """The turns, reduced to role and content; a turn of tool calls alone has content ""."""
        turns = row.get("messages")
        if turns is None:
            raise RowError("messages", "is null" if "messages" in row else "is missing")
        if not isinstance(turns, list):
            raise RowError("messages", f"is {spoken(turns)}, not a list of turns")
        if not turns:
            raise RowError("messages", "is empty")
        return [_turn(at, turn) for at, turn in enumerate(turns, 1)]

    def write(self, messages: Sequence[Mapping[str, str]]) -> dict[str, Any] | None:
        """The conversation itself."""
        return {"messages": [{"role": m["role"], "content": m["content"]} for m in messages]}


def _turn(at: int, turn: Any) -> dict[str, str]:
    if not isinstance(turn, Mapping):
        what = "null" if turn is None else spoken(turn)
        raise RowError("messages", f"has {what} for turn {at}, not role and content")
    role, content = turn.get("role"), turn.get("content")
    if role not in ROLES:
        shown = f"the role '{short(role)}'" if isinstance(role, str) else "no role"
        raise RowError("messages", f"has {shown} in turn {at}", f"Roles are {', '.join(ROLES)}.")
    if content is None and turn.get("tool_calls"):
        content = ""
    if not isinstance(content, str):
        what = "no content" if content is None else f"{spoken(content)} for content"
        raise RowError("messages", f"has {what} in turn {at}", "The content of a turn is text.")
    return {"role": role, "content": content}


@hookimpl
def register_formats(register: Callable[[Format], None]) -> None:
    """Offer the format."""
    register(Messages())
