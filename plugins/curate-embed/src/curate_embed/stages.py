"""The stage `embed.sentence`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from curate.api import (
    PASS,
    TRUNCATED,
    Context,
    Depends,
    ForwardStage,
    LoadedModel,
    Output,
    Params,
    PassParams,
    Reader,
    Stage,
    hookimpl,
)

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

CURATE_API = 1


class SentenceParams(PassParams):
    """Parameters of `embed.sentence`."""

    pooling: Annotated[
        Literal["auto", "mean", "cls"],
        Field(
            description="Mean of the final hidden state over the tokens, or its first token; "
            "auto: what the model's folder says, or else the mean.",
        ),
    ] = "auto"
    normalize: Annotated[bool, Field(description="Scale vectors to length 1.")] = True


class EmbedSentence(ForwardStage):
    """One vector an example: the pooled final hidden state of an encoder or a decoder.

    `truncated` says whether the text was cut. A text of which the tokenizer makes no token fails.
    """

    name = "embed.sentence"
    version = 2
    Params: ClassVar[type[Params]] = SentenceParams
    params: SentenceParams

    def outputs(self) -> Mapping[str, Output]:
        """The vector, and whether the text was cut."""
        tolerance = 1e-6 if self.params.dtype == "float32" else 1e-2
        return {"embedding": Output("vector", tolerance=tolerance), **super().outputs()}

    def depends(self, output: str) -> Depends:
        """Whether a text is cut depends neither on pooling nor on scaling."""
        if output == TRUNCATED:
            return super().depends(output)
        return Depends(params=(*PASS, "pooling", "normalize"))

    def reader(self, model: LoadedModel, ctx: Context) -> Reader:  # noqa: ARG002 - the model's width is no matter
        """Pools the final hidden state."""
        from curate_embed.pooling import SentenceReader, pooling_of

        given = self.params
        auto = given.pooling == "auto"
        pooling = pooling_of(ctx.models["model"].path) if auto else given.pooling
        return SentenceReader(pooling, given.normalize)

    def columns(self, values: NDArray[np.floating[Any]], ctx: Context) -> Mapping[str, pl.Series]:  # noqa: ARG002 - there is one
        """The vectors."""
        import polars as pl

        return {"embedding": pl.Series(values, dtype=pl.Array(pl.Float32, values.shape[1]))}


@hookimpl
def register_stages(register: Callable[[type[Stage]], None]) -> None:
    """Offer the stage."""
    register(EmbedSentence)
