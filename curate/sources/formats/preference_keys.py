"""What a table of pairs cannot hold: in which order turns had their keys, and what was null.

A typed column gives every turn the keys of all others in one order, nulls where a turn lacks one,
and whole numbers as fractions beside fractions. So the form of a row is kept beside its columns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from curate.examples.ids import cleaned, json_text

if TYPE_CHECKING:
    from curate.sources.formats.base import Format

KEYS = "original_keys"
"""The column; null for a row that has no nulls, its fields in the order of `order_of`, and in its
turns role and content, in this order: what columns have first depends on the rows before."""

_FIRST = ["role", "content"]
_WHOLE, _OTHER = 1, 0


def order_of(form: Format) -> list[str]:
    """The fields of a pair as most files have them: the prompt first."""
    return sorted(form.fields, key=lambda name: name != "prompt")


def keys_of(fields: Mapping[str, Any], order: Sequence[str]) -> str | None:
    """The form of a row as JSON text: its keys, its nulls, and where whole numbers stand.

    Args:
        fields: Those that the row has, in its order.
        order: What `order_of` gave.

    Returns:
        None where a table gives the row back as it is.
    """
    lists = [value for value in fields.values() if isinstance(value, list)]
    plain = all(
        isinstance(turn, Mapping)
        and list(turn) == _FIRST
        and all(isinstance(value, str) for value in turn.values())
        for turns in lists
        for turn in turns
    )
    placed = list(fields) == [name for name in order if name in fields]
    if plain and placed and None not in fields.values():
        return None
    # a table has tools as JSON text
    tools = {} if fields.get("tools") is None else {"tools": ""}
    return json_text(_form({**fields, **tools}))


def as_keyed(fields: Mapping[str, Any], order: Sequence[str], keys: object) -> dict[str, Any]:
    """Fields of a table in the form that their row had.

    Args:
        fields: Without nulls.
        order: What `order_of` gave.
        keys: What `keys_of` gave; what is no form of such a row counts as None.
    """
    formed = _as_formed(fields, keys)
    if formed is not None:
        return formed
    placed = {name: fields[name] for name in order if name in fields}
    return {name: value if name == "tools" else _plain(value) for name, value in placed.items()}


def are_keys(fields: Mapping[str, Any], keys: object) -> bool:
    """Whether something may be what `keys_of` gave of a row that a table now gives like this."""
    return keys is None or _as_formed(fields, keys) is not None


def _as_formed(fields: Mapping[str, Any], keys: object) -> dict[str, Any] | None:
    if not isinstance(keys, str):
        return None
    try:
        forms = json.loads(keys)
        made = {name: _formed(form, fields.get(name)) for name, form in forms.items()}
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None  # a column of somebody else's
    return made if cleaned(made) == cleaned(fields) else None


def _plain(value: Any) -> Any:
    """Turns with role and content first, whatever the order of the column; a text as it is."""
    if not isinstance(value, list):
        return value
    first = [{key: turn[key] for key in _FIRST if key in turn} for turn in value]
    return [start | turn for start, turn in zip(first, value, strict=True)]


def _form(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _form(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_form(item) for item in value]
    if value is None:
        return None
    return _WHOLE if type(value) is int else _OTHER


def _formed(form: Any, value: Any) -> Any:
    if isinstance(form, Mapping):
        held = value or {}  # a table has null for an object without fields
        return {key: _formed(inner, held.get(key)) for key, inner in form.items()}
    if isinstance(form, list):
        return [_formed(inner, item) for inner, item in zip(form, value, strict=True)]
    return int(value) if form == _WHOLE and isinstance(value, float) else value
