"""A stage's parameters: their base, types that many share, and what the marks on them name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from curate.contract.marks import Condition, Prefers, Reads, ReadsText
from curate.prefer import check_terms, columns_of


def exact(value: object) -> object:
    """Numbers as the decimals that they are written as; everything else as it is."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(str(value))
    return value


TextChoice = Annotated[Literal["instruction", "response", "both"], ReadsText()]
Preferences = Annotated[list[str], AfterValidator(check_terms), Prefers()]
"""Which of several rows survives, first term first: see `curate.prefer`."""
Share = Annotated[
    Decimal,
    BeforeValidator(exact),
    Field(ge=0, le=1),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1}),
]
"""A fraction as an exact decimal, between 0 and 1."""


@dataclass(frozen=True)
class Preset:
    """Values of several parameters under one name.

    Args:
        values: Parameter > value, as a recipe would write it.
        source: Where they come from.
    """

    values: Mapping[str, Any]
    source: str


class Params(BaseModel):
    """Base of every stage's parameters: unknown keys and wrong types are errors.

    Class attributes:
        presets: What the parameter `preset` may name, where there is one. A preset fills in the
            parameters that are not written, and is then forgotten: keys hold the values.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    presets: ClassVar[Mapping[str, Preset]] = {}

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: object) -> object:
        if not cls.presets or not isinstance(given, Mapping):
            return given
        named = given.get("preset")
        preset = cls.presets.get(named) if isinstance(named, str) else None
        if preset is None:
            return given
        return {**preset.values, **{name: given[name] for name in given if name != "preset"}}


def _or_path(schema: dict[str, Any]) -> None:
    """Say in a JSON Schema that a plain path stands for the mapping."""
    mapping = dict(schema)
    schema.clear()
    schema["anyOf"] = [{"type": "string", "description": "The path alone."}, mapping]


class Reference(Params):
    """A table a stage compares with: locked, but not counted in the books.

    In a recipe a plain path is enough; a mapping gives the rest.
    """

    model_config = ConfigDict(json_schema_extra=_or_path)

    path: str
    format: str = "auto"
    columns: dict[str, str] = Field(default_factory=dict)
    types: dict[str, Literal["string", "json"]] = Field(default_factory=dict)
    sample: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, value: object) -> object:
        return {"path": value} if isinstance(value, str) else value


class Artifact(Params):
    """A file that an earlier fit was written to; keys hold the hash of its content.

    In a recipe its path is enough. The stage reads it in `fit`, which gets no rows for it.
    """

    model_config = ConfigDict(json_schema_extra=_or_path)

    path: str

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, value: object) -> object:
        return {"path": value} if isinstance(value, str) else value


@dataclass(frozen=True)
class Given:
    """A parameter with its value, at any depth.

    Args:
        path: Its place in the stage's parameters, such as `("rules", 0, "where")`.
        value: What the recipe gives, or the default.
        marks: What the parameter means.
    """

    path: tuple[str | int, ...]
    value: Any
    marks: Sequence[Any]

    @property
    def name(self) -> str:
        """Its place with dots."""
        return ".".join(map(str, self.path))

    def mark(self, kind: type[Any]) -> Any | None:
        """The marker of class `kind`, or None."""
        return next((mark for mark in self.marks if isinstance(mark, kind)), None)

    def columns(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """The columns that a value marked `Reads` names, each with its place inside the value."""
        if isinstance(self.value, str):
            yield (), self.value
        elif isinstance(self.value, Mapping):
            yield from (((name,), name) for name in self.value)
        else:
            yield from (((at,), name) for at, name in enumerate(self.value))


def given(params: Params, path: tuple[str | int, ...] = ()) -> Iterator[Given]:
    """All parameters in the order of the fields, each before those inside it."""
    for name, field_ in type(params).model_fields.items():
        value, at = getattr(params, name), (*path, name)
        yield Given(at, value, field_.metadata)
        inside = enumerate(value) if isinstance(value, list) else [(None, value)]
        for place, one in inside:
            if isinstance(one, Params):
                yield from given(one, at if place is None else (*at, place))


def named_columns(params: Params) -> Iterator[str]:
    """The columns that the markers of a Params instance name, in the order of its fields."""
    for each in given(params):
        value = each.value
        if value is None:
            continue
        if each.mark(ReadsText):
            yield f"@{value}"
        elif each.mark(Reads):
            yield from (name for _, name in each.columns())
        elif each.mark(Prefers):
            yield from columns_of(value)
        elif each.mark(Condition):
            yield f"@{each.name}"
