"""The stage `hf.classifier`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from curate.api import (
    PASS,
    TRUNCATED,
    Auto,
    Context,
    CurateError,
    Depends,
    ForwardStage,
    LoadedModel,
    ModelFiles,
    ModelName,
    Output,
    Params,
    PassParams,
    Predicts,
    Reader,
    Stage,
    hookimpl,
    nearest,
)

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

CURATE_API = 1

LABEL, EXPECTATION = "label", "expectation"


class ClassifierParams(PassParams):
    """Parameters of `hf.classifier`."""

    model: Annotated[
        str,
        ModelName(),
        Field(
            description="A model with a classification head: an alias, a folder, or "
            "owner/name[@revision]."
        ),
    ]
    labels: Annotated[
        list[str] | Literal["auto"],
        Auto("forward", early=True),
        Field(description="Names of the classes in the model's order; auto: those it has itself."),
    ] = "auto"
    task: Annotated[
        Literal["auto", "single_label", "multi_label", "regression"],
        Auto("forward", early=True),
        Field(
            description="single_label: one class holds (softmax); multi_label: each may (sigmoid); "
            "regression: the head's numbers as they are; auto: what the model says of itself."
        ),
    ] = "auto"
    values: Annotated[
        dict[str, float] | None,
        Field(description="Label: number. The expectation of these numbers is a column."),
    ] = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.labels != "auto" and len(set(self.labels)) < max(1, len(self.labels)):
            raise ValueError("`labels` are one or more names, all different")
        if self.values is not None and not self.values:
            raise ValueError("`values` names a number for each label")
        return self


class Classifier(ForwardStage):
    """What a text-classification model says of an example: its label, and how sure it is.

    With one label a text, `label` is the most probable class and `p_<label>` the probability of
    each: the softmax of the head's logits z, p_i = exp(z_i) / sum_j exp(z_j). With several labels
    a text, each is p_i = 1 / (1 + exp(-z_i)), and there is no `label`. Of a regression the columns
    are z_i itself, `value`, or `value_<label>` where there are several.

    `values` puts the labels on a scale: `expectation` is sum_i p_i v_i, as DEITA (arXiv 2312.15685)
    makes one number of the probabilities of the marks 1 to 6.

    Names of columns are small letters of any script, digits and underscores: `5 stars` has
    `p_5_stars`, `积极` has `p_积极`. Where that leaves two labels one name, or one none, all
    classes go by their numbers: `p_0`, `p_1`.
    """

    name = "hf.classifier"
    version = 1
    Params: ClassVar[type[Params]] = ClassifierParams
    predicts: ClassVar[Predicts | None] = "classes"
    params: ClassifierParams

    def outputs(self) -> Mapping[str, Output]:
        """A column for each class; what is known of them where the model was not looked at."""
        task, exact = self.params.task, self.params.dtype == "float32"
        if task == "regression":
            tolerance = 1e-5 if exact else 5e-2
            made = {name: Output("number", tolerance) for name in self._columns}
            return {**made, **super().outputs()}
        tolerance = 1e-6 if exact else 1e-2
        made = {} if task == "multi_label" else {LABEL: Output("string")}
        made |= {name: Output("number", tolerance) for name in self._columns}
        if self.params.values:
            numbers = self.params.values.values()
            width = max(map(abs, numbers)) * len(numbers)
            made[EXPECTATION] = Output("number", tolerance * width)
        return {**made, **super().outputs()}

    def depends(self, output: str) -> Depends:
        """The numbers of labels matter for the expectation alone."""
        if output in (TRUNCATED, EXPECTATION):
            return super().depends(output)
        return Depends(params=(*PASS, "labels", "task"), fits=())

    def check_files(self) -> None:
        """Refuse values that are not those of the labels."""
        given, labels = self.params.values, self._labels
        if given is None:
            return
        if self.params.task in ("multi_label", "regression"):
            raise CurateError(
                f"`values` is for models with one label a text, and this is {self.params.task}.",
                "Leave it out.",
            )
        stray = sorted(set(given) - set(labels))
        if stray:
            raise CurateError(
                f"`values` names the label '{stray[0]}', which the model does not have.",
                nearest(stray[0], labels) or f"It has {', '.join(labels)}.",
            )
        lacking = [label for label in labels if label not in given]
        if lacking:
            raise CurateError(f"`values` has no number for the label '{lacking[0]}'.")

    def prepare(self, models: Mapping[str, ModelFiles], service: Callable[[str], Any]) -> None:
        """Refuse labels that are not as many as the model's classes, and a missing template."""
        from curate_embed.classes_folder import classes_of

        own = classes_of(models["model"].path).labels
        if len(own) != len(self._labels):
            raise CurateError(
                f"`labels` names {len(self._labels)} classes, and the model {models['model'].name} "
                f"has {len(own)}: {', '.join(own)}."
            )
        super().prepare(models, service)

    def reader(self, model: LoadedModel, ctx: Context) -> Reader:  # noqa: ARG002 - it needs neither
        """Makes probabilities of the logits."""
        from curate_embed.probabilities import ClassReader

        return ClassReader(self.params.task)

    def columns(
        self,
        values: NDArray[np.floating[Any]],
        ctx: Context,  # noqa: ARG002 - there is nothing to know beyond the values
    ) -> Mapping[str, pl.Series | NDArray[Any]]:
        """The probabilities by class.

        Raises:
            CurateError: The model computes what is no number.
        """
        import numpy as np

        if not np.isfinite(values).all():
            raise CurateError(
                f"Stage '{self.id}': the model gives what is no number.",
                "Use `dtype: float32`, or another model.",
            )
        numbers = values.astype(np.float64)
        made: dict[str, Any] = dict(zip(self._columns, numbers.T, strict=True))
        if self.params.task == "single_label":
            made[LABEL] = np.array(self._labels, dtype=object)[values.argmax(axis=1)]
        if self.params.values:
            scale = np.array([self.params.values[label] for label in self._labels])
            # row by row and not as a matrix: the order of adding depends on the row alone
            made[EXPECTATION] = (numbers * scale).sum(axis=1)
        return made

    @property
    def _labels(self) -> list[str]:
        return [] if self.params.labels == "auto" else list(self.params.labels)

    @property
    def _columns(self) -> list[str]:
        """The column of each class; where two would have the same, all go by their numbers."""
        labels = self._labels
        if self.params.task == "regression" and len(labels) == 1:
            return ["value"]
        words = [re.sub(r"\W+", "_", label.lower()).strip("_") for label in labels]
        before = "value" if self.params.task == "regression" else "p"
        named = all(words) and len(set(words)) == len(words)
        return [f"{before}_{word if named else at}" for at, word in enumerate(words)]


@hookimpl
def register_stages(register: Callable[[type[Stage]], None]) -> None:
    """Offer the stage."""
    register(Classifier)
