"""From conversations and rows to a table of examples: framework columns, originals, texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import polars as pl
import pyarrow as pa

from curate.errors import CurateError
from curate.examples import FRAMEWORK, cleaned, texts_of
from curate.sources.columns import Place, as_json, from_arrow, typed
from curate.sources.files import SourceFile
from curate.sources.formats.base import Format, stated
from curate.sources.formats.preference_keys import KEYS, are_keys, keys_of, order_of
from curate.sources.kinds.batch import Batch
from curate.sources.rows import Readable
from curate.sources.spec import ROW_FACTS, Spec


def frame_of(
    name: str, spec: Spec, file: SourceFile, batch: Batch, good: Readable, form: Format | None
) -> pl.DataFrame:
    """The examples of a batch.

    Args:
        name: Name of the source.
        spec: What the recipe says about it.
        file: Where the rows stand.
        batch: The rows of the file.
        good: Those that could be read.
        form: Their shape; None while no row could be read.

    Raises:
        CurateError: A column holds different types or has a name that it cannot keep.
    """
    lines = [batch.lines[at] for at in good.positions]
    count = len(lines)
    messages = _messages(good.turns) if good.messages is None else good.messages
    originals, facts = _columns(spec, file, batch, good, lines)
    if form is not None and form.paired:
        fields = _fields(spec, batch, good, form)
        if KEYS in originals:  # of a version whose files are read as they lie
            _check_keys(fields, originals[KEYS].to_list(), lines, file)
        else:
            keys = [keys_of(each, order_of(form)) for each in fields]
            originals |= {KEYS: pl.Series(keys, dtype=pl.String)} if any(keys) else {}
    columns = {
        "id": pl.Series(good.ids, dtype=pl.String),
        "messages": messages,
        "source": _constant(name, count),
        **{fact: facts.get(fact, _constant(spec.given.get(fact), count)) for fact in ROW_FACTS},
        "parents": pl.Series([[]], dtype=pl.List(pl.String)).new_from_index(0, count),
        **originals,
        "@file": _constant(file.shown, count),
        "@line": pl.Series(lines, dtype=pl.Int64),
    }
    columns["origin"] = columns["origin"].fill_null("unknown")
    return pl.DataFrame(columns).with_columns(texts_of(messages))


def _messages(turns: Sequence[Sequence[Mapping[str, str]]]) -> pl.Series:
    flat = [turn for row in turns for turn in row]
    fields = {name: [turn[name] for turn in flat] for name in ("role", "content")}
    items = pl.DataFrame(fields, schema=dict.fromkeys(fields, pl.String)).to_struct()
    ends = pl.Series(accumulate(map(len, turns), initial=0), dtype=pl.Int64)
    return from_arrow("messages", pa.LargeListArray.from_arrays(ends.to_arrow(), items.to_arrow()))


def clash(name: str, file: SourceFile) -> CurateError:
    """The error for a column whose new name another one has."""
    return CurateError(
        f"{file.shown}: {name} is kept as original_{name}, but there is a column original_{name} "
        "already",
        "Rename one of them in the file.",
    )


def _constant(value: str | None, count: int) -> pl.Series:
    return pl.repeat(value, count, dtype=pl.String, eager=True)


def _columns(
    spec: Spec, file: SourceFile, batch: Batch, good: Readable, lines: Sequence[int]
) -> tuple[dict[str, pl.Series], dict[str, pl.Series]]:
    """The file's columns under the names that they get, and those that are the framework's."""

    def place(at: int) -> str:
        return f"{file.shown}:{lines[at]}"

    is_messages = spec.columns.get("messages", "messages") == "messages"
    originals: dict[str, pl.Series] = {}
    facts: dict[str, pl.Series] = {}
    for name in good.columns:
        if name in ROW_FACTS and spec.given.get(name) is None:
            facts[name] = _row_fact(_column(name, spec, batch, good, place), file)
            continue
        shown = _name_for(name, file)
        column: pl.Series | None
        if name == "messages" and is_messages:
            column = _whole_messages(batch, good)
        else:
            column = _column(name, spec, batch, good, place)
        if column is None:
            continue
        if shown != name and shown in good.columns:
            raise clash(name, file)
        originals[shown] = column
    return originals, facts


def _column(name: str, spec: Spec, batch: Batch, good: Readable, place: Place) -> pl.Series:
    tools = name == spec.columns.get("tools", "tools") and name not in spec.types
    if batch.table is not None and name not in spec.types and not tools:
        column = batch.table.column(name)
        whole = len(good.positions) == len(batch.rows)
        return from_arrow(
            name, column if whole else column.take(pa.array(good.positions, pa.int64()))
        )
    if name in good.texts:
        return good.texts[name]
    values = [row.get(name) for row in good.rows]
    if tools and any(isinstance(value, list) for value in values):
        return pl.Series(name, _said(values, batch), dtype=pl.String)
    return typed(
        name, _as_stated(values, batch) if spec.types.get(name) == "json" else values, place
    )


def _whole_messages(batch: Batch, good: Readable) -> pl.Series | None:
    """What `messages` holds beyond the conversation, null elsewhere; None if it does nowhere.

    It is JSON text: in a typed column a turn would get the keys of all others, and lose objects
    without fields.
    """
    values: list[Any] = [row.get("messages") for row in good.rows]
    more = [
        value if value != turns and cleaned(value) != turns else None
        for value, turns in zip(values, good.turns, strict=True)
    ]
    if not any(value is not None for value in more):
        return None
    return pl.Series("messages", _said(more, batch), dtype=pl.String)


def _fields(spec: Spec, batch: Batch, good: Readable, form: Format) -> list[dict[str, Any]]:
    """The fields of pairs, as the rows have them."""
    names = {spec.columns.get(field, field): field for field in form.fields}
    rows = good.rows if batch.table is None else [stated(row) for row in good.rows]
    return [{names[name]: value for name, value in row.items() if name in names} for row in rows]


def _check_keys(
    fields: Sequence[Mapping[str, Any]],
    keys: Sequence[object],
    lines: Sequence[int],
    file: SourceFile,
) -> None:
    for line, row, given in zip(lines, fields, keys, strict=True):
        if not are_keys(row, given):
            raise CurateError(
                f"{file.shown}:{line}: {KEYS} does not say in which order the row has its keys, "
                "for which curate keeps this column of pairs",
                "Give it another name in the file; where it is of a published version that was "
                "changed, leave it out, or read the version itself: `version: NAME`.",
            )


def _said(values: Sequence[Any], batch: Batch) -> list[str | None]:
    """Values as JSON text; text as it is."""
    texts = _as_stated(values, batch)
    return [v if isinstance(v, str) else text for v, text in zip(values, texts, strict=True)]


def _as_stated(values: Sequence[Any], batch: Batch) -> list[str | None]:
    """Values as JSON text, without the nulls that a typed file fills in."""
    return as_json([stated(value) for value in values] if batch.table is not None else values)


def _row_fact(column: pl.Series, file: SourceFile) -> pl.Series:
    if column.dtype not in (pl.String, pl.Null):
        raise CurateError(
            f"{file.shown}: the column {column.name} does not hold text",
            f"Read it as text: `types: {{{column.name}: string}}`; or say `{column.name}:` on the "
            f"source, and the column stays as original_{column.name}.",
        )
    return column.cast(pl.String)


def _name_for(name: str, file: SourceFile) -> str:
    """The name that a column of the file gets in the table.

    None that parquet cuts off (at a null byte), or that polars takes for a pattern.
    """
    pattern = name == "*" or (name.startswith("^") and name.endswith("$"))
    if not name or name.startswith("@") or "\x00" in name or pattern:
        shown = name.replace("\x00", "\\x00")
        raise CurateError(
            f"{file.shown}: a column cannot be named '{shown}'", "Rename it in the file."
        )
    return f"original_{name}" if name in FRAMEWORK else name
