"""What stages share that let a model write a harder instruction and its answer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from curate.api import AnswerError, Llm, LlmParams, LlmSettings, Reads, Served
from curate_lift.questions import Question, Turn, rewritten

SYNTHETIC: Literal["synthetic"] = "synthetic"


class WriterSettings(LlmSettings):
    """Whom a stage of LIFT asks: at the paper's temperature."""

    temperature: Annotated[
        float | None, Field(ge=0, description="The paper's 0.5; null: the model's own.")
    ] = 0.5


class WriterParams(LlmParams):
    """Parameters of stages that write examples."""

    llm: Annotated[WriterSettings, Served("llm"), Field(description="Whom to ask, and how.")]
    input: Annotated[
        str | None,
        Reads("string", nulls=True),
        Field(
            description="Column of the input, such as Alpaca's; without it the input is taken as "
            "part of the instruction."
        ),
    ] = None


def harder(llm: Llm, prompt: str, earlier: tuple[Turn, ...], sample: int) -> Question:
    """One rewrite call.

    Args:
        llm: The model.
        prompt: Asks for the new instruction.
        earlier: Turns that stand before it.
        sample: As in `Llm.ask`.

    Raises:
        AnswerError: There is no answer, or no instruction in it.
    """
    return rewritten(llm.ask(prompt, sample=sample).text, earlier)


def answered(llm: Llm, question: Question, sample: int) -> list[dict[str, str]]:
    """One answer call: the conversation with the model's answer.

    Args:
        llm: The model.
        question: Asked as the example will have it.
        sample: As in `Llm.ask`.

    Raises:
        AnswerError: There is no answer, or an empty one.
    """
    answer = llm.ask(question.turns, sample=sample).text.strip()
    if not answer:
        raise AnswerError("the answer is empty")
    return question.answered(answer)
