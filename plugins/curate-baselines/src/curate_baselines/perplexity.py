"""The stage `baselines.perplexity`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from curate.api import (
    Context,
    ForwardStage,
    LoadedModel,
    ModelName,
    Output,
    Params,
    PassParams,
    Predicts,
    Reader,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOSS_TOLERANCE = {"float32": 1e-5, "bfloat16": 2e-2}
"""How far another machine may move a mean loss, in nats, by dtype."""


class PerplexityParams(PassParams):
    """Parameters of `baselines.perplexity`."""

    model: Annotated[
        str,
        ModelName(),
        Field(description="A decoder with its head: a folder, or owner/name[@revision]."),
    ]


class Perplexity(ForwardStage):
    """How much a text surprises a language model.

        loss       = -1/n sum over the n predicted tokens of ln p(token | all tokens before it)
        perplexity = exp(loss)

    (Jelinek et al. 1977, doi:10.1121/1.2016299.) Every token of the text is predicted but the
    first, where nothing stands before it; a beginning-of-text token that the tokenizer adds stands
    before it. `template: alpaca` and `chat` count the tokens of their prompt too.

    A text of which no token can be predicted fails; `truncated` says whether it was cut.
    """

    name = "baselines.perplexity"
    version = 1
    predicts: ClassVar[Predicts | None] = "text"
    Params: ClassVar[type[Params]] = PerplexityParams
    params: PerplexityParams

    def outputs(self) -> Mapping[str, Output]:
        """Perplexity, mean loss in nats, and whether the text was cut."""
        loss = LOSS_TOLERANCE.get(self.params.dtype, 0.0)
        return {
            # an error of the loss is a relative one here: right up to a perplexity of 100
            "perplexity": Output("number", tolerance=100 * loss),
            "loss": Output("number", tolerance=loss),
            **super().outputs(),
        }

    def reader(self, model: LoadedModel, ctx: Context) -> Reader:  # noqa: ARG002 - of no matter here
        """Averages over the tokens."""
        from curate_baselines.losses import MeanLoss

        return MeanLoss()

    def columns(
        self,
        values: NDArray[np.floating],
        ctx: Context,  # noqa: ARG002 - both are at hand
    ) -> Mapping[str, NDArray[np.floating]]:
        """The loss and its exponential."""
        import numpy as np

        return {"perplexity": np.exp(values[:, 0]), "loss": values[:, 0]}
