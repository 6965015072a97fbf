"""Loading a model from a local folder: safetensors only, no remote code, nothing made up.

Imports torch and transformers; imported by `forward` when a model is opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import normalizers
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)
from transformers.utils import logging as hf_logging

from curate.api import CurateError
from curate_embed.backends import graph_of
from curate_embed.classes import Classifier
from curate_embed.likelihoods import Head, check_saved_with_head
from curate_embed.sentence_folder import lowers_case, max_length_of
from curate_embed.structure import find_blocks, text_config
from curate_embed.watching import Watch

_FARTHEST = 2**20
"""Tokens that a model without a stated reach is given; tokenizers write 1e30 there."""


_KINDS = {
    None: AutoModel,
    "tokens": AutoModelForCausalLM,
    "classes": AutoModelForSequenceClassification,
}


@dataclass(frozen=True)
class Loaded:
    """A model in memory.

    Args:
        name: Its folder, for messages.
        model: The transformer without a head, in the dtype asked, set to evaluation; or a graph of
            it, that gives the final hidden state alone; or a `Classifier`.
        tokenizer: Its fast tokenizer.
        blocks: How many transformer blocks it has.
        watch: Shows readers what passes through it.
        width: Of its hidden states.
        reach: Tokens that it can take.
        own_length: Tokens that it was trained for as a sentence model, or else its reach.
        pad: Token id that fills rows up.
        device: Where it is.
        head: Its language-model head, where that was asked for.
        smaller: Padded length > rows of a batch, where memory did not suffice for the usual shape.
    """

    name: str
    model: Any
    tokenizer: Any
    blocks: int
    watch: Watch
    width: int
    reach: int
    own_length: int
    pad: int
    device: torch.device
    head: Head | None
    smaller: dict[int, int] = field(default_factory=dict)


@lru_cache(maxsize=2)
def load(
    path: Path,
    digest: str,  # noqa: ARG001 - it is for the cache
    dtype: str,
    compiled: bool,
    headed: Literal["tokens", "classes"] | None,
    backend: str = "torch",
) -> Loaded:
    """Load a model; the last two stay in memory.

    Args:
        path: Folder with configuration, safetensors and tokenizer.
        digest: Of its files: another digest is another model.
        dtype: `float32` or `bfloat16`.
        compiled: Run its blocks through `torch.compile`.
        headed: With its language-model head, or its classification head.
        backend: What computes it; others than `torch` do so on the processor and have no head.

    Raises:
        CurateError: It cannot be loaded, lacks weights, has no blocks that can be found, or no
            language-model head where that is asked for.
    """
    device = torch.device("cpu")
    in_torch = backend == "torch"
    if in_torch and torch.cuda.is_available():  # a worker takes the GPU of its number
        number = int(os.environ.get("CURATE_WORKER", "0"))
        device = torch.device("cuda", number % torch.cuda.device_count())
    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(
                path, local_files_only=True, trust_remote_code=False
            )
            if headed == "tokens":
                check_saved_with_head(path)
            model, report = _KINDS[headed].from_pretrained(
                path,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=getattr(torch, dtype if in_torch else "float32"),
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, ImportError) as error:
        said = " ".join(str(error).split())
        raise CurateError(
            f"The model in {path} cannot be loaded: {said}",
            "It must be a model that transformers knows, with safetensors and a tokenizer.",
        ) from error
    _check_weights(path, report)
    if not tokenizer.is_fast:
        raise CurateError(
            f"The model in {path} has no fast tokenizer (tokenizer.json).",
            "Save one with AutoTokenizer.from_pretrained(...).save_pretrained(...).",
        )
    if lowers_case(path):
        fast = tokenizer.backend_tokenizer
        steps = [normalizers.Lowercase(), *([fast.normalizer] if fast.normalizer else [])]
        fast.normalizer = normalizers.Sequence(steps)
    model.eval().requires_grad_(False).to(device)
    model.config.use_cache = False
    head = Head(model, path) if headed == "tokens" else None
    classifier = Classifier(model, tokenizer.pad_token_id, path) if headed == "classes" else None
    model = (head or classifier).transformer if headed else model  # type: ignore[union-attr]  # one is
    pad = next(
        token
        for token in (tokenizer.pad_token_id, text_config(model).pad_token_id, 0)
        if token is not None
    )
    if classifier is not None and classifier.pad is not None:
        pad = classifier.pad
    blocks, width = find_blocks(model, path.name), int(text_config(model).hidden_size)
    reach = _reach(model, tokenizer)
    run = classifier or (model if in_torch else graph_of(model, backend, dtype, path.name))
    watch = Watch(blocks, width, path.name, compiled=compiled)
    if compiled:
        for block in blocks:
            block.forward = torch.compile(block.forward)
    return Loaded(
        path.name,
        run,
        tokenizer,
        len(blocks),
        watch,
        width,
        reach,
        max_length_of(path) or reach,
        pad,
        device,
        head,
    )


def _check_weights(path: Path, report: Any) -> None:
    # A pooler is the one part that may be missing: nothing here reads what it gives.
    missing = [name for name in report["missing_keys"] if not name.startswith("pooler.")]
    wrong = [str(key[0]) for key in report["mismatched_keys"]]
    if missing or wrong:
        names = sorted([*missing, *wrong])
        raise CurateError(
            f"The model in {path} lacks {len(names)} weights (or has them in another shape), "
            f"for instance {names[0]}.",
            "Use a complete checkpoint: missing weights would be random numbers.",
        )


def _reach(model: Any, tokenizer: Any) -> int:
    reach = (
        getattr(text_config(model), "max_position_embeddings", None) or tokenizer.model_max_length
    )
    table = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    if padding is not None:
        reach -= padding + 1  # RoBERTa and its kin begin to count after the padding id
    return int(min(reach, tokenizer.model_max_length, _FARTHEST))


@contextmanager
def _quiet() -> Iterator[None]:
    level, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity_error()  # what it would say of weights is checked and said here
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
        if bars:
            hf_logging.enable_progress_bar()
