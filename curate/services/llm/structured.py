"""Answers in the form of a pydantic model."""

from __future__ import annotations

import re
from typing import TypeVar

from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)

_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)


def parse(schema: type[M], text: str) -> M:
    """Read an answer: JSON alone, in a fence, or from the first brace to the last.

    Raises:
        ValueError: What is wrong with it, in words for the model and for people.
    """
    fence = _FENCE.search(text)
    start, end = text.find("{"), text.rfind("}")
    inside = text[start : end + 1] if 0 <= start < end else text
    candidates = dict.fromkeys([text.strip(), *([fence[1].strip()] if fence else []), inside])
    problem = ""
    for candidate in candidates:
        try:
            return schema.model_validate_json(candidate)
        except ValidationError as error:
            problem = _described(error)
    raise ValueError(problem)


def _described(error: ValidationError) -> str:
    said = []
    for each in error.errors(include_url=False, include_input=False):
        where = ".".join(map(str, each["loc"]))
        said.append(f"{where}: {each['msg']}" if where else each["msg"])
    return "; ".join(said)


def again(problem: str) -> str:
    """What is said to a model whose answer has the wrong form."""
    return (
        f"That answer does not have the form that was asked for: {problem}. "
        "Answer again, with the JSON alone."
    )
