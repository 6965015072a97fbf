"""The words of a recipe that several modules need."""

from __future__ import annotations

from typing import Literal

Verb = Literal["expand", "score", "filter", "fuse"]

VERBS: tuple[Verb, ...] = ("expand", "score", "filter", "fuse")

OUTPUT = "output"
"""The id under which splitting stands last among the stages; no stage can have it."""


def default_id(name: str) -> str:
    """The id of a stage that the recipe gives none: its name with underscores."""
    return name.replace(".", "_").replace("-", "_")
