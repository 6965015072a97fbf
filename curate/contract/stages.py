"""The four verbs: what a stage declares, and what it does.

A stage is a class with a `Params` model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from curate.contract.context import Context, ModelFiles
from curate.contract.parameters import Artifact, Params, Reference, named_columns
from curate.contract.results import Child, Decisions, Depends, Output

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

POOL: Literal["pool"] = "pool"
Scope = Literal["row", "pool"]


class Stage:
    """What all four verbs share. Subclass one of the verbs, not this.

    Class attributes:
        name: `prefix.word`; the prefix is the plugin's entry-point name.
        version: Raise it when results change: it is part of every key.
        reads: Columns that are always read, besides those that parameters name.
        services: Names of the services used; their version becomes part of the keys.
        uses_seed: Whether the recipe's seed changes results.
        scope: `row`: a value depends on that example alone (given the fit); `pool`: on the table.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    verb: ClassVar[str]
    Params: ClassVar[type[Params]] = Params
    reads: ClassVar[tuple[str, ...]] = ()
    services: ClassVar[tuple[str, ...]] = ()
    uses_seed: ClassVar[bool] = False
    scope: ClassVar[Scope] = "pool"

    def __init__(self, params: Any, id: str) -> None:
        self.params = params
        self.id = id

    def inputs(self) -> tuple[str, ...]:
        """Columns that the stage receives besides `id`, without repetition.

        By default `reads` and whatever the parameters' markers name.
        """
        names = dict.fromkeys(self.reads)
        for name in named_columns(self.params):
            names[name] = None
        return tuple(names)

    def check_files(self) -> None:
        """Refuse what files that parameters name hold, when a recipe is checked.

        Called where all of them can be found. Files are few and small: a recipe is checked often.

        Raises:
            CurateError: What is wrong, with the file's name.
        """

    def prepare(self, models: Mapping[str, ModelFiles], service: Callable[[str], Any]) -> None:
        """Refuse, before any work, what can be known not to fit together. Loads nothing heavy.

        Args:
            models: As in `Context`.
            service: As in `Context`.

        Raises:
            CurateError: What the parameters name does not fit together.
        """

    def fingerprints(self) -> Mapping[str, str]:
        """Hashes of what results depend on besides parameters, such as a prompt: part of all keys.

        The declared `version` need not be raised when such a thing changes.
        """
        return {}

    def fits(self) -> Mapping[str, Reference | Artifact | Literal["pool"]]:
        """What must be fitted before the work: part name > what it is fitted on."""
        return {}

    def fit_inputs(self, part: str) -> tuple[str, ...]:  # noqa: ARG002 - for overriders
        """Columns that a part of the fit receives besides `id`; by default all inputs.

        A part that is fitted on a reference table may have `@line`, the line of its file, too.
        """
        return self.inputs()

    def fit_needs(self, part: str) -> tuple[str, ...]:  # noqa: ARG002 - for overriders
        """Parts that it finds in `ctx.fits`; `fits` lists them before this one."""
        return ()

    def fit(self, part: str, rows: pl.DataFrame, ctx: Context) -> Mapping[str, NDArray[Any]]:
        """Fit one part.

        Args:
            part: Its name.
            rows: `id` and the columns of `fit_inputs`; of the pool the rows that the stage is
                asked about, or, if it is a filter that sees all, all of them.
            ctx: Seed, models, and the parts that it needs.

        Returns:
            Arrays by name, no pickles.
        """
        raise NotImplementedError

    def fit_depends(self, part: str) -> tuple[str, ...] | None:  # noqa: ARG002 - for overriders
        """The parameters that one part of the fit depends on; None: all."""
        return None


class ScoreStage(Stage):
    """A value per example for each declared output; never a row more, less or elsewhere."""

    verb = "score"
    scope: ClassVar[Scope] = "row"
    chunk: ClassVar[int] = 1024

    def outputs(self) -> Mapping[str, Output]:
        """The columns it writes, by name without the stage's id."""
        raise NotImplementedError

    def depends(self, output: str) -> Depends:  # noqa: ARG002 - for those that override it
        """What one output depends on; by default on every parameter and every fitted part."""
        return Depends()

    def recalls(self, output: str) -> tuple[str, ...]:  # noqa: ARG002 - for those that override it
        """Other outputs from which this one can be made without its inputs.

        Where these are remembered and it is not, they come with the rows, under their names.
        """
        return ()

    def tolerance(self, output: str, fits: Mapping[str, Mapping[str, NDArray[Any]]]) -> float:  # noqa: ARG002 - the same
        """How far neutral parameters and other machines may move a value of an output.

        Args:
            output: Its name.
            fits: As in `Context`.
        """
        return self.outputs()[output].tolerance

    def notes(self, values: pl.DataFrame) -> tuple[str, ...]:  # noqa: ARG002 - for overriders
        """What stands in the stage's line, a few words each.

        Args:
            values: The outputs of all rows that it was asked about, remembered ones too; null
                where a row failed.
        """
        return ()

    def score(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Score some rows.

        Args:
            rows: `id` and the inputs. Of a row-scoped stage, `id` stands for the content: equal
                contents come once.
            ctx: Seed, models, fits, the outputs wanted.

        Returns:
            `id`, the wanted outputs and, where rows failed, `error` (string, null if well).
        """
        raise NotImplementedError

    def stream(self, rows: pl.DataFrame, ctx: Context) -> Iterator[pl.DataFrame]:
        """Score many rows, handing results over as they come, in any order and grouping.

        Override where a stage can do better than `score` on slices of `chunk` rows.
        """
        for part in rows.iter_slices(self.chunk):
            yield self.score(part, ctx)


class FilterStage(Stage):
    """Keep or drop, with a reason; contents are never touched.

    Class attributes:
        reasons: Code > one sentence. A decision may give no other reason.
        sees_all: Receives rows outside its `where:` too, with `@asked` false; it cannot drop them.
        value: What the number in `<id>_value` is, if the filter gives one.
        labels: Columns of text that it writes for its rows, `<id>_<name>`: name > what it says.
    """

    verb = "filter"
    reasons: ClassVar[Mapping[str, str]] = {}
    sees_all: ClassVar[bool] = False
    value: ClassVar[str | None] = None
    labels: ClassVar[Mapping[str, str]] = {}

    def filter(self, rows: pl.DataFrame, ctx: Context) -> Decisions:
        """Decide on rows (`id` and the inputs)."""
        raise NotImplementedError


class FuseStage(Stage):
    """Which rows of several tables make the one table; rows are chosen, never made."""

    verb = "fuse"
    reasons: ClassVar[Mapping[str, str]] = {}

    def foresee(self, tables: Mapping[str, pl.DataFrame], *, exact: bool) -> None:
        """Refuse, before any work, what the rows of the sources show cannot be done.

        Called at the start of a plan and of a run where no stage on the way to it makes rows or
        writes what `foresees` names or its `where:` reads.

        Args:
            tables: Name > `id` and the columns of `foresees`, of the rows inside its `where:`.
            exact: Whether all of these rows will arrive; otherwise some may be lost before: by a
                filter or a fuse, as failures, or for a missing value.

        Raises:
            PolicyError: What is asked for cannot be met.
        """

    def foresees(self) -> tuple[str, ...] | None:
        """The inputs that `foresee` needs; None: it has nothing to say."""
        return None

    def fuse(self, tables: Mapping[str, pl.DataFrame], ctx: Context) -> Decisions:
        """Decide on the rows of all tables (name > `id` and the inputs)."""
        raise NotImplementedError


class ExpandStage(Stage):
    """New examples made from old ones, beside them or in their place.

    Attributes:
        makes: How many examples it makes at most, for each row that it is given; None: that is not
            known. For the plan.
    """

    verb = "expand"
    scope: ClassVar[Scope] = "row"
    chunk: ClassVar[int] = 256
    makes: int | None = None

    def in_place(self) -> bool:
        """Whether children replace their parents; decides what an exception on a row means."""
        return False

    def notes(self, counts: Mapping[str, int]) -> tuple[str, ...]:  # noqa: ARG002 - for overriders
        """What stands in the stage's line, a few words each.

        Args:
            counts: Of all children, as `Child.counts`, added up.
        """
        return ()

    def expand(self, rows: pl.DataFrame, ctx: Context) -> Iterable[Child]:
        """Make children of rows (`id` and the inputs); a row without any stays itself."""
        raise NotImplementedError
