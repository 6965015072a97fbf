"""Where the prompt ends of a preference pair that is two whole texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def common_start(chosen: str, rejected: str) -> int:
    """How many characters the prompt has: what both texts begin with, 0 where that is nothing.

    A space before the place where they part belongs to the answers, as TRL has it.
    """
    end = alike(chosen, rejected)
    parted = end < min(len(chosen), len(rejected))
    return end - 1 if parted and chosen[:end].endswith(" ") else end


def alike(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many of the first items, or characters, two have in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
