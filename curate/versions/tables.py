"""Tables as parquet files that every reader takes: plain strings and lists, zstd, no surprises.

Imported by `store` when something is published, and by nothing at start-up.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUP = 5_000
"""Rows of a row group: a fixed number, so that equal rows are equal bytes."""


_PLAIN = {
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
}


@dataclass(frozen=True)
class Written:
    """Size of a table: bytes of its values, and bytes on disk."""

    values: int
    stored: int


def write(frame: pl.DataFrame, file: Path) -> Written:
    """Write one parquet file; the same rows always make the same bytes.

    Raises:
        pyarrow.ArrowInvalid: One column of 5,000 rows holds more than 2 GiB.
    """
    schema = _plain_schema(frame.clear().to_arrow(compat_level=pl.CompatLevel.oldest()).schema)
    values = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for part in _groups(frame):
            wide = part.to_arrow(compat_level=pl.CompatLevel.oldest())
            table = wide.cast(schema).combine_chunks()
            values += table.nbytes
            writer.write_table(table, row_group_size=GROUP)
    return Written(values, file.stat().st_size)


def _groups(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Some rows after others, copied: of a mere slice every item of its lists is converted."""
    for start in range(0, len(frame), GROUP):
        stop = min(start + GROUP, len(frame))
        yield frame[pl.int_range(start, stop, dtype=pl.UInt32, eager=True)]


def write_shards(frame: pl.DataFrame, folder: Path, split: str, shards: int) -> Written:
    """Write `<split>-00000-of-0000N.parquet` files of nearly equal length.

    Args:
        frame: The rows; of none an empty file is written.
        folder: Made here.
        split: Such as `train`.
        shards: Files wanted; one at least, and never more than there are rows.
    """
    folder.mkdir(exist_ok=True)
    count = max(1, min(shards, len(frame)))
    written = [
        write(part, folder / f"{split}-{number:05d}-of-{count:05d}.parquet")
        for number, part in enumerate(_cut(frame, count))
    ]
    return Written(
        sum(one.values for one in written),
        sum(one.stored for one in written),
    )


def _cut(frame: pl.DataFrame, count: int) -> Iterator[pl.DataFrame]:
    bounds = [number * len(frame) // count for number in range(count + 1)]
    for start, stop in pairwise(bounds):
        yield frame[start:stop]


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(field.name, _plain_type(field.type)) for field in schema])


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """The type that readers know best: no large, view or dictionary variants."""
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain_type(kind.value_type), kind.list_size)
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _plain_type(field.type)) for field in kind])
    return _PLAIN.get(kind, kind)
