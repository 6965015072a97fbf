"""A .json file: one array of objects, or JSON lines after all."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import orjson

from curate.errors import CurateError
from curate.sources.kinds import jsonl
from curate.sources.kinds.batch import BOM, BadRow, Batch, batched

_BETWEEN = re.compile(r"[\s,]*")


def read(stream: BinaryIO, shown: str) -> Iterator[Batch]:
    """Read the file whole; rows are numbered from 1, or by line where it holds JSON lines.

    Raises:
        CurateError: It is not valid JSON, or holds one object.
    """
    text = stream.read().removeprefix(BOM)
    first = text.lstrip()[:1]
    if first == b"[":
        return batched(enumerate(_array(text, shown), 1))
    if first == b"{":
        _refuse_single(text, shown)
    return jsonl.read(io.BytesIO(text))


def _array(text: bytes, shown: str) -> Iterator[Mapping[str, Any] | BadRow]:
    try:
        rows = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _invalid(text, shown, error) from None
    if _nothing_lost(rows, text):
        for row in rows:
            yield row if isinstance(row, dict) else _no_object(row)
        return
    # A key may stand twice or a number have lost digits: look at each row by itself.
    decoded, decoder = text.decode(), json.JSONDecoder()
    at = decoded.index("[") + 1
    for _ in rows:
        at = _end(decoded, at)
        try:
            _, end = decoder.raw_decode(decoded, at)
        except RecursionError:
            raise CurateError(f"{shown}: a row is nested too deeply") from None
        yield jsonl.parse_object(decoded[at:end].encode())
        at = end


def _nothing_lost(rows: list[Any], text: bytes) -> bool:
    try:
        keys, lossy = jsonl.survey(rows)
    except jsonl.TooDeepError:
        return False
    return keys == jsonl.key_ends(text) and not lossy


def _end(text: str, at: int) -> int:
    between = _BETWEEN.match(text, at)
    return between.end() if between else at


def _no_object(row: Any) -> BadRow:
    return BadRow(orjson.dumps(row), "the row is not a JSON object", "Write each row as {...}.")


def _invalid(text: bytes, shown: str, error: orjson.JSONDecodeError) -> CurateError:
    try:
        text.decode()
    except UnicodeDecodeError as wrong:
        line = text.count(b"\n", 0, wrong.start) + 1
        return CurateError(
            f"{shown}:{line}: not UTF-8 at byte {wrong.start + 1} of the file",
            "Save the file as UTF-8.",
        )
    return CurateError(
        f"{shown}:{error.lineno}: not valid JSON at column {error.colno}: {error.msg}",
        "In a JSON array one mistake makes every row unreadable; JSON lines (.jsonl) can set "
        "single rows aside.",
    )


def _refuse_single(text: bytes, shown: str) -> None:
    try:
        whole = orjson.loads(text)
    except orjson.JSONDecodeError:
        return
    lists = [key for key, value in whole.items() if isinstance(value, list)]
    raise CurateError(
        f"{shown}: holds one JSON object, not an array of rows",
        f"If its rows are in '{lists[0]}', save that list alone; one row by itself goes into a "
        ".jsonl file."
        if lists
        else "Write [...] around it, or name the file .jsonl.",
    )
