"""Questions put into requests, and answers read: what asking and planning share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from curate.answers import Answer, AnswerError, Call, Messages
from curate.asking import LlmSettings
from curate.services.llm.bodies import body_of, max_tokens_of, turns_of
from curate.services.llm.structured import again, parse

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
R = TypeVar("R")


class Asker:
    """The questions of `curate.answers.Llm`, over one way to come by the answer of a call."""

    def __init__(self, settings: LlmSettings) -> None:
        self._settings = settings

    def each(
        self, items: Iterable[T], work: Callable[[T], R]
    ) -> Iterator[tuple[T, R | None, str | None]]:
        """See `curate.answers.Llm`; one after the other."""
        for item in items:
            try:
                yield item, work(item), None
            except AnswerError as error:
                yield item, None, str(error)

    @property
    def model(self) -> str:
        """See `curate.answers.Llm`."""
        return self._settings.model

    def ask(
        self,
        messages: Messages,
        *,
        sample: int = 0,
        temperature: float | None = None,
        max_tokens: int | None = None,
        cut: bool = False,
    ) -> Answer:
        """See `curate.answers.Llm`."""
        body = body_of(
            self._settings,
            turns_of(messages),
            sample=sample,
            temperature=temperature,
            max_tokens=max_tokens,
            schema=None,
        )
        answer = _given(self._answer(Call(body, sample), 0))
        if answer.finish == "length" and not cut:
            raise AnswerError(f"the answer was {_cut(body)}; raise `llm.max_tokens`")
        return answer

    def ask_for(
        self,
        schema: type[M],
        messages: Messages,
        *,
        sample: int = 0,
        temperature: float | None = None,
        max_tokens: int | None = None,
    ) -> M:
        """See `curate.answers.Llm`."""
        question = turns = turns_of(messages)
        problem, most = "", self._settings.reasks
        for reask in range(most + 1):
            body = body_of(
                self._settings,
                turns,
                sample=sample,
                temperature=temperature,
                max_tokens=max_tokens,
                schema=schema,
            )
            answer = _given(self._answer(Call(body, sample, reask), most - reask))
            try:
                return parse(schema, answer.text)
            except ValueError as error:
                problem = str(error)
            if answer.finish == "length":
                problem = f"it was {_cut(body)}; {problem}"
            turns = [
                *question,
                {"role": "assistant", "content": answer.text},
                {"role": "user", "content": again(problem)},
            ]
        had = f"none of {most + 1} answers had" if most else "the answer does not have"
        raise AnswerError(f"{had} the form {schema.__name__}: {problem}")

    def _answer(self, call: Call, reasks: int) -> Answer:
        """The answer of a call that may be put again so many times for the form of its answer."""
        raise NotImplementedError


def _given(answer: Answer) -> Answer:
    """The answer, if it is one: it may have been withheld, and is paid for all the same."""
    if answer.finish in ("content_filter", "refusal"):
        said = f": {answer.text}" if answer.text else ""
        raise AnswerError(f"the answer was withheld ({answer.finish}){said}")
    return answer


def _cut(body: Mapping[str, Any]) -> str:
    return f"cut off at {max_tokens_of(body)} tokens"
