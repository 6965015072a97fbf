"""`llm.rewrite`: a model writes an example anew, beside it or in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from curate.api import AnswerError, Child, Llm, LlmExpandStage, Params, Prompt
from curate_llm.fields import FieldParams, described, form_of, values_of
from curate_llm.prompting import PromptParams

Part = Literal["instruction", "response"]
Turn = Mapping[str, str]

_BOTH = {part: FieldParams(type="text") for part in ("instruction", "response")}


class RewriteParams(PromptParams):
    """Parameters of `llm.rewrite`."""

    writes: Annotated[
        Literal["instruction", "response", "both"],
        Field(
            description="What the answer takes the place of; both: it is a JSON object of the two."
        ),
    ]
    in_place: Annotated[
        bool, Field(description="Put the new example in the place of the row, not beside it.")
    ] = False


@dataclass(frozen=True)
class Exchange:
    """The last question of a conversation and its answer.

    Args:
        turns: The whole conversation.
        asks: Where the question stands in it.
        answers: Where the answer stands; None: there is none.
    """

    turns: tuple[Turn, ...]
    asks: int
    answers: int | None

    @property
    def values(self) -> dict[str, Any]:
        """As prompts are given it."""
        response = "" if self.answers is None else self.turns[self.answers]["content"]
        return {
            "instruction": self.turns[self.asks]["content"],
            "response": response,
            "earlier": [dict(turn) for turn in self.turns[: self.asks]],
        }

    def replaced(self, texts: Mapping[str, str]) -> list[dict[str, str]]:
        """The conversation with other texts, by `instruction` and `response`; the rest stays."""
        turns = [dict(turn) for turn in self.turns]
        if "instruction" in texts:
            turns[self.asks]["content"] = texts["instruction"]
        if "response" in texts and self.answers is None:
            turns.append({"role": "assistant", "content": texts["response"]})
        elif "response" in texts and self.answers is not None:
            turns[self.answers]["content"] = texts["response"]
        return turns


def exchange_of(messages: Sequence[Turn]) -> Exchange:
    """The question before the last answer, or else the last turn, if it is the user's.

    Raises:
        AnswerError: No turn of the user stands there.
    """
    answers = [at for at, turn in enumerate(messages) if turn["role"] == "assistant"]
    end = answers[-1] if answers else len(messages)
    if not end or messages[end - 1]["role"] != "user":
        raise AnswerError("no turn of the user stands before the last answer")
    return Exchange(tuple(messages), end - 1, answers[-1] if answers else None)


class Rewrite(LlmExpandStage):
    """New versions of examples that a language model writes by a prompt of yours.

    The prompt is a jinja2 template in a sandbox. It is given `instruction` (the last question, its
    input included), `response` (its answer, "" where there is none), `earlier` (the turns before
    them), and the named columns as `row`. What is answered, without white space at its ends, takes
    the place of the part that `writes` names. With `writes: both` the answer is a JSON object with
    the two parts, whose form the prompt is given as `form`; it is checked, and asked for again
    (`llm.reasks`) where a part is missing. All other turns stay.

    A row of which the answer changes nothing has no new version and stays itself. An empty answer
    fails.
    """

    name = "llm.rewrite"
    version = 1
    Params: ClassVar[type[Params]] = RewriteParams
    reads: ClassVar[tuple[str, ...]] = ("messages",)
    makes = 1
    params: RewriteParams

    def in_place(self) -> bool:
        """As the recipe says."""
        return self.params.in_place

    def check_files(self) -> None:
        """Refuse a prompt that cannot be rendered, or does not name the parts to be written."""
        turns = [{"role": "user", "content": "Add."}, {"role": "assistant", "content": "3"}]
        given = exchange_of([{"role": "system", "content": "Be brief."}, *turns]).values
        given |= self.params.example()
        self._prompt.check(given, self._fixed)
        if self.params.writes == "both":
            self.params.check_named(_BOTH, self._prompt.render({**given, **self._fixed}))

    def ask(self, row: Mapping[str, Any], llm: Llm) -> Sequence[Child]:
        """Ask for one row, and make its new version."""
        exchange = exchange_of(row["messages"])
        prompt = self._prompt.render({**exchange.values, **self.params.besides(row), **self._fixed})
        if self.params.writes == "both":
            texts = values_of(llm.ask_for(self._form, prompt))
        else:
            texts = {self.params.writes: llm.ask(prompt).text}
        texts = {part: text.strip() for part, text in texts.items()}
        empty = [part for part, text in texts.items() if not text]
        if empty:
            raise AnswerError(f"the new {empty[0]} is empty")
        messages = exchange.replaced(texts)
        if messages == [dict(turn) for turn in exchange.turns]:
            return []
        child = Child(
            (row["id"],),
            messages,
            replaces=self.params.in_place,
            origin="synthetic",
            generator=llm.model,
        )
        return [child]

    @cached_property
    def _prompt(self) -> Prompt:
        return self.params.asked()

    @cached_property
    def _form(self) -> Any:
        return form_of(_BOTH)

    @property
    def _fixed(self) -> dict[str, str]:
        return {"form": described(_BOTH)} if self.params.writes == "both" else {}
