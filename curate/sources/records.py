"""From a file to its rows, whatever kind of file it is."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pyarrow as pa

from curate.errors import CurateError
from curate.printing import one_line
from curate.sources.files import SourceFile, suffix_of
from curate.sources.kinds import delimited, jsonarray, jsonl, parquet
from curate.sources.kinds.batch import Batch

_BLOCK = 1 << 20
_CODECS = {"": None, ".gz": "gzip", ".zst": "zstd"}
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


def read_file(file: SourceFile) -> Iterator[Batch]:
    """Read the rows of a file in their order.

    Raises:
        CurateError: The file is damaged, empty, or unusable as a whole. Single rows that cannot
            be parsed are among the rows.
    """
    empty = True
    try:
        for batch in _batches(file):
            empty = False
            yield batch
    except (OSError, pa.ArrowException) as error:
        what = one_line(str(error))
        raise CurateError(
            f"{file.shown}: cannot be read: {what}", "The file may be damaged or incomplete."
        ) from error
    if empty:
        raise CurateError(f"{file.shown}: holds no rows", "Leave the file out of the source.")


def _batches(file: SourceFile) -> Iterator[Batch]:
    suffix, packed = suffix_of(file.path.name)
    if suffix == ".parquet":
        yield from parquet.read(file.path, file.shown)
        return
    with pa.input_stream(str(file.path), compression=_CODECS[packed]) as unpacked:
        stream = io.BufferedReader(unpacked, _BLOCK)
        if suffix == ".json":
            yield from jsonarray.read(stream, file.shown)
        elif suffix in _DELIMITERS:
            yield from delimited.read(stream, file.shown, _DELIMITERS[suffix])
        else:
            yield from jsonl.read(stream)
