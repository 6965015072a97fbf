"""Which format the rows of a source have."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from curate.errors import CurateError, nearest
from curate.plugins.registry import get_registry
from curate.sources.formats.base import Format


class FormatError(CurateError):
    """The columns of a file fit no format.

    Attributes:
        suggestion: The likely `columns:` mapping, None if none is.
    """

    def __init__(self, message: str, remedy: str, suggestion: dict[str, str] | None) -> None:
        super().__init__(message, remedy)
        self.suggestion = suggestion


def choose_format(
    where: str, name: str, columns: Collection[str], mapping: Mapping[str, str]
) -> Format:
    """The format that a source names, or with `auto` the only one that its columns fit.

    Args:
        where: The file, for messages.
        name: `auto` or the name of a format.
        columns: The file's columns.
        mapping: Field > column, as the recipe has it.

    Raises:
        FormatError: The columns fit no format.
        CurateError: They fit several, or the mapping names what is not there.
    """
    registry = get_registry()
    formats = [registry.format(name)] if name != "auto" else []
    formats += [each for each in registry.formats().values() if name == "auto" and each.automatic]
    _check_mapping(where, formats, columns, mapping)
    fitting = [known for known in formats if known.matches(columns, mapping)]
    if len(fitting) > 1:
        raise CurateError(
            f"{where}: the columns fit the formats {' and '.join(f.name for f in fitting)}",
            f"Say which on the source: `format: {fitting[0].name}`.",
        )
    if not fitting:
        others = [] if name != "auto" else registry.formats().values()
        asked = [known.name for known in others if known.matches(columns, mapping)]
        raise _no_match(where, columns, formats, asked)
    return fitting[0]


def _suggestion(columns: Collection[str], formats: Sequence[Format]) -> dict[str, str] | None:
    suggestions = (known.suggest(columns) for known in formats)
    return next((found for found in suggestions if found), None)


def _check_mapping(
    where: str, formats: Sequence[Format], columns: Collection[str], mapping: Mapping[str, str]
) -> None:
    fields = list(dict.fromkeys(field for known in formats for field in known.fields))
    for field, column in mapping.items():
        if field not in fields and column in fields and field in columns:
            raise CurateError(
                f"{where}: `columns:` maps '{field}' to '{column}', the wrong way round",
                f"The format's field comes first: `columns: {{{column}: {field}}}`.",
            )
        if field not in fields:
            raise CurateError(
                f"{where}: no format has a field '{field}', which `columns:` maps"
                if len(formats) > 1
                else f"{where}: the format {formats[0].name} has no field '{field}'",
                nearest(field, fields),
            )
        if column not in columns:
            raise CurateError(
                f"{where}: there is no column '{column}', which `columns:` names",
                nearest(column, list(columns)),
            )


def _no_match(
    where: str, columns: Collection[str], formats: Sequence[Format], asked: Sequence[str]
) -> FormatError:
    needs = "; ".join(f"{known.name} needs {' and '.join(known.required)}" for known in formats)
    remedy = f"Formats: {needs}."
    mapping = _suggestion(columns, formats)
    if mapping:
        pairs = ", ".join(f"{field}: {column}" for field, column in mapping.items())
        remedy = f"Perhaps `columns: {{{pairs}}}` on the source. {remedy}"
    for name in asked:  # what `auto` leaves alone
        remedy = f"If that is what they are: `format: {name}`. {remedy}"
    fit = "fit no format" if len(formats) > 1 else f"do not fit the format {formats[0].name}"
    return FormatError(f"{where}: the columns {', '.join(columns)} {fit}", remedy, mapping)
