"""What the answers took that a stage uses, whoever paid for them and when."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from curate.answers import Answer, AnswerError, Call, Llm
from curate.asking import LlmSettings, Prices
from curate.memo.answers import Journal, answer_key, print_of
from curate.services.llm.bodies import max_tokens_of, prompt_bound
from curate.services.llm.budget import Cost, took
from curate.services.llm.questions import Asker


class Used:
    """Answers that were used, each counted once. May be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._prints: dict[str, str] = {}
        self._took = Cost()
        self._unmetered = 0

    def add(self, key: str, call: Call, answer: Answer) -> None:
        """Count an answer, by what the server said that it took, or the most that it could."""
        most = Cost(1, prompt_bound(call), max_tokens_of(call.body))
        with self._lock:
            if key not in self._prints:
                self._prints[key] = print_of(key, answer)
                self._took += took(most, answer.usage)
                self._unmetered += answer.usage is None

    def prints(self) -> list[str]:
        """The answers as a lock names them."""
        with self._lock:
            return list(self._prints.values())

    def account(self, prices: Prices | None) -> dict[str, Any]:
        """`answers`, their tokens, those `unmetered`, and `money` at the recipe's prices."""
        with self._lock:
            return {
                "answers": len(self._prints),
                "prompt_tokens": self._took.prompt,
                "completion_tokens": self._took.completion,
                "unmetered": self._unmetered,
                "money": str(self._took.money(prices)) if prices else None,
            }


class Recaller(Asker):
    """See `curate.answers.Llm`: answers from the journal alone, and counts what it finds."""

    def __init__(self, settings: LlmSettings, address: str, journal: Journal, used: Used) -> None:
        super().__init__(settings)
        self._address = address
        self._journal = journal
        self._used = used

    def recall(
        self, rows: Iterable[Mapping[str, Any]], ask: Callable[[Mapping[str, Any], Llm], object]
    ) -> None:
        """Count the answers behind rows whose results are remembered.

        Args:
            rows: As the stage's `ask` takes them.
            ask: The work of one row; what is wrong with one is no matter here.
        """
        for row in rows:
            with suppress(Exception):  # a plugin may raise anything; its row was dealt with before
                ask(row, self)

    def _answer(self, call: Call, reasks: int) -> Answer:  # noqa: ARG002 - for planning
        key = answer_key(self._address, call)
        answer = self._journal.find(key)
        if answer is None:
            raise AnswerError("the journal does not hold it any more")
        self._used.add(key, call, answer)
        return answer
