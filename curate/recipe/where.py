"""`where:` and conditions in parameters: SQL over the columns of one row.

Parsed against an allow-list (`sql`), checked without data (`kinds`), computed by polars (`lower`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.recipe.terms import Call, Column, Literal, Term, WhereError

if TYPE_CHECKING:
    import polars as pl

    from curate.contract.columns import Kind

__all__ = ["Where", "WhereError", "parse_where"]

_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
"""Comparisons, and the same with its sides changed."""


@dataclass(frozen=True)
class Where:
    """A condition.

    Attributes:
        text: As the recipe writes it.
        named: The columns that it reads, each where it first stands.
    """

    text: str
    named: tuple[Column, ...]
    _root: Term

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that it reads, without repetition."""
        return tuple(column.name for column in self.named)

    def expr(self) -> pl.Expr:
        """The condition as a boolean expression, null where it is neither true nor false."""
        from curate.recipe.lower import lower

        return lower(self._root)

    def clauses(self) -> tuple[Where, ...]:
        """The conditions that its AND at the top joins, in order; itself where there is none.

        It holds where all of them hold, and is null where one is null and none is false.
        """
        from curate.recipe.sql import clauses, parse

        parts = clauses(self.text)
        return tuple(_where(part, parse(part)) for part in parts) if parts[1:] else (self,)

    def bounds(self) -> list[tuple[str, str, float]]:
        """Comparisons of a column with a number that all must hold: column, sign, number.

        A number that stands first is turned around: `3 <= x` is `x >= 3`.
        """
        found, stack = [], [self._root]
        while stack:
            term = stack.pop()
            if not isinstance(term, Call):
                continue
            if term.name == "and":
                stack += reversed(term.args)
            elif term.name in _TURNED:
                sign, (one, two) = term.name, term.args
                if isinstance(one, Literal):
                    sign, one, two = _TURNED[sign], two, one
                if not isinstance(one, Column) or not isinstance(two, Literal):
                    continue
                if isinstance(two.value, int | float) and not isinstance(two.value, bool):
                    found.append((one.name, sign, float(two.value)))
        return found

    def check_types(self, kinds: Mapping[str, Kind]) -> list[WhereError]:
        """What cannot be computed on columns of these kinds; others may be of any kind."""
        from curate.recipe.kinds import check

        return check(self._root, kinds)


def parse_where(text: str) -> Where:
    """Parse a condition.

    Raises:
        WhereError: It is no SQL condition, holds what is not allowed, or reads no column.
    """
    from curate.recipe.sql import parse

    found = _where(text, parse(text))
    if not found.named:
        raise WhereError("the condition reads no column", 0, "It would hold for all rows or none.")
    return found


def _where(text: str, root: Term) -> Where:
    named: dict[str, Column] = {}
    stack = [root]
    while stack:
        term = stack.pop()
        if isinstance(term, Column):
            named.setdefault(term.name, term)
        elif isinstance(term, Call):
            stack += reversed(term.args)
    return Where(text, tuple(named.values()), root)
