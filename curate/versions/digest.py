"""The digest of a version: over what it means, not over the bytes that it is stored in.

Parquet files, widths of types, the order of columns, columns of nulls, scores and the environment
leave it as it is. A row more, less, changed or elsewhere changes it, and so do another judgement
in the ledger, another input and another recipe.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    import polars as pl

_CHUNK = 20_000
"""Rows that are Python objects at one time."""

_EXACT = 2.0**53
"""Whole floats below it are written as the integers that they are."""


def digest(
    data: pl.DataFrame,
    ledger: pl.DataFrame,
    files: Mapping[str, str],
    identity: Mapping[str, Any],
) -> str:
    """Digest the content of a version.

    Args:
        data: The kept rows in their order, any columns.
        ledger: The ledger in its order; `detail` is left out, and for `file` stands the hash of
            that file's content.
        files: File as the ledger shows it > hex sha256 of its content.
        identity: The resolved recipe without what must not count, JSON values.

    Returns:
        Hex sha256.

    Raises:
        KeyError: The ledger names a file that is not in `files`.
    """
    parts = {
        "data": _hash(_rows(data)),
        "ledger": _hash(_judgements(ledger, files)),
        "identity": identity,
    }
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _hash(rows: Iterator[dict[str, Any]]) -> str:
    sha = hashlib.sha256()
    for row in rows:
        sha.update(
            orjson.dumps(
                row, default=_plain, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
            )
        )
    return sha.hexdigest()


def _rows(frame: pl.DataFrame) -> Iterator[dict[str, Any]]:
    for part in frame.iter_slices(_CHUNK):
        for row in part.iter_rows(named=True):
            yield _canonical(row)


def _judgements(ledger: pl.DataFrame, files: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for row in _rows(ledger.drop("detail")):
        if "file" in row:
            row["file"] = files[row["file"]]
        yield row


def _canonical(value: Any) -> Any:
    """A value with whole floats as integers, without nulls and empty mappings in its mappings."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        items = ((key, _canonical(item)) for key, item in value.items() if item is not None)
        return {key: item for key, item in items if item != {}}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return int(value) if value.is_integer() and abs(value) < _EXACT else value
    return value


def _plain(value: Any) -> str:
    """Values that JSON does not know (dates and times it writes as ISO 8601)."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Decimal):
        return str(value.normalize())
    if isinstance(value, timedelta):
        return f"{value // timedelta(microseconds=1)} us"
    raise TypeError(f"no canonical form for {type(value).__name__}")
