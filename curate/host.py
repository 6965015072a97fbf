"""What core does for the commands of plugins: `click.pass_obj` hands it to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from curate.contract.context import ModelFiles
from curate.contract.stages import Stage

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


class OpenVersion(Protocol):
    """A published version; nothing is read before it is asked for."""

    @property
    def path(self) -> Path:
        """Its folder."""
        ...

    @property
    def name(self) -> str:
        """The dataset."""
        ...

    @property
    def version(self) -> str:
        """Such as `v3`, or `preview`."""
        ...

    @property
    def manifest(self) -> Mapping[str, Any]:
        """Books, stages with their certificates, sources and environment."""
        ...

    @property
    def ledger(self) -> pl.DataFrame:
        """The fate of every example ever seen, one row each."""
        ...

    @property
    def scores(self) -> pl.DataFrame:
        """`id` and the score columns, for rows that were dropped too."""
        ...

    @property
    def dropped(self) -> pl.DataFrame | None:
        """Readable rows that were not kept, whole; None where the recipe leaves them out."""
        ...

    def frame(self) -> pl.DataFrame:
        """The kept rows in their order: the framework's columns, then the original ones."""
        ...


@dataclass(frozen=True)
class RecipeStage:
    """A stage as a recipe has it.

    Args:
        id: Its id, given or by default.
        stage: The instance, its parameters checked.
        where: True for the rows that its `where:` lets it touch, never null; None: it has none.
        where_reads: The columns that `where` reads.
    """

    id: str
    stage: Stage
    where: pl.Expr | None
    where_reads: tuple[str, ...]


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

    def score(
        self,
        stage: str,
        params: Mapping[str, Any],
        pool: Mapping[str, Any],
        *,
        may_fail: int = 0,
        account: Callable[[Mapping[str, Any]], object] | None = None,
    ) -> pl.DataFrame:
        """Score the rows of a file, through the memo.

        Args:
            stage: The name of a score stage.
            params: As under `with:` in a recipe.
            pool: The file as in a source: `path`, and `columns` or `format` where needed.
            may_fail: How many rows may fail.
            account: Told what the stage's services took, by their name, as in a manifest.

        Returns:
            `id`, the stage's outputs by name, and `error`, which only rows that failed have; they
            stand last, without outputs.

        Raises:
            CurateError: The parameters are wrong, or more rows fail than may.
        """
        ...

    def version(self, name: str | Path, out: str | Path = "curated") -> OpenVersion:
        """Open a published version.

        Args:
            name: `NAME@vN`, `NAME` (its latest version), or the path of its folder (a `Path`, or
                text with a slash in it).
            out: Where versions live.

        Raises:
            UsageError: There is no such version.
            CurateError: It is damaged.
        """
        ...

    def stages(
        self, recipe: str | Path, sets: Sequence[str] = (), *, prefix: str
    ) -> tuple[RecipeStage, ...]:
        """The stages of a recipe that one plugin offers, without a look at its data.

        The recipe is read and the parameters of these stages are checked; sources, files, models
        and columns need not be there, nor the plugins of other stages.

        Args:
            recipe: The file.
            sets: Overrides, each `a.b.c=value`.
            prefix: What their names begin with, such as `sources.`.

        Returns:
            The stages in the recipe's order, perhaps none.

        Raises:
            RecipeError: All that is wrong with the recipe and with these stages, with places.
        """
        ...

    def examples(self, table: str | Path | Mapping[str, Any]) -> pl.DataFrame:
        """Read any data set as a table of examples.

        Args:
            table: A path (or glob, or URL), or a mapping as of a source in a recipe: `path` or
                `dataset`, and `columns`, `format` or `origin` where needed.

        Returns:
            The framework's columns, the original ones, and the texts `@instruction`, `@response`
            and `@both`. `source` is the file's own where it has a column of that name.

        Raises:
            CurateError: It cannot be found, or a row cannot be read.
        """
        ...

    def service(self, name: str) -> Any:
        """A service by name, such as `forward`."""
        ...
