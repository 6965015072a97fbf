"""Forward passes in constant shapes. Imports torch; imported by `forward` when a model is opened.

Rows are padded on the right, so that the positions a model counts by itself are right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from curate.api import CurateError, Pass, Reader
from curate_embed.answers import nothing_left, placed, predicted
from curate_embed.loading import Loaded
from curate_embed.shapes import Buckets, Shape
from curate_embed.templates import rows_of

if TYPE_CHECKING:
    import polars as pl

_SLICE = 1024  # texts tokenised at once

TOKENS = {"cpu": 2048, "cuda": 8192}
"""Tokens of one batch, roughly: on a processor more leave its caches and fewer keep it waiting;
a GPU wants more, but half-empty last batches weigh more then."""

_Values = NDArray[np.floating[Any]]
_Result = tuple[NDArray[np.int64], list[_Values], NDArray[np.bool_]]


@dataclass(frozen=True)
class _Text:
    """A tokenised text: its position, token ids, whether it was cut, which are predicted."""

    position: int
    ids: NDArray[np.int32]
    cut: bool
    predicted: NDArray[np.bool_] | None


class Encoder:
    """See `curate.passes.LoadedModel`."""

    def __init__(self, loaded: Loaded, wanted: Pass, count: Callable[[str, int], None]) -> None:
        self._loaded = loaded
        self._batch_size = wanted.batch_size
        self._wanted = wanted
        self._classes = wanted.predicts == "classes"
        self._render, self._specials = placed(wanted, loaded.tokenizer)
        self._count = count
        self.blocks = loaded.blocks
        self.width = loaded.width
        self.max_length = min(loaded.reach, wanted.max_length or loaded.own_length)
        self._tokenizer = _cutting(loaded.tokenizer, self.max_length)
        self.prompt_length = self._length(wanted.prompt)
        self._tokens = TOKENS.get(loaded.device.type, TOKENS["cuda"])

    @property
    def neurons(self) -> int:
        """See `curate.passes.LoadedModel`."""
        return self._loaded.watch.neurons

    def run(self, rows: pl.DataFrame, readers: Sequence[Reader]) -> Iterator[_Result]:
        """See `curate.passes.LoadedModel`.

        Raises:
            ValueError: After all results, where rows are left that the template does not take, of
                which the tokenizer makes no token, or no token can be predicted.
            CurateError: One row does not fit into the device's memory, or a reader asks for
                likelihoods or classes in a pass without them, or for what the backend does not
                show.
        """
        backend = self._wanted.backend
        if backend != "torch" and any(reader.sites - {"final"} for reader in readers):
            raise CurateError(
                f"`backend: {backend}` shows the final hidden state alone.", "Use `backend: torch`."
            )
        if self._loaded.head is None and any("likelihoods" in each.sites for each in readers):
            raise CurateError(
                "A stage asks for likelihoods of a pass that predicts nothing.",
                "Its plugin must set `predicts` in its `Pass`.",
            )
        if not self._classes and any("classes" in each.sites for each in readers):
            raise CurateError(
                "A stage asks for classes of a pass that predicts none.",
                "Its plugin must set `predicts` in its `Pass`.",
            )
        lost = ""
        waiting: list[_Result] = []
        for batch, problem in self._batches(rows_of(self._wanted, rows)):
            lost = lost or problem
            if batch is None:
                continue
            waiting.append(self._pass(*batch, readers))
            if len(waiting) == self._batch_size:
                yield _joined(waiting)
                waiting = []
        if waiting:
            yield _joined(waiting)
        if lost:
            raise ValueError(lost)

    def _length(self, prompt: str) -> int:
        """Tokens of a prompt at the start of a text, as sentence-transformers counts them."""
        ids = self._tokenizer.encode(prompt).ids if prompt else []
        closed = bool(ids) and ids[-1] in self._loaded.tokenizer.all_special_ids
        return len(ids) - closed

    def _batches(
        self, rows: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[tuple[Shape, list[_Text]] | None, str]]:
        """Batches as they fill, or what is wrong with a row."""
        buckets = Buckets(self.max_length, self._tokens)
        texts: dict[int, _Text] = {}
        # On a processor the tokenizer and the model take turns, each with all of its cores; beside
        # a GPU the next texts are tokenised while it works.
        beside = self._loaded.device.type != "cpu"
        threads = 1 if beside else torch.get_num_threads()
        starts = iter(range(0, len(rows), _SLICE))
        with ThreadPoolExecutor(threads) as pool:

            def submit() -> list[Future[tuple[list[_Text], str]]]:
                return [
                    pool.submit(self._tokenise, rows[start : start + _SLICE], start)
                    for start in islice(starts, threads)
                ]

            working = submit()
            while working:
                done = [future.result() for future in working]
                working = submit() if beside else []
                for some, problem in done:
                    if problem:
                        yield None, problem
                    for text in some:
                        texts[text.position] = text
                        full = buckets.add(text.position, len(text.ids))
                        if full:
                            yield (full[0], [texts.pop(at) for at in full[1]]), ""
                working = working or submit()
        for shape, positions in buckets.rest():
            yield (shape, [texts.pop(at) for at in positions]), ""

    def _tokenise(self, rows: Sequence[tuple[Any, ...]], start: int) -> tuple[list[_Text], str]:
        """The texts of some rows, and what is wrong with the first that has none."""
        texts, starts, positions, problem = [], [], [], ""
        for at, row in enumerate(rows, start):
            try:
                text, begin = self._render(row)
            except Exception as error:  # a chat template is code of the model: it may refuse a row
                problem = problem or f"the template does not take this row: {error}"
                continue
            texts.append(text)
            starts.append(begin)
            positions.append(at)
        if not texts:
            return [], problem
        found = []
        # the fast tokenizer itself: what transformers adds is not needed, offsets only for answers
        fast, predicts = self._tokenizer, None if self._classes else self._wanted.predicts
        encode = fast.encode_batch if any(starts) else fast.encode_batch_fast
        batch = encode(texts, add_special_tokens=self._specials)
        for at, begin, text, encoding in zip(positions, starts, texts, batch, strict=True):
            ids, cut = np.array(encoding.ids, dtype=np.int32), bool(encoding.overflowing)
            chosen = predicted(encoding, begin) if predicts else None
            if chosen is not None and not chosen.any():
                kept = self.max_length if cut else None
                problem = problem or nothing_left(str(predicts), text, begin, kept)
            elif len(ids):
                found.append(_Text(at, ids, cut, chosen))
            else:
                problem = problem or "the model's tokenizer makes no token of this text"
        return found, problem

    def _pass(self, shape: Shape, texts: Sequence[_Text], readers: Sequence[Reader]) -> _Result:
        """Pass one batch; after out-of-memory in halves, from then on for all of its length."""
        smaller = self._loaded.smaller
        while True:
            rows = smaller.get(shape.length, shape.rows)
            form = Shape(shape.length, rows)
            parts = [texts[at : at + rows] for at in range(0, len(texts), rows)]
            try:
                found = [self._once(form, part, readers) for part in parts]
                break
            except torch.OutOfMemoryError as error:
                if rows == 1:
                    raise CurateError(
                        f"The model {self._loaded.name} ran out of memory on one row of "
                        f"{shape.length} tokens.",
                        "Set a smaller `max_length`, or take a smaller model or a larger device.",
                    ) from error
            smaller[shape.length] = rows // 2
            torch.cuda.empty_cache()
        if rows < shape.rows:
            self._count("pass.smaller_shapes", 1)
        tokens = sum(len(text.ids) for text in texts)
        self._count("pass.rows", len(texts))
        self._count("pass.tokens", tokens)
        self._count("pass.padding", len(parts) * rows * shape.length - tokens)
        return (
            np.array([text.position for text in texts], dtype=np.int64),
            [np.concatenate(values) for values in zip(*found, strict=True)],
            np.array([text.cut for text in texts], dtype=np.bool_),
        )

    def _once(
        self, shape: Shape, texts: Sequence[_Text], readers: Sequence[Reader]
    ) -> list[_Values]:
        ids = np.full((shape.rows, shape.length), self._loaded.pad, dtype=np.int64)
        mask = np.zeros((shape.rows, shape.length), dtype=np.bool_)
        chosen = np.zeros_like(mask)
        for row in range(shape.rows):
            text = texts[min(row, len(texts) - 1)]
            ids[row, : len(text.ids)] = text.ids
            mask[row, : len(text.ids)] = True
            if text.predicted is not None and row < len(texts):
                chosen[row, : len(text.ids)] = text.predicted
        with torch.inference_mode():
            device = self._loaded.device
            given = torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
            self._read(*given, chosen, readers)
            return [reader.finish()[: len(texts)].cpu().numpy() for reader in readers]

    def _read(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        chosen: NDArray[np.bool_],
        readers: Sequence[Reader],
    ) -> None:
        for reader in readers:
            reader.start(mask)
        watch = self._loaded.watch
        with watch.shown_to(readers):
            # what predicts never looks at what follows: padding behind a text needs no mask there
            seen = mask.long() if self._loaded.head is None else None
            output = self._loaded.model(input_ids=ids, attention_mask=seen)
            watch.final(output.last_hidden_state)
            if self._classes:
                watch.classes(output.logits)
            if self._loaded.head is not None:
                likelihoods = self._loaded.head.likelihoods
                watch.likelihoods(lambda: likelihoods(output.last_hidden_state, ids, chosen))


def _cutting(tokenizer: Any, max_length: int) -> Any:
    """A copy of the fast tokenizer behind a tokenizer, that cuts texts and does not pad."""
    fast = deepcopy(tokenizer.backend_tokenizer)
    fast.no_padding()
    fast.enable_truncation(max_length, direction=tokenizer.truncation_side)
    return fast


def _joined(results: Sequence[_Result]) -> _Result:
    positions, values, cut = zip(*results, strict=True)
    each = [np.concatenate(parts) for parts in zip(*values, strict=True)]
    return np.concatenate(positions), each, np.concatenate(cut)
