"""The digest of a version: over what it means, not over the bytes that it is stored in.

Parquet files, widths of types, the order of columns, columns of nulls, scores and the environment
leave it as it is. A row more, less, changed or elsewhere changes it, and so do another judgement
in the ledger, another input and another recipe.

A row counts as its JSON on a line: keys sorted at every depth, nulls and empty objects left out of
objects, whole floats as integers. polars writes the JSON of texts and integers, and of lists and
objects of them, to the same bytes as orjson, many times faster; everything else goes value by
value.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

import orjson
import polars as pl

_CHUNK = 20_000
"""Rows whose JSON stands in memory at one time."""

_EXACT = 2.0**53
"""Whole floats below it are written as the integers that they are."""

_SORTED = orjson.OPT_SORT_KEYS

_NATIVE = {
    *(pl.String, pl.Boolean),
    *(pl.Int8, pl.Int16, pl.Int32, pl.Int64),
    *(pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64),
}
"""Types of which polars writes the same JSON as orjson."""


def digest(
    data: pl.DataFrame,
    ledger: pl.DataFrame,
    files: Mapping[str, str],
    identity: Mapping[str, Any],
    splits: Mapping[str, int] | None = None,
) -> str:
    """Digest the content of a version.

    Args:
        data: The kept rows in their order, any columns.
        ledger: The ledger in its order; `detail` is left out, and for `file` stands the hash of
            that file's content.
        files: File as the ledger shows it > hex sha256 of its content.
        identity: The resolved recipe without what must not count, JSON values.
        splits: Split > how many of the rows are its own, in their order; None: there are none.

    Returns:
        Hex sha256.

    Raises:
        KeyError: The ledger names a file that is not in `files`.
    """
    parts: dict[str, Any] = {
        "data": _hash(data),
        "ledger": _hash(_judgements(ledger, files)),
        "identity": identity,
    }
    if splits is not None:
        parts["splits"] = [[name, rows] for name, rows in splits.items()]
    return hashlib.sha256(orjson.dumps(parts, option=_SORTED)).hexdigest()


def _judgements(ledger: pl.DataFrame, files: Mapping[str, str]) -> pl.DataFrame:
    judged = ledger.drop("detail")
    if "file" not in judged.columns:
        return judged
    hashes = {file: files[file] for file in judged["file"].drop_nulls().unique()}
    return judged.with_columns(pl.col("file").replace_strict(hashes, return_dtype=pl.String))


def _hash(frame: pl.DataFrame) -> str:
    sha = hashlib.sha256()
    for part in frame.iter_slices(_CHUNK):
        lines = pl.concat_str(pl.lit("{"), _members(part), pl.lit("}\n")).cast(pl.Binary)
        sha.update(b"".join(pl.select(lines).to_series().to_list()))
    return sha.hexdigest()


def _members(frame: pl.DataFrame) -> pl.Expr:
    """For each row its members `"name":value` as JSON, with commas between them."""
    members = []
    columns = [frame[name] for name in sorted(frame.columns)]
    for whole, run in groupby(columns, lambda c: _native(c) is not None and not c.null_count()):
        if whole:
            members.append(_written(run))
            continue
        for column in run:
            if _native(column) is not None:
                members.append(pl.when(column.is_not_null()).then(_written([column])))
            else:
                values = [_member(column.name, value) for value in column.to_list()]
                members.append(pl.lit(pl.Series(values, dtype=pl.String)))
    return pl.concat_str(members, separator=",", ignore_nulls=True)


def _written(columns: Iterable[pl.Series]) -> pl.Expr:
    natives = [pl.lit(_native(column)) for column in columns]
    return pl.struct(natives).struct.json_encode().str.strip_prefix("{").str.strip_suffix("}")


def _member(name: str, value: Any) -> str | None:
    """One member; None where it is left out of its row."""
    plain = _canonical(value)
    if plain is None or plain == {}:
        return None
    return orjson.dumps({name: plain}, default=_plain, option=_SORTED).decode()[1:-1]


def _native(column: pl.Series) -> pl.Series | None:
    """The column as polars is to write it, fields sorted; None where it would write other bytes."""
    dtype = column.dtype
    if dtype in _NATIVE or (isinstance(dtype, pl.List) and dtype.inner in _NATIVE):
        return column
    if not isinstance(dtype, pl.List) or not isinstance(dtype.inner, pl.Struct):
        return None
    fields = {field.name: field.dtype for field in dtype.inner.fields}
    items = column.explode(empty_as_null=False, keep_nulls=False).struct.unnest()
    if not all(dtype in _NATIVE for dtype in fields.values()):
        return None
    if any(items[name].null_count() for name in fields):
        return None  # a field that is null is left out
    if any(name == "*" or name.startswith("^") for name in fields):
        return None  # polars takes them for patterns
    return column.list.eval(pl.struct(pl.element().struct.field(name) for name in sorted(fields)))


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
