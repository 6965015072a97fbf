"""JSON lines: one object a line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from curate.sources.formats.base import short
from curate.sources.kinds.batch import BOM, BadRow, Batch, batched

_KEY_ENDS = re.compile(rb'"\s*:')
_PLAIN = {str, int, bool, type(None)}
_INT64 = 2**63
_DEEPEST = 100


def read(stream: Iterable[bytes]) -> Iterator[Batch]:
    """Read lines; empty ones are counted and skipped."""
    return batched(_rows(stream))


def _rows(stream: Iterable[bytes]) -> Iterator[tuple[int, Mapping[str, Any] | BadRow]]:
    for number, line in enumerate(stream, 1):
        text = line.removeprefix(BOM) if number == 1 else line
        if not text.isspace() and text:
            yield number, parse_object(text.rstrip(b"\r\n"))


def parse_object(text: bytes) -> Mapping[str, Any] | BadRow:
    """Parse one JSON object, refusing what a parser would silently lose."""
    try:
        row = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return _bad_syntax(text, error)
    if not isinstance(row, dict):
        return BadRow(text, "the row is not a JSON object", "Write each row as {...}.")
    if set(map(type, row.values())) <= _PLAIN and key_ends(text) == len(row):
        return row
    return _exact(text, row)


def key_ends(text: bytes) -> int:
    """At least the number of keys in a JSON text: also counts `":` where it stands in strings."""
    return len(_KEY_ENDS.findall(text))


def survey(value: Any, depth: int = 0) -> tuple[int, bool]:
    """How many keys a parsed value has at all depths, and whether a number may have lost digits.

    The parser turns whole numbers of more than 64 bits into floats.

    Raises:
        TooDeepError: It is nested too deeply.
    """
    if isinstance(value, float):
        return 0, abs(value) >= _INT64
    if not isinstance(value, dict | list):
        return 0, False
    if depth > _DEEPEST:
        raise TooDeepError
    items = value.values() if isinstance(value, dict) else value
    inside = [survey(item, depth + 1) for item in items if type(item) is not str]
    keys = len(value) if isinstance(value, dict) else 0
    return keys + sum(found for found, _ in inside), any(lossy for _, lossy in inside)


class TooDeepError(ValueError):
    """A value is nested more deeply than data is, and than libraries take."""


class _RepeatedKeyError(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _RepeatedKeyError(next(key for key in keys if keys.count(key) > 1))
    return made


def _exact(text: bytes, row: dict[str, Any]) -> Mapping[str, Any] | BadRow:
    try:
        keys, lossy = survey(row)
    except TooDeepError:
        return BadRow(text, f"the row is nested more than {_DEEPEST} levels deep")
    if keys == key_ends(text) and not lossy:
        return row
    try:
        exact: dict[str, Any] = json.loads(text, object_pairs_hook=_unique)
    except _RepeatedKeyError as repeated:
        return BadRow(
            text,
            f"the key '{short(str(repeated))}' stands twice in one object",
            "Keep one of them.",
        )
    return exact


def _bad_syntax(text: bytes, error: orjson.JSONDecodeError) -> BadRow:
    try:
        text.decode()
    except UnicodeDecodeError as wrong:
        return BadRow(text, f"not UTF-8 at byte {wrong.start + 1}", "Save the file as UTF-8.")
    constants: list[str] = []
    try:
        json.loads(text, parse_constant=constants.append)
    except (ValueError, RecursionError):
        constants = []
    if constants:
        return BadRow(text, f"{constants[0]} is no JSON value", "Write null in its place.")
    return BadRow(text, f"not valid JSON at column {error.colno}: {error.msg}")
