"""`llm.judge`: what a model says of an example, as columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from statistics import fmean
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from curate.api import (
    AnswerError,
    Llm,
    LlmScoreStage,
    Output,
    Params,
    Preset,
    Prompt,
    Reads,
)
from curate_llm.fields import Fields, described, form_of, values_of
from curate_llm.presets import presets
from curate_llm.prompting import PromptParams

TOTAL = "total"
WINNER, TIE = "winner", "tie"
STRAIGHT, SWAPPED, CONSISTENT = "straight", "swapped", "consistent"
_SIDES: Mapping[str, Mapping[str, str]] = {
    STRAIGHT: {"first": "a", "second": "b", TIE: TIE},
    SWAPPED: {"first": "b", "second": "a", TIE: TIE},
}
"""Order > what the model calls the winner > whose response that is."""

Pair = Annotated[list[str], Field(min_length=2, max_length=2)]


class JudgeParams(PromptParams):
    """Parameters of `llm.judge`."""

    presets: ClassVar[Mapping[str, Preset]] = presets("alpagasus", "lift", "preference")

    preset: Annotated[
        Literal["alpagasus", "lift", "preference"] | None,
        Field(description="A prompt with its fields; what is written besides wins."),
    ] = None
    fields: Annotated[
        Fields,
        Field(
            description="Name: type (number, integer, text, boolean), or a list of labels, or a "
            "mapping with bounds. Each is a column."
        ),
    ] = Field(default_factory=dict)
    text: Annotated[
        Literal["instruction", "response", "both"],
        Field(description="Which texts the prompt is given, each by its name."),
    ] = "both"
    pair: Annotated[
        Pair | None,
        Reads("any"),
        Field(
            description="Two columns of responses to be compared, a and b, such as "
            '["@response", "@rejected"], the answers of a preference: the prompt is given `first` '
            "and `second`, in both orders."
        ),
    ] = None
    samples: Annotated[
        int, Field(ge=1, description="Answers to each question; their mean, or majority, counts.")
    ] = 1
    total: Annotated[
        bool, Field(description="Also write the sum of all numbers of an answer, as `total`.")
    ] = False

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if not self.fields:
            raise ValueError("`fields` says what is to be answered: give it, or a `preset`")
        if self.samples > 1 and self.llm.temperature == 0:
            raise ValueError(
                "`samples` asks the same again, and `llm.temperature: 0` gives the same answer: "
                "write `temperature: 1`, or null for the model's own"
            )
        if self.total and (TOTAL in self.fields or not any(self._numeric())):
            raise ValueError("`total` needs fields that are numbers, and none of that name")
        winner = self.fields.get(WINNER)
        if self.pair is not None:
            self._check_pair()
        elif winner is not None and {"first", "second"} <= set(winner.options):
            raise ValueError(
                "`winner` tells the better of two responses: name their columns, such as "
                '`pair: ["@response", "@rejected"]` or `pair: ["@response", other]`'
            )
        return self

    def _numeric(self) -> list[str]:
        return [name for name, field in self.fields.items() if field.numeric]

    def _check_pair(self) -> None:
        if self.samples > 1 or self.total:
            raise ValueError("`samples` and `total` are for single responses, not for a `pair`")
        winner = self.fields.get(WINNER)
        if winner is None or set(winner.options) | {TIE} != set(_SIDES[STRAIGHT]):
            raise ValueError("a `pair` needs the field `winner: [first, second, tie]`")
        made = {STRAIGHT, SWAPPED, CONSISTENT}
        for name, field in self.fields.items():
            if name != WINNER and field.type != "text":
                raise ValueError(f"beside `winner`, fields of a `pair` are texts: '{name}' is not")
            if {name, f"{name}_{SWAPPED}"} & made:
                raise ValueError(f"`pair` itself writes '{name}': name the field otherwise")


class Judge(LlmScoreStage):
    """Columns that a language model fills in: ratings, labels, reasons, by a prompt of yours.

    The prompt is a jinja2 template in a sandbox. It is given `instruction` and `response` (as far
    as `text` says), the named columns as `row`, and `form`, the form of the answer in words. The
    answer is a JSON object with the named fields, checked, and asked for again (`llm.reasks`)
    where one is missing, of another type or out of its bounds. A row without an answer in that form
    fails; no value is made up for it. A prompt that does not name each field, as by `form`, is
    refused, unless the endpoint is told the form (`llm.structured: json_schema`).

    With `samples`, numbers are means, labels and truth values those given most often (of equally
    frequent ones the one given first), texts those of the first answer.

    With `pair` two responses are compared, each standing first once. `straight` and `swapped` are
    the verdicts of the two orders in terms of the columns: `a`, `b` or `tie`; `consistent` says
    whether they agree; `winner` is what they agree on, and `tie` where they do not (MT-Bench, arXiv
    2306.05685, section 3.4). Texts come from both answers, `<field>` and `<field>_swapped`. Equal
    responses are a tie in both orders; nothing is asked about them, and their texts are empty.
    """

    name = "llm.judge"
    version = 2
    Params: ClassVar[type[Params]] = JudgeParams
    params: JudgeParams

    def __init__(self, params: JudgeParams, id: str) -> None:
        super().__init__(params, id)
        self.calls = 2 if params.pair else params.samples

    def inputs(self) -> tuple[str, ...]:
        """The texts and columns that the prompt is given."""
        return tuple(dict.fromkeys((*(f"@{text}" for text in self._texts), *super().inputs())))

    def outputs(self) -> Mapping[str, Output]:
        """A column for each field."""
        fields = self.params.fields
        if self.params.pair is not None:
            verdicts = {name: Output("string") for name in (WINNER, STRAIGHT, SWAPPED)}
            texts = [name for name in fields if name != WINNER]
            both = [name for text in texts for name in (text, f"{text}_{SWAPPED}")]
            return {
                **verdicts,
                CONSISTENT: Output("boolean"),
                **{name: Output("string") for name in both},
            }
        made = {name: field.output() for name, field in fields.items()}
        if self.params.total:
            whole = all(made[name].kind == "integer" for name in self.params._numeric())
            made[TOTAL] = Output("integer" if whole else "number")
        if self.params.samples == 1:
            return made
        means = {name: Output("number") for name in made if made[name].kind == "integer"}
        return {**made, **means}

    def check_files(self) -> None:
        """Refuse a prompt that cannot be rendered, or does not name what is to be answered."""
        self.params.check_named(self.params.fields, self.tried())

    def tried(self) -> str:
        """The prompt for a row that is made up.

        Raises:
            CurateError: It cannot be rendered.
        """
        given = dict.fromkeys(self._texts, "Add 1 and 2.") | self.params.example()
        if self.params.pair is not None:
            given |= {"first": "3", "second": "4"}
        self.prompt.check(given, self._fixed)
        return self.prompt.render({**given, **self._fixed})

    def ask(self, row: Mapping[str, Any], llm: Llm) -> Mapping[str, Any]:
        """Ask about one row; one without a response has nothing to be judged."""
        if self.params.pair is not None:
            return self._compared(row, [answer_of(row[name]) for name in self.params.pair], llm)
        question = self.question(row)
        answers = [self._answer(question, llm, sample) for sample in range(self.params.samples)]
        return self._merged(answers) if len(answers) > 1 else answers[0]

    def question(self, row: Mapping[str, Any], **more: str) -> str:
        """What is asked about a row.

        Args:
            row: The inputs, by name.
            more: What the prompt is given besides.

        Raises:
            AnswerError: The row has no response, or does not fit the prompt.
        """
        given = {text: row[f"@{text}"] for text in self._texts} | self.params.besides(row)
        if not given.get("response", "-").strip():
            raise AnswerError("it has no response to be judged")
        return self.prompt.render({**given, **more, **self._fixed})

    def _answer(self, question: str, llm: Llm, sample: int = 0) -> dict[str, Any]:
        values = values_of(llm.ask_for(self._form, question, sample=sample))
        if self.params.total:
            values[TOTAL] = sum(values[name] for name in self.params._numeric())
        return values

    def _merged(self, answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        merged = {}
        for name, output in self.outputs().items():
            values = [answer[name] for answer in answers]
            field = self.params.fields.get(name)
            if output.kind == "number":
                merged[name] = fmean(values)
            elif field is not None and field.type == "text":
                merged[name] = values[0]
            else:  # `most_common` keeps the order of equally frequent ones
                merged[name] = Counter(values).most_common(1)[0][0]
        return merged

    def _compared(self, row: Mapping[str, Any], pair: Sequence[str], llm: Llm) -> dict[str, Any]:
        if pair[0] == pair[1]:  # there is nothing to ask
            texts = dict.fromkeys(self.outputs(), "")
            return texts | dict.fromkeys((WINNER, STRAIGHT, SWAPPED), TIE) | {CONSISTENT: True}
        orders = {STRAIGHT: pair, SWAPPED: pair[::-1]}
        answers = {
            order: self._answer(self.question(row, first=first, second=second), llm)
            for order, (first, second) in orders.items()
        }
        verdicts = {order: _SIDES[order][answers[order][WINNER]] for order in orders}
        agree = verdicts[STRAIGHT] == verdicts[SWAPPED]
        texts = {}
        for name in self.params.fields:
            if name != WINNER:
                texts[name] = answers[STRAIGHT][name]
                texts[f"{name}_{SWAPPED}"] = answers[SWAPPED][name]
        return {
            WINNER: verdicts[STRAIGHT] if agree else TIE,
            CONSISTENT: agree,
            **verdicts,
            **texts,
        }

    @property
    def _texts(self) -> tuple[str, ...]:
        both = ("instruction", "response")
        return both if self.params.text == "both" else (self.params.text,)

    @cached_property
    def prompt(self) -> Prompt:
        """The template of what is asked."""
        return self.params.asked()

    @cached_property
    def _form(self) -> Any:
        return form_of(self.params.fields)

    @cached_property
    def _fixed(self) -> dict[str, str]:
        return {"form": described(self.params.fields)}


def answer_of(value: Any) -> str:
    """The response that a column holds: a text, or the last turn of a conversation.

    Raises:
        AnswerError: It holds neither, or an empty one.
    """
    turns = value if isinstance(value, list) else []
    last = turns[-1] if turns else None
    text = last.get("content") if isinstance(last, Mapping) else value
    if not isinstance(text, str) or not text.strip():
        raise AnswerError("one of the two responses is empty, or no text")
    return text
