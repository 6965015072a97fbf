"""Lists of patterns: those of the plugin by name, a user's own by path or in the recipe."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from curate.api import CurateError

ListName = Literal["refusal", "leftover", "broken"]
LISTS: tuple[ListName, ...] = get_args(ListName)
FOLDER = Path(__file__).parent / "patterns"

PatternName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]

_LOOKS = re.compile(
    r"\\(?P<back>[1-9])|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<group>\(\?(?:<?[=!]|>|P=))"
)


class Pattern(BaseModel):
    """A pattern of a list.

    Attributes:
        name: Unique in its list.
        pattern: A regular expression of Rust's `regex`, searched for anywhere in a text.
        reason: What a text that holds it has.
        holds: A text that the pattern must be found in; `for` in the file.
        spares: One that it must not be found in; `against` in the file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    name: PatternName
    pattern: Annotated[str, Field(min_length=1)]
    reason: str | None = None
    holds: Annotated[str | None, Field(alias="for")] = None
    spares: Annotated[str | None, Field(alias="against")] = None


@dataclass(frozen=True)
class Placed:
    """A pattern and where it stands, such as `own.yaml` or `patterns`."""

    pattern: Pattern
    place: str


def shipped(name: ListName) -> list[Placed]:
    """The patterns of a list that comes with the plugin."""
    return read(FOLDER / f"{name}.yaml", name)


def read(path: str | Path, place: str | None = None) -> list[Placed]:
    """The patterns of a file.

    Raises:
        CurateError: It cannot be read, is no list of patterns, or names one twice.
    """
    import yaml

    try:
        found = yaml.safe_load(Path(path).read_text("utf-8"))
        patterns = TypeAdapter(list[Pattern]).validate_python(found)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CurateError(f"{path} cannot be read as a list of patterns: {error}", _FORM) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        at = f", entry {where}" if where else ""
        raise CurateError(f"{path}{at}: {first['msg']}", _FORM) from None
    names = [pattern.name for pattern in patterns]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice or not names:
        says = f"names the pattern '{twice}' twice" if twice else "holds no pattern"
        raise CurateError(f"{path} {says}", _FORM)
    return [Placed(pattern, place or str(path)) for pattern in patterns]


_FORM = (
    "A list of patterns is a YAML list of `name` and `pattern`, where wanted with `reason` and the"
    " test rows `for` and `against`."
)


def inline(patterns: Mapping[str, str]) -> list[Placed]:
    """Patterns that stand in the recipe, name > pattern."""
    return [Placed(Pattern(name=name, pattern=at), "patterns") for name, at in patterns.items()]


def refuse_looking(placed: Placed) -> None:
    """Refuse what cannot be searched for in linear time.

    Raises:
        CurateError: The pattern looks around itself, or back at what a group held.
    """
    for found in _LOOKS.finditer(placed.pattern.pattern):
        if found["back"] or found["group"]:
            raise CurateError(
                f"{placed.place}: the pattern '{placed.pattern.name}' looks around or back with"
                f" `{found[0]}`; patterns are searched for in linear time, which cannot do that",
                "Write two patterns, and combine their columns with `core.where`.",
            )


def compiled(placed: Placed) -> str:
    """The pattern, tried: it can be searched for, and finds what its own test rows say.

    Raises:
        CurateError: It is no regular expression, is too large, or its test rows contradict it.
    """
    import polars as pl

    pattern = placed.pattern
    rows = pl.Series([pattern.holds or "", pattern.spares or ""], dtype=pl.String)
    try:
        holds, spares = rows.str.contains(pattern.pattern)
    except pl.exceptions.ComputeError as error:
        raise CurateError(
            f"{placed.place}: the pattern '{pattern.name}' is no regular expression that can be"
            f" searched for in linear time: {error}",
            "The syntax is that of Rust's regex: https://docs.rs/regex/latest/regex/#syntax",
        ) from None
    for word, row, right in (
        ("for", pattern.holds, holds),
        ("against", pattern.spares, not spares),
    ):
        if row is not None and not right:
            verb = "does not find" if word == "for" else "finds"
            raise CurateError(
                f"{placed.place}: the pattern '{pattern.name}' {verb} its row `{word}`: {row!r}",
                "Mend the pattern or the row.",
            )
    return pattern.pattern


@cache
def fingerprints() -> Mapping[str, str]:
    """Hex sha256 of each list that comes with the plugin, by name."""
    return {
        name: hashlib.sha256((FOLDER / f"{name}.yaml").read_bytes()).hexdigest() for name in LISTS
    }
