"""`sources.ability`: an ability for each example, where rows carry none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from curate.api import (
    Condition,
    Context,
    CurateError,
    Output,
    Params,
    Reads,
    Reference,
    ScoreStage,
)
from curate_sources.naming import UNKNOWN

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

_PART = "examples"
_TOLERANCE = 1e-2  # of cosines of vectors in bfloat16: what made its vectors a stage does not know


def _named(ability: str) -> str:
    if not ability.strip() or ability == UNKNOWN:
        raise ValueError(
            f"'{ability}' names no ability: '{UNKNOWN}' is what rows are to which nothing gives one"
        )
    return ability


Ability = Annotated[str, AfterValidator(_named)]


class MappingParams(Params):
    """An ability by the value of a column."""

    column: Annotated[
        str, Reads("string", nulls=True), Field(description="Column whose values are looked up.")
    ]
    values: Annotated[
        dict[str, Ability], Field(min_length=1, description="Value: the ability that it means.")
    ]


class RuleParams(Params):
    """An ability by a condition."""

    where: Annotated[
        str, Condition(), Field(description="The condition, in the SQL of a stage's `where:`.")
    ]
    ability: Annotated[Ability, Field(description="What rows are for which it is true.")]


class NearestParams(Params):
    """An ability by the nearest labelled examples."""

    examples: Annotated[
        Reference, Field(description="Labelled examples: a path, or a mapping like a source.")
    ]
    label: Annotated[
        str, Field(min_length=1, description="Their column that holds the ability.")
    ] = "ability"
    column: Annotated[
        str | None,
        Reads("vector"),
        Field(description="The column of vectors; by default the only one of the table."),
    ] = None
    k: Annotated[
        int, Field(ge=1, description="Nearest examples of each ability that are compared.")
    ] = 10
    margin: Annotated[
        float,
        Field(
            ge=0,
            le=2,
            description="By how much the mean cosine to the nearest examples of one ability must "
            "exceed that of the next; below it the row is unknown.",
        ),
    ] = 0.05


class AbilityParams(Params):
    """Parameters of `sources.ability`."""

    mapping: Annotated[
        MappingParams | None,
        Field(
            description="By a column: `{column: category, values: {open_qa: qa}}`. Other values "
            "give nothing."
        ),
    ] = None
    rules: Annotated[
        list[RuleParams] | None,
        Field(
            min_length=1,
            description="By conditions: `[{where: \"category = 'qa'\", ability: qa}]`; the first "
            "that is true gives the ability.",
        ),
    ] = None
    nearest: Annotated[
        NearestParams | None,
        Field(description="By the nearest labelled examples: `{examples: labelled.jsonl}`."),
    ] = None
    overwrite: Annotated[
        bool, Field(description="Do not look at the ability that a row carries.")
    ] = False

    @model_validator(mode="after")
    def _some_way(self) -> Self:
        if self.mapping is None and self.rules is None and self.nearest is None:
            raise ValueError("give at least one of `mapping`, `rules` and `nearest`")
        return self


class AssignAbility(ScoreStage):
    """An ability for each example: its own, by a column, by rules, or by the nearest examples.

    The first of these that gives one does:

    - own: what the row carries in `ability`, unless `overwrite` is set.
    - mapping: what `values` has for the row's value of a column.
    - rule: that of the first condition that is true.
    - nearest: with c_a the mean cosine between the row's vector and those of its k nearest examples
      of ability a (of all, where there are fewer), the ability whose c_a is highest, if it exceeds
      the next one by `margin` at least. Two that are equal give nothing.

    Otherwise it is `unknown`. Counting the k nearest of each ability, not the votes among the k
    nearest of all, leaves out of account how many examples an ability has, and was right more often
    (see the README). `nearest` and `margin` are written for every row, whatever gave its ability.
    """

    name = "sources.ability"
    version = 1
    reads: ClassVar[tuple[str, ...]] = ("ability",)
    Params: ClassVar[type[Params]] = AbilityParams
    params: AbilityParams

    def inputs(self) -> tuple[str, ...]:
        """What the ways read, and the rows' own ability if it counts."""
        inputs, mapping = super().inputs(), self.params.mapping
        mapped = mapping is not None and mapping.column == "ability"
        return inputs[1:] if self.params.overwrite and not mapped else inputs

    def outputs(self) -> Mapping[str, Output]:
        """The ability and how it came about; with `nearest` the nearest one and its margin."""
        found = {
            "ability": Output("string"),
            "how": Output("string"),
            UNKNOWN: Output("boolean", flag=True),
        }
        if self.params.nearest is not None:
            found |= {"nearest": Output("string"), "margin": Output("number", tolerance=_TOLERANCE)}
        return found

    def fits(self) -> Mapping[str, Reference]:
        """The labelled examples, where there are some."""
        way = self.params.nearest
        return {} if way is None else {_PART: way.examples}

    def fit_inputs(self, part: str) -> tuple[str, ...]:  # noqa: ARG002 - there is one
        """Vector, label and line of the examples."""
        way = self.params.nearest
        assert way is not None
        return (*((way.column,) if way.column else ()), way.label, "@line")

    def fit_depends(self, part: str) -> tuple[str, ...]:  # noqa: ARG002 - there is one
        """Nothing but what is read."""
        return ()

    def fit(self, part: str, rows: pl.DataFrame, ctx: Context) -> Mapping[str, NDArray[Any]]:  # noqa: ARG002 - the contract's
        """Keep the vectors of the examples with their abilities.

        Returns:
            `vectors`, float32 [examples, width], by ability and then by their numbers; `abilities`,
            text [examples].

        Raises:
            CurateError: An example has no ability or no vector, or all have the same ability.
        """
        import numpy as np
        import polars as pl

        way = self.params.nearest
        assert way is not None
        label, column = way.label, way.column
        if column is None:
            raise CurateError(
                f"Stage '{self.id}' does not know which vectors to compare.",
                "Name a column of vectors: `nearest: {column: embed_sentence_embedding}`.",
            )
        path = way.examples.path
        if not rows.is_empty() and rows[label].dtype not in (pl.String, pl.Null):
            raise CurateError(
                f"Stage '{self.id}': '{label}' of {path} does not hold text.",
                f"Read it as text: `examples: {{path: {path}, types: {{{label}: string}}}}`.",
            )
        labels = rows[label].cast(pl.String)
        nameless = labels.is_null() | (labels.str.strip_chars() == "") | (labels == UNKNOWN)
        if nameless.any():
            lines = rows["@line"].filter(nameless)
            raise CurateError(
                f"Stage '{self.id}': {nameless.sum()} of {len(rows)} examples of {path} have no "
                f"'{label}', the first in line {lines.sort()[0]}.",
                "Label them or take them out; `label:` names the column that holds the ability.",
            )
        if labels.n_unique() < 2:
            held = f"nothing but {labels.to_list()[0]!r}" if len(labels) else "no examples"
            raise CurateError(
                f"Stage '{self.id}': {path} holds {held}, so there is nothing to tell apart.",
                "Label examples of two abilities at least.",
            )
        vectors = _vectors(rows, column)
        abilities: NDArray[np.str_] = np.array(labels.to_list(), dtype=np.str_)
        order = np.lexsort((*vectors.T[::-1], abilities))
        return {"vectors": vectors[order], "abilities": abilities[order]}

    def score(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Give each row an ability."""
        import polars as pl

        given = self.params
        columns: dict[str, pl.Series] = {}
        ways: list[tuple[str, pl.Expr]] = []
        if not given.overwrite:
            own = pl.col("ability")
            carried = own.is_not_null() & (own.str.strip_chars() != "") & (own != UNKNOWN)
            ways.append(("own", pl.when(carried).then(own)))
        if given.mapping is not None:
            value = pl.col(given.mapping.column).cast(pl.String)
            meant = value.replace_strict(
                dict(given.mapping.values), default=None, return_dtype=pl.String
            )
            ways.append(("mapping", meant))
        for at, rule in enumerate(given.rules or ()):
            true = pl.col(f"@rules.{at}.where").fill_null(value=False)
            ways.append(("rule", pl.when(true).then(pl.lit(rule.ability))))
        if given.nearest is not None:
            columns = _nearest(rows, given.nearest, ctx.fits[_PART])
            rows = rows.with_columns(columns["said"])
            ways.append(("nearest", pl.col("@said")))
        # the first that gives one
        ability = pl.coalesce(*(gives for _, gives in ways), pl.lit(UNKNOWN))
        how = pl.coalesce(
            *(pl.when(gives.is_not_null()).then(pl.lit(way)) for way, gives in ways),
            pl.lit(UNKNOWN),
        )
        found = rows.select("id", ability=ability, how=how).with_columns(
            pl.col("how").eq(UNKNOWN).alias(UNKNOWN),
            *(columns[name] for name in ("nearest", "margin") if name in columns),
        )
        return found.select("id", *ctx.wanted)


def _nearest(
    rows: pl.DataFrame, way: NearestParams, fitted: Mapping[str, NDArray[Any]]
) -> dict[str, pl.Series]:
    """What the examples say of each row: `nearest`, `margin`, and `said` by the margin asked."""
    import numpy as np
    import polars as pl

    from curate_sources.nearest import scores

    assert way.column is not None
    names, starts = np.unique(fitted["abilities"], return_index=True)
    groups = np.split(fitted["vectors"], starts[1:])
    near = scores(_vectors(rows, way.column), groups, way.k)
    order = np.argsort(-near, axis=1, kind="stable")
    best, second = (np.take_along_axis(near, order[:, [at]], axis=1)[:, 0] for at in (0, 1))
    margin = best - second
    nearest = pl.Series("nearest", [str(names[at]) for at in order[:, 0]], dtype=pl.String)
    sure = pl.Series((margin >= way.margin) & (margin > 0))
    nobody = pl.Series([None], dtype=pl.String).new_from_index(0, len(nearest))
    said = nearest.zip_with(sure, nobody).alias("@said")
    return {"nearest": nearest, "margin": pl.Series("margin", margin), "said": said}


def _vectors(rows: pl.DataFrame, column: str) -> NDArray[np.float32]:
    """Vectors, float32 [rows, width].

    Raises:
        ValueError: One is not finite; the runner finds the row.
    """
    import numpy as np

    found: NDArray[np.float32] = rows[column].to_numpy()
    if not np.isfinite(found).all():
        raise ValueError(f"the vector in '{column}' is not finite")
    return found
