"""From the rows of a file to conversations with ids, and to what could not be read.

Rows that hold nothing but text where the format looks are read column by column, which is many
times faster; others, and those of a batch in which a row cannot be read, one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import polars as pl

from curate.examples import RowIds
from curate.printing import one_line
from curate.sources.columns import as_text
from curate.sources.detect import choose_format
from curate.sources.files import SourceFile
from curate.sources.formats.base import Format, NotTextError, RowError, short
from curate.sources.kinds.batch import BadRow, Batch
from curate.sources.spec import Spec

_ORIGINS = ("human", "synthetic", "mixed", "unknown")


@dataclass(frozen=True)
class Unreadable:
    """A row that could not be read.

    Attributes:
        id: Like the id of an example.
        file: As the recipe writes it.
        line: 1-based; of json arrays, parquet and data sets the number of the row.
        error: What is wrong, without control characters.
        remedy: What to do about it, "" if nothing is known.
    """

    id: str
    file: str
    line: int
    error: str
    remedy: str = ""


@dataclass(frozen=True)
class Readable:
    """The rows of a batch that became conversations.

    Attributes:
        columns: Columns of the batch, those of unreadable rows included.
        positions: Where in the batch the rows stand.
        rows: The rows as read, columns with `types: string` as text.
        ids: Their ids.
        turns: Their conversations; those of rows read column by column are in `messages`.
        messages: The same as a list of structs, None where rows were read one by one.
        texts: Columns that were found to hold nothing but text.
    """

    columns: tuple[str, ...]
    positions: list[int] = field(default_factory=list)
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    turns: list[list[dict[str, str]]] = field(default_factory=list)
    messages: pl.Series | None = None
    texts: Mapping[str, pl.Series] = field(default_factory=dict)


class RowReader:
    """Reads the rows of one source, batch by batch.

    Attributes:
        format: The row shape, known after the first batch that holds a row.
        unreadable: Rows that could not be read so far.
    """

    def __init__(self, name: str, spec: Spec) -> None:
        self.format: Format | None = None
        self.unreadable: list[Unreadable] = []
        self._spec = spec
        self._ids = RowIds(name)
        self._as_text = [column for column, kind in spec.types.items() if kind == "string"]

    def read(self, file: SourceFile, batch: Batch, limit: int | None) -> Readable:
        """Read a batch, up to a number of readable rows.

        Raises:
            CurateError: The columns fit no format.
        """
        rows = [row for row in batch.rows if not isinstance(row, BadRow)]
        columns = tuple(dict.fromkeys(chain.from_iterable(rows)))
        if self.format is None and columns:
            spec = self._spec
            self.format = choose_format(file.shown, spec.format, columns, spec.columns)
        if columns and len(rows) == len(batch.rows) and (limit is None or len(rows) <= limit):
            good = self._read_together(rows, columns)
            if good is not None:
                return good
        good = Readable(columns)
        for at, row in enumerate(batch.rows):
            if limit is not None and len(good.rows) >= limit:
                break
            if isinstance(row, BadRow):
                id = self._ids.raw(row.raw)
                self._refuse(id, file, batch.lines[at], row.error, row.remedy)
                continue
            id = self._ids.row(row)
            try:
                text, turns = self._converse(row)
            except RowError as wrong:
                self._refuse(id, file, batch.lines[at], str(wrong), wrong.remedy)
                continue
            good.positions.append(at)
            good.rows.append(text)
            good.ids.append(id)
            good.turns.append(turns)
        return good

    def _read_together(
        self, rows: list[Mapping[str, Any]], columns: tuple[str, ...]
    ) -> Readable | None:
        """The rows read column by column; None where that cannot be done."""
        assert self.format is not None, "a row was seen"
        one_by_one = {*self._spec.types, "messages"}
        if self._spec.given.get("origin") is None:
            one_by_one.add("origin")
        if one_by_one & set(columns):
            return None
        names = {name: self._spec.columns.get(name, name) for name in self.format.fields}
        texts = {}
        for column in {*names.values()} & set(columns):
            values = [row.get(column) for row in rows]
            if not set(map(type, values)) <= {str, type(None)}:
                return None
            texts[column] = pl.Series(column, values, dtype=pl.String)
        given = {name: texts[column] for name, column in names.items() if column in texts}
        turns = self.format.read_texts(given) if _alike(type(self.format)) else None
        if turns is None:
            return None
        texts = {column: text for column, text in texts.items() if text.null_count() < len(text)}
        ids = self._ids.rows(rows)
        return Readable(
            columns, list(range(len(rows))), rows, ids, [], _conversations(turns), texts
        )

    def _refuse(self, id: str, file: SourceFile, line: int, error: str, remedy: str) -> None:
        bad = Unreadable(id, file.shown, line, one_line(error), one_line(remedy))
        self.unreadable.append(bad)

    def _converse(self, row: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[dict[str, str]]]:
        """The row, columns that are to be text as text, and its conversation."""
        assert self.format is not None, "a row was seen"
        for column in self._as_text:
            if row.get(column) is not None:
                row = {**row, column: as_text(column, row[column])}
        self._check_origin(row)
        mapping = self._spec.columns
        if not mapping:
            return row, self._read(row)
        names = ((name, mapping.get(name, name)) for name in self.format.fields)
        return row, self._read({name: row[column] for name, column in names if column in row})

    def _read(self, fields: Mapping[str, Any]) -> list[dict[str, str]]:
        assert self.format is not None, "a row was seen"
        try:
            return self.format.read(fields)
        except RowError as wrong:
            column = self._spec.columns.get(wrong.field, wrong.field)
            remedy = wrong.remedy
            if isinstance(wrong, NotTextError):
                remedy = f"Read the column as text: `types: {{{column}: string}}`."
            raise RowError(column, wrong.what, remedy) from None

    def _check_origin(self, row: Mapping[str, Any]) -> None:
        origin = row.get("origin")
        if origin is None or self._spec.given.get("origin") is not None:
            return
        if origin not in _ORIGINS:
            raise RowError(
                "origin",
                f"is '{short(str(origin))}'",
                f"Origins are {', '.join(_ORIGINS)}; `origin:` on the source overrides the column.",
            )


def _alike(form: type[Format]) -> bool:
    """Whether the class that says how a row is read also says how many are read at once."""
    names = ("read", "read_texts")
    one, other = (next(base for base in form.__mro__ if name in vars(base)) for name in names)
    return one is other


def _conversations(turns: Sequence[tuple[str, pl.Series]]) -> pl.Series:
    """Turns that every row has as `messages`: the first of each row, then the second, and so on."""
    many, count = len(turns), len(turns[0][1])
    flat = pl.int_range(many * count, dtype=pl.UInt32, eager=True)
    which, row = flat % many, flat // many
    role = pl.Series("role", [role for role, _ in turns]).gather(which)
    content = pl.concat([content for _, content in turns]).gather(which * count + row)
    items = pl.DataFrame([role, content.alias("content")]).to_struct()
    return items.reshape((count, many)).arr.to_list().alias("messages")
