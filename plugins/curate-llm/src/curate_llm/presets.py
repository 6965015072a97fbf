"""Presets: files in the folder `data` beside this module, each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

import yaml

from curate.api import Preset


def presets(*names: str) -> Mapping[str, Preset]:
    """Read presets: YAML with `source`, and under `with` parameters as a recipe writes them."""
    found = {}
    for name in names:
        text = files("curate_llm").joinpath("data", f"{name}.yaml").read_text("utf-8")
        data = yaml.safe_load(text)
        found[name] = Preset(data["with"], data["source"])
    return found
