"""pydantic's findings in plain words, at the nearest place that exists in the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from curate.errors import nearest

Path = tuple[str | int, ...]

_EXPECTED = {
    "string_type": "text",
    "string_sub_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "decimal_type": "a number",
    "is_instance_of": "a number",  # of Decimal, the only class that recipes and stages use so
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "must be at least"),
    "greater_than": ("gt", "must be more than"),
    "less_than_equal": ("le", "must be at most"),
    "less_than": ("lt", "must be less than"),
}


@dataclass(frozen=True)
class Finding:
    """Something wrong at a path of the data; `key`: with the key rather than the value."""

    path: Path
    message: str
    remedy: str = ""
    key: bool = False


def explain(error: ValidationError, model: type[BaseModel], shown: Any) -> list[Finding]:
    """Say what is wrong.

    Args:
        error: Raised by `model`.
        model: Its fields are the valid names.
        shown: The data, with text from the environment as the recipe writes it.
    """
    found: dict[Path, list[Mapping[str, Any]]] = {}
    for details in error.errors(include_url=False):
        found.setdefault(_existing(shown, details["loc"]), []).append(dict(details))
    unknown = [path for path, items in found.items() if items[0]["type"] == "extra_forbidden"]
    findings = []
    for path, items in found.items():
        branches = [item for item in items if _is_branch(item, path)]
        others = [item for item in items if item not in branches]
        deeper = any(other[: len(path)] == path and len(other) > len(path) for other in found)
        if branches and not others and not deeper:  # otherwise one alternative says more
            words = dict.fromkeys(_EXPECTED[item["type"]] for item in branches)
            findings.append(_expected(path, " or ".join(words), shown))
        for item in others:
            findings += _explain(item, path, model, shown, unknown)
    return findings


def _is_branch(item: Mapping[str, Any], path: Path) -> bool:
    """Whether an alternative of a union, whose location ends in its name, has the wrong type."""
    return len(item["loc"]) > len(path) and item["type"] in _EXPECTED


def _explain(
    item: Mapping[str, Any], path: Path, model: type[BaseModel], shown: Any, unknown: list[Path]
) -> Iterator[Finding]:
    kind, loc, context = item["type"], item["loc"], item.get("ctx", {})
    if kind == "missing":
        typos = [str(at[-1]) for at in unknown if at[:-1] == path]
        if not any(get_close_matches(typo, [str(loc[-1])], cutoff=0.6) for typo in typos):
            yield Finding(path, f"'{loc[-1]}' is missing")
    elif kind == "extra_forbidden":
        yield unknown_key(path, fields_of(_at(model, path[:-1])))
    elif kind in ("value_error", "assertion_error"):
        message, _, remedy = str(context.get("error", item["msg"])).partition("\n")
        yield Finding(path, message, remedy, key=loc[-1:] == ("[key]",))
    elif kind == "literal_error":
        choices = _choices(_at(model, path))
        message = (
            f"expected {context['expected'].replace(chr(39), '')}, got {say(_get(shown, path))}"
        )
        yield Finding(path, message, nearest(str(_get(shown, path)), choices) if choices else "")
    elif kind in _EXPECTED:
        yield _expected(path, _EXPECTED[kind], shown)
    elif kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        value = _get(shown, path)
        percent = context[name] == 1 and isinstance(value, int | float) and 2 <= value <= 100
        remedy = f"{value} % is {value / 100:g}." if percent else ""
        yield Finding(path, f"{words} {context[name]}, got {say(value)}", remedy)
    elif kind == "too_short":
        holds = context["actual_length"] or "none"
        yield Finding(path, f"must hold at least {context['min_length']}, and holds {holds}")
    elif kind == "string_too_short":
        yield Finding(path, "must not be empty")
    else:
        message = item["msg"].removeprefix("Input ")
        yield Finding(path, f"{message[0].lower()}{message[1:]}, got {say(_get(shown, path))}")


def _expected(path: Path, words: str, shown: Any) -> Finding:
    return Finding(path, f"expected {words}, got {say(_get(shown, path))}")


def unknown_key(path: Path, known: Sequence[str]) -> Finding:
    """The finding that a key is not known."""
    remedy = nearest(str(path[-1]), known)
    if known and not remedy:
        remedy = f"Known: {', '.join(sorted(known))}."
    return Finding(path, f"unknown key '{path[-1]}'", remedy, key=True)


def say(value: Any) -> str:
    """A value in a message."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _get(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data


def _existing(data: Any, loc: Path) -> Path:
    """The part of a pydantic location that is a path in the data; names of types are left out."""
    path: list[str | int] = []
    for part in loc:
        below = (isinstance(data, Mapping) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and part < len(data)
        )
        if below:
            data = data[part]
            path.append(part)
    return tuple(path)


def fields_of(kind: Any) -> list[str]:
    """The keys of the model that a type is or holds, as a recipe writes them."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [field.alias or name for name, field in kind.model_fields.items()]
    return [name for part in _parts(kind) for name in fields_of(part)]


def _parts(kind: Any) -> tuple[Any, ...]:
    """The alternatives of a union and the type inside Annotated."""
    if get_origin(kind) is Annotated:
        return (get_args(kind)[0],)
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else ()


def _choices(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [str(choice) for choice in get_args(kind)]
    return [choice for part in _parts(kind) for choice in _choices(part)]


def _at(kind: Any, path: Path) -> Any:
    """The type at a path below a type, or None."""
    if not path:
        return kind
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            if path[0] in (name, field.alias):
                return _at(field.annotation, path[1:])
        return None
    if get_origin(kind) in (dict, list):
        return _at(get_args(kind)[-1], path[1:])
    return next((found for part in _parts(kind) if (found := _at(part, path)) is not None), None)
