"""CSV and TSV with a header; every value is text."""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from curate.errors import CurateError
from curate.sources.formats.base import short
from curate.sources.kinds.batch import BadRow, Batch, batched

# The limit of the csv module guards against unclosed quotes, which strict reading reports itself.
_LONGEST_CELL = min(sys.maxsize, 2**31 - 1)


def read(stream: BinaryIO, shown: str, delimiter: str) -> Iterator[Batch]:
    """Read rows; each is numbered by the line that it starts on.

    Raises:
        CurateError: The header is unusable or a quote is never closed.
    """
    return batched(_rows(stream, shown, delimiter))


def _rows(
    stream: BinaryIO, shown: str, delimiter: str
) -> Iterator[tuple[int, Mapping[str, Any] | BadRow]]:
    csv.field_size_limit(_LONGEST_CELL)
    # What is not UTF-8 becomes surrogates here, and is reported with its row.
    lines = io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="")
    taken: list[str] = []
    reader = csv.reader(_noted(lines, taken), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        start = reader.line_num + 1
        taken.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise CurateError(
                    f"{shown}:{start}: a quote that opens in this row is never closed",
                    'Close it; a quote inside a quoted value is written twice: "".',
                ) from None
            what = f"not valid CSV: {error}"
            yield start, BadRow(_raw(taken), what, 'Quotes inside quoted values are written "".')
            continue
        if header is None:
            header = _checked_header(cells, f"{shown}:{start}")
        elif cells:
            yield start, _row(header, cells, _raw(taken))


def _noted(lines: Iterable[str], taken: list[str]) -> Iterator[str]:
    """Lines, which are also put down as they are taken."""
    for line in lines:
        taken.append(line)
        yield line


def _raw(lines: Sequence[str]) -> bytes:
    return "".join(lines).rstrip("\r\n").encode("utf-8", "surrogateescape")


def _checked_header(cells: list[str], at: str) -> list[str]:
    repeated = [name for name, times in Counter(cells).items() if times > 1]
    if not all(cells):
        raise CurateError(f"{at}: column {cells.index('') + 1} has no name", "Name every column.")
    if repeated:
        name = short(repeated[0])
        raise CurateError(f"{at}: two columns are named '{name}'", "Name each column differently.")
    if _surrogates(cells):
        raise CurateError(f"{at}: the header is not UTF-8", "Save the file as UTF-8.")
    return cells


def _row(header: list[str], cells: list[str], raw: bytes) -> Mapping[str, Any] | BadRow:
    if _surrogates(cells):
        return BadRow(raw, "not UTF-8", "Save the file as UTF-8.")
    if len(cells) != len(header):
        what = f"{len(cells)} values for {len(header)} columns"
        return BadRow(raw, what, "Quote values that hold the delimiter or a line break.")
    return dict(zip(header, cells, strict=True))


def _surrogates(cells: list[str]) -> bool:
    return any(not cell.isascii() and _escaped(cell) for cell in cells)


def _escaped(cell: str) -> bool:
    try:
        cell.encode()
    except UnicodeEncodeError:
        return True
    return False
