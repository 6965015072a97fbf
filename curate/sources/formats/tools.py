"""Tools in rows: those on offer (`tools`) and their calls, as lists and as JSON text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from curate.examples.ids import json_text
from curate.sources.formats.base import stated


def parsed(text: Any) -> Any:
    """The value of JSON text, whole numbers of any length; None where it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None


def as_text(value: Any) -> str:
    """A value as JSON text; text stays as it is."""
    return value if isinstance(value, str) else json_text(value)


def tools_of(row: Mapping[str, Any]) -> Sequence[Any] | None:
    """What stands under `tools`, a list or the JSON of one; other text is one tool by itself."""
    tools = row.get("tools")
    if isinstance(tools, str):
        tools = parsed(tools) or ([tools] if tools.strip() else None)
    if isinstance(tools, Mapping):
        tools = [tools]
    return tools or None if isinstance(tools, list) else None


def with_lists(rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Rows with their tools as lists: a table has them as JSON text."""
    return [row | {"tools": tools_of(row)} if "tools" in row else row for row in rows]


def calls_of(text: str) -> list[dict[str, Any]] | None:
    """The calls in the JSON text of a turn, as chat interfaces write calls.

    Arguments become JSON text, so that calls of several functions go into one column.

    Args:
        text: One object with `name` and `arguments`, or a list of them.

    Returns:
        None where the text is no call of a named function.
    """
    value = parsed(text)
    calls = value if isinstance(value, list) else [value]
    made = []
    for call in calls:
        if not isinstance(call, Mapping) or not isinstance(call.get("name"), str):
            return None
        arguments = as_text(call.get("arguments", {}))
        function = {"name": call["name"], "arguments": arguments}
        made.append({"type": "function", "function": function})
    return made or None


def text_of_calls(calls: Sequence[Any]) -> str | None:
    """The calls of a turn as the JSON text that `calls_of` reads; None where one has no name."""
    said = []
    for call in calls:
        function = call.get("function", call) if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            return None
        arguments = function.get("arguments")
        value = parsed(arguments) if isinstance(arguments, str) else stated(arguments or {})
        said.append({"name": function["name"], "arguments": arguments if value is None else value})
    return as_text(said[0] if len(said) == 1 else said)
