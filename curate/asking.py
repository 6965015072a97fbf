"""Stages that ask a language model, and what a recipe says about whom they ask.

Nothing here imports polars or a client.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from curate.answers import Llm
from curate.contract.context import Context
from curate.contract.marks import Neutral, Served
from curate.contract.parameters import Params, exact
from curate.contract.results import Child
from curate.contract.stages import ExpandStage, ScoreStage

if TYPE_CHECKING:
    import polars as pl

LLM = "llm"
"""The service, and the parameter that says whom it asks."""

_OWN = [
    "model",
    "messages",
    "temperature",
    "max_tokens",
    "max_completion_tokens",
    "top_p",
    "seed",
    "stop",
    "response_format",
    "n",
    "stream",
    "stream_options",
]


Amount = Annotated[
    Decimal,
    BeforeValidator(exact),
    Field(ge=0),
    WithJsonSchema({"type": "number", "minimum": 0}),
]
"""A sum of money as an exact decimal, in whatever currency the prices are in."""


class Prices(Params):
    """What a million tokens cost."""

    prompt: Annotated[Amount, Field(description="Of requests.")]
    completion: Annotated[Amount, Field(description="Of answers.")]


class Budget(Params):
    """What one run may spend on a stage; whatever the journal answers costs nothing."""

    requests: Annotated[
        int | None, Field(ge=0, description="Requests sent, repeated ones included.")
    ] = None
    tokens: Annotated[int | None, Field(ge=0, description="Tokens of requests and answers.")] = None
    money: Annotated[
        Amount | None, Field(description="In the currency of `prices`, which it needs.")
    ] = None

    @model_validator(mode="after")
    def _limits(self) -> Self:
        if self.requests is None and self.tokens is None and self.money is None:
            raise ValueError("name `requests`, `tokens` or `money`")
        return self


def _public(address: str | None) -> str | None:
    """Refuse an address that holds a secret: recipes and versions are shared."""
    if address is None:
        return None
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("an endpoint's address begins with http:// or https:// and a host")
    if "@" in parts.netloc or parts.query:
        raise ValueError(
            "the address holds a user or a query, which would end up in the version; "
            "give it through the environment, as OPENAI_BASE_URL"
        )
    return address


_NAME_OF_KEY = re.compile(r"(?!AWS_)[A-Z][A-Z0-9_]*_(KEY|TOKEN)", re.IGNORECASE)
_NAME_OF_SECRET = re.compile(r"\w+_(KEY|TOKEN|SECRET|PASSWORD)", re.IGNORECASE)
_SECRET = 20
"""Characters of a secret, at least: shorter values are dummies as a rule, and occur in words."""


def _of_key(variable: str) -> str:
    """Refuse a variable that holds something else: a recipe may be a stranger's."""
    if not _NAME_OF_KEY.fullmatch(variable):
        raise ValueError(
            f"'{variable}' does not look like the variable of an endpoint's key: the name ends in "
            "_KEY or _TOKEN, and does not begin with AWS_"
        )
    return variable


def _secrets() -> dict[str, str]:
    """Variable > value, of those of the environment whose names say that they hold a secret."""
    return {
        variable: value.strip()
        for variable, value in os.environ.items()
        if _NAME_OF_SECRET.fullmatch(variable) and len(value.strip()) >= _SECRET
    }


def _texts(value: Any) -> Iterator[str]:
    """All texts in plain data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts([*value, *value.values()])
    elif isinstance(value, Sequence):
        for item in value:
            yield from _texts(item)


class LlmSettings(Params):
    """Whom a stage asks, how, and how much of it: the block `llm:` of its parameters.

    A stage that has defaults of its own subclasses it.
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # it may be a secret

    model: Annotated[
        str,
        Field(
            min_length=1,
            description="As the endpoint names it; for `transformers` an "
            "alias, a folder, or owner/name[@revision].",
        ),
    ]
    max_tokens: Annotated[
        int, Field(ge=1, description="Tokens that an answer may have; reserved before it is asked.")
    ]
    backend: Annotated[
        str,
        Field(
            description="openai: an endpoint that speaks OpenAI's chat completions; transformers: "
            "a model on this machine; replay: answers recorded before."
        ),
    ] = "openai"
    base_url: Annotated[
        str | None,
        AfterValidator(_public),
        Field(
            description="The endpoint's address (openai); by default OPENAI_BASE_URL, or else "
            "that of OpenAI."
        ),
    ] = None
    answers: Annotated[str | None, Field(description="The file of recorded answers (replay).")] = (
        None
    )
    temperature: Annotated[
        float | None, Field(ge=0, description="0: the likeliest answer; null: the model's own.")
    ] = 0.0
    top_p: Annotated[float | None, Field(gt=0, le=1)] = None
    seed: Annotated[
        int | None, Field(description="Of sampling; the number of a sample is added to it.")
    ] = None
    stop: Annotated[list[str], Field(description="Texts before which an answer ends.")] = Field(
        default_factory=list
    )
    structured: Annotated[
        Literal["prompt", "json_object", "json_schema"],
        Field(
            description="How the form of a structured answer is asked for: in the prompt alone, or "
            "also as `response_format`, where the endpoint knows that."
        ),
    ] = "prompt"
    reasks: Annotated[
        int, Field(ge=0, description="How often an answer in the wrong form is asked for again.")
    ] = 2
    limit_as: Annotated[
        Literal["max_tokens", "max_completion_tokens"],
        Field(description="What the endpoint calls `max_tokens`."),
    ] = "max_tokens"
    body: Annotated[
        dict[str, Any],
        Field(description="Further fields of the request, such as reasoning_effort."),
    ] = Field(default_factory=dict)
    api_key_env: Annotated[
        str,
        Neutral(),
        AfterValidator(_of_key),
        Field(description="The environment variable that holds the key; ends in _KEY or _TOKEN."),
    ] = "OPENAI_API_KEY"
    concurrency: Annotated[
        int, Neutral(), Field(ge=1, le=1024, description="Requests open at any time, at most.")
    ] = 8
    requests_per_minute: Annotated[int | None, Neutral(), Field(ge=1)] = None
    tokens_per_minute: Annotated[
        int | None, Neutral(), Field(ge=1, description="Bound of the prompt and `max_tokens`.")
    ] = None
    attempts: Annotated[
        int, Neutral(), Field(ge=1, description="How often one request is sent, at most.")
    ] = 8
    timeout: Annotated[
        float, Neutral(), Field(gt=0, description="Seconds until a whole answer is there.")
    ] = 120.0
    prices: Annotated[
        Prices | None, Neutral(), Field(description="What a million tokens cost.")
    ] = None
    budget: Annotated[
        Budget | None, Neutral(), Field(description="Where a run stops, before it is exceeded.")
    ] = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.budget and self.budget.money is not None and self.prices is None:
            raise ValueError(
                "`budget: {money: ...}` needs `prices: {prompt: ..., completion: ...}`"
            )
        own = sorted(set(self.body) & set(_OWN))
        if own:
            raise ValueError(f"`body` may not hold {', '.join(own)}: these are set by other keys")
        return self


class LlmParams(Params):
    """Parameters of stages that ask a language model."""

    model_config = ConfigDict(hide_input_in_errors=True)  # it may be a secret

    llm: Annotated[LlmSettings, Served(LLM), Field(description="Whom to ask, and how.")]

    @model_validator(mode="after")
    def _open(self) -> Self:
        """Refuse secrets of the environment: what a stage asks is sent, journalled, published."""
        given = self.model_dump(mode="json")
        named = given | {f"{LLM}.{name}": value for name, value in given.pop(LLM).items()}
        for name, value in named.items():
            for variable, secret in _secrets().items():
                if any(secret in text for text in _texts(value)):
                    raise ValueError(
                        f"`{name}` holds the value of {variable}, which would be sent and written "
                        "down; keys are given by `llm.api_key_env` alone"
                    )
        return self


class LlmScoreStage(ScoreStage):
    """A score stage that asks a language model about each row.

    Attributes:
        calls: How many answers a row needs at most, re-asks left out; for the plan.
    """

    services: ClassVar[tuple[str, ...]] = (LLM,)
    calls: int = 1
    chunk: ClassVar[int] = 64
    params: LlmParams

    def ask(self, row: Mapping[str, Any], llm: Llm) -> Mapping[str, Any]:
        """Ask about one row, and make its outputs of the answers.

        Args:
            row: `id` and the inputs, by name.
            llm: The model. This is called from many threads: keep nothing in `self`.

        Returns:
            A value for each output.

        Raises:
            AnswerError: The row has no value.
        """
        raise NotImplementedError

    def score(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """All rows at once; see `stream`."""
        import polars as pl

        return pl.concat(self.stream(rows, ctx), how="diagonal_relaxed")

    def stream(self, rows: pl.DataFrame, ctx: Context) -> Iterator[pl.DataFrame]:
        """Ask about many rows at a time; each fails alone."""
        import polars as pl

        llm: Llm = ctx.service(LLM)
        outputs = self.outputs()
        dtypes: dict[str, Any] = {
            "string": pl.String,
            "integer": pl.Int64,
            "number": pl.Float64,
            "boolean": pl.Boolean,
        }
        schema = {"id": pl.String} | {name: dtypes.get(outputs[name].kind) for name in ctx.wanted}
        done = []
        for row, values, error in llm.each(
            rows.iter_rows(named=True), lambda row: self.ask(row, llm)
        ):
            made = {name: values[name] for name in ctx.wanted} if values is not None else {}
            done.append({"id": row["id"], **made, "error": error})
            if len(done) == self.chunk or error is not None:  # a failure may stop the run
                yield pl.DataFrame(done, schema | {"error": pl.String})
                done = []
        if done:
            yield pl.DataFrame(done, schema | {"error": pl.String})


class LlmExpandStage(ExpandStage):
    """An expand stage that asks a language model to write from each row.

    Attributes:
        calls: As in `LlmScoreStage`.
    """

    services: ClassVar[tuple[str, ...]] = (LLM,)
    calls: int = 1
    chunk: ClassVar[int] = 1024
    params: LlmParams

    def ask(self, row: Mapping[str, Any], llm: Llm) -> Sequence[Child]:
        """Ask about one row, and make its children of the answers.

        Args:
            row: `id` and the inputs, by name.
            llm: The model. This is called from many threads: keep nothing in `self`.

        Returns:
            The children; none, and the row stays itself.

        Raises:
            AnswerError: The child cannot be made.
        """
        raise NotImplementedError

    def expand(self, rows: pl.DataFrame, ctx: Context) -> Iterable[Child]:
        """Ask about many rows at a time; each fails alone. Children stand in the rows' order."""
        llm: Llm = ctx.service(LLM)
        made: dict[str, Sequence[Child]] = {}
        for row, children, error in llm.each(
            rows.iter_rows(named=True), lambda row: self.ask(row, llm)
        ):
            failed = Child((row["id"],), replaces=self.in_place(), error=error)
            made[row["id"]] = [failed] if children is None else children
        return [child for id in rows["id"] for child in made[id]]
