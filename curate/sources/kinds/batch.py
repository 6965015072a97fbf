"""Rows as a file holds them, some thousands at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 50_000
"""Rows in a batch."""

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be parsed.

    Attributes:
        raw: Its bytes, for its id.
        error: What is wrong with it.
        remedy: What to do about it.
    """

    raw: bytes
    error: str
    remedy: str = ""


@dataclass(frozen=True)
class Batch:
    """Rows that follow one another in a file.

    Attributes:
        lines: 1-based line (of json arrays and parquet: row number) of each row.
        rows: Columns > values, or why there are none.
        table: The same rows with the types that the file gives its columns, if it does.
    """

    lines: list[int]
    rows: list[Mapping[str, Any] | BadRow]
    table: pa.Table | None = None


def batched(rows: Iterable[tuple[int, Mapping[str, Any] | BadRow]]) -> Iterator[Batch]:
    """Gather numbered rows into batches."""
    batch = Batch([], [])
    for line, row in rows:
        batch.lines.append(line)
        batch.rows.append(row)
        if len(batch.rows) == ROWS:
            yield batch
            batch = Batch([], [])
    if batch.rows:
        yield batch
