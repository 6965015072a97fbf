"""Parents and children within a version: who made a row, and which rows it stands for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property

import polars as pl

from curate.examples import child_id, parents_of
from curate.ledger import MERGED
from curate.versions.open import Version
from curate.versions.rows import Message, messages_of

_ROUNDS = 32
"""Rounds of a stage that are tried when it is asked who made a row."""


class Lineage:
    """The family tree of a version's rows, from its ledger.

    Attributes:
        parents: Child > its parents; rows without any are not in it.
        children: Parent > its children, in the order of the ledger.
        version: The version.
    """

    def __init__(self, version: Version) -> None:
        """Read the ledger's `parents`."""
        self.version = version
        self.parents = parents_of(version.ledger)
        self.children: dict[str, list[str]] = {}
        for id, parents in self.parents.items():
            for parent in parents:
                self.children.setdefault(parent, []).append(id)
        self._makers: dict[str, str | None] = {}

    @cached_property
    def made(self) -> frozenset[str]:
        """The rows that stages of this version made: they share the place of their root's.

        Rows of a source that is a version may have parents too, and are not among them.
        """
        place = pl.struct("source", "file", "line")
        return frozenset(self.version.ledger.filter(~place.is_first_distinct())["id"])

    @cached_property
    def merged(self) -> dict[str, str]:
        """Row that was replaced > the stage that did it."""
        rows = self.version.ledger.filter(fate=MERGED)
        return dict(rows.select("id", "stage").iter_rows())

    @cached_property
    def _siblings(self) -> Counter[tuple[str, ...]]:
        return Counter(self.parents.values())

    @cached_property
    def _expanding(self) -> list[str]:
        stages = self.version.manifest["stages"]
        return [stage["id"] for stage in stages if stage["verb"] == "expand" and stage["created"]]

    def makers(self, ids: Iterable[str]) -> dict[str, str | None]:
        """The stage that made each row.

        The ledger does not hold it, but an id is a hash over the stage's, so it can be tried.

        Returns:
            None for rows of the sources (those of another version may have parents there), and
            for one of `made` where it cannot be told: several stages made rows, and the row is not
            published.
        """
        asked = list(dict.fromkeys(ids))
        wanted = [id for id in asked if id not in self._makers]
        if len(self.parents) == self.version.manifest["books"]["created"] and (
            len(self._expanding) == 1
        ):
            for id in wanted:
                self._makers[id] = self._expanding[0] if id in self.parents else None
        else:
            born = [id for id in wanted if id in self.parents]
            texts = messages_of(self.version, born)
            for id in wanted:
                self._makers[id] = self._tried(id, texts.get(id)) if id in self.parents else None
        return {id: self._makers[id] for id in asked}

    def _tried(self, id: str, messages: Sequence[Message] | None) -> str | None:
        parents = self.parents[id]
        siblings = self._siblings[parents]
        for round in range(_ROUNDS):  # most are made in the first, whichever stage made them
            for stage in self._expanding:
                for occurrence in range(siblings):
                    if child_id(parents, stage, round, occurrence, messages) == id:
                        return stage
        return None

    def stands_for(self, id: str) -> frozenset[str]:
        """The rows that were replaced, step by step, by this one; itself where it replaced none."""
        replaced = [p for p in self.parents.get(id, ()) if self._replaced_by(p, id)]
        if not replaced:
            return frozenset([id])
        if len(replaced) == 1:
            return self.stands_for(replaced[0])
        return frozenset[str]().union(*map(self.stands_for, replaced))

    def replacements(self, id: str) -> list[str]:
        """The rows that took the place of a row that was replaced."""
        return [child for child in self.children.get(id, ()) if self._replaced_by(id, child)]

    def _replaced_by(self, parent: str, child: str) -> bool:
        """Whether a child took its parent's place: it was made by the stage that took that away."""
        if parent not in self.merged:
            return False
        if len(self.children[parent]) == 1:
            return True
        maker = self.makers([child])[child]
        return maker is None or maker == self.merged[parent]

    def standing(self, ids: Iterable[str]) -> dict[str, list[str]]:
        """Rows that were replaced, each with those of `ids` that stand for it, in their order."""
        found: dict[str, list[str]] = {}
        if not self.merged:
            return found
        later = []
        for id in ids:
            parents = self.parents.get(id, ())
            if len(parents) == 1 and self._plainly_replaced(parents[0]):
                found.setdefault(parents[0], []).append(id)
            elif any(parent in self.merged for parent in parents):
                later.append(id)
        self.makers(later)  # at once, rather than one by one
        for id in later:
            for root in sorted(self.stands_for(id) - {id}):
                found.setdefault(root, []).append(id)
        return found

    def _plainly_replaced(self, id: str) -> bool:
        """Whether a row of the sources was replaced by its only child."""
        return id in self.merged and len(self.children[id]) == 1 and id not in self.parents
