"""Which rows are near-duplicates, by exact Jaccard of all pairs: sets; no signatures, no LSH."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence

SLACK = 1e-9
"""Shingles that a prefix is longer by, so that rounding never makes it too short."""


def plain_words(text: str) -> list[str]:
    """Lower case, cut at white space."""
    return text.lower().split()


def shingles_of(words: Sequence[str], size: int) -> frozenset[str]:
    """Runs of `size` words; of a text with fewer words, the whole of it."""
    count = max(len(words) - size + 1, 1)
    return frozenset(" ".join(words[at : at + size]) for at in range(count))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Shared shingles over all shingles of the two."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


class Truth:
    """The near-duplicates among rows, under one way of cutting words.

    Args:
        words: The words of each row.
        size: Words of a shingle.
        threshold: Jaccard from which on two rows are near-duplicates.

    Attributes:
        sets: The shingles of each row.
        leader: For each row the first row of its cluster, clusters being connected components.
        clusters: Leader > the rows of its cluster, itself included.
    """

    def __init__(self, words: Iterable[Sequence[str]], size: int, threshold: float) -> None:
        self.sets = [shingles_of(some, size) for some in words]
        self.threshold = threshold
        self._often = Counter(shingle for row in self.sets for shingle in row)
        self.leader = self._leaders()
        self.clusters: dict[int, list[int]] = {}
        for row, leader in enumerate(self.leader):
            self.clusters.setdefault(leader, []).append(row)
        self._holders: dict[str, list[int]] | None = None

    def nearest(self, row: int, but: Collection[int] = ()) -> float:
        """Jaccard of a row and the row nearest to it, `but` some; 0 where none shares a shingle."""
        if self._holders is None:
            self._holders = defaultdict(list)
            for at, shingles in enumerate(self.sets):
                for shingle in shingles:
                    if self._often[shingle] > 1:
                        self._holders[shingle].append(at)
        near = {at for shingle in self.sets[row] for at in self._holders.get(shingle, ())}
        near -= {row, *but}
        return max((jaccard(self.sets[row], self.sets[at]) for at in near), default=0.0)

    def _leaders(self) -> list[int]:
        """Connected components of the pairs at or above the threshold.

        Two sets with so large a share in common have one of their rarest shingles in common (the
        prefix filter of Bayardo, Ma and Srikant, 2007), so only such pairs are compared.
        """
        leader = list(range(len(self.sets)))

        def lead(at: int) -> int:
            while leader[at] != at:
                leader[at] = at = leader[leader[at]]
            return at

        holders: dict[str, list[int]] = {}
        for row, shingles in enumerate(self.sets):
            rare = sorted(shingles, key=lambda each: (self._often[each], each))
            length = len(rare) - math.ceil(self.threshold * len(rare) - SLACK) + 1
            prefix = [shingle for shingle in rare[:length] if self._often[shingle] > 1]
            for other in {at for shingle in prefix for at in holders.get(shingle, ())}:
                if lead(other) == lead(row):
                    continue
                if jaccard(shingles, self.sets[other]) >= self.threshold:
                    one, two = sorted((lead(other), lead(row)))
                    leader[two] = one
            for shingle in prefix:
                holders.setdefault(shingle, []).append(row)
        return [lead(row) for row in range(len(leader))]
