"""What a condition becomes: a tree of columns, literals and operations; or an error."""

from __future__ import annotations

from dataclasses import dataclass


class WhereError(ValueError):
    """What is wrong with a condition.

    Attributes:
        message: In one sentence.
        offset: 0-based position in the condition.
        remedy: What to do about it.
    """

    def __init__(self, message: str, offset: int = 0, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.remedy = remedy


@dataclass(frozen=True)
class Column:
    """A column by name; `quoted` if it stood in double quotes."""

    name: str
    quoted: bool
    offset: int


@dataclass(frozen=True)
class Literal:
    """A text, a number or a boolean."""

    value: str | int | float | bool
    offset: int


@dataclass(frozen=True)
class Call:
    """An operation on other terms; its name is the operator or function in lower case."""

    name: str
    args: tuple[Term, ...]
    offset: int


Term = Column | Literal | Call
