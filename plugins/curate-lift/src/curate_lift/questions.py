"""What a conversation asks, and what a model wrote in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curate.api import AnswerError

INPUT = "input:"
"""What stands between an instruction and its input, in prompts and in what models write."""

Turn = Mapping[str, str]


@dataclass(frozen=True)
class Question:
    """What is asked.

    Args:
        instruction: Without the input.
        input: What the instruction is about; "" where there is none.
        earlier: Turns before it, system turn included.
    """

    instruction: str
    input: str = ""
    earlier: tuple[Turn, ...] = ()

    @property
    def turns(self) -> list[dict[str, str]]:
        """The conversation up to it; its turn is the instruction, a newline, the input if any."""
        said = f"{self.instruction}\n{self.input}" if self.input else self.instruction
        return [*map(dict, self.earlier), {"role": "user", "content": said}]

    @property
    def values(self) -> dict[str, Any]:
        """As templates are given it."""
        earlier = [dict(turn) for turn in self.earlier]
        return {"instruction": self.instruction, "input": self.input, "earlier": earlier}

    def answered(self, answer: str) -> list[dict[str, str]]:
        """The conversation with its answer."""
        return [*self.turns, {"role": "assistant", "content": answer}]


def question_of(messages: Sequence[Turn], given: str | None) -> Question:
    """What the last answer of a conversation, or else its last turn, answers.

    Args:
        messages: Turns.
        given: The input, where a column holds it: the end of the turn.

    Raises:
        AnswerError: The turn before the last answer is not the user's, or empty.
    """
    answers = [at for at, turn in enumerate(messages) if turn["role"] == "assistant"]
    before = messages[: answers[-1]] if answers else messages
    if not before or before[-1]["role"] != "user":
        raise AnswerError("no turn of the user stands before the last answer")
    said, earlier = before[-1]["content"], tuple(before[:-1])
    if not said.strip():
        raise AnswerError("the instruction is empty")
    if given and said.endswith(f"\n{given}") and said != f"\n{given}":
        return Question(said.removesuffix(f"\n{given}"), given, earlier)
    return Question(said, "", earlier)


def rewritten(text: str, earlier: tuple[Turn, ...] = ()) -> Question:
    """Read what a model wrote: split at `input:` if that stands there once.

    As the code of LIFT (arXiv 2312.11508) does, to the letter: small letters, anywhere in the text,
    and what holds it more often is of no use.

    Args:
        text: The model's answer.
        earlier: Turns before the question.

    Raises:
        AnswerError: There is no instruction in it, or `input:` stands in it more than once.
    """
    times = text.count(INPUT)
    if times > 1:
        raise AnswerError(f"the rewritten instruction holds '{INPUT}' {times} times")
    instruction, _, given = text.partition(INPUT)
    if not instruction.strip():
        raise AnswerError("the rewritten instruction is empty")
    return Question(instruction.strip(), given.strip(), earlier)
