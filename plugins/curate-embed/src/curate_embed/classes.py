"""The classification head: what a model says of a whole text.

Imports torch; imported by `loading`.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from curate.api import CurateError


class Classifier:
    """Stands in for the transformer of a model with a classification head: gives what both give.

    The model is passed as it is, head, pooling and all. Decoders pool at the last token that is not
    padding, which they tell by its id: so batches are filled up with the id that the model knows.

    Args:
        model: The model with its head.
        pad: Of the tokenizer: the padding's id where the model's configuration has none.
        path: The model's folder, for messages.

    Attributes:
        transformer: The model without its head.
        pad: The id that fills rows up; None: any will do.

    Raises:
        CurateError: The transformer cannot be told from the head, or there is no padding where the
            head needs one.
    """

    def __init__(self, model: Any, pad: int | None, path: Path) -> None:
        self._model = model
        self.transformer = model.base_model
        if self.transformer is model:
            raise CurateError(
                f"The transformer of the model in {path} ({type(model).__name__}) cannot be told "
                "from its classification head.",
                "Use an encoder or a decoder with such a head, such as BERT or Llama.",
            )
        own = getattr(model.config, "pad_token_id", None)
        self.pad = pad if own is None else own
        model.config.pad_token_id = self.pad
        self._hidden: Any = None
        self.transformer.register_forward_hook(self._keep)
        if self.pad is None:
            self._try(path)

    def __call__(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None
    ) -> SimpleNamespace:
        """Pass a batch: int64 [rows, tokens] twice.

        Returns:
            `last_hidden_state` [rows, tokens, width] and `logits` [rows, classes].
        """
        logits = self._model(input_ids=input_ids, attention_mask=attention_mask).logits
        hidden, self._hidden = self._hidden, None
        return SimpleNamespace(last_hidden_state=hidden, logits=logits)

    def _keep(self, _module: Any, _inputs: Any, output: Any) -> None:
        self._hidden = output[0]

    @torch.inference_mode()
    def _try(self, path: Path) -> None:
        """Refuse a model that cannot tell padding from text; all others take two rows."""
        ids = torch.ones((2, 4), dtype=torch.int64, device=next(self._model.parameters()).device)
        try:
            self(ids, torch.ones_like(ids))
        except ValueError as error:
            raise CurateError(
                f"The model in {path} reads the last token that is not padding, and neither it nor "
                "its tokenizer says which token that is.",
                "Set `pad_token_id` in its config.json.",
            ) from error
