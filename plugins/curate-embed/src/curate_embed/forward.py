"""The service `forward`: forward passes of Hugging Face models, each loaded once a process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from curate.api import CurateError, ModelFiles, Params, Pass, Predicts, hookimpl
from curate_embed import templates
from curate_embed.classes_folder import classes_of
from curate_embed.hardware import best_dtype
from curate_embed.sentence_folder import sentence_folder

if TYPE_CHECKING:
    from curate_embed.encoder import Encoder

CURATE_API = 1

_HEADS: Mapping[Predicts | None, Literal["tokens", "classes"] | None] = {
    None: None,
    "text": "tokens",
    "response": "tokens",
    "classes": "classes",
}
"""What a pass predicts > the head that it needs."""


class ForwardService:
    """See `curate.passes.Forward`."""

    def auto(self, parameter: str, given: Params, models: Mapping[str, ModelFiles]) -> Any:
        """See `curate.passes.Forward`; knows `dtype`, and what a model's folder says of its use.

        Raises:
            CurateError: The folder says what is not done here.
        """
        if parameter == "dtype":
            return best_dtype(getattr(given, "backend", "torch"))
        path = models["model"].path
        if parameter == "labels":
            return list(classes_of(path).labels)
        if parameter == "task":
            return classes_of(path).task
        if parameter == "pooling":
            return sentence_folder(path).pooling
        if parameter == "normalize":
            return sentence_folder(path, follow=False).normalize
        if parameter == "prompt":
            return _default_prompt(path) if getattr(given, "template", "plain") == "plain" else ""
        raise ValueError(f"the service forward knows no automatic '{parameter}'")

    def fingerprints(self, wanted: Pass) -> Mapping[str, str]:
        """See `curate.passes.Forward`."""
        return templates.fingerprints(wanted)

    def open(self, wanted: Pass, count: Callable[[str, int], None]) -> Encoder:
        """See `curate.passes.Forward`.

        Raises:
            CurateError: The model cannot be loaded, or its blocks cannot be found.
        """
        from curate_embed.encoder import Encoder
        from curate_embed.loading import load

        model: ModelFiles = wanted.model
        headed = _HEADS[wanted.predicts]
        loaded = load(
            model.path, model.digest, wanted.dtype, wanted.compile, headed, wanted.backend
        )
        return Encoder(loaded, wanted, count)


def _default_prompt(path: Path) -> str:
    """The name of the prompt that a folder means to be used, or no text."""
    folder = sentence_folder(path, follow=False)
    if folder.default_prompt is None or folder.default_prompt in folder.prompts:
        return folder.default_prompt or ""
    raise CurateError(
        f"The model in {path} names '{folder.default_prompt}' as its default prompt, and has no "
        "such prompt.",
        'Write the `prompt` that you want, or `prompt: ""`.',
    )


@hookimpl
def register_services(register: Callable[[Callable[[], Any]], None]) -> None:
    """Offer the service."""
    register(ForwardService)
