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
"""Tokens that go through the head together, always as many: logits never take more memory."""

_PROBE = 8  # tokens of the text on which a head is tried
_REMEDY = "Use a decoder that was trained to predict the next token, such as GPT-2, Llama or Qwen."


def check_saved_with_head(path: Path) -> None:
    """Refuse a folder whose configuration says that its model was saved without such a head.

    Where input and output embeddings are shared, the weights alone would not tell.

    Raises:
        CurateError: It was.
    """
    saved = json.loads((path / "config.json").read_text("utf-8")).get("architectures") or []
    if saved and not set(saved) & set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()):
        raise CurateError(
            f"The model in {path} has no language-model head: it was saved as {', '.join(saved)}.",
            _REMEDY,
        )


class Head:
    """From final hidden states to log-probabilities of the tokens that are predicted.

    They go through the head in a constant shape, whatever the batch, filled up with repeats.

    Args:
        model: The model with its head, in evaluation, on its device.
        path: Its folder, for messages.

    Attributes:
        model: The model with its head.
        transformer: The model without it.

    Raises:
        CurateError: The head cannot be told from the transformer, or the model looks ahead.
    """

    def __init__(self, model: Any, path: Path) -> None:
        self.model = model
        self.transformer = model.get_decoder()
        self._check(path)

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
        found = torch.full((ids.numel(),), torch.nan, device=ids.device)
        states, tokens = hidden.flatten(0, 1), ids.flatten()
        places = np.flatnonzero(predicted)
        for start in range(0, len(places), TOKENS):
            some = places[start : start + TOKENS]
            at = torch.from_numpy(np.pad(some, (0, TOKENS - len(some)), "edge")).to(ids.device)
            before = (at - 1).unsqueeze(0)  # what stands before a token says how probable it is
            logits = self._logits(states[before], tokens[before]).float()
            losses = torch.nn.functional.cross_entropy(logits[0], tokens[at], reduction="none")
            # a model that computes nonsense is not one that predicts nothing
            found[at[: len(some)]] = -losses[: len(some)].nan_to_num(
                nan=torch.inf, posinf=torch.inf
            )
        return found.view(ids.shape)

    def _logits(self, hidden: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """What the model itself makes of hidden states: head, scaling, capping and all."""
        with _standing_in(self.transformer, hidden):
            logits: torch.Tensor = self.model(input_ids=ids).logits
        return logits

    @torch.inference_mode()
    def _check(self, path: Path) -> None:
        """Try the head on two short texts with the same beginning."""
        device, half = next(self.model.parameters()).device, _PROBE // 2
        first = torch.arange(_PROBE, device=device).unsqueeze(0)
        other = first.clone()
        other[:, half:] = first[:, :half]
        whole = self.model(input_ids=first).logits.float()
        # what is said of the first must come from its hidden states alone, so the ids are others
        apart = self._logits(self.transformer(input_ids=first).last_hidden_state, other).float()
        near = float(whole.abs().max()) * 0.01  # rounding is far smaller, a mistake far larger
        if apart.shape != whole.shape or float((apart - whole).abs().max()) > near:
            raise CurateError(
                f"The language-model head of the model in {path} ({type(self.model).__name__}) "
                "cannot be told from its transformer.",
                _REMEDY,
            )
        ahead = self.model(input_ids=other).logits.float() - whole
        if float(ahead[:, :half].abs().max()) > near:
            raise CurateError(
                f"The model in {path} ({type(self.model).__name__}) is an encoder: it reads what "
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
