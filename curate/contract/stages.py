"""The four verbs, and what a stage declares.

A stage is a class with a `Params` model. It declares what it reads, what it makes and what its
results depend on; batching, memory of results, failures, ids and books belong to the runner.
Nothing here imports polars, numpy or a model library, so that declaring stages costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from curate.prefer import check_terms, columns_of

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

Kind = Literal["string", "integer", "number", "boolean", "vector", "nested"]
"""Kinds of column. `number` takes integers too; `vector` is a fixed-length array of float32."""

TEXTS = ("@instruction", "@response", "@both")
"""Names under which stages read text: derived from `messages` by the framework (see examples)."""

Origin = Literal["human", "synthetic", "mixed", "unknown"]
ORIGINS: tuple[str, ...] = get_args(Origin)
"""Who wrote an example."""

ASKED = "@asked"
"""Boolean column given to filters that see rows outside their `where:`; false for those."""


# What a parameter means: marks on fields of a Params model, `by: Annotated[str, Reads("number")]`.
# Those that say what a stage reads (Reads, ReadsText, Prefers, Condition) may also stand on fields
# of Params inside Params, a list of them included; the others stand on a stage's own parameters.


@dataclass(frozen=True)
class Reads:
    """The parameter names a column that the stage reads, or several: a list, or a mapping's keys.

    Args:
        kind: What the column must hold; `any` takes every kind, `plain` all but vectors and nested
            values.
        nulls: The stage itself says what a null means; otherwise `missing:` does.
    """

    kind: Literal["string", "number", "vector", "plain", "any"] = "any"
    nulls: bool = False


@dataclass(frozen=True)
class Neutral:
    """The parameter changes no result by more than the stage's tolerance: it is in no key.

    May stand on fields of Params inside Params too.
    """


@dataclass(frozen=True)
class ModelName:
    """The parameter names a model; keys hold the digest of the model's files in its place.

    Args:
        tokenizer: Only its tokenizer is needed: weights need not be there, and do not count.
    """

    tokenizer: bool = False


@dataclass(frozen=True)
class InputFile:
    """The parameter is the path of a file; keys hold the hash of its content in its place."""


@dataclass(frozen=True)
class Condition:
    """The parameter is a row-wise SQL condition like `where:`; the columns it names are read.

    The runner evaluates it: a stage receives the boolean column `@<parameter>`, null where the
    condition is neither true nor false. Inside other parameters it is named by its whole place,
    such as `@rules.0.where`.
    """


@dataclass(frozen=True)
class Auto:
    """The parameter may say `auto`: a service says what that is on this machine, for this model.

    The stage, keys and lock get the service's answer in its place.

    Args:
        service: Its `auto(name, params, models)` gives the value for the parameter of this name,
            without loading anything.
        early: The value decides which columns the stage writes: it is asked for when a recipe is
            checked, of models whose files are on this machine (their digests are not known then).
    """

    service: str
    early: bool = False


@dataclass(frozen=True)
class ReadsText:
    """The parameter chooses which text of an example the stage reads."""


@dataclass(frozen=True)
class Served:
    """The parameter says what a service is to do for the stage alone, as `llm:` whom it asks.

    `ctx.service(...)` gives the stage the service made for it, for one run; keys hold what the
    service says of the parameter.

    Args:
        service: Its name.
    """

    service: str


def exact(value: object) -> object:
    """Numbers as the decimals that they are written as; everything else as it is."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(str(value))
    return value


@dataclass(frozen=True)
class Prefers:
    """The parameter is an order of preference among rows; see `curate.prefer`."""


TextChoice = Annotated[Literal["instruction", "response", "both"], ReadsText()]
Preferences = Annotated[list[str], AfterValidator(check_terms), Prefers()]
"""Which of several rows survives, first term first: see `curate.prefer`."""
Share = Annotated[
    Decimal,
    BeforeValidator(exact),
    Field(ge=0, le=1),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1}),
]
"""A fraction as an exact decimal, between 0 and 1."""


@dataclass(frozen=True)
class Preset:
    """Values of several parameters under one name.

    Args:
        values: Parameter > value, as a recipe would write it.
        source: Where they come from.
    """

    values: Mapping[str, Any]
    source: str


class Params(BaseModel):
    """Base of every stage's parameters: unknown keys and wrong types are errors.

    Class attributes:
        presets: What the parameter `preset` may name, where there is one. A preset fills in the
            parameters that are not written, and is then forgotten: keys hold the values.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    presets: ClassVar[Mapping[str, Preset]] = {}

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: object) -> object:
        if not cls.presets or not isinstance(given, Mapping):
            return given
        named = given.get("preset")
        preset = cls.presets.get(named) if isinstance(named, str) else None
        if preset is None:
            return given
        return {**preset.values, **{name: given[name] for name in given if name != "preset"}}


def _or_path(schema: dict[str, Any]) -> None:
    """Say in a JSON Schema that a plain path stands for the mapping."""
    mapping = dict(schema)
    schema.clear()
    schema["anyOf"] = [{"type": "string", "description": "The path alone."}, mapping]


class Reference(Params):
    """A table a stage compares with: locked, but not counted in the books.

    In a recipe a plain path is enough; a mapping gives the rest.
    """

    model_config = ConfigDict(json_schema_extra=_or_path)

    path: str
    format: str = "auto"
    columns: dict[str, str] = Field(default_factory=dict)
    types: dict[str, Literal["string", "json"]] = Field(default_factory=dict)
    sample: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, value: object) -> object:
        return {"path": value} if isinstance(value, str) else value


class Artifact(Params):
    """A file that an earlier fit was written to; keys hold the hash of its content.

    In a recipe its path is enough. The stage reads it in `fit`, which gets no rows for it.
    """

    model_config = ConfigDict(json_schema_extra=_or_path)

    path: str

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, value: object) -> object:
        return {"path": value} if isinstance(value, str) else value


# What stages return.


@dataclass(frozen=True)
class Output:
    """A column that a score stage writes as `<id>_<name>`.

    Args:
        kind: What the column holds.
        tolerance: How far neutral parameters and other machines may move a value.
        flag: A boolean whose true values are counted and shown in the stage's line.
    """

    kind: Kind
    tolerance: float = 0.0
    flag: bool = False


@dataclass(frozen=True)
class Depends:
    """What one output depends on: parameters by name and parts of the fit (None: all)."""

    params: tuple[str, ...] | None = None
    fits: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Margin:
    """How far the row nearest to a cut stood from it.

    Args:
        cut: The cut in words, such as `similarity 0.92`.
        distance: In units of the value that was cut.
        column: The column whose tolerance bears on the cut.
        factor: How much an error in that column is multiplied in the value; None: nobody can say,
            so that the cut is called close wherever the column has a tolerance.
    """

    cut: str
    distance: float
    column: str | None = None
    factor: float | None = 1.0


@dataclass(frozen=True)
class Clause:
    """A clause of a policy: what was asked for and what came of it.

    Args:
        name: Its place in the stage's parameters, such as `shares.origin.human`.
        asked: As the recipe writes it, such as `>= 0.6`.
        rows: How many of the rows taken it is about.
        of: The rows taken, of which `rows` is a part.
        state: `binding`: not one row less, or more, would do; `slack`: some would; `relaxed`: the
            policy allowed that it be missed, and it is.
        slack: Rows to the nearest bound; below 0 the rows by which a relaxed one is missed.
        available: The rows that it could have taken; None where that does not apply.
    """

    name: str
    asked: str
    rows: int
    of: int
    state: Literal["binding", "slack", "relaxed"]
    slack: int
    available: int | None = None

    HEAD: ClassVar = ("clause", "asked", "achieved", "state", "available")
    """What `words` says."""

    def words(self) -> tuple[str, str, str, str, str]:
        """The clause in words, under `HEAD`; name and bounds are as the recipe has them."""
        state = self.state
        return (
            self.name,
            self.asked,
            self.achieved(),
            state if state == "binding" else f"{state}, {counted(self.slack)}",
            "" if self.available is None else f"{self.available:,}",
        )

    def achieved(self) -> str:
        """The rows that it is about, and their share of those taken: `600 (60.00 %)`."""
        share = f" ({100 * self.rows / self.of:.2f} %)" if self.of else ""
        return f"{self.rows:,}{share}"


def counted(rows: int, word: str = "row") -> str:
    """A number of rows, or of something else, in words: `1 row`, `2,560 rows`."""
    return f"{rows:,} {word}" if abs(rows) == 1 else f"{rows:,} {word}s"


@dataclass(frozen=True)
class Decisions:
    """What a filter or a fuse decided.

    Args:
        rows: Columns `id`, `keep` (boolean) and, where they apply, `reason` (one of the stage's
            codes, null for kept rows), `ref` (the id or reference row that the decision points
            at), `value` (a number), `detail` (free text), and of a filter its labels (texts, or
            null). One row for each row received.
        margins: One for every cut.
        facts: Counts and shares for the manifest, JSON values only.
        notes: What stands in the stage's line besides reasons, a few words each.
        certificate: How each clause of a policy was met, for manifest and card.
    """

    rows: pl.DataFrame
    margins: tuple[Margin, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    certificate: tuple[Clause, ...] = ()


@dataclass(frozen=True)
class Child:
    """A new example, or the news that one could not be made.

    Args:
        parents: Ids of the examples that it was made from; at least one.
        messages: The conversation, as mappings with `role` and `content`.
        replaces: Whether it takes the place of its parents.
        error: Set in place of `messages` where the child could not be made.
        round: In which round of a stage that works in rounds it was made.
        columns: Values for columns that the table has. Without them a child that replaces its one
            parent keeps that parent's, and any other has nulls; the fields of the row's format
            always follow `messages`.
        origin: `human`, `synthetic`, `mixed` or `unknown`. A stage says `synthetic` where a model
            wrote the text; a child of a human or mixed parent is `mixed` all the same, in its place
            or beside it, for text of a human went in. Not given, it is the parents' where they
            agree, `unknown` where one of theirs is, else `mixed`.
        generator: The model that wrote it. Not given, those of the parents, as far as they are
            known, sorted and joined by commas.
        license: What the stage adds to the licences of the parents. None of these is ever lost:
            several hold together, as the SPDX expression `a AND b`, with `unknown` for a parent
            whose licence is not known (see `curate.api.licenses_in`).
        ability: Not given, the parents' where they agree, else none.
        counts: What was done to make it, by name: added up in the manifest over all rows, those
            whose children are remembered too; see `ExpandStage.notes`.
    """

    parents: tuple[str, ...]
    messages: Sequence[Mapping[str, str]] | None = None
    replaces: bool = False
    error: str | None = None
    round: int = 0
    columns: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin | None = None
    generator: str | None = None
    license: str | None = None
    ability: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


# Services: costly things that stages share.


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


# The verbs.

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


def marker(params: type[BaseModel], name: str, kind: type[Any]) -> Any | None:
    """The marker of class `kind` on field `name`, or None."""
    for mark in params.model_fields[name].metadata:
        if isinstance(mark, kind):
            return mark
    return None


@dataclass(frozen=True)
class Given:
    """A parameter with its value, at any depth.

    Args:
        path: Its place in the stage's parameters, such as `("rules", 0, "where")`.
        value: What the recipe gives, or the default.
        marks: What the parameter means.
    """

    path: tuple[str | int, ...]
    value: Any
    marks: Sequence[Any]

    @property
    def name(self) -> str:
        """Its place with dots."""
        return ".".join(map(str, self.path))

    def mark(self, kind: type[Any]) -> Any | None:
        """The marker of class `kind`, or None."""
        return next((mark for mark in self.marks if isinstance(mark, kind)), None)

    def columns(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """The columns that a value marked `Reads` names, each with its place inside the value."""
        if isinstance(self.value, str):
            yield (), self.value
        elif isinstance(self.value, Mapping):
            yield from (((name,), name) for name in self.value)
        else:
            yield from (((at,), name) for at, name in enumerate(self.value))


def given(params: Params, path: tuple[str | int, ...] = ()) -> Iterator[Given]:
    """All parameters in the order of the fields, each before those inside it."""
    for name, field_ in type(params).model_fields.items():
        value, at = getattr(params, name), (*path, name)
        yield Given(at, value, field_.metadata)
        inside = enumerate(value) if isinstance(value, list) else [(None, value)]
        for place, one in inside:
            if isinstance(one, Params):
                yield from given(one, at if place is None else (*at, place))


def named_columns(params: Params) -> Iterator[str]:
    """The columns that the markers of a Params instance name, in the order of its fields."""
    for each in given(params):
        value = each.value
        if value is None:
            continue
        if each.mark(ReadsText):
            yield f"@{value}"
        elif each.mark(Reads):
            yield from (name for _, name in each.columns())
        elif each.mark(Prefers):
            yield from columns_of(value)
        elif each.mark(Condition):
            yield f"@{each.name}"
