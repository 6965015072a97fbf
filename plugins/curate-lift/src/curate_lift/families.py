"""Families of examples: rows joined by `parents`, and which of them are the best of their lines.

Imported when a stage works.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from curate.api import CurateError

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Kinship:
    """Who descends from whom, rows by their places.

    Args:
        parents: For each row those of its parents that are here.
        children: For each row its children.
        order: All rows, parents before children.
        family: int64 [rows], the number of its family.
        child: Whether it has parents, here or not.
        orphans: Rows of which a parent is not here.
    """

    parents: Sequence[Sequence[int]]
    children: Sequence[Sequence[int]]
    order: Sequence[int]
    family: Places
    child: Sequence[bool]
    orphans: int


def kinship(ids: Sequence[str], parents: Sequence[Sequence[str] | None]) -> Kinship:
    """Find the families: rows joined by a parent, one that is not here included.

    Args:
        ids: Of the rows, each once.
        parents: For each row the ids of its parents.

    Raises:
        CurateError: A row descends from itself.
    """
    at = {id: place for place, id in enumerate(ids)}
    named = [dict.fromkeys(each or ()) for each in parents]
    here = [[at[id] for id in each if id in at] for each in named]
    children: list[list[int]] = [[] for _ in ids]
    for place, each in enumerate(here):
        for parent in each:
            children[parent].append(place)
    try:
        order = [*TopologicalSorter(dict(enumerate(here))).static_order()]
    except CycleError as error:
        loop = " > ".join(ids[place] for place in error.args[1])
        raise CurateError(
            f"Rows descend from themselves: {loop}.",
            "Repair the `parents` of the source.",
        ) from None
    orphans = sum(len(each) < len(names) for each, names in zip(here, named, strict=True))
    return Kinship(
        here, children, order, _families(at, named), [bool(each) for each in named], orphans
    )


def _families(at: dict[str, int], named: Sequence[dict[str, None]]) -> Places:
    nodes = dict(at)
    pairs = [
        (place, nodes.setdefault(id, len(nodes))) for place, each in enumerate(named) for id in each
    ]
    left, right = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(left)), (left, right)), shape=(len(nodes), len(nodes)))
    found: Places = connected_components(graph, directed=False)[1][: len(at)]
    return found


@dataclass(frozen=True)
class Choice:
    """Which rows stay.

    Args:
        survivor: For each row the one that stays for it: itself, if it stays.
        beaten: Places of rows that were ahead of all their forebears, and gave way to a descendant.
        margin: The smallest difference of two numbers that decided something; None where none did.
    """

    survivor: Sequence[int]
    beaten: frozenset[int]
    margin: float | None


def everyone(kin: Kinship) -> Choice:
    """Every row stays."""
    return Choice(range(len(kin.child)), frozenset(), None)


def best(kin: Kinship, values: Sequence[float], ids: Sequence[str]) -> Choice:
    """Of each family the row with the highest value, the smaller id among equals."""
    apart: list[float] = []
    winner: dict[int, int] = {}
    for place in sorted(range(len(ids)), key=lambda p: (-values[p], ids[p])):
        family = int(kin.family[place])
        if family not in winner:
            winner[family] = place
        else:
            apart.append(values[winner[family]] - values[place])
    survivor = [winner[int(family)] for family in kin.family]
    return Choice(survivor, frozenset(), min(apart, default=None))


def ahead(kin: Kinship, values: Sequence[float], ids: Sequence[str]) -> Choice:
    """The last row of each line that is better than all before it.

    A row is *ahead* if its value is above that of every forebear here (one without forebears is).
    A row that is ahead stays unless a descendant of it is ahead; for that one, the best such
    descendant that stays is its survivor. The survivor of a row that is not ahead is that of its
    best forebear. Among equals the smaller id is the best.
    """
    apart: list[float] = []

    def choose(places: Sequence[int], of: Callable[[int], int]) -> int:
        """The best of what these rows lead to."""
        ranked = sorted({of(place) for place in places}, key=lambda p: (-values[p], ids[p]))
        apart.extend(values[one] - values[ranked[0]] for one in ranked[1:2])
        return ranked[0]

    # of each row the best of it and its forebears that is ahead; itself, if it is
    top = [*range(len(ids))]
    for place in kin.order:
        if kin.parents[place]:
            highest = choose(kin.parents[place], top.__getitem__)
            apart.append(values[place] - values[highest])
            if values[place] <= values[highest]:
                top[place] = highest
    # of each row the best of it and its descendants that stays, if there is one
    last: dict[int, int] = {}
    beaten = set()
    for place in reversed(kin.order):
        below = [child for child in kin.children[place] if child in last]
        if below:
            last[place] = choose(below, last.__getitem__)
            if top[place] == place:
                beaten.add(place)
        elif top[place] == place:
            last[place] = place
    survivor = [last[each] for each in top]
    return Choice(survivor, frozenset(beaten), min(map(abs, apart), default=None))


def counts(kin: Kinship, choice: Choice) -> dict[str, Any]:
    """How many families of several rows there are, and who stays.

    Returns:
        `families`, the rows of the `largest`, `originals` and `children` with how many of them were
        `kept`, and `orphans`: rows of which a parent is not here.
    """
    sizes = np.bincount(kin.family)
    child = np.array(kin.child, dtype=np.bool_)
    stays = np.array(choice.survivor, dtype=np.int64) == np.arange(len(child))
    return {
        "families": int((sizes > 1).sum()),
        "largest": int(sizes.max(initial=0)),
        "originals": {"rows": int((~child).sum()), "kept": int((stays & ~child).sum())},
        "children": {"rows": int(child.sum()), "kept": int((stays & child).sum())},
        "orphans": kin.orphans,
    }
