"""What a new example owes to the examples it was made from: origin, generator, licence, ability.

Plain Python over single values, so that declaring stages costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate

UNKNOWN = "unknown"
"""The origin of an example, and the part of a licence, of which nobody says anything."""

_AND = " AND "
_TOGETHER = re.compile(r"\s+AND\s+|[,;]", re.IGNORECASE)
_EITHER = re.compile(r"\s+OR\s+", re.IGNORECASE)
_BETWEEN = ", "


def origin_of(said: str | None, parents: Sequence[str | None]) -> str | None:
    """The origin of a child.

    Args:
        said: What the stage says; None: nothing.
        parents: The origins of its parents; None and `unknown` mean the same.

    Returns:
        What the stage says (`unknown` says nothing), but `mixed` where it says `synthetic` and a
        parent is human or mixed: text of a human went in. Where it says nothing, what the parents
        agree on; else `unknown` where one of theirs is not known, `mixed` otherwise.
    """
    found = {origin or UNKNOWN for origin in parents}
    if said == "synthetic" and found & {"human", "mixed"}:
        return "mixed"
    if said not in (None, UNKNOWN):
        return said
    if len(found) == 1:
        return found.pop()
    return UNKNOWN if UNKNOWN in found else "mixed"


def generator_of(said: str | None, parents: Iterable[str | None]) -> str | None:
    """The generator of a child: the stage's, else those of its parents, as far as they are known.

    Returns:
        One name, or several, each once, sorted and joined by commas; None where none is known.
    """
    if said is not None:
        return said
    names = {name for parent in parents if parent for name in parent.split(_BETWEEN)}
    return _BETWEEN.join(sorted(names)) or None


def license_of(said: str | None, parents: Iterable[str | None]) -> str | None:
    """The licence of a child: those of all its parents hold, and what the stage adds.

    Returns:
        One licence; several, each once and sorted, as the SPDX expression `a AND b`, in which
        `unknown` stands for parents whose licence is not known; None where none is.
    """
    given = {*parents} if said is None else {*parents, said}
    if len(given) == 1:
        return given.pop()
    names = sorted({name for license in given for name in licenses_in(license)})
    return names[0] if len(names) == 1 else _AND.join(map(_part, names))


def licenses_in(license: str | None) -> tuple[str, ...]:
    """The licences that hold together for an example: `a AND b` is two.

    A policy about licences asks about each of them: an example under `mit AND cc-by-nc-4.0` may
    be used only as both allow. Licences in a list with commas or semicolons hold together too.

    Returns:
        At least one; `unknown` for null, blanks and that word, in any capitals.
    """
    if license is None:
        return (UNKNOWN,)
    parts = [_bare(part) for part in _split(_bare(license), _TOGETHER)]
    return tuple(dict.fromkeys(_named(part) for part in parts))


def alternatives(license: str) -> tuple[str, ...]:
    """The licences of which one may be chosen: `a OR b` is two.

    Args:
        license: One of those that `licenses_in` gives.
    """
    return tuple(dict.fromkeys(_named(_bare(part)) for part in _split(license, _EITHER)))


def ability_of(said: str | None, parents: Sequence[str | None]) -> str | None:
    """The ability of a child: the stage's, else what its parents agree on, else none."""
    if said is not None:
        return said
    return parents[0] if len(set(parents)) == 1 else None


def _split(license: str, between: re.Pattern[str]) -> list[str]:
    """The parts of an expression between separators that no parenthesis holds."""
    parts, start = [], 0
    for found in between.finditer(license):
        before = license[: found.start()]
        if before.count("(") == before.count(")"):
            parts.append(license[start : found.start()])
            start = found.end()
    return [*parts, license[start:]]


def _named(part: str) -> str:
    """A licence without blanks around it; `unknown` where it says nothing."""
    part = part.strip()
    return part if part and part.casefold() != UNKNOWN else UNKNOWN


def _part(license: str) -> str:
    """A licence as a part of an expression: a choice of several stands in parentheses."""
    return f"({license})" if _EITHER.search(license) else license


def _bare(part: str) -> str:
    """A part without blanks and parentheses around all of it."""
    part = part.strip()
    while part.startswith("(") and part.endswith(")"):
        depths = list(accumulate((char == "(") - (char == ")") for char in part))
        if 0 in depths[:-1]:
            break
        part = part[1:-1].strip()
    return part


RULES: Mapping[str, Callable[[str | None, Sequence[str | None]], str | None]] = {
    "origin": origin_of,
    "generator": generator_of,
    "license": license_of,
    "ability": ability_of,
}
"""Framework column > what a child has there, of what its stage says and its parents have."""
