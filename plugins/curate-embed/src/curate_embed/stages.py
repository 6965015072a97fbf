"""The stage `embed.sentence`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from curate.api import (
    Context,
    Depends,
    ModelName,
    Neutral,
    Output,
    Params,
    ScoreStage,
    Stage,
    TextChoice,
    hookimpl,
)

if TYPE_CHECKING:
    import polars as pl

CURATE_API = 1


class SentenceParams(Params):
    """Parameters of `embed.sentence`."""

    model: Annotated[
        str,
        ModelName(),
        Field(description="A model alias, a folder, or owner/name[@revision] on the Hub."),
    ] = "builtin:minilm"
    text: Annotated[TextChoice, Field(description="Which text of an example is embedded.")] = "both"
    max_length: Annotated[
        int | None,
        Field(
            ge=8,
            description="Tokens after which a text is cut, never more than the model reaches; "
            "by default what the model's sentence settings say, or else its reach.",
        ),
    ] = None
    pooling: Annotated[
        Literal["auto", "mean", "cls"],
        Field(
            description="Mean of the last hidden state over the tokens, or its first token; "
            "auto: what the model's folder says, or else the mean.",
        ),
    ] = "auto"
    normalize: Annotated[bool, Field(description="Scale vectors to length 1.")] = True
    batch_size: Annotated[
        int,
        Neutral(),
        Field(ge=1, description="Batches computed between two results; changes no value."),
    ] = 1


class EmbedSentence(ScoreStage):
    """One vector an example: the pooled last hidden state of an encoder or a decoder.

    `truncated` says whether the text was cut. A text of which the tokenizer makes no token fails.
    """

    name = "embed.sentence"
    version = 1
    Params: ClassVar[type[Params]] = SentenceParams
    services = ("forward",)
    params: SentenceParams

    def outputs(self) -> Mapping[str, Output]:
        """The vector, and whether the text was cut."""
        return {
            "embedding": Output("vector", tolerance=1e-6),
            "truncated": Output("boolean", flag=True),
        }

    def depends(self, output: str) -> Depends:
        """Whether a text is cut depends neither on pooling nor on scaling."""
        return (
            Depends(params=("model", "text", "max_length")) if output == "truncated" else Depends()
        )

    def stream(self, rows: pl.DataFrame, ctx: Context) -> Iterator[pl.DataFrame]:
        """Embed rows, a few batches at a time."""
        import polars as pl

        from curate_embed.pooling import max_length_of, pooling_of, sentence_reader

        files = ctx.models["model"]
        pooling = self.params.pooling
        read = sentence_reader(
            pooling_of(files.path) if pooling == "auto" else pooling, self.params.normalize
        )
        model = ctx.service("forward").open(
            files,
            max_length=self.params.max_length or max_length_of(files.path),
            batch_size=self.params.batch_size,
        )
        texts = rows[f"@{self.params.text}"].to_list()
        for positions, vectors, cut in model.run(texts, read):
            columns = {
                "embedding": pl.Series(vectors, dtype=pl.Array(pl.Float32, model.width)),
                "truncated": pl.Series(cut),
            }
            yield pl.DataFrame(
                {"id": rows["id"][positions], **{name: columns[name] for name in ctx.wanted}}
            )


@hookimpl
def register_stages(register: Callable[[type[Stage]], None]) -> None:
    """Offer the stage."""
    register(EmbedSentence)
