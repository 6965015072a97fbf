"""How many rows of each ability a growth table takes: whole numbers, no rows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from curate.api import PolicyError
from curate_sources.growth.paces import Pace


@dataclass(frozen=True)
class Filling:
    """What a table takes.

    Args:
        taken: Ability > rows, in the order of the table.
        level: Rows up to which every responsive ability was filled; None: without a size, all.
        spare: The abilities that got one row more.
    """

    taken: Mapping[str, int]
    level: int | None = None
    spare: frozenset[str] = frozenset()


def capped(pace: Pace, rows: int, token: int) -> int:
    """The most that one ability gives of its rows: min(n, token), min(n, N), or all n."""
    if pace.pace == "responsive":
        return rows
    return min(rows, token if pace.at is None else pace.at)


def reach(paces: Sequence[Pace], available: Mapping[str, int], token: int) -> int:
    """The most rows that a table can give."""
    return sum(capped(pace, available[pace.ability], token) for pace in paces)


def fill(
    paces: Sequence[Pace], available: Mapping[str, int], token: int, size: int | None
) -> Filling:
    """Share a size out over abilities.

    A token ability gives min(n, token), a saturating one min(n, N). What is left of the size goes
    evenly to the responsive ones: each gives min(n, L), with the largest L for which the sum fits,
    and the rows that are then left go one each, in the order of the table, to abilities that have
    more than L. Without a size responsive abilities give all.

    Args:
        paces: The table, in its order.
        available: Ability > its rows, n.
        token: Rows of a token ability.
        size: Rows in all; None: what the table gives.

    Raises:
        PolicyError: The table gives fewer rows than the size, or more where nothing is responsive,
            or the rows that do not depend on the size exceed it.
    """
    taken = {pace.ability: capped(pace, available[pace.ability], token) for pace in paces}
    if size is None:
        return Filling(taken)
    check_reach(paces, available, token, size)
    responsive = [pace.ability for pace in paces if pace.pace == "responsive"]
    left = size - sum(rows for ability, rows in taken.items() if ability not in responsive)
    if left < 0 or (left and not responsive):
        gives = f"gives {size - left:,} rows"
        raise PolicyError(
            f"`size` is {size:,}, and the growth table {gives}, "
            + ("responsive abilities left out" if responsive else "nothing in it being responsive")
            + f": {_listed(paces, available, taken, responsive)}.",
            f"Ask for a size of {'at least ' if responsive else ''}{size - left:,}, "
            "or lower what the table takes.",
        )
    level, spare = _even({ability: available[ability] for ability in responsive}, left)
    for ability in responsive:
        taken[ability] = min(available[ability], level) + (ability in spare)
    return Filling(taken, level if responsive else None, spare)


def check_reach(
    paces: Sequence[Pace], available: Mapping[str, int], token: int, size: int | None
) -> None:
    """Refuse a size above what the table can give.

    Fewer rows never give more, so what is refused here is refused for every part of them too.

    Raises:
        PolicyError: The size cannot be reached.
    """
    most = reach(paces, available, token)
    if size is not None and most < size:
        taken = {pace.ability: capped(pace, available[pace.ability], token) for pace in paces}
        raise PolicyError(
            f"`size` is {size:,}, and the growth table gives {most:,} rows at most: "
            f"{_listed(paces, available, taken)}.",
            f"Ask for a size of at most {most:,}, or add rows of abilities that can grow.",
        )


def _even(available: Mapping[str, int], left: int) -> tuple[int, frozenset[str]]:
    """The level of an even fill, and who gets a spare row; the sum of `available` is enough."""
    levels = range(max(available.values(), default=0) + 1)
    rows = available.values()
    level = bisect_right(levels, left, key=lambda at: sum(min(n, at) for n in rows)) - 1
    spare = left - sum(min(n, level) for n in rows)
    return level, frozenset([name for name, n in available.items() if n > level][:spare])


def _listed(
    paces: Sequence[Pace],
    available: Mapping[str, int],
    taken: Mapping[str, int],
    without: Sequence[str] = (),
) -> str:
    return ", ".join(
        f"{pace.ability} {taken[pace.ability]:,} ({pace}, of {available[pace.ability]:,})"
        for pace in paces
        if pace.ability not in without
    )
