"""Forward passes of a model: who needs which, said so that one pass can serve several stages.

A stage that reads activations says which pass it needs and reduces every batch on the device
through a reader. Stages whose passes are equal share one: the runner looks ahead for them, and the
memo keeps what they will ask for. Nothing here imports polars, numpy or a model library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, Self

from pydantic import Field, model_validator

from curate.contract.context import Context, ModelFiles
from curate.contract.marks import Auto, ModelName, Neutral
from curate.contract.parameters import Params, TextChoice
from curate.contract.results import Depends, Output
from curate.contract.stages import ScoreStage

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

TRUNCATED = "truncated"
"""The output of every stage of this kind that says whether the text was cut."""

Template = Literal["plain", "alpaca", "chat"]
Predicts = Literal["text", "response", "classes"]
Site = Literal["blocks", "neurons", "final", "likelihoods", "classes"]
"""Where activations are read: the output of each transformer block, the neurons of each block's
MLP (what its down-projection is given), the model's final hidden state, after its last norm, the
log-probabilities of the tokens, or the logits of the classes, where the pass predicts them."""


@dataclass(frozen=True)
class Pass:
    """One way of passing rows through a model. Equal passes give equal activations.

    Args:
        model: Its files.
        template: What the model reads of an example; see `PassParams`.
        text: `instruction`, `response` or `both`. Of templates other than `plain`, the response
            alone is the heading that the template puts before an answer, and the response.
        max_length: Tokens after which a text is cut, never more than the model reaches; None: as
            many as its sentence settings say, or else as it reaches.
        dtype: `float32` or `bfloat16`.
        compile: Run its blocks through `torch.compile`.
        predicts: Load the model with its language-model head, and tell the probability of each
            token of the text, or of its response alone; or with its classification head, and tell
            the logit of each class; None: without a head.
        batch_size: Constant shapes computed between two results.
        prompt: A text that is put before every text.
        backend: What computes it: `torch`, or another that gives the final hidden state alone.
    """

    model: ModelFiles
    template: Template = "plain"
    text: Literal["instruction", "response", "both"] = "both"
    max_length: int | None = None
    dtype: str = "float32"
    compile: bool = False
    predicts: Predicts | None = None
    batch_size: int = field(default=8, compare=False)
    prompt: str = ""
    backend: str = "torch"


class Reader(Protocol):
    """Reduces a batch while it passes, so that no activation is stored.

    For each batch `start` is called once, `see` for each site and layer asked for, in the order in
    which the model makes them, and `finish` at the end. A short batch is filled up with repeats of
    its last row, whose values are cut away after `finish`.
    """

    @property
    def sites(self) -> frozenset[Site]:
        """What `see` is to be given."""
        ...

    def start(self, mask: Any) -> None:
        """Begin a batch. `mask`: torch bool [rows, tokens], real tokens true and first."""
        ...

    def see(self, site: Site, layer: int, values: Any) -> None:
        """Take one layer's activations (layers from 0): torch [rows, tokens, width].

        At the site `likelihoods` (layer 0) it is torch float32 [rows, tokens]: the natural
        logarithm of each token's probability given all tokens before it, NaN where a token is not
        predicted: the first one, those that the tokenizer adds, padding, and what stands outside
        the response where the pass predicts only that. At the site `classes` (layer 0) it is torch
        [rows, classes]: what the classification head gives, before any softmax.
        """
        ...

    def finish(self) -> Any:
        """A torch tensor [rows, values] of what was made of them."""
        ...


class LoadedModel(Protocol):
    """A model ready for forward passes in constant shapes.

    Attributes:
        blocks: Its transformer blocks.
        width: Of its hidden states.
        max_length: Tokens after which a text is cut.
        prompt_length: Tokens of the pass's prompt and of what the tokenizer puts before it; 0
            without a prompt.
    """

    blocks: int
    width: int
    max_length: int
    prompt_length: int

    @property
    def neurons(self) -> int:
        """Neurons of each block's MLP.

        Raises:
            CurateError: They cannot be found in this model.
        """
        ...

    def run(
        self, rows: pl.DataFrame, readers: Sequence[Reader]
    ) -> Iterator[tuple[NDArray[np.int64], list[NDArray[np.floating[Any]]], NDArray[np.bool_]]]:
        """Pass rows through the model once, for all readers.

        Args:
            rows: The columns of `columns_of`.
            readers: Each with what it wants.

        Yields:
            Positions in `rows` [n], for each reader its values [n, values] in the dtype that it
            gives, whether the text was cut [n]. What a row gives depends on that row alone, to the
            bit.

        Raises:
            ValueError: After all results, where rows are left that cannot be put into tokens, or
                of which no token can be predicted where the pass predicts.
            CurateError: A reader asks for `likelihoods` or `classes`, and the pass does not predict
                them.
        """
        ...


class Forward(Protocol):
    """The service `forward`: forward passes of Hugging Face models."""

    def auto(self, parameter: str, given: Params, models: Mapping[str, ModelFiles]) -> Any:
        """What `auto` means for a parameter; imports no model library.

        Args:
            parameter: Its name.
            given: All parameters of the stage.
            models: As in `Context`.

        Raises:
            CurateError: A model's folder says what cannot be done.
        """
        ...

    def fingerprints(self, wanted: Pass) -> Mapping[str, str]:
        """Hashes of what turns an example into tokens: `tokenizer` and `template`.

        Raises:
            CurateError: The model has no such template.
        """
        ...

    def open(self, wanted: Pass, count: Callable[[str, int], None]) -> LoadedModel:
        """Load a model, or hand out the loaded one.

        Args:
            wanted: The pass.
            count: Told of the rows, tokens and padding that pass, and of smaller shapes.

        Raises:
            CurateError: The model cannot be loaded.
        """
        ...


def columns_of(template: Template, text: str, predicts: Predicts | None = None) -> tuple[str, ...]:
    """The columns that a template reads; where only the response is predicted, both parts."""
    if template == "chat":
        return ("messages",)
    if text == "both" and (template == "alpaca" or predicts == "response"):
        return ("@instruction", "@response")
    return (f"@{text}",)


class ModelParams(Params):
    """Parameters of stages that pass examples through a model: which model, and how it runs."""

    model: Annotated[
        str,
        ModelName(),
        Field(description="An encoder or decoder: an alias, a folder, or owner/name[@revision]."),
    ]
    template: Annotated[
        Template,
        Field(
            description="plain: the text alone; alpaca: in the Alpaca prompt; chat: in the chat "
            "template of the model's tokenizer."
        ),
    ] = "plain"
    max_length: Annotated[
        int | None,
        Field(
            ge=8,
            description="Tokens after which a text is cut, never more than the model reaches; by "
            "default what its sentence settings say, or else its reach.",
        ),
    ] = None
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16"],
        Auto("forward"),
        Field(description="auto: bfloat16 where the hardware computes in it, else float32."),
    ] = "auto"
    compile: Annotated[bool, Field(description="Run the model's blocks through torch.compile.")] = (
        False
    )


class PassParams(ModelParams):
    """Parameters of stages that read one forward pass, which others may share."""

    model: Annotated[
        str,
        ModelName(),
        Field(description="An encoder or decoder: an alias, a folder, or owner/name[@revision]."),
    ] = "builtin:minilm"
    text: Annotated[TextChoice, Field(description="Which text of an example is read.")] = "both"
    batch_size: Annotated[
        int,
        Neutral(),
        Field(ge=1, description="Batches computed between two results; changes no value."),
    ] = 8

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if self.template != "plain" and self.text == "response":
            raise ValueError(
                f"`template: {self.template}` has no response alone: use `template: plain`"
            )
        return self


PASS = ("model", "template", "text", "max_length", "dtype", "compile")
"""The parameters on which what a pass gives depends."""


class ForwardStage(ScoreStage):
    """A score stage that reads a forward pass of one model, which others may share.

    Besides its own outputs it has `truncated`: whether the text was cut.

    Class attributes:
        predicts: What of the text the pass predicts; see `Pass`.
    """

    services: ClassVar[tuple[str, ...]] = ("forward",)
    predicts: ClassVar[Predicts | None] = None
    params: PassParams

    def inputs(self) -> tuple[str, ...]:
        """The columns that the template reads."""
        return columns_of(self.params.template, self.params.text, self.predicts)

    def outputs(self) -> Mapping[str, Output]:
        """Whether the text was cut; to be merged with the stage's own outputs."""
        return {TRUNCATED: Output("boolean", flag=True)}

    def depends(self, output: str) -> Depends:
        """Whether a text is cut depends on the tokens alone."""
        if output == TRUNCATED:
            return Depends(params=("model", "template", "text", "max_length"), fits=())
        return Depends()

    def prepare(self, models: Mapping[str, ModelFiles], service: Callable[[str], Any]) -> None:
        """Refuse a template that the model does not have."""
        service("forward").fingerprints(self.passing(models))

    def passing(self, models: Mapping[str, ModelFiles]) -> Pass:
        """The pass that this stage needs."""
        given = self.params
        return Pass(
            models["model"],
            given.template,
            given.text,
            given.max_length,
            given.dtype,
            given.compile,
            self.predicts,
            given.batch_size,
        )

    def reader(self, model: LoadedModel, ctx: Context) -> Reader:
        """What reduces the activations to values [rows, values]."""
        raise NotImplementedError

    def columns(
        self, values: NDArray[np.floating[Any]], ctx: Context
    ) -> Mapping[str, pl.Series | NDArray[Any]]:
        """The reader's values as columns by output; `truncated` is added to them."""
        raise NotImplementedError

    def stream(self, rows: pl.DataFrame, ctx: Context) -> Iterator[pl.DataFrame]:
        """One pass for this stage alone."""
        for (frame,) in pass_together([(self, ctx)], rows):
            yield frame


def pass_together(
    parties: Sequence[tuple[ForwardStage, Context]], rows: pl.DataFrame
) -> Iterator[list[pl.DataFrame]]:
    """Pass rows once through the model of stages whose passes are equal.

    Args:
        parties: The stages, each with its context.
        rows: `id` and the stages' inputs.

    Yields:
        For some rows at a time, for each stage `id` and the outputs that its context wants.

    Raises:
        ValueError: After all results, where rows are left that cannot be put into tokens.
    """
    import polars as pl

    first, context = parties[0]
    wanted = first.passing(context.models)
    model: LoadedModel = context.service("forward").open(wanted, context.count)
    readers = [stage.reader(model, ctx) for stage, ctx in parties]
    for positions, found, cut in model.run(rows, readers):
        ids = rows["id"][positions]
        frames = []
        for (stage, ctx), values in zip(parties, found, strict=True):
            made = {**stage.columns(values, ctx), TRUNCATED: cut}
            columns = {name: pl.Series(name, made[name]) for name in ctx.wanted}
            frames.append(pl.DataFrame({"id": ids, **columns}))
        yield frames
