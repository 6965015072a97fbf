"""What a stage is given beside its rows: files of models, fits, services."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ModelFiles:
    """A model found on this machine.

    Args:
        name: As the recipe writes it.
        path: Folder with configuration, weights and tokenizer.
        commit: Commit on the Hub, where it came from there.
        digest: Hex sha256 over names and contents of its files.
    """

    name: str
    path: Path
    commit: str | None
    digest: str


def _uncounted(name: str, times: int) -> None:
    """Counts nothing: for contexts made outside of a run."""


@dataclass(frozen=True)
class Context:
    """What a stage may know beyond its rows.

    Args:
        seed: The recipe's seed.
        models: Files of each parameter marked `ModelName`, by parameter name.
        fits: Fitted arrays by part and name.
        wanted: The outputs that are to be computed now; a score stage may compute only these.
        service: Finds a service by name, such as `service("forward")`; where a parameter of the
            stage is marked `Served`, the one that was made for this stage and run.
        count: Adds to a number of the stage in the manifest, such as `count("pass.rows", 64)`.
        preview: Only the first rows of each source are there: numbers of rows that a recipe asks
            for are taken for the most, and the stage says what is missed.
    """

    seed: int
    models: Mapping[str, ModelFiles]
    fits: Mapping[str, Mapping[str, NDArray[Any]]]
    wanted: tuple[str, ...]
    service: Callable[[str], Any]
    count: Callable[[str, int], None] = _uncounted
    preview: bool = False
