"""`lift.quality`: a model marks instruction and response by a rubric."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar

from pydantic import Field

from curate.api import (
    AnswerError,
    InputFile,
    Llm,
    LlmParams,
    LlmScoreStage,
    Output,
    Params,
    Served,
)
from curate_lift.templates import own
from curate_lift.writing import WriterSettings
from curate_llm.judge import TOTAL, Judge, JudgeParams

_MOST = 100
"""Points for all parts of the rubric."""


class QualityParams(LlmParams):
    """Parameters of `lift.quality`."""

    llm: Annotated[WriterSettings, Served("llm"), Field(description="Whom to ask, and how.")]
    paper_exact: Annotated[
        bool,
        Field(
            description="Ask as the paper does: the total alone on the first line, of which the "
            "first whole number is read."
        ),
    ] = False
    template: Annotated[
        str | None, InputFile(), Field(description="A jinja2 file in place of the prompt.")
    ] = None


class Quality(LlmScoreStage):
    """Marks from a model: clarity 15, difficulty 25, explanations 25, accuracy 35 points.

    Quality curation of LIFT (arXiv 2312.11508; its code, generate_gpt_score.py): clarity and
    difficulty of the instruction, explanations and accuracy of the response, at temperature 0.5.
    The answer is a JSON object, checked, and asked for again (`llm.reasks`) where a part is
    missing, no whole number or out of its bounds. The parts are columns, and their sum is `total`;
    `reason` is the model's sentence.

    With `paper_exact` the model prints the total on its first line, and the first whole number
    there is taken: an answer that begins `4 parts: 80` counts 4. What differs from the paper: the
    rubric and its worked examples are worded anew; what has no such number, or one above 100, is a
    failed row, where the paper writes 0. Only `total` is written: the parts are in words alone.
    """

    name = "lift.quality"
    version = 2
    Params: ClassVar[type[Params]] = QualityParams
    reads: ClassVar[tuple[str, ...]] = ("@instruction", "@response")
    params: QualityParams

    def outputs(self) -> Mapping[str, Output]:
        """Whole numbers, and the reason in words; `total` alone where the paper's form is asked."""
        return {TOTAL: Output("integer")} if self.params.paper_exact else self.judge.outputs()

    def fingerprints(self) -> Mapping[str, str]:
        """Of the plugin's own prompt, if it is used, and of the fields that are asked for."""
        made = {} if self.params.template else {"prompt": self.judge.prompt.fingerprint}
        if not self.params.paper_exact:
            fields = self.judge.params.model_dump_json(include={"fields"})
            made["fields"] = hashlib.sha256(fields.encode()).hexdigest()
        return made

    def check_files(self) -> None:
        """Refuse a template that cannot be rendered, or does not name the parts."""
        if self.params.paper_exact:
            self.judge.tried()
        else:
            self.judge.check_files()

    def ask(self, row: Mapping[str, Any], llm: Llm) -> Mapping[str, Any]:
        """Ask for the marks of one row; one without a response has nothing to be marked."""
        if self.params.paper_exact:
            return {TOTAL: first_number(llm.ask(self.judge.question(row), cut=True).text)}
        return self.judge.ask(row, llm)

    @cached_property
    def judge(self) -> Judge:
        """`llm.judge` by the preset `lift`, whose fields and prompt these are."""
        given: dict[str, Any] = {"preset": "lift", "llm": self.params.llm}
        if self.params.paper_exact:
            given["prompt"] = own("quality_total").text
        if self.params.template is not None:
            given |= {"prompt": None, "template": self.params.template}
        return Judge(JudgeParams.model_validate(given), self.id)


def first_number(text: str) -> int:
    """The first whole number on the first line of an answer.

    Raises:
        AnswerError: There is none, or it is above 100.
    """
    line = text.strip().partition("\n")[0]
    found = re.search(r"[0-9]+", line)
    if found is None:
        raise AnswerError("the first line of the answer holds no number")
    total = int(found[0])
    if total > _MOST:
        raise AnswerError(f"the first line of the answer gives {total} points of {_MOST}")
    return total
