"""Loading a source or a reference: its rows as examples, and an account of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl
import xxhash

from curate.contract.parameters import Reference
from curate.errors import CurateError, nearest
from curate.examples.columns import FRAMEWORK
from curate.examples.tables import stack
from curate.examples.texts import unread_turns
from curate.recipe.model import Source
from curate.sources.files import SourceFile, resolve_files
from curate.sources.formats.base import Format
from curate.sources.formats.found import AnyShape, column_of
from curate.sources.frames import clash, frame_of
from curate.sources.kept import ancestry, kept_rows
from curate.sources.kinds.batch import Batch
from curate.sources.records import read_file
from curate.sources.rows import RowReader, Unreadable
from curate.sources.spec import Spec, spec_of

_SHOWN = 3
"""How many unreadable rows a message quotes."""


@dataclass(frozen=True)
class Loaded:
    """A source as examples.

    Attributes:
        rows: Framework columns, originals, `@file`, `@line` and the texts, in the order of files
            and lines. A column without a value has type Null, which `combine` turns into text.
        unreadable: Rows that were set aside, in the same order.
        files: What was read.
        facts: Counts: `empty_instruction`, `empty_response` (rows), `unread_turns` (turns after
            the last one of an assistant), `equal_answers` (pairs whose rejected answer is the
            chosen one). None of an instruction where the shape has no place for one.
        format: The row shape.
        columns: Field of the format > column of the file, where their names differ.
        ancestors: Of a version, the parents of every row that it knows of, of those without any
            none.
    """

    rows: pl.DataFrame
    unreadable: tuple[Unreadable, ...]
    files: tuple[SourceFile, ...]
    facts: Mapping[str, int]
    format: Format
    columns: Mapping[str, str]
    ancestors: Mapping[str, Sequence[str]] = field(default_factory=dict)


def load(
    name: str,
    source: Source,
    *,
    files: Sequence[SourceFile] | None = None,
    limit: int | None = None,
    beside: Path | None = None,
    told: Callable[[int], None] | None = None,
) -> Loaded:
    """Load a source of a recipe.

    Args:
        name: Its name; part of every id.
        source: What the recipe says.
        files: What `resolve_files` gave for it; found here if not given.
        limit: Only the first rows that can be read.
        beside: Folder of the recipe, for a hint where a file is missing.
        told: Told how many rows are read, now and then.

    Raises:
        CurateError: A file cannot be read, the format is not clear, a column holds different
            types, or more rows are unreadable than `on_failure` allows.
    """
    found = resolve_files(source, beside) if files is None else files
    spec = spec_of(source)
    if spec.version is None:
        return _load(name, spec, found, limit, told)
    rows = stack(kept_rows(name, found, spec.given, limit))
    before = ancestry(found)
    facts = count_facts(rows, AnyShape(), {})
    return Loaded(rows, (), tuple(found), facts, AnyShape(), {}, before)


def load_reference(
    name: str,
    reference: Reference,
    *,
    seed: int,
    files: Sequence[SourceFile] | None = None,
    beside: Path | None = None,
) -> Loaded:
    """Load a table that a stage compares with; its rows stand in the order of their ids.

    Args:
        name: Its name; part of every id.
        reference: What the recipe says; `sample: N` takes N rows, chosen by seed and id.
        seed: The recipe's seed.
        files: What `resolve_files` gave for it; found here if not given.
        beside: Folder of the recipe, for a hint where a file is missing.

    Raises:
        CurateError: As in `load`, or there are fewer rows than the sample.
    """
    found = resolve_files(reference, beside) if files is None else files
    loaded = _load(name, spec_of(reference), found, None)
    rows = loaded.rows.sort("id")
    if reference.sample is not None:
        if reference.sample > len(rows):
            raise CurateError(
                f"{reference.path}: a sample of {reference.sample} rows is asked, "
                f"but there are only {len(rows)}",
                f"Write `sample: {len(rows)}` or less, or leave it out.",
            )
        drawn = [xxhash.xxh3_128_hexdigest(f"{seed} {id}".encode()) for id in rows["id"]]
        chosen = pl.Series(drawn).arg_sort().head(reference.sample).sort()
        rows = rows[chosen]
    facts = count_facts(rows, loaded.format, loaded.columns)
    return replace(loaded, rows=rows, facts=facts)


def count_facts(rows: pl.DataFrame, shape: Format, columns: Mapping[str, str]) -> dict[str, int]:
    """What is worth knowing about the texts of some rows; see `Loaded`."""
    asked = ("instruction", "response") if shape.asks else ("response",)
    facts = {f"empty_{text}": int((rows[f"@{text}"] == "").sum()) for text in asked}
    facts["unread_turns"] = unread_turns(rows["messages"])
    answers = ("chosen", "rejected")
    if {*answers} <= {*shape.required}:
        chosen, rejected = (rows[column_of(name, columns)] for name in answers)
        facts["equal_answers"] = int((chosen == rejected).sum())
    return facts


def _load(
    name: str,
    spec: Spec,
    files: Sequence[SourceFile],
    limit: int | None,
    told: Callable[[int], None] | None = None,
) -> Loaded:
    reader = RowReader(name, spec)
    frames: list[pl.DataFrame] = []
    columns: dict[str, None] = {}
    renamed: set[str] = set()
    left = limit
    for file, batch in _batches(files):
        good = reader.read(file, batch, left)
        if reader.unreadable and spec.on_failure is None:
            raise _unreadable_row(reader.unreadable[0])
        columns |= dict.fromkeys(good.columns)
        frame = frame_of(name, spec, file, batch, good, reader.format)
        made = set(frame.columns) - set(good.columns)
        renamed |= {column for column in FRAMEWORK if f"original_{column}" in made}
        frames.append(frame)
        if told is not None:
            told(sum(map(len, frames)))
        if left is not None:
            left -= len(good.rows)
            if left <= 0:
                break
    _check_failures(spec, reader, sum(map(len, frames)), files)
    for column in sorted(renamed):
        if f"original_{column}" in columns:
            raise clash(column, files[0])
    missing = [column for column in spec.types if column not in columns]
    if missing and limit is None:
        raise CurateError(
            f"{files[0].shown}: there is no column '{missing[0]}', which `types:` names",
            nearest(missing[0], list(columns)),
        )
    assert reader.format is not None, "a row was read"
    rows = stack(frames)
    return Loaded(
        rows,
        tuple(reader.unreadable),
        tuple(files),
        count_facts(rows, reader.format, spec.columns),
        reader.format,
        dict(spec.columns),
    )


def _batches(files: Sequence[SourceFile]) -> Iterator[tuple[SourceFile, Batch]]:
    for file in files:
        for batch in read_file(file):
            yield file, batch


def _unreadable_row(row: Unreadable) -> CurateError:
    aside = "To go on without such rows, set `on_failure: {set_aside: N}` on the source."
    remedy = f"{row.remedy} {aside}" if row.remedy else aside
    return CurateError(f"{row.file}:{row.line}: {row.error}", remedy)


def _check_failures(spec: Spec, reader: RowReader, read: int, files: Sequence[SourceFile]) -> None:
    bad = reader.unreadable
    if not bad or spec.on_failure is None:
        return
    allowed = spec.on_failure.allowed(read + len(bad))
    quoted = "\n".join(f"  {row.file}:{row.line}: {row.error}" for row in bad[:_SHOWN])
    if len(bad) > allowed:
        raise CurateError(
            f"{len(bad)} of {read + len(bad)} rows cannot be read, more than the {allowed} that "
            f"`on_failure: {{set_aside: {spec.on_failure.set_aside}}}` lets go; the first:\n"
            f"{quoted}",
            bad[0].remedy,
        )
    if not read:
        raise CurateError(f"{files[0].shown}: no row can be read; the first:\n{quoted}")
