"""What the model reads of an example: its text, or the text in a prompt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.api import CurateError, Pass, columns_of

if TYPE_CHECKING:
    import polars as pl

ALPACA = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:\n{response}"
)

Render = Callable[[Sequence[Any]], str]


def fingerprints(wanted: Pass) -> dict[str, str]:
    """Hex sha256 of the tokenizer's file and of the template.

    Raises:
        CurateError: The tokenizer has no chat template.
    """
    tokenizer = wanted.model.path / "tokenizer.json"
    template = {"plain": "{text}", "alpaca": ALPACA}.get(wanted.template)
    if template is None:
        template = chat_template(wanted.model.path, wanted.model.name)
    return {
        "tokenizer": _sha256(tokenizer.read_bytes() if tokenizer.is_file() else b""),
        "template": _sha256(template.encode()),
    }


def chat_template(folder: Path, name: str) -> str:
    """The chat template of the tokenizer in a model's folder.

    Raises:
        CurateError: It has none, or several without one that is the default.
    """
    alone = folder / "chat_template.jinja"
    if alone.is_file():
        return alone.read_text(encoding="utf-8")
    config = folder / "tokenizer_config.json"
    given = (json.loads(config.read_text("utf-8")) if config.is_file() else {}).get("chat_template")
    if isinstance(given, list):
        given = {each["name"]: each["template"] for each in given}.get("default")
    if isinstance(given, str):
        return given
    raise CurateError(
        f"The tokenizer of the model {name} has no chat template.",
        "Use `template: plain` or `template: alpaca`, or a model that was tuned for chat.",
    )


def renderer(wanted: Pass, tokenizer: Any) -> tuple[Render, bool]:
    """What makes the text of one row out of its columns.

    Args:
        wanted: The pass.
        tokenizer: That of the model.

    Returns:
        The function, from a row's values in the order of `columns_of` to its text; and whether
        the tokenizer adds its special tokens to that text, which a chat template brings itself.
    """
    if wanted.template == "plain":
        return lambda row: wanted.prompt + str(row[0]), True
    if wanted.template == "alpaca":
        return lambda row: ALPACA.format(
            instruction=row[0], response=row[1] if len(row) > 1 else ""
        ), True
    template = chat_template(wanted.model.path, wanted.model.name)
    both = wanted.text == "both"

    def chat(row: Sequence[Any]) -> str:
        turns = said(row[0], both=both)
        text: str = tokenizer.apply_chat_template(
            turns, chat_template=template, tokenize=False, add_generation_prompt=not both
        )
        return text

    return chat, False


def said(messages: Sequence[Mapping[str, str]], *, both: bool) -> list[Mapping[str, str]]:
    """The turns that are read: up to the last of the assistant, with it or (not both) without.

    Without such a turn all are read.
    """
    turns = list(messages)
    ends = [at for at, turn in enumerate(turns) if turn["role"] == "assistant"]
    if not ends:
        return turns
    return turns[: ends[-1] + 1] if both else turns[: ends[-1]]


def rows_of(wanted: Pass, rows: pl.DataFrame) -> list[tuple[Any, ...]]:
    """The values of each row that the renderer takes."""
    return rows.select(columns_of(wanted.template, wanted.text, wanted.predicts)).rows()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
