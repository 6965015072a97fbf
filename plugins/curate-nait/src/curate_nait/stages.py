"""The stage `nait.alignment`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from curate.api import (
    Context,
    CurateError,
    Depends,
    LoadedModel,
    ModelName,
    Neutral,
    Output,
    Params,
    Reference,
    ScoreStage,
    Stage,
    TextChoice,
    hookimpl,
)

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

CURATE_API = 1
TRUNCATED = "truncated"


class AlignmentParams(Params):
    """Parameters of `nait.alignment`. The paper leaves open all but `model` and `targets`."""

    model: Annotated[
        str,
        ModelName(),
        Field(description="An encoder or decoder: an alias, a folder, or owner/name[@revision]."),
    ] = "builtin:minilm"
    targets: Annotated[
        dict[str, Reference],
        Field(min_length=1, description="Capability: examples of it. Each gives one score."),
    ]
    template: Annotated[
        Literal["plain", "alpaca"],
        Field(description="plain: the text alone; alpaca: in the Alpaca prompt."),
    ] = "plain"
    text: Annotated[TextChoice, Field(description="Which text of an example is read.")] = "both"
    max_length: Annotated[
        int, Field(ge=8, description="Tokens after which a text is cut, within the model's reach.")
    ] = 512
    pool: Annotated[
        Literal["mean", "last"],
        Field(description="Activations of an example: mean over its tokens, or the last token's."),
    ] = "mean"
    baseline: Annotated[
        Literal["none", "first"],
        Field(description="first: the first token's activation is taken off (the paper's drift)."),
    ] = "none"
    center: Annotated[
        bool,
        Field(description="Subtract the mean of the target's activations before the PCA."),
    ] = False
    batch_size: Annotated[
        int,
        Neutral(),
        Field(ge=1, description="Batches computed between two results; changes no value."),
    ] = 1

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if self.template == "alpaca" and self.text == "response":
            raise ValueError("the Alpaca prompt has no response alone: use `template: plain`")
        return self

    @field_validator("targets")
    @classmethod
    def _names(cls, targets: dict[str, Reference]) -> dict[str, Reference]:
        for name in targets:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name == TRUNCATED:
                raise ValueError(
                    f"'{name}' cannot name a capability: use a-z, 0-9 and underscores, a letter "
                    f"first, and not '{TRUNCATED}'"
                )
        return targets


class Alignment(ScoreStage):
    """How an example's activations align with the direction of a capability (NAIT).

    Let A_l(x) be the activation of example x at block l: the output of the block (the residual
    stream), pooled over tokens. For a capability with in-domain examples S,

        v_l = first principal component of {A_l(s) : s in S}, with the sign that makes
              mean(A_l(s)) . v_l positive
        score(x) = sum over blocks l of A_l(x) . v_l

    the plain dot product over all blocks with equal weight (arXiv 2603.13201). The paper leaves
    open which activations, how they are pooled, and whether the PCA is centred. The defaults here
    are token mean and no centring: centred, the component is the direction in which the examples
    of a capability differ from one another, not what they share. The paper's sign goes by the mean
    drift from the first to the last token; where texts share their first token, it and the mean
    activation differ by a constant.

    One column for each capability; `truncated` says whether the text was cut.
    """

    name = "nait.alignment"
    version = 1
    Params: ClassVar[type[Params]] = AlignmentParams
    services = ("forward",)
    params: AlignmentParams

    def inputs(self) -> tuple[str, ...]:
        """The texts that the template needs."""
        from curate_nait.templates import columns_of

        return columns_of(self.params.template, self.params.text)

    def outputs(self) -> Mapping[str, Output]:
        """A number for each capability, and whether the text was cut."""
        scores = {name: Output("number", tolerance=1e-4) for name in self.params.targets}
        return {**scores, TRUNCATED: Output("boolean", flag=True)}

    def depends(self, output: str) -> Depends:
        """A score depends on its own capability alone, so that another one costs only itself."""
        if output == TRUNCATED:
            return Depends(params=("model", "template", "text", "max_length"), fits=())
        return Depends(fits=(output,))

    def fits(self) -> Mapping[str, Reference]:
        """One part for each capability."""
        return self.params.targets

    def fit(self, part: str, rows: pl.DataFrame, ctx: Context) -> Mapping[str, NDArray[Any]]:
        """Find the directions of a capability.

        Returns:
            See `curate_nait.activations.directions_of`.

        Raises:
            CurateError: The examples give no direction.
        """
        from curate_nait.activations import activations_of, directions_of, pooling_reader

        pool = pooling_reader(self.params.pool, self.params.baseline)
        try:
            found = activations_of(self._open(ctx), self._texts(rows), pool)
            return directions_of(found, center=self.params.center)
        except ValueError as error:
            raise CurateError(
                f"The target '{part}' gives no direction: {error}.",
                "Give it examples that have text and differ from one another, 16 or more.",
            ) from error

    def stream(self, rows: pl.DataFrame, ctx: Context) -> Iterator[pl.DataFrame]:
        """Score rows, projecting inside the forward pass: no activation is ever stored."""
        import polars as pl

        from curate_nait.activations import pooling_reader, scoring_reader

        names = [name for name in ctx.wanted if name != TRUNCATED]
        pool = pooling_reader(self.params.pool, self.params.baseline)
        read = scoring_reader(pool, [ctx.fits[name]["directions"] for name in names])
        for positions, scores, cut in self._open(ctx).run(self._texts(rows), read):
            columns = {name: pl.Series(scores[:, at]) for at, name in enumerate(names)}
            columns[TRUNCATED] = pl.Series(cut)
            yield pl.DataFrame(
                {"id": rows["id"][positions], **{name: columns[name] for name in ctx.wanted}}
            )

    def _open(self, ctx: Context) -> LoadedModel:
        model: LoadedModel = ctx.service("forward").open(
            ctx.models["model"],
            max_length=self.params.max_length,
            batch_size=self.params.batch_size,
        )
        return model

    def _texts(self, rows: pl.DataFrame) -> list[str]:
        from curate_nait.templates import fill

        return fill(self.params.template, self.params.text, rows)


@hookimpl
def register_stages(register: Callable[[type[Stage]], None]) -> None:
    """Offer the stage."""
    register(Alignment)
