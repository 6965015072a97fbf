"""The parts of a policy, as a recipe writes them: bounds, values, size, licences, limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from curate.api import Params, Reads
from curate_sources.amounts import read_amount, read_bounds


def _bounds(value: object) -> str:
    return read_bounds(value).text


def _amount(value: object) -> str:
    text = str(value).strip()
    if text.startswith((">", "<")):
        plain = text.lstrip("<>= ")
        raise ValueError(f"`min` and `max` say which way it goes: write '{plain}', not '{text}'")
    read_amount(value)
    return text


def _plain(value: object) -> object:
    """A column's value as text: booleans and whole numbers too."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


def _values(value: object) -> object:
    return [_plain(each) for each in value] if isinstance(value, list) else [_plain(value)]


def _set(values: list[str]) -> list[str]:
    """In one order, each once: in which they are written must change no name and no tie."""
    return sorted(set(values))


_NUMBER_TOO = WithJsonSchema({"type": ["string", "number"]})
BoundsText = Annotated[str, BeforeValidator(_bounds), _NUMBER_TOO]
"""`>= 0.6`, `15%..25%`, `<= 64 rows`, `0.6`, `all`; see `curate_sources.amounts`."""
AmountText = Annotated[str, BeforeValidator(_amount), _NUMBER_TOO]
"""A share or a number of rows."""
Values = Annotated[
    list[str],
    Field(min_length=1),
    BeforeValidator(_values),
    AfterValidator(_set),
    WithJsonSchema({"type": ["string", "array", "number", "boolean"]}),
]
"""A value, or several any of which will do."""


def _or_number(schema: dict[str, Any]) -> None:
    """Say in a JSON Schema that a plain number stands for the mapping."""
    mapping = dict(schema)
    schema.clear()
    schema["anyOf"] = [{"type": ["integer", "string"], "description": "Exactly so many."}, mapping]


class Size(Params):
    """How many rows are taken: the most from `min` to `max` that the policy allows."""

    model_config = ConfigDict(json_schema_extra=_or_number)

    min: Annotated[int, Field(ge=1)] = 1
    max: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _exactly(cls, value: object) -> object:
        if isinstance(value, Mapping | Size):
            return value
        rows = re.fullmatch(r"([1-9][0-9]*)( rows?)?", str(value))
        if rows is None:
            raise ValueError(
                f"'{value}' is no size; write a number of rows (5000), {{max: 5000}} or "
                "{min: 5000}"
            )
        return {"min": int(rows[1]), "max": int(rows[1])}

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max is not None and self.min > self.max:
            raise ValueError(f"`min` {self.min} is above `max` {self.max}")
        return self

    @property
    def text(self) -> str:
        """As a recipe could write it."""
        if self.min == self.max:
            return f"{self.min} rows"
        low = f"at least {self.min} rows" if self.min > 1 else ""
        high = f"at most {self.max} rows" if self.max is not None else ""
        return ", ".join(each for each in (low, high) if each) or "as many as can be"


class Licenses(Params):
    """Which licences rows may have."""

    deny: Annotated[
        list[str],
        Field(
            description="Licences that no row may have; `*` stands for any characters, capital "
            "letters make no difference.",
            default_factory=list,
        ),
    ]
    unknown: Annotated[
        Literal["error", "keep", "drop"],
        Field(description="What a row is whose licence nobody stated."),
    ] = "error"


class Limit(Params):
    """Bounds on the rows that have certain values."""

    where: Annotated[
        dict[str, Values],
        Reads("plain", nulls=True),
        Field(description="Column > value (or list of values); all must hold."),
    ] = Field(default_factory=dict)
    per: Annotated[
        str | None,
        Reads("plain", nulls=True),
        Field(description="Column for each value of which the limit holds by itself."),
    ] = None
    min: Annotated[AmountText | None, Field(description="At least so much.")] = None
    max: Annotated[AmountText | None, Field(description="At most so much.")] = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a limit has `min`, `max` or both")
        if not self.where and self.per is None:
            raise ValueError("a limit names rows by `where`, `per` or both; `size` is about all")
        low, high = (None if v is None else read_amount(v) for v in (self.min, self.max))
        if low and high and low.unit == high.unit and low.value > high.value:
            raise ValueError(f"`min` {self.min} is above `max` {self.max}")
        return self

    @property
    def name(self) -> str:
        """Its place in the policy, by what it is about."""
        said = [f"{column}={'|'.join(self.where[column])}" for column in sorted(self.where)]
        return ",".join([*said, *([f"per {self.per}"] if self.per else [])])


class Relax(Params):
    """What may be missed where a policy cannot be met."""

    relax: Annotated[
        list[str],
        Field(
            min_length=1,
            description="Clauses, or parts of the policy, in the order in which they give way: "
            "size, licenses, shares, shares.origin, shares.origin.human, limits...",
        ),
    ]
