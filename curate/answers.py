"""Answers of a language model: what is asked, what is received, and from whom.

A stage writes down what one row needs as a plain function that asks and uses the answer; the
service `llm` runs it over many rows at once, and concurrency, retries, budget and journal stay
out of sight. Nothing here imports polars or a client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

from pydantic import BaseModel

from curate.errors import CurateError

if TYPE_CHECKING:
    from curate.asking import LlmSettings
    from curate.contract.context import ModelFiles

T = TypeVar("T")
R = TypeVar("R")
M = TypeVar("M", bound=BaseModel)

Messages = str | Sequence[Mapping[str, str]]
"""A conversation, as mappings with `role` and `content`; a text alone is one turn of the user."""


class AnswerError(Exception):
    """A row cannot be answered: it fails, the run goes on."""


@dataclass(frozen=True)
class Usage:
    """What an answer took, as the server counted it.

    Args:
        prompt: Tokens of the request.
        completion: Tokens of the answer.
    """

    prompt: int
    completion: int


@dataclass(frozen=True)
class Answer:
    """An answer as it was received.

    Args:
        text: What the model wrote, byte for byte, but for secrets and for what is no Unicode.
        finish: Why it ended, in the server's word: `stop`, `length`, ...
        usage: None where the server did not say.
        model: The model that the server says answered, or "".
    """

    text: str
    finish: str = "stop"
    usage: Usage | None = None
    model: str = ""


@dataclass(frozen=True)
class Call:
    """One request, in the form in which it is sent and journalled.

    Args:
        body: The body of a chat completion.
        sample: Which of several answers to the same body it is to be, from 0.
        reask: How often the question was put before, to get an answer in the right form.
    """

    body: Mapping[str, Any]
    sample: int = 0
    reask: int = 0


BackendKind = Literal["endpoint", "files", "record"]


class Backend(Protocol):
    """Who answers. Offered by the hook `register_llms`, as a class with this interface.

    Class attributes:
        kind: `endpoint`: requests travel, and are sent again where no answer comes; `files`: the
            model is one whose files are on this machine, and are given; `record`: neither.
    """

    kind: ClassVar[BackendKind]

    def __init__(self, settings: LlmSettings, files: ModelFiles | None) -> None:
        """Take the settings. Loads and opens nothing.

        Raises:
            CurateError: A setting is missing or wrong for this backend.
        """

    @property
    def address(self) -> str:
        """Who is asked, for keys, manifest and messages; never a secret in it."""
        ...

    def send(self, call: Call) -> Answer:
        """Ask once; called from as many threads as requests may be open.

        Raises:
            AnswerError: This request cannot be answered.
            UnreceivedError: No whole answer came; asking again may help.
            CurateError: No request can be answered: the run stops; a `RefusedError` where this one
                certainly cost nothing.
        """
        ...

    def close(self) -> None:
        """Give up what was opened."""


class RefusedError(CurateError):
    """The endpoint refuses this request and all others: the run stops, and nothing was spent."""


class UnreceivedError(Exception):
    """No whole answer came to a request, but one may when it is sent again.

    Args:
        message: What happened, in words.
        billed: Whether the server may have charged for it: nobody knows the outcome.
        retry_after: Seconds that the server asks to be left alone.
    """

    def __init__(self, message: str, *, billed: bool, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.billed = billed
        self.retry_after = retry_after


class Llm(Protocol):
    """What `ctx.service("llm")` gives a stage that declares the service: the model to be asked."""

    @property
    def model(self) -> str:
        """The model's name, as the recipe gives it: the `generator` of what it writes."""
        ...

    def ask(
        self,
        messages: Messages,
        *,
        sample: int = 0,
        temperature: float | None = None,
        max_tokens: int | None = None,
        cut: bool = False,
    ) -> Answer:
        """Ask, and wait for the answer; to be called in the work of `each`.

        The same request is answered from the journal, at no cost, if it was answered before.

        Args:
            messages: The conversation.
            sample: Which of several answers to the same request, from 0.
            temperature: In place of the recipe's.
            max_tokens: In place of the recipe's.
            cut: Whether an answer may be cut off at `max_tokens`; otherwise it is an error.

        Raises:
            AnswerError: There is no answer to this request.
            CurateError: The run has to stop: budget, credentials, endpoint.
        """
        ...

    def ask_for(
        self,
        schema: type[M],
        messages: Messages,
        *,
        sample: int = 0,
        temperature: float | None = None,
        max_tokens: int | None = None,
    ) -> M:
        """Ask for JSON of a form; where the answer has another, ask again at most `reasks` times.

        The prompt must say what is wanted; JSON is found in a fence or among other words.

        Args:
            schema: The form.
            messages: As in `ask`.
            sample: As in `ask`.
            temperature: As in `ask`.
            max_tokens: As in `ask`.

        Raises:
            AnswerError: There is no answer, or none in this form.
            CurateError: The run has to stop.
        """
        ...

    def each(
        self, items: Iterable[T], work: Callable[[T], R]
    ) -> Iterator[tuple[T, R | None, str | None]]:
        """Do work that asks, for many items at once.

        Args:
            items: What the work is done for.
            work: Called once an item, from as many threads as the recipe allows requests.

        Yields:
            The item, what the work returned, and None; or the item, None and the error in words.
            In the order in which they are done.

        Raises:
            CurateError: The run has to stop; requests that were open are answered and journalled.
        """
        ...
