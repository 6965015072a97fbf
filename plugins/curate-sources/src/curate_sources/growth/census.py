"""How many rows a pool has of each ability, and whether a growth table goes with that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.api import PolicyError, nearest
from curate_sources.growth.paces import Pace
from curate_sources.naming import named

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Census:
    """The rows of a pool by ability.

    Args:
        available: Ability of the table > its rows, in the order of the table.
        others: Any other ability > its rows, in the order of their names.
    """

    available: Mapping[str, int]
    others: Mapping[str, int]


def count(rows: pl.DataFrame, column: str, paces: Sequence[Pace]) -> Census:
    """Count rows by the ability in a column; rows without one have `unknown`."""
    counted = rows.select(named(column).alias("ability")).group_by("ability").len()
    counts: dict[str, int] = dict(counted.sort("ability").iter_rows())
    available = {pace.ability: counts.pop(pace.ability, 0) for pace in paces}
    return Census(available, counts)


def split(paces: Sequence[Pace], census: Census) -> tuple[list[Pace], list[str]]:
    """The part of a table that there are rows for, and the abilities that there are none of."""
    there = [pace for pace in paces if census.available[pace.ability]]
    return there, [ability for ability, rows in census.available.items() if not rows]


def refuse_others(census: Census) -> None:
    """Refuse rows whose ability is not in the table.

    Raises:
        PolicyError: There are some.
    """
    if not census.others:
        return
    listed = ", ".join(f"{name} ({rows:,})" for name, rows in census.others.items())
    near = dict.fromkeys(nearest(name, list(census.available)) for name in census.others)
    remedies = [*filter(None, near), "Add them to it, or say `others: drop`."]
    raise PolicyError(
        f"{sum(census.others.values()):,} rows have abilities that are not in the growth table: "
        f"{listed}.",
        " ".join(remedies),
    )


def refuse_empty(census: Census, column: str, paces: Sequence[Pace]) -> None:
    """Refuse an ability of the table that no row has: most likely it is called otherwise.

    Raises:
        PolicyError: There is one.
    """
    for pace in paces:
        if not census.available[pace.ability]:
            near = nearest(pace.ability, list(census.others))
            raise PolicyError(
                f"The growth table says '{pace.ability}: {pace}', and no row has this in "
                f"'{column}'.",
                f"{near} Leave it out of the table, or give it rows.".strip(),
            )
