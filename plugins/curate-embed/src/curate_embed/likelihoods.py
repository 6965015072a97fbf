"""The language-model head: how probable each token is, given those before it.

Imports torch; imported by `loading` where a pass predicts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from curate.api import CurateError

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOKENS = 256
"""Tokens whose logits stand in memory at once, roughly: as many times the vocabulary."""

_PROBE = 8  # tokens of the text on which a head is tried
_REMEDY = "Use a decoder that was trained to predict the next token, such as GPT-2, Llama or Qwen."


def check_saved_with_head(path: Path, name: str) -> None:
    """Refuse a folder whose configuration says that its model was saved without such a head.

    Where input and output embeddings are shared, the weights alone would not tell.

    Raises:
        CurateError: It was.
    """
    saved = json.loads((path / "config.json").read_text("utf-8")).get("architectures") or []
    if saved and not set(saved) & set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()):
        raise CurateError(
            f"The model {name} has no language-model head: it was saved as {', '.join(saved)}.",
            _REMEDY,
        )


class Head:
    """From final hidden states to log-probabilities, a part of the batch at a time.

    Args:
        model: The model with its head, in evaluation, on its device.
        name: Its name, for messages.

    Raises:
        CurateError: The head cannot be told from the transformer, or the model looks ahead.
    """

    def __init__(self, model: Any, name: str) -> None:
        self._model = model
        self.transformer = model.get_decoder()
        self._check(name)

    @torch.inference_mode()
    def likelihoods(
        self, hidden: torch.Tensor, ids: torch.Tensor, predicted: NDArray[np.bool_]
    ) -> torch.Tensor:
        """The natural logarithm of each predicted token's probability, given those before it.

        Args:
            hidden: The final hidden state [rows, tokens, width].
            ids: Token ids, int64 [rows, tokens].
            predicted: Which are predicted, bool [rows, tokens]; never the first of a row.

        Returns:
            float32 [rows, tokens], NaN where a token is not predicted.
        """
        rows, length = ids.shape
        following = ids.roll(-1, dims=1)
        wanted = np.roll(predicted, -1, axis=1)
        found = torch.full((rows, length), torch.nan, device=ids.device)
        for place in _parts(rows, length):
            if wanted[place].any():
                # a copy begins where any other tensor does; bits may depend on that
                logits = self._logits(hidden[place].clone(), ids[place]).float()
                losses = torch.nn.functional.cross_entropy(
                    logits.flatten(0, 1), following[place].flatten(), reduction="none"
                )
                found[place] = -losses.view(following[place].shape)
        kept = torch.from_numpy(predicted).to(ids.device)
        return found.roll(1, dims=1).masked_fill(~kept, torch.nan)

    def _logits(self, hidden: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """What the model itself makes of hidden states: head, scaling, capping and all."""
        with _standing_in(self.transformer, hidden):
            logits: torch.Tensor = self._model(input_ids=ids).logits
        return logits

    @torch.inference_mode()
    def _check(self, name: str) -> None:
        """Try the head on two short texts with the same beginning."""
        device, half = next(self._model.parameters()).device, _PROBE // 2
        first = torch.arange(_PROBE, device=device).unsqueeze(0)
        other = first.clone()
        other[:, half:] = first[:, :half]
        whole = self._model(input_ids=first).logits.float()
        # what is said of the first must come from its hidden states alone, so the ids are others
        apart = self._logits(self.transformer(input_ids=first).last_hidden_state, other).float()
        near = float(whole.abs().max()) * 0.01  # rounding is far smaller, a mistake far larger
        if apart.shape != whole.shape or float((apart - whole).abs().max()) > near:
            raise CurateError(
                f"The language-model head of {name} ({type(self._model).__name__}) cannot be told "
                "from its transformer.",
                _REMEDY,
            )
        ahead = self._model(input_ids=other).logits.float() - whole
        if float(ahead[:, :half].abs().max()) > near:
            raise CurateError(
                f"The model {name} ({type(self._model).__name__}) is an encoder: it reads what "
                "comes after a token, and so cannot predict it.",
                _REMEDY,
            )


@contextmanager
def _standing_in(transformer: Any, hidden: torch.Tensor) -> Iterator[None]:
    """Let the transformer give these hidden states, whatever it is asked."""

    def known(*_asked: Any, **_options: Any) -> BaseModelOutputWithPoolingAndCrossAttentions:
        return BaseModelOutputWithPoolingAndCrossAttentions(last_hidden_state=hidden)

    transformer.forward = known
    try:
        yield
    finally:
        del transformer.forward  # what is left is the method of its class


def _parts(rows: int, length: int) -> Iterator[tuple[slice, slice]]:
    """Places of a batch, each of at most `TOKENS` tokens: whole rows, or pieces of one row.

    Which piece a token is in, and the form of that piece, depends on the form of the batch and on
    the token's place in its row only.
    """
    together = max(
        (some for some in range(1, rows + 1) if rows % some == 0 and some * length <= TOKENS),
        default=1,
    )
    for row in range(0, rows, together):
        for start in range(0, length, TOKENS):
            yield slice(row, row + together), slice(start, min(start + TOKENS, length))
