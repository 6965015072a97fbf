"""In which shape a row came, found in the row itself: that which reads as its conversation."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from curate.plugins.registry import get_registry
from curate.sources.formats.base import Format, RowError, stated
from curate.sources.formats.preference_keys import KEYS
from curate.sources.formats.tools import parsed


def column_of(field: str, mapping: Mapping[str, str]) -> str:
    """The column of a table that holds a format's field as the file had it.

    Args:
        field: The field.
        mapping: Field > column of the file, where their names differ.
    """
    column = mapping.get(field, field)
    return "original_messages" if column == "messages" else column


def fields_of(
    row: Mapping[str, Any], shape: Format, mapping: Mapping[str, str]
) -> dict[str, Any] | None:
    """The fields of a shape that a row of a table came with.

    They are taken only where they read as the conversation of the row: what a stage has
    rewritten since does not go out as it came in.

    Args:
        row: Of a table of examples.
        shape: The format.
        mapping: Field > column of the file, where their names differ.

    Returns:
        Field > value, nulls left out; None where the row did not come in this shape.
    """
    fields = {field: row.get(column_of(field, mapping)) for field in shape.fields}
    if "messages" in fields and fields["messages"] is None:
        fields["messages"] = row["messages"]
    fields = {field: value for field, value in fields.items() if value is not None}
    if not fields.keys() >= set(shape.required):
        return None
    fields = {field: stated(value) for field, value in fields.items()}
    for said in (fields, {field: _plain(value) for field, value in fields.items()}):
        try:
            if shape.holds(said, row["messages"]):
                return said
        except RowError:
            continue
    return None


def shapes_of(
    row: Mapping[str, Any], shapes: Iterable[tuple[Format, Mapping[str, str]]]
) -> Iterator[tuple[Format, dict[str, Any]]]:
    """The shapes that a row came in, each with the row's fields.

    Args:
        row: Of a table of examples.
        shapes: Formats, each with its mapping, as in `fields_of`.
    """
    for shape, mapping in shapes:
        fields = fields_of(row, shape, mapping)
        if fields is not None:
            yield shape, fields


def _plain(value: Any) -> Any:
    """A list that is kept as JSON text; anything else as it is."""
    found = parsed(value) if isinstance(value, str) else None
    return found if isinstance(found, list) else value


class AnyShape(Format):
    """Rows of a published version: each came in a shape of its own."""

    name = "version"
    required = ()


def every_shape() -> list[tuple[Format, Mapping[str, str]]]:
    """All formats that load, none with a mapping."""
    return [(shape, {}) for shape in get_registry().formats().values()]


def columns_of(shape: Format, mapping: Mapping[str, str]) -> list[str]:
    """The columns in which the rows of a source may have come."""
    shapes = every_shape() if isinstance(shape, AnyShape) else [(shape, mapping)]
    names = [column_of(field, renamed) for form, renamed in shapes for field in form.fields]
    paired = any(form.paired for form, _ in shapes)
    return list(dict.fromkeys([*names, *([KEYS] if paired else [])]))


def telling(
    shape: Format, mapping: Mapping[str, str], columns: Collection[str]
) -> list[tuple[Format, Mapping[str, str]]]:
    """The shapes of a source's rows that `BY_FORMAT` is made from, by the columns of their table.

    Args:
        shape: The format of the source.
        mapping: As in `fields_of`.
        columns: Those that the table has.
    """
    shapes = every_shape() if isinstance(shape, AnyShape) else [(shape, mapping)]
    return [
        (form, renamed)
        for form, renamed in shapes
        if (form.paired or form.plain) and form.matches(columns, renamed)
    ]


def told(
    row: Mapping[str, Any], shapes: Iterable[tuple[Format, Mapping[str, str]]]
) -> tuple[list[dict[str, str]] | None, str | None]:
    """What `BY_FORMAT` holds for a row: the turns of its rejected answer, and its seam.

    Args:
        row: As in `rewritten`.
        shapes: As `telling` gives them.
    """
    rejected, seam = None, None
    for form, fields in shapes_of(row, shapes):
        whole = form.whole(fields)
        if whole.plain and seam is None:
            seam = "common" if whole.implicit else "texts"
        if whole.rejected is not None and rejected is None:
            rejected = [
                {"role": turn["role"], "content": turn["content"] or ""} for turn in whole.rejected
            ]
            if whole.plain and whole.implicit:
                # an answer that was rewritten may part from the other one further on; the row's
                # prompt is where it was
                text = whole.turns[0]["content"] + rejected[0]["content"]
                rejected[0]["content"] = text.removeprefix(row["messages"][0]["content"])
    return rejected, seam


def rewritten(
    row: Mapping[str, Any],
    shape: Format,
    mapping: Mapping[str, str],
    messages: Sequence[Mapping[str, Any]],
    *,
    in_place: bool,
    rejected: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The columns of a row that is made from another one, in the shape that the other came in.

    Args:
        row: The other one: `messages` and the columns that `columns_of` names.
        shape: The format of its source.
        mapping: As in `fields_of`.
        messages: The new conversation, which has to stand in `messages` itself.
        in_place: Whether it takes the place of the other one.
        rejected: The new rejected answer of a row that does.

    Returns:
        Column > value; columns of other shapes are not among them.
    """
    found: list[tuple[Format, Mapping[str, str], dict[str, Any]]]
    if isinstance(shape, AnyShape):
        found = [(form, {}, fields) for form, fields in shapes_of(row, every_shape())]
    else:
        found = [(shape, mapping, fields_of(row, shape, mapping) or {})]
    columns = {
        column_of(field, renamed): value
        for form, renamed, fields in found
        for field, value in (
            form.rewrite_in_place(fields, messages, rejected)
            if in_place
            else form.rewrite(fields, messages)
        ).items()
    }
    if "original_messages" in columns:
        columns["original_messages"] = None  # `messages` says all that there is to say
    if any(form.paired for form, _, _ in found):
        columns[KEYS] = None  # the new turns are role and content
    return columns
