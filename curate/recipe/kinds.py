"""Types in conditions, checked without data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from typing import Literal as OneOf

from curate.recipe.terms import Call, Column, Literal, Term, WhereError

if TYPE_CHECKING:
    from curate.contract.columns import Kind

Type = OneOf["text", "number", "boolean", "vector", "nested"]

_TYPES: dict[Kind, Type] = {
    "string": "text",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "vector": "vector",
    "nested": "nested",
}
_SIGNATURES: dict[str, tuple[Type, Type]] = {
    **dict.fromkeys(("and", "or", "not"), ("boolean", "boolean")),
    **dict.fromkeys(("+", "-", "*", "/", "%", "neg", "abs", "round"), ("number", "number")),
    **dict.fromkeys(("lower", "upper", "trim"), ("text", "text")),
    **dict.fromkeys(("like", "ilike", "starts_with", "ends_with", "contains"), ("text", "boolean")),
    "length": ("text", "number"),
}
"""Operation > the type of its arguments, and of its result; the others take equal types."""


def check(root: Term, kinds: Mapping[str, Kind]) -> list[WhereError]:
    """Find what cannot be computed.

    Args:
        root: A condition.
        kinds: Columns by name; one that is not there may be of any kind.
    """
    errors: list[WhereError] = []
    result = _type(root, kinds, errors)
    if result not in (None, "boolean"):
        message = f"this gives {_words(result)}, not a condition"
        errors.append(WhereError(message, root.offset, "Compare it with something."))
    return errors


def _type(term: Term, kinds: Mapping[str, Kind], errors: list[WhereError]) -> Type | None:
    if isinstance(term, Column):
        return _TYPES[kinds[term.name]] if term.name in kinds else None
    if not isinstance(term, Call):
        value = term.value
        return (
            "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
        )
    types = [_type(arg, kinds, errors) for arg in term.args]
    if term.name == "is null":
        return "boolean"
    if term.name in _SIGNATURES:
        wanted, result = _SIGNATURES[term.name]
        for arg, found in zip(term.args, types, strict=True):
            if found not in (None, wanted):
                message = f"{term.name.upper()} needs {_words(wanted)}, but {_describe(arg, found)}"
                errors.append(WhereError(message, arg.offset, _remedy(wanted, arg)))
        return result
    return _equal(term, types, errors)


def _equal(term: Call, types: Sequence[Type | None], errors: list[WhereError]) -> Type | None:
    """Of comparisons, IN and COALESCE: all arguments have one type."""
    common = next((found for found in types if found is not None), None)
    first = types.index(common) if common else 0
    for arg, found in zip(term.args, types, strict=True):
        if found in ("vector", "nested"):
            message = f"{_describe(arg, found)} and cannot be compared"
            errors.append(WhereError(message, arg.offset, "It can only be tested with IS NULL."))
            break
        if found not in (None, common):
            message = f"{_describe(term.args[first], common)}, but {_describe(arg, found)}"
            errors.append(WhereError(message, arg.offset, _remedy(common, arg)))
            break
        if found == "boolean" and term.name in ("<", "<=", ">", ">="):
            errors.append(WhereError(f"{_describe(arg, found)} and has no order", arg.offset))
            break
    return common if term.name == "coalesce" else "boolean"


def _words(found: Type | None) -> str:
    article = {"text": "", "boolean": "", "nested": "", None: ""}
    names = {"boolean": "true or false", "nested": "nested values"}
    return f"{article.get(found, 'a ')}{names.get(found or '', found)}"


def _describe(term: Term, found: Type | None) -> str:
    if isinstance(term, Column):
        return f"column '{term.name}' is {_words(found)}"
    if isinstance(term, Call):
        return f"{term.name.upper()} gives {_words(found)}"
    return f"{term.value!r} is {_words(found)}"


def _remedy(wanted: Type | None, term: Term) -> str:
    if isinstance(term, Literal) and wanted == "number":
        return "Numbers stand without quotes."
    if isinstance(term, Literal) and wanted == "text":
        return "Text stands in single quotes."
    return "Compare it with something." if wanted == "boolean" else ""
