"""The plugin's own prompts, or a file that a recipe names in the place of one."""

from __future__ import annotations

from functools import cache

from curate.api import Prompt


def source(name: str, override: str | None) -> Prompt:
    """A prompt.

    Args:
        name: Of the plugin's own, such as `general`.
        override: The path of a file in its place.

    Raises:
        CurateError: The file cannot be read.
    """
    return own(name) if override is None else Prompt.of_file(override)


@cache
def own(name: str) -> Prompt:
    """A prompt of the plugin's own."""
    return Prompt.of_package("curate_lift", "prompts", f"{name}.j2")
