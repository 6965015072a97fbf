"""The backend `transformers` of the service `llm`: a causal language model on this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, ClassVar

from curate.api import (
    Answer,
    Backend,
    BackendKind,
    Call,
    CurateError,
    LlmSettings,
    ModelFiles,
    hookimpl,
)
from curate_embed.hardware import best_dtype
from curate_embed.templates import chat_template

if TYPE_CHECKING:
    from curate_embed.generating import Generator

CURATE_API = 1

_COMPANY = 0.005  # seconds in which others may join a batch


class Local:
    """See `curate.api.Backend`. Requests that wait at the same time are answered together.

    Raises:
        CurateError: The model has no chat template, or the settings ask for what is not done here.
    """

    kind: ClassVar[BackendKind] = "files"

    def __init__(self, settings: LlmSettings, files: ModelFiles | None) -> None:
        assert files is not None
        chat_template(files.path, files.name)
        if settings.structured != "prompt":
            raise CurateError(
                f"`backend: transformers` cannot hold a model to `structured: "
                f"{settings.structured}`.",
                "Ask for the form in the prompt: `structured: prompt`.",
            )
        if settings.body:
            raise CurateError(
                "`backend: transformers` knows no further fields of a request: "
                f"{', '.join(sorted(settings.body))}.",
                "Leave out `body`.",
            )
        self._files = files
        self._dtype = best_dtype("torch")
        self._waiting: list[tuple[Call, Future[Answer]]] = []
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._generator: Generator | None = None

    @property
    def address(self) -> str:
        """The model's files and the dtype in which they compute."""
        return f"transformers:{self._files.digest[:32]}:{self._dtype}"

    def send(self, call: Call) -> Answer:
        """See `curate.api.Backend`.

        Raises:
            AnswerError: The chat template does not take the turns, or they are too long.
            CurateError: The model cannot be loaded.
        """
        future: Future[Answer] = Future()
        with self._lock:
            self._waiting.append((call, future))
        while not future.done():
            with self._turn:  # whoever has it works for all that wait
                if not future.done():
                    self._work()
        return future.result()

    def close(self) -> None:
        """See `curate.api.Backend`; the model stays loaded for others."""

    def _work(self) -> None:
        """Answer a batch of those that wait, the one that waits longest among them."""
        if self._generator is None:
            from curate_embed.generating import Generator

            self._generator = Generator(self._files, self._dtype)
        time.sleep(_COMPANY)
        with self._lock:
            taken = self._generator.together([call for call, _ in self._waiting])
            batch = [self._waiting[at] for at in taken]
            self._waiting = [one for at, one in enumerate(self._waiting) if at not in taken]
        try:
            answers = self._generator.answer([call for call, _ in batch])
        except BaseException as error:
            for _, future in batch:
                future.set_exception(error)
            raise
        for (_, future), answer in zip(batch, answers, strict=True):
            if isinstance(answer, Answer):
                future.set_result(answer)
            else:
                future.set_exception(answer)


@hookimpl
def register_llms(register: Callable[[type[Backend]], None]) -> None:
    """Offer the backend."""
    register(Local)
