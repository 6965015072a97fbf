"""The stage `embed.sentence`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from curate.api import (
    PASS,
    TRUNCATED,
    Auto,
    Context,
    Depends,
    ForwardStage,
    LoadedModel,
    ModelFiles,
    Output,
    Params,
    Pass,
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

    prompt: Annotated[
        str,
        Auto("forward"),
        Field(
            description="A text put before every text (`'query: '`), or the name of one of the "
            "prompts of the model's folder; auto: the folder's default prompt, if it names one.",
        ),
    ] = "auto"
    pooling: Annotated[
        Literal["auto", "mean", "cls", "max", "mean_sqrt_len", "last", "weighted"],
        Auto("forward"),
        Field(
            description="How the final hidden state becomes one vector: mean over the tokens; cls: "
            "the first token; max of each dimension; mean_sqrt_len: sum over the root of the "
            "number of tokens; last token; weighted: mean with weights 1, 2, ... n; auto: what the "
            "model's folder says, or else the mean.",
        ),
    ] = "auto"
    normalize: Annotated[
        bool | Literal["auto"],
        Auto("forward"),
        Field(description="Scale vectors to length 1; auto: if the model's folder does."),
    ] = True
    backend: Annotated[
        Literal["torch", "onnx", "openvino"],
        Field(
            description="What computes: torch; onnx and openvino use the processor and want "
            "curate-embed[onnx] and curate-embed[openvino]."
        ),
    ] = "torch"

    @model_validator(mode="after")
    def _computable(self) -> Self:
        if self.prompt not in ("", "auto") and self.template != "plain":
            raise ValueError(f"`template: {self.template}` takes no prompt")
        if self.compile and self.backend != "torch":
            raise ValueError(f"`compile` is for `backend: torch`, not {self.backend}")
        if self.dtype == "bfloat16" and self.backend == "onnx":
            raise ValueError("`backend: onnx` computes in float32: leave `dtype` out")
        return self


class EmbedSentence(ForwardStage):
    """One vector an example: the pooled final hidden state of an encoder or a decoder.

    `truncated` says whether the text was cut. A text of which the tokenizer makes no token fails.
    """

    name = "embed.sentence"
    version = 3
    Params: ClassVar[type[Params]] = SentenceParams
    params: SentenceParams

    def outputs(self) -> Mapping[str, Output]:
        """The vector, and whether the text was cut."""
        tolerance = 1e-6 if self.params.dtype == "float32" else 1e-2
        return {"embedding": Output("vector", tolerance=tolerance), **super().outputs()}

    def depends(self, output: str) -> Depends:
        """Whether a text is cut depends on its tokens alone."""
        if output == TRUNCATED:
            return Depends(params=(*(super().depends(output).params or ()), "prompt"), fits=())
        return Depends(params=(*PASS, "prompt", "pooling", "normalize", "backend"))

    def prepare(self, models: Mapping[str, ModelFiles], service: Callable[[str], Any]) -> None:
        """Refuse a backend that is not installed, and a template or prompt that is not there."""
        from curate_embed.hardware import check_backend

        check_backend(self.params.backend)
        super().prepare(models, service)

    def passing(self, models: Mapping[str, ModelFiles]) -> Pass:
        """The pass that this stage needs: the prompt is put before, the backend computes."""
        from curate_embed.sentence_folder import prompt_text

        prompt = prompt_text(models["model"].path, self.params.prompt)
        return replace(super().passing(models), prompt=prompt, backend=self.params.backend)

    def reader(self, model: LoadedModel, ctx: Context) -> Reader:
        """Pools the final hidden state."""
        from curate_embed.pooling import SentenceReader
        from curate_embed.sentence_folder import sentence_folder

        given = self.params
        folder = sentence_folder(ctx.models["model"].path, follow=False)
        skip = 0 if folder.include_prompt else model.prompt_length
        return SentenceReader(given.pooling, bool(given.normalize), skip)

    def columns(self, values: NDArray[np.floating[Any]], ctx: Context) -> Mapping[str, pl.Series]:  # noqa: ARG002 - there is one
        """The vectors."""
        import polars as pl

        return {"embedding": pl.Series(values, dtype=pl.Array(pl.Float32, values.shape[1]))}


@hookimpl
def register_stages(register: Callable[[type[Stage]], None]) -> None:
    """Offer the stage."""
    register(EmbedSentence)
