"""The kept rows of a version as training data, in the shape that a trainer reads."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from curate.errors import CurateError, UsageError, nearest
from curate.examples import cleaned
from curate.examples.ids import json_text
from curate.ledger import MERGED
from curate.plugins.registry import get_registry
from curate.printing import counted, one_line
from curate.sources.formats.base import stated
from curate.sources.formats.found import column_of, every_shape, shapes_of
from curate.sources.formats.messages import Messages
from curate.sources.formats.preference_keys import KEYS, as_keyed
from curate.sources.hashes import make_folder
from curate.sources.published import check_outside

if TYPE_CHECKING:
    import polars as pl

    from curate.sources.formats.base import Format
    from curate.versions.open import Version

REJECTED = "rejected"
"""In what is lost: the rejected answer of a preference."""

PROVENANCE = ("id", "source", "origin", "generator", "license", "ability", "parents")
"""Columns that say where a row comes from."""

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")


@dataclass(frozen=True)
class Exported:
    """What went out.

    Attributes:
        path: The file.
        format: The shape of its rows.
        rows: How many.
        unchanged: How many of them went out as they had come in.
        skipped: Kept rows that the shape cannot say, left out.
        lost: What turns held that the shape cannot say > rows that lost it.
        rewritten: Stages that put rows in place of others that came in this shape > such rows.
        nulled: Columns with numbers that are NaN or infinite, null in JSON > rows with such.
        fields: Columns of the file.
        data: Its rows, but for what stands beside the format's fields.
    """

    path: Path
    format: str
    rows: int
    unchanged: int
    skipped: int
    lost: Mapping[str, int]
    rewritten: Mapping[str, int]
    nulled: Mapping[str, int]
    fields: tuple[str, ...]
    data: Sequence[Mapping[str, Any]]


def target(version: Version, to: Path, *, folder: bool, splits: Sequence[str] = ()) -> Path:
    """The file that an export to a path writes.

    Args:
        version: What is exported.
        to: A file, or a folder, in which the file is named for the version.
        folder: Whether it is written like a folder, with a slash at its end.
        splits: Those that are exported, which the name says too.

    Raises:
        UsageError: The suffix is not one of `SUFFIXES`, the file is there already, or it would
            lie in a version.
    """
    file = to
    if folder or to.is_dir() or not to.suffix:
        file = to / f"{'-'.join((version.name, version.version, *splits))}.jsonl"
    if not file.name.endswith(SUFFIXES):
        raise UsageError(
            f"{to}: exports are {', '.join(SUFFIXES)}, or a folder", "Choose one of these suffixes."
        )
    check_outside(file)
    if file.exists():
        raise UsageError(f"{file} is there already, and stays as it is", "Choose another --to.")
    return file


def export(
    version: Version,
    file: Path,
    shape: str,
    *,
    scores: bool = False,
    provenance: bool = False,
    columns: Sequence[str] = (),
    skip: bool = False,
    splits: Sequence[str] = (),
) -> Exported:
    """Write the kept rows of a version in their order.

    A row that came in this shape goes out with the fields that it came with, others are
    converted, with their tool calls where the shape knows them.

    Args:
        version: Which one.
        file: Where to; `target` says which names are possible. It appears whole or not at all.
        shape: Name of the format.
        scores: Whether the score columns stand beside the fields.
        provenance: Whether the columns `PROVENANCE` do.
        columns: Others that do.
        skip: Leave out rows that the shape cannot say.
        splits: Only the rows of these; may be left out where there is one.

    Raises:
        UsageError: There is no such format, column or split, the file is there already, or there
            are several splits and none is named.
        CurateError: The shape cannot say a row, and these are not to be left out.
    """
    form = _format(shape)
    frame = _rows(version, splits)
    beside = _beside(version, frame, form, scores, provenance, columns)
    made, ids, lost, rewritten = _converted(version, frame, form, keyed=file.suffix != ".parquet")
    said = [at for at, (fields, _) in enumerate(made) for _ in fields]
    unsaid = sum(not fields for fields, _ in made)
    if unsaid and (not skip or not said):
        raise _cannot_say(form, ids, [bool(fields) for fields, _ in made])
    came = [(each, as_it_came) for fields, as_it_came in made for each in fields]
    rows = form.settle([each for each, _ in came])
    held = {
        name
        for (each, as_it_came), row in zip(came, rows, strict=True)
        for name, value in row.items()
        if value is not None or (as_it_came and name in each and each[name] is None)
    }
    names = [name for name in dict.fromkeys(chain.from_iterable(rows)) if name in held]
    rows = [{name: row.get(name) for name in names} for row in rows]
    unchanged = sum(
        as_it_came and _said(each, form) == _said(row, form)
        for (each, as_it_came), row in zip(came, rows, strict=True)
    )
    beside = beside[said] if beside.columns else beside
    with _aside(file) as part:
        (_write_parquet if file.suffix == ".parquet" else _write_lines)(rows, beside, part)
    return Exported(
        file,
        form.name,
        len(rows),
        unchanged,
        unsaid,
        dict(lost),
        dict(rewritten),
        {} if file.suffix == ".parquet" else _unsayable(beside),
        (*names, *beside.columns),
        rows,
    )


def _said(row: Mapping[str, Any], form: Format) -> Any:
    """What a row says, of pairs to the byte; but for tools, which a table has as JSON text."""
    tools = row.get("tools") is not None
    if form.paired:
        return json_text({**row, "tools": True} if tools else row)
    return stated({**row, "tools": None})


def _unsayable(beside: pl.DataFrame) -> dict[str, int]:
    """Numbers that JSON has no word for: column > rows."""
    floats = [name for name, dtype in beside.schema.items() if dtype.is_float()]
    counts = {name: int((~beside[name].is_finite()).sum()) for name in floats}
    return {name: count for name, count in counts.items() if count}


def _rows(version: Version, splits: Sequence[str]) -> pl.DataFrame:
    """The rows of some splits; what is held back does not come to the rest by oversight."""
    known = list(version.splits)
    if not splits and len(known) > 1:
        raise UsageError(
            f"{version.name}@{version.version} has the splits {', '.join(known)}, and none is "
            "named.",
            f"Write `--split {known[0]}`; several, as in `--split {' --split '.join(known)}`, "
            "come into one file.",
        )
    return version.frame(list(splits) or None)


def _format(name: str) -> Format:
    registry = get_registry()
    names = [point.word for point in registry.points if point.group == "curate.readers"]
    if name not in names:
        raise UsageError(f"there is no format '{one_line(name)}'", nearest(name, names))
    return registry.format(name)


def _converted(
    version: Version, frame: pl.DataFrame, form: Format, *, keyed: bool
) -> tuple[list[tuple[list[dict[str, Any]], bool]], list[str], Counter[str], Counter[str]]:
    """For each row what it becomes and whether that is what it came with; ids; what is lost.

    And the stages that put rows of this shape in place of others.

    A row becomes one of the file, two (an answer that was chosen and one that was rejected, where
    these stand apart), or none where the shape cannot say it. With `keyed` pairs have keys in the
    order, and nulls in the places, of the file that they came from.
    """
    mappings = {
        name: source.get("columns", {}) for name, source in version.manifest["sources"].items()
    }
    shapes = _saying_most(every_shape())
    place = {name: at for at, name in enumerate(frame.columns)}
    made: list[tuple[list[dict[str, Any]], bool]] = []
    lost: Counter[str] = Counter()
    rewritten: Counter[str] = Counter()
    merged = dict(version.ledger.filter(fate=MERGED).select("id", "stage").iter_rows())
    for row in frame.iter_rows(named=True):
        mapping = mappings.get(row["source"], {})
        known = [(shape, mapping) for shape, _ in shapes] if mapping else []
        # Every row has messages: what it came in says more, unless it came in more than these.
        first = [] if row.get(column_of("messages", mapping)) is None else [(form, mapping)]
        if form.name != Messages.name:
            first = [(form, mapping)]
        plain = (Messages(), {"messages": row["messages"]})
        shape, found = next(shapes_of(row, [*first, *known, *shapes]), plain)
        if shape.name == form.name:
            order = sorted(found, key=lambda name: place.get(column_of(name, mapping), -1))
            fields = {name: found[name] for name in order}
            if form.paired and keyed:
                fields = as_keyed(fields, row.get(KEYS))
            made.append(([fields], not row["parents"]))
            rewritten.update({merged[id] for id in row["parents"] or () if id in merged})
            continue
        whole = shape.whole(found)
        rows = form.rows(whole) or []
        made.append((rows, False))
        if whole.rejected is not None and rows and not form.paired:
            lost[REJECTED] += 1
        if rows and form.turn_keys is not None:
            held = {key for turn in whole.turns for key in turn}
            lost.update(held - form.turn_keys)
    return made, frame["id"].to_list(), lost, rewritten


def _line(row: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(row, default=cleaned, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # a whole number of more than 64 bits
        return f"{json_text(row)}\n".encode()


def _saying_most(
    shapes: Sequence[tuple[Format, Mapping[str, str]]],
) -> list[tuple[Format, Mapping[str, str]]]:
    """Shapes with rejected answers first, and `messages`, which every row has, at the end."""
    return sorted(shapes, key=lambda pair: (pair[0].name == Messages.name, not pair[0].paired))


def _beside(
    version: Version,
    frame: pl.DataFrame,
    form: Format,
    scores: bool,
    provenance: bool,
    columns: Sequence[str],
) -> pl.DataFrame:
    """What stands beside the fields, in the order of the rows."""
    scored = frame.select("id").join(version.scores, on="id", how="left", maintain_order="left")
    wanted = dict.fromkeys(PROVENANCE if provenance else ())
    wanted |= dict.fromkeys([*(scored.columns[1:] if scores else ()), *columns])
    known = frame.hstack(scored.drop("id"))
    for name in wanted:
        if name not in known.columns:
            raise UsageError(
                f"{version.name}@{version.version} has no column '{one_line(name)}'.",
                nearest(name, known.columns),
            )
        if name in form.fields:
            raise UsageError(
                f"'{name}' is a field of {form.name}, and cannot stand beside it too.",
                "Choose other columns.",
            )
    return known.select(list(wanted))


def _cannot_say(form: Format, ids: Sequence[str], can: Sequence[bool]) -> CurateError:
    unsaid = [id for id, said in zip(ids, can, strict=True) if not said]
    others = [name for name in ("messages", "sharegpt") if name != form.name]
    remedy = f"`--skip` leaves them out; {' or '.join(others)} can say more."
    if len(unsaid) == len(ids):
        remedy = f"Choose another format: {' or '.join(others)} can say more."
    if form.paired:
        remedy = f"They have no rejected answer, or had it to another prompt. {remedy}"
    return CurateError(
        f"{len(unsaid):,} of {counted(len(ids))} cannot be said in the shape {form.name}, "
        f"the first of them {unsaid[0]}.",
        remedy,
    )


@contextmanager
def _aside(file: Path) -> Iterator[Path]:
    """A file to write to beside another, which it becomes when it is whole, if that is not there.

    Raises:
        UsageError: The other appeared meanwhile.
        CurateError: The folder cannot be made, or nothing be written there.
    """
    make_folder(file.parent, "Choose another --to.")
    part = file.with_name(f".{secrets.token_hex(8)}-{file.name}")
    try:
        yield part
        try:
            os.link(part, file)
        except OSError:  # it is there, or the file system knows no links
            if file.exists():
                raise UsageError(f"{file} has appeared meanwhile, and stays as it is.") from None
            part.rename(file)
    finally:
        part.unlink(missing_ok=True)


def _write_lines(rows: Sequence[Mapping[str, Any]], beside: pl.DataFrame, part: Path) -> None:
    import pyarrow as pa

    packed = {".gz": "gzip", ".zst": "zstd"}.get(part.suffix)
    more = beside.iter_rows(named=True) if beside.columns else repeat({}, len(rows))
    with pa.output_stream(str(part), compression=packed) as out:
        for row, other in zip(rows, more, strict=True):
            line = {**row, **other}
            out.write(_line(line))


def _write_parquet(rows: Sequence[Mapping[str, Any]], beside: pl.DataFrame, part: Path) -> None:
    import polars as pl

    from curate.sources.columns import typed
    from curate.versions.tables import write

    def place(at: int) -> str:
        return f"row {at + 1}"

    try:
        columns = [typed(name, [row[name] for row in rows], place) for name in rows[0]]
    except CurateError as error:
        raise CurateError(
            f"Parquet cannot hold it: {error.message}.", "Export to .jsonl."
        ) from None
    write(pl.DataFrame([*columns, *beside]), part)
