"""At which pace abilities grow: the table `ability: token | saturates at N | responsive`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic_core import core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

_SATURATES = re.compile(r"saturates at ([1-9][0-9]*)")
_GRAMMAR = r"^(token|responsive|saturates at [1-9][0-9]*)$"


@dataclass(frozen=True)
class Pace:
    """How one ability grows.

    Args:
        ability: Its name, as in the column.
        pace: `token`: a few rows, for more would not help; `saturates`: up to `at` rows;
            `responsive`: all that there is, or an even part of what is left of the size.
        at: Rows at which it saturates.
    """

    ability: str
    pace: Literal["token", "saturates", "responsive"]
    at: int | None = None

    def __str__(self) -> str:
        return self.pace if self.at is None else f"saturates at {self.at}"


class GrowthTable(tuple[tuple[str, str], ...]):
    """A growth table in its order: ability and pace, as written.

    The order says who gets spare rows. It would not survive in a mapping, whose keys are sorted
    wherever it is hashed.
    """

    __slots__ = ()

    @property
    def paces(self) -> tuple[Pace, ...]:
        """Its rows."""
        return tuple(read_pace(ability, text) for ability, text in self)

    @classmethod
    def __get_pydantic_core_schema__(
        cls,
        source: Any,
        handler: GetCoreSchemaHandler,
    ) -> core_schema.CoreSchema:
        """A mapping whose rows are checked one by one, so that a mistake is named at its place."""
        table = core_schema.dict_schema(
            core_schema.str_schema(strict=True, min_length=1),
            core_schema.no_info_plain_validator_function(_checked),
            min_length=1,
        )
        return core_schema.no_info_after_validator_function(
            lambda rows: cls(rows.items()),
            table,
            serialization=core_schema.plain_serializer_function_ser_schema(dict),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls,
        schema: core_schema.CoreSchema,
        handler: GetJsonSchemaHandler,
    ) -> JsonSchemaValue:
        """What editors may know of it."""
        row = {"type": "string", "pattern": _GRAMMAR}
        return {"type": "object", "additionalProperties": row, "minProperties": 1}


def _checked(text: object) -> object:
    read_pace("", text)
    return text


def read_pace(ability: str, text: object) -> Pace:
    """Read one row of a table.

    Raises:
        ValueError: It is no pace.
    """
    if text == "token":
        return Pace(ability, "token")
    if text == "responsive":
        return Pace(ability, "responsive")
    if isinstance(text, str) and (found := _SATURATES.fullmatch(text)):
        return Pace(ability, "saturates", int(found[1]))
    plain = text if isinstance(text, str | int) and not isinstance(text, bool) else None
    number = re.sub(r"\D", "", str(plain)).lstrip("0") or "N"
    said = "a mapping" if isinstance(text, Mapping) else f"'{text}'"
    raise ValueError(f"{said} is no pace; write token, saturates at {number} or responsive")
