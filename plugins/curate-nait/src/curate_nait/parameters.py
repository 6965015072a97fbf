"""The parameters of `nait.alignment`, and what depends on which."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from curate.api import PASS, TRUNCATED, Artifact, PassParams, Preset, Reference

LAYERS = "_layers"
"""What follows a capability's name in the column of its projections by layer."""

FIT = (*PASS, "hook", "pool", "baseline", "center", "sign", "components")
"""Parameters on which directions depend: what a feature is checked against."""

PROJECTED = (*PASS, "hook", "pool", "baseline", "similarity")
"""Parameters on which projections depend, the directions apart."""

READING = ("similarity", "layers", "layer_scale")
"""Parameters that say how projections become a score: a feature does not depend on them."""

_PAPER = {
    "hook": "block_output",
    "pool": "last",
    "baseline": "first",
    "similarity": "dot",
    "sign": "mean_drift",
    "layers": "all",
    "layer_scale": "none",
    "components": 1,
}


class AlignmentParams(PassParams):
    """Parameters of `nait.alignment`. The paper leaves open all but `model` and `targets`."""

    presets: ClassVar[Mapping[str, Preset]] = {
        "encoder": Preset(
            {
                "hook": "mlp_neurons",
                "pool": "last",
                "baseline": "first",
                "similarity": "cosine",
                "sign": "mean_drift",
                "layers": "all",
                "layer_scale": "zscore",
                "center": False,
                "components": 1,
            },
            "the defaults: best over five pools in our retrieval proxy on all-MiniLM-L6-v2 "
            "(benchmarks/nait_retrieval.py); not from the paper",
        ),
        "paper": Preset(
            {**_PAPER, "center": False},
            "arXiv 2603.13201, the drift A(t_K) - A(t_1) and the plain dot product over all "
            "layers; without centring, which the paper does not settle",
        ),
        "paper-centred": Preset(
            {**_PAPER, "center": True},
            "arXiv 2603.13201 as `paper`, with PCA in its textbook form, centred",
        ),
    }

    preset: Annotated[
        Literal["encoder", "paper", "paper-centred"] | None,
        Field(description="Values for the parameters that are not written; see below."),
    ] = None
    targets: Annotated[
        dict[str, Reference],
        Field(description="Capability: examples of it. Each gives one score."),
    ] = Field(default_factory=dict)
    features: Annotated[
        dict[str, Artifact],
        Field(
            description="Capability: a file that `curate nait extract` made, instead of targets."
        ),
    ] = Field(default_factory=dict)
    hook: Annotated[
        Literal["mlp_neurons", "block_output"],
        Field(
            description="Activations: what each MLP's down-projection is given, or what each "
            "block puts out (before the final norm)."
        ),
    ] = "mlp_neurons"
    pool: Annotated[
        Literal["last", "mean"],
        Field(description="Activation of an example: its last token's, or mean over its tokens."),
    ] = "last"
    baseline: Annotated[
        Literal["first", "none"],
        Field(description="first: the first token's activation is taken off (the paper's drift)."),
    ] = "first"
    similarity: Annotated[
        Literal["cosine", "dot"],
        Field(description="dot: the projection as it is; cosine: of the activation at length 1."),
    ] = "cosine"
    center: Annotated[
        bool, Field(description="Take the mean of the target's activations off before the PCA.")
    ] = False
    sign: Annotated[
        Literal["mean_drift", "mean_activation"],
        Field(
            description="What a direction points along: the target's mean drift from first to last "
            "token, or its mean pooled activation."
        ),
    ] = "mean_drift"
    components: Annotated[
        int, Field(ge=1, description="Principal components whose projections are added up.")
    ] = 1
    layers: Annotated[
        str | list[int],
        Field(description="Blocks that count: all, a range 2..6, or numbers from 1 (-1: last)."),
    ] = "all"
    layer_scale: Annotated[
        Literal["zscore", "none"],
        Field(
            description="zscore: each layer by mean and standard deviation of the target's samples."
        ),
    ] = "zscore"
    keep_layers: Annotated[
        bool,
        Field(
            description="Keep the projections by layer, as vector columns: other `layers` and "
            "`layer_scale` then need no pass."
        ),
    ] = False

    @field_validator("layers", mode="before")
    @classmethod
    def _chosen(cls, layers: object) -> object:
        if isinstance(layers, list) and all(type(each) is int for each in layers):
            right = bool(layers) and 0 not in layers and len(set(layers)) == len(layers)
        else:
            ends = re.fullmatch(r"(\d+)\.\.(\d+)", str(layers))
            right = layers == "all" or (ends is not None and 1 <= int(ends[1]) <= int(ends[2]))
        if right:
            return layers
        raise ValueError(
            f"'{layers}' chooses no layers: write all, a range such as 2..6, or a list of numbers "
            "from 1 (or from -1 backwards), each once, such as [1, -1]"
        )

    @model_validator(mode="after")
    def _named(self) -> Self:
        if not self.targets and not self.features:
            raise ValueError("`targets` or `features` must name a capability")
        for name in [*self.targets, *self.features]:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name == TRUNCATED:
                raise ValueError(
                    f"'{name}' cannot name a capability: use a-z, 0-9 and underscores, a letter "
                    f"first, and not '{TRUNCATED}'"
                )
            if name.endswith(LAYERS):
                raise ValueError(f"'{name}' cannot name a capability: it ends in {LAYERS}")
            if name in self.targets and name in self.features:
                raise ValueError(f"'{name}' stands under `targets` and `features`: name it once")
        return self

    @property
    def capabilities(self) -> tuple[str, ...]:
        """All names, those of targets first."""
        return (*self.targets, *self.features)


def fit_options(params: AlignmentParams) -> dict[str, Any]:
    """The options on which directions depend, the model apart."""
    return {name: getattr(params, name) for name in FIT if name != "model"}
