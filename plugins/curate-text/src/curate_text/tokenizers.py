"""Tokenizers of Hugging Face models, for counting: nothing is cut, nothing is filled up.

transformers is imported where one is loaded: it alone knows what the files of each kind mean.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from os.path import commonprefix
from pathlib import Path
from typing import Any

from curate.api import CurateError

Turns = Sequence[Mapping[str, str]]


def check_template(folder: Path, name: str) -> None:
    """Refuse a tokenizer without a chat template, or with several of which none is the default.

    Args:
        folder: With its files.
        name: As the recipe writes it.

    Raises:
        CurateError: It has none.
    """
    if any((folder / file).is_file() for file in ("chat_template.jinja", "chat_template.json")):
        return
    config = folder / "tokenizer_config.json"
    given = (json.loads(config.read_text("utf-8")) if config.is_file() else {}).get("chat_template")
    if isinstance(given, list):
        given = {each["name"]: each["template"] for each in given}.get("default")
    if not isinstance(given, str):
        raise CurateError(
            f"The tokenizer of the model {name} has no chat template.",
            "Use `template: plain`, or the tokenizer of a model that was tuned for chat.",
        )


class Tokenizer:
    """Counts tokens in batches.

    Args:
        tokenizer: A fast tokenizer of transformers.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._fast = tokenizer.backend_tokenizer
        # some files say that every text is cut and filled up
        self._fast.no_truncation()
        self._fast.no_padding()

    def of_texts(self, texts: Sequence[str], *, special: bool) -> list[int]:
        """Tokens of each text, with the special tokens that the tokenizer adds or without."""
        encoded = self._fast.encode_batch_fast(list(texts), add_special_tokens=special)
        return [len(each) for each in encoded]

    def of_chats(self, chats: Sequence[Turns]) -> tuple[list[int], list[int]]:
        """Tokens of each conversation's prompt and of the whole, in the chat template.

        The whole ends with the last turn of the assistant. Without such a turn all is prompt.

        The prompt is what the template writes for the turns before that, with its beginning of an
        answer as far as the whole has it: some templates ask for a thought that the whole lacks.

        Raises:
            ValueError: The template refuses a conversation, or writes turns before an answer
                otherwise once the answer is there.
        """
        wholes, prompts = [], []
        for turns in chats:
            ends = [at for at, turn in enumerate(turns) if turn["role"] == "assistant"]
            whole = self._render(turns[: ends[-1] + 1] if ends else turns, answer=False)
            wholes.append(whole)
            prompts.append(self._asked(turns[: ends[-1] + 1], whole) if ends else whole)
        # the template brings the special tokens itself
        total = self.of_texts(wholes, special=False)
        prompt = self.of_texts(prompts, special=False)
        # a token may reach over the end of the prompt, which alone is then more tokens
        return [min(pair) for pair in zip(prompt, total, strict=True)], total

    def _asked(self, turns: Turns, whole: str) -> str:
        """The beginning of the whole that stands before what the last turn answers."""
        *before, last = turns
        asked = self._render(before, answer=True)
        if whole.startswith(asked):
            return asked
        turns_alone = self._render(before, answer=False)
        if not whole.startswith(_shared(asked, turns_alone)):
            raise ValueError(
                "the chat template writes the turns before the last answer otherwise once it is"
                " there, so that prompt and response cannot be told apart"
            )
        answer = whole.rfind(last["content"].strip())  # which may begin like what was asked for
        return _shared(asked, whole[:answer] if answer >= 0 else whole)

    def _render(self, turns: Turns, *, answer: bool) -> str:
        if not turns:  # an assistant that begins: templates cannot say nothing
            return ""
        try:
            text: str = self._tokenizer.apply_chat_template(
                list(turns), tokenize=False, add_generation_prompt=answer
            )
        except Exception as error:  # a template may raise anything; the row is found and carries it
            raise ValueError(f"the chat template refuses the conversation: {error}") from error
        return text


def _shared(one: str, other: str) -> str:
    """The beginning that two texts have in common."""
    return commonprefix([one, other])  # noqa: RUF071 - by character, as these are no paths


@lru_cache(maxsize=2)
def load(folder: Path, digest: str) -> Tokenizer:  # noqa: ARG001 - it is for the cache
    """Load a tokenizer; the last two stay in memory.

    Args:
        folder: With its files.
        digest: Of these: another digest is another tokenizer.

    Raises:
        CurateError: transformers is not installed, or cannot load it as a fast tokenizer.
    """
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise CurateError(
            "`text.tokens` needs the library transformers.", "pip install 'curate-text[tokens]'"
        ) from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        said = " ".join(str(error).split())
        raise CurateError(
            f"The tokenizer in {folder} cannot be loaded: {said}",
            "It must be one that transformers knows, with its tokenizer.json.",
        ) from error
    if not tokenizer.is_fast:
        raise CurateError(
            f"The model in {folder} has no fast tokenizer (tokenizer.json).",
            "Save one with AutoTokenizer.from_pretrained(...).save_pretrained(...).",
        )
    return Tokenizer(tokenizer)
