"""Answers of a causal language model, each the same whatever it is computed together with.

Batches have constant shapes: always as many rows, prompts padded on the left to a length that
depends on the prompt alone, and every row of a batch is at the same step. So the bits of a row's
logits depend on the row and the shape, and the shape on the row. Likeliest answers are the argmax;
others are drawn by the Gumbel-max trick (Gumbel 1954; Maddison, Tarlow and Minka 2014,
arXiv 1411.0030), with noise from a generator of the row's own, seeded by the request.

Imports torch and transformers; imported by `local` when it is asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from curate.api import Answer, AnswerError, Call, ModelFiles, Usage
from curate_embed.loading import load

ROWS = 8
"""Rows of every batch; where requests are fewer, the last one is repeated."""
_LEAST = 64  # tokens that a prompt is padded to at least


@dataclass(frozen=True)
class _Form:
    """What requests must share to be answered in one batch."""

    width: int
    most: int
    temperature: float
    top_p: float


class _Drawn:
    """Adds Gumbel noise, so that the argmax is a draw from the softmax."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._sources = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> Any:
        del input_ids
        uniform = torch.stack(
            [torch.rand(scores.shape[-1], generator=each) for each in self._sources]
        )
        noise = -torch.log(-torch.log(uniform.clamp_min(torch.finfo(torch.float32).tiny)))
        return scores.float() + noise.to(scores.device)


class Generator:
    """A loaded model that answers requests.

    Args:
        files: The model.
        dtype: What it computes in.

    Raises:
        CurateError: It cannot be loaded, or is no causal language model.
    """

    def __init__(self, files: ModelFiles, dtype: str) -> None:
        self._loaded = load(files.path, files.digest, dtype, compiled=False, headed="tokens")
        assert self._loaded.head is not None
        self._model: Any = self._loaded.head.model
        self._tokenizer: Any = self._loaded.tokenizer
        ends = self._model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        self._ends = sorted({*ends, self._tokenizer.eos_token_id} - {None})
        self._name = files.name

    def together(self, calls: Sequence[Call]) -> list[int]:
        """The positions of calls that can be answered in one batch with the first."""
        first = self._form(calls[0])
        if isinstance(first, AnswerError):
            return [0]
        return [at for at, call in enumerate(calls) if self._form(call) == first][:ROWS]

    @torch.inference_mode()
    def answer(self, calls: Sequence[Call]) -> list[Answer | AnswerError]:
        """Answer calls that can be answered together.

        Returns:
            For each its answer, or why there is none.
        """
        form = self._form(calls[0])
        if isinstance(form, AnswerError):
            return [form]
        prompts = [self._prompt(call) for call in calls]
        seeds = [_seed(call) for call in calls]
        filled = [min(row, len(calls) - 1) for row in range(ROWS)]
        ids = torch.full((ROWS, form.width), self._loaded.pad)
        mask = torch.zeros_like(ids)
        for row, at in enumerate(filled):
            ids[row, form.width - len(prompts[at]) :] = torch.tensor(prompts[at])
            mask[row, form.width - len(prompts[at]) :] = 1
        made = self._model.generate(
            input_ids=ids.to(self._loaded.device),
            attention_mask=mask.to(self._loaded.device),
            generation_config=GenerationConfig(
                max_new_tokens=form.most,
                do_sample=False,
                use_cache=True,
                eos_token_id=self._ends or None,
                pad_token_id=self._loaded.pad,
            ),
            logits_processor=_processors(form, [seeds[at] for at in filled]),
        )[:, form.width :].tolist()
        return [
            self._read(call, prompt, tokens, form.most)
            for call, prompt, tokens in zip(calls, prompts, made, strict=False)
        ]

    def _form(self, call: Call) -> _Form | AnswerError:
        body = call.body
        try:
            length = len(self._prompt(call))
        except AnswerError as error:
            return error
        most = body.get("max_tokens") or body["max_completion_tokens"]
        if length + most > self._loaded.reach:
            return AnswerError(
                f"the request has {length} tokens and its answer may have {most}, more than the "
                f"{self._loaded.reach} that the model {self._name} takes"
            )
        width = max(_LEAST, 1 << length.bit_length())  # more than its length: padding in every row
        temperature = body.get("temperature", 1.0)
        return _Form(width, most, temperature, body.get("top_p", 1.0))

    def _prompt(self, call: Call) -> list[int]:
        try:
            text = self._tokenizer.apply_chat_template(
                call.body["messages"], tokenize=False, add_generation_prompt=True
            )
        except Exception as error:  # a chat template is code of the model: it may refuse turns
            raise AnswerError(f"the chat template of {self._name} refuses: {error}") from error
        ids: list[int] = self._tokenizer.backend_tokenizer.encode(
            text, add_special_tokens=False
        ).ids
        return ids

    def _read(self, call: Call, prompt: Sequence[int], tokens: Sequence[int], most: int) -> Answer:
        ends = [at for at, token in enumerate(tokens) if token in self._ends]
        said = tokens[: ends[0]] if ends else tokens[:most]
        text: str = self._tokenizer.decode(said, skip_special_tokens=True)
        found = [at for at in (text.find(stop) for stop in call.body.get("stop", ())) if at >= 0]
        if found:
            text = text[: min(found)]
        finish = "stop" if ends or found else "length"
        usage = Usage(len(prompt), len(said) + bool(ends))
        return Answer(text, finish, usage, self._name)


def _processors(form: _Form, seeds: Sequence[int]) -> LogitsProcessorList:
    """What is done to logits before the argmax; nothing where the likeliest is asked for."""
    if form.temperature == 0:
        return LogitsProcessorList()
    steps: list[Any] = []
    if form.temperature != 1:
        steps.append(TemperatureLogitsWarper(form.temperature))
    if form.top_p < 1:
        steps.append(TopPLogitsWarper(form.top_p))
    return LogitsProcessorList([*steps, _Drawn(seeds)])


def _seed(call: Call) -> int:
    """A seed from everything that the request says."""
    said = json.dumps([call.body, call.sample, call.reask], sort_keys=True)
    return int.from_bytes(hashlib.sha256(said.encode()).digest()[:8], "big") >> 1
