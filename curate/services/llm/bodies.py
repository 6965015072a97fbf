"""Requests as they are sent, and how many tokens they can take."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from curate.answers import Call, Messages
from curate.asking import LlmSettings

_AROUND_TURN = 16
"""Tokens that a chat template puts around one turn, at most, and around all of them."""
_UNSAID = {
    "model",
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "seed",
    "stop",
}
"""Fields of a body that say how to answer, and are no part of a prompt."""


def turns_of(messages: Messages) -> list[dict[str, str]]:
    """A conversation as a list of turns."""
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    return [{"role": turn["role"], "content": turn["content"]} for turn in messages]


def body_of(
    settings: LlmSettings,
    turns: list[dict[str, str]],
    *,
    sample: int,
    temperature: float | None,
    max_tokens: int | None,
    schema: type[BaseModel] | None,
) -> dict[str, Any]:
    """The body of a chat completion."""
    temperature = settings.temperature if temperature is None else temperature
    body: dict[str, Any] = {"model": settings.model, "messages": turns}
    body[settings.limit_as] = settings.max_tokens if max_tokens is None else max_tokens
    if temperature is not None:
        body["temperature"] = temperature
    if settings.top_p is not None:
        body["top_p"] = settings.top_p
    if settings.seed is not None:
        body["seed"] = settings.seed + sample
    if settings.stop:
        body["stop"] = list(settings.stop)
    if schema is not None and settings.structured != "prompt":
        body["response_format"] = {"type": settings.structured}
        if settings.structured == "json_schema":
            body["response_format"]["json_schema"] = {
                "name": schema.__name__,
                "schema": schema.model_json_schema(),
            }
    return body | dict(settings.body)


def max_tokens_of(body: Mapping[str, Any]) -> int:
    """The tokens that an answer to a body may have."""
    most: int = body.get("max_tokens") or body["max_completion_tokens"]
    return most


def prompt_bound(call: Call) -> int:
    """Tokens that a request can have at most.

    A tokenizer that works on bytes, as those of nearly all of today's models do, makes at most one
    token of each byte of UTF-8; a chat template adds a few around each turn. So this is a bound,
    four times or so what texts in English take, not an estimate. What else a body holds (tools, a
    schema, fields of `llm.body`) may be written into the prompt, and counts as JSON at its longest:
    indented, and with all beyond ASCII escaped.
    """
    turns = call.body["messages"]
    said = sum(len(turn["role"].encode()) + len(turn["content"].encode()) for turn in turns)
    rest = {name: value for name, value in call.body.items() if name not in _UNSAID}
    written = len(json.dumps(rest, indent=4)) if rest else 0
    return said + _AROUND_TURN * (len(turns) + 1) + written
