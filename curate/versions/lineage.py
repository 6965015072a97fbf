"""Parents and children within a version: who made a row, and which rows it stands for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import polars as pl

from curate.examples.ids import child_id
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
        born = version.ledger.filter(pl.col("parents").list.len() > 0)
        self.parents: dict[str, tuple[str, ...]] = {
            id: tuple(parents) for id, parents in born.select("id", "parents").iter_rows()
        }
        self.children: dict[str, list[str]] = {}
        for id, parents in self.parents.items():
            for parent in parents:
                self.children.setdefault(parent, []).append(id)
        self._makers: dict[str, str | None] = {}

    @cached_property
    def merged(self) -> dict[str, str]:
        """Row that was replaced > the stage that did it."""
        rows = self.version.ledger.filter(fate=MERGED)
        return dict(rows.select("id", "stage").iter_rows())

    @cached_property
    def _expanding(self) -> list[str]:
        stages = self.version.manifest["stages"]
        return [stage["id"] for stage in stages if stage["verb"] == "expand" and stage["created"]]

    def makers(self, ids: Iterable[str]) -> dict[str, str | None]:
        """The stage that made each row.

        The ledger does not hold it, but an id is a hash over the stage's, so it can be tried.

        Returns:
            None for rows of the sources (those of another version may have parents there), and
            where it cannot be told: several stages made rows, and the row is not published.
        """
        wanted = [id for id in dict.fromkeys(ids) if id not in self._makers]
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
        return {id: self._makers[id] for id in ids}

    def _tried(self, id: str, messages: Sequence[Message] | None) -> str | None:
        parents = self.parents[id]
        siblings = sum(self.parents[each] == parents for each in self.children[parents[0]])
        for stage in self._expanding:
            for round in range(_ROUNDS):
                for occurrence in range(siblings):
                    if child_id(parents, stage, round, occurrence, messages) == id:
                        return stage
        return None

    def stands_for(self, id: str) -> frozenset[str]:
        """The rows that were replaced, step by step, by this one; itself where it replaced none."""
        parents = [p for p in self.parents.get(id, ()) if p in self.merged]
        if not parents:
            return frozenset([id])
        maker = self.makers([id])[id]
        replaced = [p for p in parents if maker is None or self.merged[p] == maker]
        if not replaced:
            return frozenset([id])
        return frozenset[str]().union(*(self.stands_for(parent) for parent in replaced))
