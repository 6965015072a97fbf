"""How a selection overlaps with picks that cost nothing, as the manifest records it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Overlap:
    """Rows that a selection shares with picks of equal size from the same rows.

    Attributes:
        size: Rows of the selection, and of each pick.
        pool: Rows that were chosen from.
        longest: Rows that are among the longest, too.
        random: Rows shared with each of the random picks.
        expected: What a random pick shares on average.
    """

    size: int
    pool: int
    longest: int
    random: tuple[int, ...]
    expected: float

    def sentence(self) -> str:
        """In one sentence without a full stop."""
        few, many, average = min(self.random), max(self.random), _rounded(self.expected)
        drawn = f"{few:,}" if few == many else f"{few:,} to {many:,}"
        return (
            f"{self.longest:,} of {self.size:,} rows are also among the {self.size:,} longest of "
            f"{self.pool:,} (a random pick shares {average}; {len(self.random)} drawn "
            f"share {drawn})"
        )


def _rounded(rows: float) -> str:
    """Rows on average, with a decimal where they are few."""
    return f"{rows:,.1f}" if rows < 100 else f"{rows:,.0f}"


_MOST = 0.9
"""Share of the pool from which on a selection is no choice: every pick shares most of it."""


def overlap(manifest: Mapping[str, Any]) -> Overlap | None:
    """The overlaps of a version; None where it does not end in a selection that they bear on.

    They do not where nearly all was kept, and where the selection is a random pick itself.
    """
    found = manifest.get("baselines")  # versions of earlier releases have none
    if not found or found["selection"]["size"] >= _MOST * found["pool"]:
        return None
    if _chooser(manifest) == "core.sample":
        return None
    return Overlap(
        size=found["selection"]["size"],
        pool=found["pool"],
        longest=found["length"]["overlap"],
        random=tuple(pick["overlap"] for pick in found["random"]),
        expected=found["expected"]["rows"],
    )


def _chooser(manifest: Mapping[str, Any]) -> str | None:
    """The name of the stage that made the selection, see `curate.run.baselines`."""
    found, most = None, 1
    for stage in manifest["stages"]:
        if stage["verb"] == "expand":
            found, most = None, 1
        elif stage["verb"] in ("filter", "fuse") and stage["dropped"] >= most:
            found, most = stage["stage"], stage["dropped"]
    return found
