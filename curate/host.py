"""What core does for the commands of plugins: `click.pass_obj` hands it to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from curate.contract import ModelFiles, Stage

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Apart:
    """A stage fitted outside of a recipe.

    Args:
        stage: The stage, with everything automatic resolved.
        models: Files of the models that its parameters name.
        arrays: Fitted arrays by part and name.
        ids: For each part the ids of the rows that it was fitted on.
        counts: What the fit counted; nothing where it was remembered.
    """

    stage: Stage
    models: Mapping[str, ModelFiles]
    arrays: Mapping[str, Mapping[str, NDArray[Any]]]
    ids: Mapping[str, tuple[str, ...]]
    counts: Mapping[str, int]


class Host(Protocol):
    """Core, as a command of a plugin sees it."""

    def fit(self, stage: str, params: Mapping[str, Any], *, seed: int) -> Apart:
        """Fit a score stage on its reference tables, through the memo.

        Args:
            stage: Its name.
            params: As under `with:` in a recipe.
            seed: The recipe's seed.

        Raises:
            CurateError: The parameters are wrong, or the fit fails.
        """
        ...

    def score(self, stage: str, params: Mapping[str, Any], pool: Mapping[str, Any]) -> pl.DataFrame:
        """Score the rows of a file, through the memo.

        Args:
            stage: The name of a score stage.
            params: As under `with:` in a recipe.
            pool: The file as in a source: `path`, and `columns` or `format` where needed.

        Returns:
            `id` and the stage's outputs by name.

        Raises:
            CurateError: The parameters are wrong, or a row fails.
        """
        ...

    def service(self, name: str) -> Any:
        """A service by name, such as `forward`."""
        ...
