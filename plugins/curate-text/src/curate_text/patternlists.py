"""Lists of patterns: those of the plugin by name, a user's own by path or in the recipe."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import SchemaError, SchemaValidator, core_schema

from curate.api import CurateError

ListName = Literal["refusal", "leftover", "broken"]
LISTS: tuple[ListName, ...] = get_args(ListName)
FOLDER = Path(__file__).parent / "patterns"

PatternName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]

_LOOKS = re.compile(
    r"\\(?P<back>[1-9])|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<group>\(\?(?:<?[=!]|>|P=))"
)
_NUMBER = re.compile(r"([0-9]+): ")
_INDENT = 4


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
    """A pattern and where it stands, such as `own.yaml:3` or `patterns`."""

    pattern: Pattern
    place: str

    @property
    def said(self) -> str:
        """The two in a message."""
        return f"{self.place}: the pattern '{self.pattern.name}'"


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
        loader = yaml.SafeLoader(Path(path).read_text("utf-8"))
        node = loader.get_single_node()
        found = loader.construct_document(node) if node else None
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
    return [
        Placed(pattern, place or f"{path}:{entry.start_mark.line + 1}")
        for pattern, entry in zip(patterns, node.value if node else (), strict=True)
    ]


_FORM = (
    "A list of patterns is a YAML list of `name` and `pattern`, where wanted with `reason` and the"
    " test rows `for` and `against`."
)


def inline(patterns: Mapping[str, str]) -> list[Placed]:
    """Patterns that stand in the recipe, name > pattern."""
    return [Placed(Pattern(name=name, pattern=at), "patterns") for name, at in patterns.items()]


def searched(pattern: str) -> SchemaValidator:
    """What searches for a pattern: pydantic, whose engine is that of polars.

    So a check imports no more than it has.

    Raises:
        CurateError: It is no regular expression, is too large, or looks around itself or back at
            what a group held, which takes more than linear time.
    """
    for found in _LOOKS.finditer(pattern):
        if found["back"] or found["group"]:
            raise CurateError(
                f"looks around or back with `{found[0]}`; patterns are searched for in linear time,"
                " which cannot do that",
                "Write two patterns, and combine their columns with `core.where`.",
            )
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern))
    except SchemaError as error:
        raise CurateError(
            "is no regular expression that can be searched for in linear time:"
            f" {_fault(str(error))}",
            "The syntax is that of Rust's regex: https://docs.rs/regex/latest/regex/#syntax",
        ) from None


def tried(placed: Placed) -> str:
    """The pattern: it can be searched for, and finds what its own test rows say.

    Raises:
        CurateError: As `searched`; or its test rows contradict it.
    """
    pattern = placed.pattern
    try:
        search = searched(pattern.pattern)
    except CurateError as error:
        raise CurateError(f"{placed.said} {error.message}", error.remedy) from None
    for word, row, wanted in (("for", pattern.holds, True), ("against", pattern.spares, False)):
        if row is not None and search.isinstance_python(row) != wanted:
            verb = "does not find" if wanted else "finds"
            raise CurateError(
                f"{placed.said} {verb} its row `{word}`: {row!r}", "Mend the pattern or the row."
            )
    return pattern.pattern


def _fault(report: str) -> str:
    """What is wrong with a pattern, and where: the engine draws the pattern, and carets below."""
    *drawn, said = report.strip().splitlines()
    fault = said.rpartition("Error: ")[2].removeprefix("error: ").rstrip(".")
    for above, line in pairwise(drawn):
        if set(line) == {" ", "^"}:
            number = _NUMBER.match(above)  # of several lines each has one, a single one an indent
            place = f", line {number[1]}" if number else ""
            before = number.end() if number else _INDENT
            return f"{fault}{place}, character {line.index('^') - before + 1}"
    return fault


@cache
def fingerprints() -> Mapping[str, str]:
    """Hex sha256 of each list that comes with the plugin, by name."""
    return {
        name: hashlib.sha256((FOLDER / f"{name}.yaml").read_bytes()).hexdigest() for name in LISTS
    }
