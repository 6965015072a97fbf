"""Answers in the form of a pydantic model."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)

_BEGINS = re.compile(r"[{\[]")


def parse(schema: type[M], text: str) -> M:
    """Read an answer: the JSON in it, whatever stands around that, in a fence or not.

    What a model thought first, up to `</think>`, does not count. Several values of JSON are
    fine as long as one of them alone has the form, or all that have it say the same.

    Raises:
        ValueError: What is wrong with it, in words for the model and for people.
    """
    text = _said(text)
    answers: list[M] = []
    problem = ""
    for candidate, twice in _candidates(text):
        if twice is not None:
            problem = f"the key '{twice}' stands there twice"
            continue
        try:
            answer = schema.model_validate_json(candidate)
        except ValidationError as error:
            problem = _described(error)
        else:
            answers.append(answer)
    if not answers:
        raise ValueError(problem)
    if any(answer != answers[0] for answer in answers):
        raise ValueError("it holds several answers that differ: give one")
    return answers[0]


def _said(text: str) -> str:
    """What a model says after thinking; servers may have cut the first mark off."""
    thought, ends, said = text.partition("</think>")
    before, begins, _ = thought.partition("<think>")
    return said if ends and not (begins and before.strip()) else text


def _candidates(text: str) -> Iterator[tuple[str, str | None]]:
    """The objects and arrays in a text, none inside another, each with a key that it has twice.

    Where there is none, the text itself.
    """
    twice: list[str] = []

    def once(pairs: list[tuple[str, Any]]) -> None:
        counted = Counter(name for name, _ in pairs)
        twice.extend(name for name, times in counted.items() if times > 1)

    # numbers are for the form to read: Python refuses those of more than 4,300 digits
    decoder = json.JSONDecoder(object_pairs_hook=once, parse_int=str)
    at, found = 0, False
    while begins := _BEGINS.search(text, at):
        twice.clear()
        try:
            _, at = decoder.raw_decode(text, begins.start())
        except json.JSONDecodeError as error:  # on from where it is no JSON: not into its parts
            at = max(error.pos, begins.end())
        except RecursionError:
            break
        else:
            found = True
            yield text[begins.start() : at], twice[0] if twice else None
    if not found:
        yield text.strip(), None


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
