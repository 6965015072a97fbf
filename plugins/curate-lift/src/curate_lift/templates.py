"""The plugin's own prompts, or a file that a recipe names in the place of one."""

from __future__ import annotations

from functools import cache

from curate.api import Prompt
from curate_llm.judge import JudgeParams


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
    if name == "quality":  # the rubric, which `llm.judge` has as a preset
        return Prompt(name, JudgeParams.presets["lift"].values["prompt"])
    return Prompt.of_package("curate_lift", "prompts", f"{name}.j2")
