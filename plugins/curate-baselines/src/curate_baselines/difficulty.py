"""The stages `baselines.ifd` and `baselines.superfilter`: how much an instruction helps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from curate.api import (
    TRUNCATED,
    Context,
    Depends,
    ModelFiles,
    ModelName,
    ModelParams,
    Output,
    Params,
    Pass,
    ScoreStage,
    Template,
    columns_of,
)
from curate_baselines.perplexity import LOSS_TOLERANCE

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

_Model = Annotated[
    str,
    ModelName(),
    Field(description="A decoder with its head: a folder, or owner/name[@revision]."),
]
_TEMPLATE = (
    "plain: instruction, newline, response; alpaca: in the Alpaca prompt; chat: in the chat "
    "template of the model's tokenizer."
)


class IfdParams(ModelParams):
    """Parameters of `baselines.ifd`."""

    model: _Model
    template: Annotated[Template, Field(description=_TEMPLATE)] = "alpaca"


class SuperfilterParams(ModelParams):
    """Parameters of `baselines.superfilter`."""

    model: _Model
    template: Annotated[Template, Field(description=_TEMPLATE)] = "plain"


class Difficulty(ScoreStage):
    """What the two stages share: the response's mean loss with and without its instruction.

    Two passes of one model go over the rows side by side. In the second the response has nothing
    before it but what the template puts before every answer (Alpaca's `### Response:`, the heading
    of an assistant's turn, nothing if plain). Where the first text was cut, the second counts as
    many tokens of the response as were left in the first.
    """

    services: ClassVar[tuple[str, ...]] = ("forward",)
    params: IfdParams | SuperfilterParams

    def inputs(self) -> tuple[str, ...]:
        """The columns that the template reads."""
        return columns_of(self.params.template, "both", "response")

    def outputs(self) -> Mapping[str, Output]:
        """The score, both mean losses in nats, and whether the whole text was cut."""
        loss = LOSS_TOLERANCE.get(self.params.dtype, 0.0)
        return {
            # for losses of about a nat and more: both of them move
            "score": Output("number", tolerance=2 * loss),
            "conditioned": Output("number", tolerance=loss),
            "alone": Output("number", tolerance=loss),
            TRUNCATED: Output("boolean", flag=True),
        }

    def depends(self, output: str) -> Depends:
        """Whether a text is cut depends on the tokens alone."""
        if output == TRUNCATED:
            return Depends(params=("model", "template", "max_length"), fits=())
        return Depends()

    def prepare(self, models: Mapping[str, ModelFiles], service: Callable[[str], Any]) -> None:
        """Refuse a template that the model does not have."""
        service("forward").fingerprints(self._passing(models, "both"))

    def _passing(self, models: Mapping[str, ModelFiles], text: Literal["both", "response"]) -> Pass:
        given = self.params
        return Pass(
            models["model"],
            given.template,
            text,
            given.max_length,
            given.dtype,
            given.compile,
            predicts="response",
            batch_size=1,  # widths differ from batch to batch
        )

    @staticmethod
    def ratio(conditioned: float, alone: float) -> float:
        """The score, from mean losses in nats."""
        raise NotImplementedError

    def stream(self, rows: pl.DataFrame, ctx: Context) -> Iterator[pl.DataFrame]:
        """Two passes side by side; a row is handed over when both have passed it.

        Raises:
            ValueError: After all results, where rows are left of which no token of the response
                can be predicted, or which the template does not take.
        """
        import polars as pl

        from curate_baselines.losses import TokenLosses

        forward = ctx.service("forward")
        whole, alone = (
            forward.open(self._passing(ctx.models, text), ctx.count).run(rows, [TokenLosses()])
            for text in ("both", "response")
        )
        waiting: tuple[dict[int, _Losses], dict[int, _Losses]] = ({}, {})
        for side, (positions, (values,), cut) in _in_turns(whole, alone):
            for at, losses, shortened in zip(positions.tolist(), values, cut, strict=True):
                waiting[side][at] = losses[losses == losses], bool(shortened)  # noqa: PLR0124 - without NaN
            ready = [at for at in positions.tolist() if at in waiting[1 - side]]
            made = [self._made(waiting[0].pop(at), waiting[1].pop(at)) for at in ready]
            if made:
                frame = pl.DataFrame(made, orient="row", schema=list(self.outputs()))
                yield frame.select(rows["id"][ready], *ctx.wanted)

    def _made(self, whole: _Losses, alone: _Losses) -> tuple[float, float, float, bool]:
        """A row of the outputs."""
        (given, cut), (bare, _) = whole, alone
        bare = bare[: len(given)] if cut else bare
        first, second = (math.fsum(losses.tolist()) / len(losses) for losses in (given, bare))
        return self.ratio(first, second), first, second, cut


class Ifd(Difficulty):
    """Instruction-following difficulty (Cherry): how little the instruction helps to the response.

        conditioned = mean loss of the response's tokens given the instruction
        alone       = mean loss of the same tokens without it
        score       = conditioned / alone

    (arXiv 2308.12032, equations 1 to 4; the authors' code: tianyi-lab/Cherry_LLM.) Above 1 the
    instruction makes the response less likely: the authors drop such rows and take the highest of
    the rest. They use a model that was tuned for one epoch on a few rows of the pool.

    As in their code losses are averaged over the response's tokens, the Alpaca prompt is the
    template, and alone the response stands behind `### Response:`, so that its first token is
    predicted in both. Otherwise than there: `### Response:` ends with a newline, as in Alpaca's own
    prompt; an input is part of the instruction, so its prompt has no part of its own; which tokens
    are the response's is told by their place in the text, not by tokenising the prompt alone; of a
    text that is cut both means are over the same tokens (theirs are over about the same).

    A row fails of which no token of the response can be predicted: because it is empty, because
    the text is cut before it, or because it is one token with nothing before it.
    """

    name = "baselines.ifd"
    version = 1
    Params: ClassVar[type[Params]] = IfdParams
    params: IfdParams

    @staticmethod
    def ratio(conditioned: float, alone: float) -> float:
        """Loss by loss."""
        return conditioned / alone if alone else math.inf


class Superfilter(Difficulty):
    """Superfiltering: the same question asked of a small model, as a ratio of perplexities.

        score = exp(conditioned) / exp(alone), both mean losses of the response

    (arXiv 2402.00530, section 3; the authors' code: tianyi-lab/Superfiltering, where it is
    `ifd_ppl`, with GPT-2.) They drop rows at 1 or above and take the highest of the rest, as many
    as are 10 % of the pool.

    As in their code the text is instruction, input, response, a line each, without a prompt, and
    alone the response has nothing before it: with a tokenizer that adds no beginning-of-text token
    its first token counts in `conditioned` only. Where the text is cut, `alone` counts as many
    tokens as `conditioned`. Which tokens are the response's is told by their place in the text.

    A row fails of which no token of the response can be predicted: because it is empty, because
    the text is cut before it, or because it is one token with nothing before it.
    """

    name = "baselines.superfilter"
    version = 1
    Params: ClassVar[type[Params]] = SuperfilterParams
    params: SuperfilterParams

    @staticmethod
    def ratio(conditioned: float, alone: float) -> float:
        """Perplexity by perplexity."""
        return math.exp(conditioned - alone)


_Losses = tuple["NDArray[np.float32]", bool]
"""The losses of a row's predicted tokens, and whether its text was cut."""


def _in_turns(*runs: Iterator[Any]) -> Iterator[tuple[int, Any]]:
    """What several iterators give, in turns, each with the iterator's number.

    Raises:
        ValueError: After all results, the first that one of them raised.
    """
    lost: ValueError | None = None
    going = dict(enumerate(runs))
    while going:
        for number, run in list(going.items()):
            try:
                result = next(run, None)
            except ValueError as error:
                lost, result = lost or error, None
            if result is None:
                del going[number]
            else:
                yield number, result
    if lost is not None:
        raise lost
