"""Parquet files and the tables of data sets; columns keep the types that they have there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import CurateError
from curate.sources.kinds.batch import ROWS, Batch


def read(path: Path, shown: str) -> Iterator[Batch]:
    """Read a parquet file; rows are numbered from 1.

    Raises:
        CurateError: Two columns have one name, or a value has no form in Python.
        pa.ArrowException: The file is damaged.
    """
    with pq.ParquetFile(path) as file:
        groups = (pa.Table.from_batches([rows]) for rows in file.iter_batches(ROWS))
        yield from batches(groups, shown)


def batches(tables: Iterator[pa.Table], shown: str) -> Iterator[Batch]:
    """Tables that follow one another as batches, their rows numbered from 1."""
    line = 1
    for table in tables:
        repeated = [name for name, times in Counter(table.column_names).items() if times > 1]
        if repeated:
            raise CurateError(f"{shown}: two columns are named '{repeated[0]}'")
        plain = _decoded(table)
        try:
            rows = plain.to_pylist()
        except ValueError as error:  # nanoseconds, or text that is not UTF-8
            raise CurateError(
                f"{shown}: rows {line} to {line + len(table) - 1} cannot be read: {error}"
            ) from error
        yield Batch(list(range(line, line + len(table))), rows, plain)
        line += len(table)


def _decoded(table: pa.Table) -> pa.Table:
    """The table with its dictionary-encoded columns as plain values."""
    fields = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))
