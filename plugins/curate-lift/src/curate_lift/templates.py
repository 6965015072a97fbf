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
    return _own(name) if override is None else Prompt.of_file(override)


@cache
def _own(name: str) -> Prompt:
    return Prompt.of_package("curate_lift", "prompts", f"{name}.j2")
