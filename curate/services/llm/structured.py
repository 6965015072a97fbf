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

    What a model thought first, up to `</think>`, does not count; a text of the answer may hold
    that mark. Several values of JSON are fine as long as one of them alone has the form, or all
    that have it say the same.

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
    if not ends or (begins and before.strip()):
        return text
    in_answer = any(begin < len(thought) < end for begin, end, _ in _values(text))
    return text if in_answer and not begins else said


def _candidates(text: str) -> list[tuple[str, str | None]]:
    """The values in a text, each with a key that it has twice; the text itself if there is none."""
    found = [(text[begin:end], twice) for begin, end, twice in _values(text)]
    return found or [(text.strip(), None)]


def _values(text: str) -> Iterator[tuple[int, int, str | None]]:
    """Where objects and arrays begin and end, none inside another, and a key one has twice."""
    twice: list[str] = []

    def once(pairs: list[tuple[str, Any]]) -> None:
        counted = Counter(name for name, _ in pairs)
        twice.extend(name for name, times in counted.items() if times > 1)

    # numbers are for the form to read: Python refuses those of more than 4,300 digits
    decoder = json.JSONDecoder(object_pairs_hook=once, parse_int=str)
    at = 0
    while begins := _BEGINS.search(text, at):
        twice.clear()
        try:
            _, at = decoder.raw_decode(text, begins.start())
        except json.JSONDecodeError as error:  # on from where it is no JSON: not into its parts
            at = max(error.pos, begins.end())
        except RecursionError:
            break
        else:
            yield begins.start(), at, twice[0] if twice else None


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
