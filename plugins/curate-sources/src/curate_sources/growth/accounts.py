"""What certificate, manifest and screen say of a filling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from curate.api import Clause
from curate_sources.growth.filling import Filling, reach
from curate_sources.growth.paces import Pace
from curate_sources.growth.saturation import Fit


def certificate(
    paces: Sequence[Pace],
    available: Mapping[str, int],
    filling: Filling,
    token: int,
    size: int | None,
) -> tuple[Clause, ...]:
    """A clause for each ability, and one for the size.

    A clause is slack where the ability has fewer rows than its pace would take; the size is relaxed
    where a preview cannot fill it.
    """
    total = sum(filling.taken.values())
    clauses = []
    for pace in paces:
        rows, there = filling.taken[pace.ability], available[pace.ability]
        asked, bound = _asked(pace, there, filling, token)
        state: Literal["binding", "slack"] = "binding" if rows == bound else "slack"
        name = f"growth.{pace.ability}"
        clauses.append(Clause(name, asked, rows, total, state, bound - rows, there))
    if size is not None:
        most = reach(paces, available, token)
        met: Literal["binding", "relaxed"] = "binding" if total == size else "relaxed"
        clauses.append(Clause("size", f"{size:,}", total, total, met, total - size, most))
    return tuple(clauses)


def _asked(pace: Pace, there: int, filling: Filling, token: int) -> tuple[str, int]:
    """What an ability was asked for, in words and rows."""
    if pace.pace == "token":
        return f"token {token}", token
    if pace.at is not None:
        return str(pace), pace.at
    if filling.level is None:
        return "all", there
    if pace.ability in filling.spare:
        return f"even, {filling.level:,} and a spare row", filling.level + 1
    return f"even, {filling.level:,}", filling.level


def facts(
    paces: Sequence[Pace],
    available: Mapping[str, int],
    others: Mapping[str, int],
    filling: Filling,
    fits: Mapping[str, Fit],
) -> dict[str, Any]:
    """For the manifest, JSON values."""
    abilities = {
        pace.ability: {
            "pace": str(pace),
            "available": available[pace.ability],
            "taken": filling.taken[pace.ability],
        }
        for pace in paces
    }
    found: dict[str, Any] = {"abilities": abilities, "level": filling.level}
    if others:
        found["others"] = dict(others)
    if fits:
        found["fits"] = {ability: fit.facts() for ability, fit in fits.items()}
    return found


def notes(
    filling: Filling, fits: Mapping[str, Fit], absent: Sequence[str], size: int | None
) -> tuple[str, ...]:
    """For the stage's line.

    Args:
        filling: What is taken.
        fits: Ability > fit, where the table follows from curves.
        absent: Abilities that a preview passed over.
        size: That the recipe asks for.
    """
    said = [f"{len(filling.taken)} abilities"]
    if filling.level is not None:
        said.append(f"responsive ones filled to {filling.level:,}")
    if absent:
        said.append(f"no rows of {', '.join(absent)} in this preview")
    total = sum(filling.taken.values())
    if size is not None and total < size:
        said.append(f"{total:,} of {size:,} rows in this preview")
    poor = [ability for ability, fit in fits.items() if fit.poorly]
    if poor:
        said.append(f"curves that the law fits poorly: {', '.join(poor)}")
    return tuple(said)
