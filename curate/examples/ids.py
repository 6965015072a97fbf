"""Ids of examples: hashes of what they are, never of where they stand."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import xxhash

_INT64 = 2**63
"""Whole floats below this are integers that JSON numbers of 64 bits can hold, each exactly."""


_AS_IT_IS = {str, int, bool}
"""Types of values that stand in the canonical form as they are, but for numbers beyond 64 bits."""


def canonical(row: Mapping[str, Any]) -> bytes:
    """The canonical JSON of a row: equal for equal content, whatever kind of file held it.

    Keys are sorted at every depth; nulls and empty objects are left out of objects (in lists they
    stay: places count there); whole floats are integers; NaN is null; strings stay as they are.
    """
    if set(map(type, row.values())) <= _AS_IT_IS:
        try:
            return orjson.dumps(row, option=orjson.OPT_SORT_KEYS)
        except TypeError:
            pass  # a whole number beyond 64 bits
    return orjson.dumps(cleaned(row), option=orjson.OPT_SORT_KEYS)


def cleaned(value: Any) -> Any:  # noqa: PLR0911 - one line a type of value
    """A value in canonical form, as `canonical` writes it."""
    if isinstance(value, Mapping):
        inner = ((key, cleaned(item)) for key, item in value.items())
        return {key: item for key, item in inner if item is not None and item != {}}
    if isinstance(value, list | tuple):
        return [cleaned(item) for item in value]
    if isinstance(value, float):
        return _cleaned_float(value)
    if isinstance(value, int):
        return value if -_INT64 <= value < 2 * _INT64 else str(value)
    if isinstance(value, str) or value is None:
        return value
    # The rest stands in parquet files only: bytes, decimals, dates, times and durations.
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _cleaned_float(value: float) -> float | int | str | None:
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return int(value) if value.is_integer() and abs(value) < _INT64 else value


def json_text(value: Any) -> str:
    """A value as JSON text that says all of it; what only parquet knows, in its canonical form."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError):
        return orjson.dumps(cleaned(value)).decode()


def row_id(source: str, row: Mapping[str, Any], occurrence: int = 0) -> str:
    """The id of a row of a source: 32 lower-case hex characters.

    Args:
        source: Name of the source.
        row: The row as its file holds it.
        occurrence: How many rows of the source before this one are identical in everything.
    """
    return _repeated(_hashed(source, b"\n", canonical(row)), occurrence)


class RowIds:
    """Hands out the ids of one source's rows, counting those that are identical."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._seen: dict[str, int] = {}

    def row(self, row: Mapping[str, Any]) -> str:
        """The id of the next row."""
        return self._numbered(_hashed(self._source, b"\n", canonical(row)))

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """The ids of the next rows."""
        return [self.row(row) for row in rows]

    def raw(self, content: bytes) -> str:
        """The id of the next row, where it could not be parsed: of its bytes."""
        return self._numbered(_hashed(self._source, b"\n!", content))

    def _numbered(self, plain: str) -> str:
        occurrence = self._seen.get(plain, 0)
        self._seen[plain] = occurrence + 1
        return _repeated(plain, occurrence)


def child_id(
    parents: Sequence[str],
    stage: str,
    round: int,
    occurrence: int,
    messages: Sequence[Mapping[str, Any]] | None,
) -> str:
    """The id of an example that a stage made.

    Args:
        parents: Ids of the examples that it was made from.
        stage: Id of the stage.
        round: Round of the stage that it was made in.
        occurrence: Its number among the children of the same parents in that round.
        messages: Its conversation, None if it could not be made.
    """
    made = [list(parents), stage, round, occurrence, cleaned(messages)]
    return xxhash.xxh3_128_hexdigest(orjson.dumps(made, option=orjson.OPT_SORT_KEYS))


def _hashed(source: str, mark: bytes, content: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(source.encode() + mark + content)


def _repeated(plain: str, occurrence: int) -> str:
    return xxhash.xxh3_128_hexdigest(f"{plain} {occurrence}".encode()) if occurrence else plain
