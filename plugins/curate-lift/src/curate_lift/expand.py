"""`lift.expand`: a model writes harder versions of instructions, and answers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from curate.api import (
    AnswerError,
    Child,
    Condition,
    InputFile,
    Llm,
    LlmExpandStage,
    Params,
    Prompt,
)
from curate_lift.questions import Question, question_of
from curate_lift.templates import source
from curate_lift.writing import SYNTHETIC, WriterParams, answered, harder

Domain = Literal["general", "code"]


class ExpandParams(WriterParams):
    """Parameters of `lift.expand`."""

    rounds: Annotated[
        int, Field(ge=0, description="New examples of each row, one a round, if all goes well.")
    ] = 1
    from_: Annotated[
        Literal["originals", "previous"],
        Field(
            alias="from",
            description="What a round rewrites: the row itself, or what the round before made of "
            "it. The paper leaves it open.",
        ),
    ] = "originals"
    reanswer_originals: Annotated[
        bool,
        Field(
            description="Let the model answer the original instructions too, in place of the "
            "rows; the paper's upper path."
        ),
    ] = False
    domain: Annotated[
        Domain,
        Field(description="Which prompt asks for the rewrite: three ways; for code, five."),
    ] = "general"
    code_where: Annotated[
        str | None,
        Condition(),
        Field(description="Rows of the domain `code`, such as `ability = 'code'`."),
    ] = None
    general_template: Annotated[
        str | None, InputFile(), Field(description="A jinja2 file in place of the general prompt.")
    ] = None
    code_template: Annotated[
        str | None, InputFile(), Field(description="A jinja2 file in place of the code prompt.")
    ] = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if not self.rounds and not self.reanswer_originals:
            raise ValueError("`rounds: 0` without `reanswer_originals` does nothing")
        if self.rounds < 2 and "from_" in self.model_fields_set:
            raise ValueError("`from` has no effect with fewer than 2 rounds")
        if self.domain == "code" and self.code_where is not None:
            raise ValueError("`code_where` has no effect with `domain: code`")
        for domain in ("general", "code"):
            if domain not in self.domains and getattr(self, f"{domain}_template") is not None:
                raise ValueError(f"`{domain}_template` has no effect: no row is of that domain")
        return self

    @property
    def domains(self) -> tuple[Domain, ...]:
        """The domains that rows can have; none where nothing is rewritten."""
        if not self.rounds:
            return ()
        if self.domain == "code":
            return ("code",)
        return ("general",) if self.code_where is None else ("general", "code")

    def template(self, domain: Domain) -> str | None:
        """The file in place of a domain's prompt."""
        return self.general_template if domain == "general" else self.code_template


class Expand(LlmExpandStage):
    """Writes harder versions of instructions and answers them, beside the rows they came from.

    Expansion of LIFT (arXiv 2312.11508; its code, expansion phase). For each row and round one call
    rewrites the instruction; the prompt lists all ways to do so (three, or five for code), and the
    model chooses. A second call answers the new instruction, as the new example will have it. The
    prompts are worded anew, with the paper's ways.

    What the model wrote is split into instruction and input where it holds `input:` once. A round
    that fails, or holds it more often, makes a failed row with its reason; the paper loses such
    rows. Earlier turns of a conversation stay: its last question alone is rewritten.

    Every example names the row that it was made from in `parents`, whatever its round; for chains
    of parents and children use one stage a round. Where `reanswer_originals` is set, the row with
    the model's answer takes the place of the row, and that one is merged.
    """

    name = "lift.expand"
    version = 1
    Params: ClassVar[type[Params]] = ExpandParams
    reads: ClassVar[tuple[str, ...]] = ("messages",)
    params: ExpandParams

    def __init__(self, params: ExpandParams, id: str) -> None:
        super().__init__(params, id)
        self.calls = 2 * params.rounds + params.reanswer_originals
        self.makes = params.rounds + params.reanswer_originals

    def fingerprints(self) -> Mapping[str, str]:
        """Of the plugin's own prompts, as far as they are used."""
        own = [domain for domain in self.params.domains if self.params.template(domain) is None]
        return {domain: source(domain, None).fingerprint for domain in own}

    def check_files(self) -> None:
        """Refuse templates that cannot be rendered."""
        question = Question("Add.", "1 2", ({"role": "system", "content": "Be brief."},))
        for domain in self.params.domains:
            source(domain, self.params.template(domain)).check(question.values)

    def ask(self, row: Mapping[str, Any], llm: Llm) -> Sequence[Child]:
        """Answer the original, and rewrite and answer round by round; each fails alone."""
        column = self.params.input
        question = question_of(row["messages"], row[column] if column else None)
        children = []
        if self.params.reanswer_originals:
            children.append(_original(row["id"], question, llm))
        for round_ in range(1, self.params.rounds + 1):
            # a round is a sample of its own: where it asks what another asked, it asks anew
            sample = round_ - 1
            try:
                prompt = self._prompts[self._domain(row)].render(question.values)
                new = harder(llm, prompt, question.earlier, sample)
                messages = answered(llm, new, sample)
            except AnswerError as error:
                told = f"round {round_}: {error}"
                children.append(Child((row["id"],), error=told, round=round_))
                if self.params.from_ == "previous":
                    break
                continue
            children.append(
                Child((row["id"],), messages, round=round_, origin=SYNTHETIC, generator=llm.model)
            )
            if self.params.from_ == "previous":
                question = new
        return children

    @cached_property
    def _prompts(self) -> dict[Domain, Prompt]:
        """The templates by domain."""
        return {each: source(each, self.params.template(each)) for each in self.params.domains}

    def _domain(self, row: Mapping[str, Any]) -> Domain:
        if self.params.code_where is None:
            return self.params.domain
        return "code" if row["@code_where"] else "general"


def _original(id: str, question: Question, llm: Llm) -> Child:
    """A row with the model's answer, in its place."""
    try:
        messages = answered(llm, question, 0)
    except AnswerError as error:
        return Child((id,), error=f"the original: {error}", replaces=True)
    return Child((id,), messages, replaces=True, origin=SYNTHETIC, generator=llm.model)
