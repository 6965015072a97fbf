"""Forward passes in constant shapes. Imports torch; imported by `forward` when a model is opened.

Rows are padded on the right, so that the positions a model counts by itself are right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from curate.api import CurateError
from curate_embed.loading import Loaded
from curate_embed.shapes import Shape, plan

_SLICE = 4096  # texts tokenised at once


@dataclass(frozen=True)
class States:
    """See `curate.contract.HiddenStates`."""

    blocks: Sequence[torch.Tensor]
    last: torch.Tensor
    mask: torch.Tensor


class Encoder:
    """See `curate.contract.LoadedModel`."""

    def __init__(self, loaded: Loaded, max_length: int | None, batch_size: int) -> None:
        self._loaded = loaded
        self._batch_size = batch_size
        self.blocks = len(loaded.blocks)
        self.width = int(loaded.model.config.hidden_size)
        self.max_length = min(loaded.reach, max_length or loaded.reach)

    def run(
        self, texts: Sequence[str], read: Callable[[States], torch.Tensor]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.floating[Any]], NDArray[np.bool_]]]:
        """Pass texts through the model and reduce each batch with `read`.

        Args:
            texts: Any number.
            read: From hidden states to a tensor [rows, values].

        Yields:
            Positions in `texts` [n], values [n, values] in the dtype that `read` gives, whether
            the text was cut [n].

        Raises:
            ValueError: After all results, where texts are left of which the tokenizer makes no
                token.
            CurateError: A batch does not fit into the device's memory.
        """
        tokens, cut = self._tokenise(texts)
        lengths = np.array([len(row) for row in tokens], dtype=np.int64)
        filled = np.flatnonzero(lengths)
        waiting: list[tuple[NDArray[np.int64], NDArray[np.floating[Any]]]] = []
        for shape in plan(lengths[filled], self.max_length):
            at = filled[shape.positions]
            waiting.append((at, self._pass([tokens[i] for i in at], shape, read)))
            if len(waiting) == self._batch_size:
                yield _joined(waiting, cut)
                waiting = []
        if waiting:
            yield _joined(waiting, cut)
        if len(filled) < len(texts):
            raise ValueError("the model's tokenizer makes no token of this text")

    def _tokenise(self, texts: Sequence[str]) -> tuple[list[NDArray[np.int32]], NDArray[np.bool_]]:
        tokens: list[NDArray[np.int32]] = []
        cut: list[bool] = []
        for start in range(0, len(texts), _SLICE):
            batch = self._loaded.tokenizer(
                list(texts[start : start + _SLICE]), truncation=True, max_length=self.max_length
            )
            for encoding in batch.encodings:
                tokens.append(np.array(encoding.ids, dtype=np.int32))
                cut.append(bool(encoding.overflowing))
        return tokens, np.array(cut, dtype=np.bool_)

    def _pass(
        self,
        tokens: Sequence[NDArray[np.int32]],
        shape: Shape,
        read: Callable[[States], torch.Tensor],
    ) -> NDArray[np.floating[Any]]:
        ids = np.full((shape.rows, shape.length), self._loaded.pad, dtype=np.int64)
        mask = np.zeros((shape.rows, shape.length), dtype=np.bool_)
        for row in range(shape.rows):
            text = tokens[min(row, len(tokens) - 1)]
            ids[row, : len(text)] = text
            mask[row, : len(text)] = True
        try:
            with torch.inference_mode():
                states = self._states(torch.from_numpy(ids), torch.from_numpy(mask))
                return read(states)[: len(tokens)].cpu().numpy()
        except torch.OutOfMemoryError as error:
            raise CurateError(
                f"The model {self._loaded.name} ran out of memory on {shape.rows} rows of "
                f"{shape.length} tokens.",
                "Set a smaller `max_length`, or take a smaller model or a larger device.",
            ) from error

    def _states(self, ids: torch.Tensor, mask: torch.Tensor) -> States:
        mask = mask.to(self._loaded.device)
        blocks: list[torch.Tensor] = []

        def keep(_module: Any, _inputs: Any, output: Any) -> None:
            blocks.append(output[0] if isinstance(output, tuple) else output)

        hooks = [block.register_forward_hook(keep) for block in self._loaded.blocks]
        try:
            output = self._loaded.model(
                input_ids=ids.to(self._loaded.device), attention_mask=mask.long()
            )
        finally:
            for hook in hooks:
                hook.remove()
        return States(blocks, output.last_hidden_state, mask)


def _joined(
    parts: Sequence[tuple[NDArray[np.int64], NDArray[np.floating[Any]]]], cut: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.floating[Any]], NDArray[np.bool_]]:
    positions = np.concatenate([at for at, _ in parts])
    return positions, np.concatenate([values for _, values in parts]), cut[positions]
