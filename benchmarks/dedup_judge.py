"""Why two tools removed different rows: each row is explained by exact Jaccard, or is a fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from enum import StrEnum

from dedup_truth import Truth

FLOOR = 0.2
"""Signatures err, but not so far: 14 bands of 9 join one pair in 140,000 that is this near."""


class Cause(StrEnum):
    """Why one tool keeps a row and another drops it."""

    COPY = "another exact copy of it stays"
    SURVIVOR = "another row of its cluster stays"
    PEER_MISSED = "peer missed a pair at or above the threshold"
    OURS_MISSED = "curate missed a pair at or above the threshold"
    PEER_BELOW = "peer dropped it for a pair below the threshold"
    WORDS = "peer cuts words otherwise"
    UNEXPLAINED = "unexplained"


@dataclass
class Verdict:
    """What was found out about a peer.

    Args:
        causes: Rows on which the two disagree, by cause.
        unexplained: Those without an explanation.
        below: Of rows dropped for a pair below the threshold, the Jaccard of their nearest row.
    """

    causes: Counter[Cause] = field(default_factory=Counter)
    unexplained: list[int] = field(default_factory=list)
    below: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Errors:
    """How far a tool is from the truth.

    Args:
        missed: Rows kept beside another row of their cluster.
        wrong: Clusters, single rows for the most part, of which nothing was kept.
    """

    missed: int
    wrong: int


def errors(truth: Truth, kept: Set[int]) -> Errors:
    """Compare what a tool kept with the clusters, of which each should keep one row."""
    left = [sum(row in kept for row in rows) for rows in truth.clusters.values()]
    return Errors(sum(count - 1 for count in left if count > 1), left.count(0))


def judge(
    truth: Truth, texts: Sequence[str], ours: Set[int], theirs: Set[int], cut: Truth | None = None
) -> Verdict:
    """Explain every row that one keeps and the other drops.

    Within a cluster a row that only one keeps answers a row that only the other keeps: they chose
    different survivors. What remains are rows that one should have joined with the cluster and did
    not, or, where nothing of a cluster is left, a row dropped for one outside it.

    Args:
        truth: Clusters under the words that curate compares.
        texts: The text of each row.
        ours: Rows that curate keeps.
        theirs: Rows that the peer keeps.
        cut: Clusters under the words that the peer compares, where these are others.
    """
    found = Verdict()
    for rows in truth.clusters.values():
        _judge_cluster(found, rows, texts, ours, theirs, truth, cut)
    return found


def _judge_cluster(
    found: Verdict,
    rows: Sequence[int],
    texts: Sequence[str],
    ours: Set[int],
    theirs: Set[int],
    truth: Truth,
    cut: Truth | None,
) -> None:
    more = [row for row in rows if row in ours and row not in theirs]
    less = [row for row in rows if row in theirs and row not in ours]
    for row in list(more):
        twin = next((other for other in less if texts[other] == texts[row]), None)
        if twin is not None:
            more.remove(row)
            less.remove(twin)
            found.causes[Cause.COPY] += 2
    swapped = min(len(more), len(less))
    found.causes[Cause.SURVIVOR] += 2 * swapped
    more, less = more[swapped:], less[swapped:]
    if not any(row in ours for row in rows) and less:
        # curate compares what it joins, so that it never leaves nothing of a cluster
        found.causes[Cause.UNEXPLAINED] += len(less)
        found.unexplained += less
        return
    stay = [row for row in rows if row in theirs]
    for row in less:
        joined = cut is None or any(
            other != row and cut.leader[other] == cut.leader[row] for other in stay
        )
        found.causes[Cause.PEER_MISSED if joined else Cause.WORDS] += 1
    if not stay and more:
        _judge_dropped(found, more.pop(), rows, truth, cut)
    found.causes[Cause.OURS_MISSED] += len(more)


def _judge_dropped(
    found: Verdict, row: int, rows: Sequence[int], truth: Truth, cut: Truth | None
) -> None:
    """Explain why a peer left nothing of a cluster, here `rows`, of which curate keeps `row`."""
    seen = cut or truth
    leaders = {seen.leader[each] for each in rows}
    if sum(len(seen.clusters[leader]) for leader in leaders) > len(rows):
        found.causes[Cause.WORDS] += 1
        return
    outside = max(seen.nearest(each, rows) for each in rows)
    if outside >= FLOOR:
        found.causes[Cause.PEER_BELOW] += 1
        found.below.append(outside)
    else:
        found.causes[Cause.UNEXPLAINED] += 1
        found.unexplained.append(row)
