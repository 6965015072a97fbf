"""Keys: what a remembered value depends on.

A key is the hash of its components in canonical JSON; the components are stored beside the values,
so that a plan can say which of them changed. Named hashes only: xxh3-128 for contents, sha256 for
keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson
import xxhash

if TYPE_CHECKING:
    import polars as pl


def canonical(value: Any) -> bytes:
    """Canonical JSON: sorted keys, decimals and other scalars as text."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=str)


def key_of(components: Mapping[str, Any]) -> str:
    """The key of some components: 32 hex characters of a sha256."""
    return hashlib.sha256(canonical(components)).hexdigest()[:32]


def changed(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> list[str]:
    """Dotted names of the components in which two keys differ."""
    names = []
    for name in sorted({*old, *new}):
        at = f"{path}{name}"
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            names += changed(before, after, f"{at}.")
        elif canonical(before) != canonical(after):
            names.append(at)
    return names


def contents_of(rows: pl.DataFrame, columns: Sequence[str]) -> list[str]:
    """The content hash of each row: 32 hex characters over the values of `columns`, in order.

    Strings count byte for byte, vectors bit for bit, everything else as canonical JSON.
    """
    encoded = [_encode(rows[name]) for name in columns]
    hashes = []
    for values in zip(*encoded, strict=True) if encoded else [()] * len(rows):
        hasher = xxhash.xxh3_128()
        for value in values:
            hasher.update(b"-" if value is None else b"%d:" % len(value))
            hasher.update(value or b"")
        hashes.append(hasher.hexdigest())
    return hashes


def content_of_table(contents: Sequence[str]) -> str:
    """The hash of a whole table from its rows' contents, whatever their order."""
    return hashlib.sha256("".join(sorted(contents)).encode()).hexdigest()[:32]


def _encode(series: pl.Series) -> Iterable[bytes | None]:
    """Each value with a mark of its type, from that value alone."""
    import polars as pl

    if isinstance(series.dtype, pl.Array):
        known = series.is_not_null().to_list()
        # one by one: twice as wide, all of them would be the most memory that a run takes
        return (
            b"v" + row.astype("<f8").tobytes() if there else None
            for row, there in zip(series.to_numpy(), known, strict=True)
        )
    values = series.to_list()
    if series.dtype == pl.String:
        return [None if value is None else b"s" + value.encode() for value in values]
    return [None if value is None else b"j" + canonical(value) for value in values]
