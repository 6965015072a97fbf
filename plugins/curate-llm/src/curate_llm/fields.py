"""What a model is to answer with: named fields, each of a type, as a form that is checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    create_model,
    model_validator,
)

from curate.api import Kind, Output, Params

FieldType = Literal["number", "integer", "text", "boolean", "label"]

_KINDS: Mapping[str, Kind] = {
    "number": "number",
    "integer": "integer",
    "text": "string",
    "boolean": "boolean",
    "label": "string",
}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_TAKEN = ("id", "error")
"""Names that results carry besides fields."""
_LARGEST = 2**63 - 1
"""Columns of whole numbers hold 64 bits: what does not fit is no answer, rather than a crash."""


def _or_short(schema: dict[str, Any]) -> None:
    """Say in a JSON Schema that a type alone, or a list of labels, stands for the mapping."""
    mapping = dict(schema)
    schema.clear()
    types = ["number", "integer", "text", "boolean"]
    labels = {"type": "array", "items": {"type": "string"}, "description": "The labels."}
    schema["anyOf"] = [{"enum": types, "description": "The type."}, labels, mapping]


class FieldParams(Params):
    """One field of an answer.

    In a recipe its type is enough, or for a label the list of its options.
    """

    model_config = ConfigDict(json_schema_extra=_or_short)

    type: Annotated[FieldType, Field(description="label: one of `options`.")]
    minimum: Annotated[float | None, Field(description="Of a number or a whole number.")] = None
    maximum: Annotated[float | None, Field(description="Of a number or a whole number.")] = None
    options: Annotated[list[str], Field(description="Of a label.")] = Field(default_factory=list)
    optional: Annotated[
        bool, Field(description="Of a text: it may be missing, and is then empty.")
    ] = False

    @model_validator(mode="before")
    @classmethod
    def _from_short(cls, value: object) -> object:
        if isinstance(value, str):
            return {"type": value}
        return {"type": "label", "options": value} if isinstance(value, list) else value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        bounds = (self.minimum, self.maximum)
        if bounds != (None, None) and self.type not in ("number", "integer"):
            raise ValueError(f"`minimum` and `maximum` are for numbers, not for a {self.type}")
        if None not in bounds and self.minimum > self.maximum:  # type: ignore[operator]  # neither is None
            raise ValueError("`minimum` is above `maximum`")
        if self.type == "label" and len(set(self.options)) < max(2, len(self.options)):
            raise ValueError("a label needs two `options` or more, all different")
        if self.type != "label" and self.options:
            raise ValueError(f"`options` are for a label, not for a {self.type}")
        if self.optional and self.type != "text":
            raise ValueError(f"a text alone may be `optional`, not a {self.type}")
        return self

    @property
    def numeric(self) -> bool:
        """Whether it holds numbers."""
        return self.type in ("number", "integer")

    def output(self) -> Output:
        """The column that it becomes."""
        return Output(_KINDS[self.type])

    def said(self) -> str:
        """What the model is told of it."""
        if self.type == "label":
            return "one of " + ", ".join(f'"{option}"' for option in self.options)
        if self.type == "boolean":
            return "true or false"
        if self.type == "text":
            return "text" + (", may be left out" if self.optional else "")
        word = "number" if self.type == "number" else "whole number"
        low, high = (None if b is None else f"{b:.15g}" for b in (self.minimum, self.maximum))
        if low is not None and high is not None:
            return f"{word} from {low} to {high}"
        if low is not None:
            return f"{word}, at least {low}"
        return word if high is None else f"{word}, at most {high}"

    def annotation(self) -> Any:
        """As a type of pydantic."""
        if self.type == "label":
            return Literal[tuple(self.options)]
        if self.type in ("text", "boolean"):
            return str if self.type == "text" else bool
        if self.type == "number":
            return Annotated[float, Field(ge=self.minimum, le=self.maximum, allow_inf_nan=False)]
        low = -_LARGEST if self.minimum is None else max(self.minimum, -_LARGEST)
        high = _LARGEST if self.maximum is None else min(self.maximum, _LARGEST)
        return Annotated[int, Field(ge=low, le=high)]


def _named(fields: dict[str, FieldParams]) -> dict[str, FieldParams]:
    for name in fields:
        if not _NAME.fullmatch(name) or name in _TAKEN:
            raise ValueError(
                f"'{name}' is no name of a field: use letters, digits and _, and neither "
                f"{' nor '.join(_TAKEN)}"
            )
    return fields


Fields = Annotated[dict[str, FieldParams], AfterValidator(_named)]
"""Name > field, in the order in which they are columns."""


def form_of(fields: Mapping[str, FieldParams]) -> type[BaseModel]:
    """The form of an answer: a strict pydantic model, each field under its name as alias.

    Its attributes have names of their own, since a field may be called `json` or `copy`.
    """
    made: dict[str, Any] = {}
    for at, (name, field) in enumerate(fields.items()):
        default = "" if field.optional else ...
        made[f"field_{at}"] = (field.annotation(), Field(default, alias=name))
    form: type[BaseModel] = create_model("Judgement", __config__=ConfigDict(strict=True), **made)
    return form


def values_of(answer: BaseModel) -> dict[str, Any]:
    """An answer's values by the names of its fields."""
    return answer.model_dump(by_alias=True)


def described(fields: Mapping[str, FieldParams]) -> str:
    """The form in words, for a prompt: `{"rating": number from 0 to 5, "reason": text}`."""
    return "{" + ", ".join(f'"{name}": {field.said()}' for name, field in fields.items()) + "}"
