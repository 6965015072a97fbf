"""At which pace abilities grow: the table `ability: token | saturates at N | responsive`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from curate.api import Params

_SATURATES = re.compile(r"saturates at ([1-9][0-9]*)")

GRAMMAR = r"^(token|responsive|saturates at [1-9][0-9]*)$"
"""What may stand behind an ability, for editors."""


class Pace(Params):
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


def read_paces(value: object) -> object:
    """The rows of a table, in its order; what is no mapping is left to the type's own check.

    The order says who gets spare rows. It would not survive in a mapping, whose keys are sorted
    wherever it is hashed.

    Raises:
        ValueError: A row cannot be read.
    """
    if not isinstance(value, Mapping):
        return value
    if not value:
        raise ValueError("the table is empty: write at least one `ability: pace`")
    return [_pace(ability, text) for ability, text in value.items()]


def _pace(ability: object, text: object) -> Pace:
    if not isinstance(ability, str) or not ability.strip():
        raise ValueError(f"'{ability}' cannot name an ability: write its text, in quotes")
    if text == "token":
        return Pace(ability=ability, pace="token")
    if text == "responsive":
        return Pace(ability=ability, pace="responsive")
    if isinstance(text, str) and (found := _SATURATES.fullmatch(text)):
        return Pace(ability=ability, pace="saturates", at=int(found[1]))
    digits = re.sub(r"\D", "", str(text)).lstrip("0")
    number = digits if isinstance(text, int | str) and digits else "N"
    raise ValueError(
        f"'{ability}: {text}' is no pace; write token, saturates at {number} or responsive"
    )
