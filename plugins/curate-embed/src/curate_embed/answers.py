"""Where the response begins in the text of a pass that predicts it, and which tokens it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.api import Pass
from curate_embed.templates import ALPACA, chat_template, renderer, said

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ALPACA_HEADING = "### Response:\n"

Placed = Callable[[Sequence[Any]], tuple[str, int]]


def placed(wanted: Pass, tokenizer: Any) -> tuple[Placed, bool]:
    """What makes the text of one row, and says where in it the predicted part begins.

    Args:
        wanted: The pass.
        tokenizer: That of the model.

    Returns:
        The function, from a row's values in the order of `columns_of` to its text and the first
        character of its response (0 where the whole text is meant; the length of the text where
        it has none); and whether the tokenizer adds its special tokens to that text.
    """
    if wanted.predicts != "response":
        render, specials = renderer(wanted, tokenizer)
        return lambda row: (render(row), 0), specials
    if wanted.template == "chat":
        return _chat(wanted, tokenizer), False
    alpaca = wanted.template == "alpaca"
    if wanted.text == "response":
        heading = _ALPACA_HEADING if alpaca else ""
        return lambda row: (heading + row[0], len(heading)), True

    def joined(row: Sequence[Any]) -> tuple[str, int]:
        instruction, response = row
        prompt = (
            ALPACA.format(instruction=instruction, response="") if alpaca else f"{instruction}\n"
        )
        return prompt + response, len(prompt)

    return joined, True


def _chat(wanted: Pass, tokenizer: Any) -> Placed:
    template = chat_template(wanted.model.path, wanted.model.name)
    alone = wanted.text == "response"

    def written(turns: Sequence[Mapping[str, str]], *, prompting: bool) -> str:
        text: str = tokenizer.apply_chat_template(
            turns, chat_template=template, tokenize=False, add_generation_prompt=prompting
        )
        return text

    def chat(row: Sequence[Any]) -> tuple[str, int]:
        turns = said(row[0], both=True)
        if not turns or turns[-1]["role"] != "assistant" or not turns[-1]["content"]:
            return "", 0
        prompt, whole = written(turns[:-1], prompting=True), written(turns, prompting=False)
        if not whole.startswith(prompt):
            raise ValueError(
                "what it makes of the turns before the answer is not the beginning of what it "
                "makes of the conversation"
            )
        if not alone:
            return whole, len(prompt)
        before = written(turns[:-1], prompting=False)
        if not prompt.startswith(before):
            raise ValueError("its heading of an answer cannot be told from the turns before it")
        first = tokenizer.bos_token or ""
        heading = (first if whole.startswith(first) else "") + prompt[len(before) :]
        return heading + whole[len(prompt) :], len(heading)

    return chat


def predicted(encoding: Any, start: int) -> NDArray[np.bool_]:
    """The tokens of a text that are predicted.

    Those that begin at its first predicted character or after it, by the offsets that the
    tokenizer gives; never the first of all, nor those that the tokenizer adds itself.

    Args:
        encoding: What the fast tokenizer made of the text; with offsets where `start` is not 0.
        start: The first predicted character.
    """
    found = np.array(encoding.special_tokens_mask, dtype=np.bool_) ^ True
    if start:
        found &= np.array([begin for begin, _ in encoding.offsets], dtype=np.int64) >= start
    found[:1] = False
    return found


def nothing_left(what: str, text: str, start: int, cut: int | None) -> str:
    """Why no token of a text is predicted.

    Args:
        what: What the pass predicts: `text` or `response`.
        text: The text.
        start: The first character to be predicted.
        cut: Tokens after which it was cut; None if it was not.
    """
    if start >= len(text):
        return f"there is nothing to predict: the {what} is empty"
    if cut is not None:
        return f"no token of the {what} is left to predict: it was cut after {cut} tokens"
    if start:
        return f"no token of the {what} begins in it: the tokenizer joins it to what stands before"
    return f"the {what} is one token, with none before it from which a model could predict it"
