"""What asking about rows would take at most: the stage's own work, as far as the journal knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from curate.answers import Answer, AnswerError, Call, Llm
from curate.asking import LlmSettings
from curate.memo.answers import Journal, answer_key
from curate.services.llm.bodies import max_tokens_of, prompt_bound
from curate.services.llm.budget import Cost
from curate.services.llm.questions import Asker


class _UnknownError(AnswerError):
    """The journal holds no answer: what a row asks next is not known."""


class Planner(Asker):
    """See `curate.answers.Llm`: answers from the journal, and counts what it lacks.

    Attributes:
        journal: Answers that are there.
        most: What requests that lack an answer take at most, each sent once.
        reasks: Further requests at most, where answers do not have the form asked for.
        last: What the last request of a row took, set aside for those that depend on its answer.
        asked: Questions of the last row.
        unknown: Whether it asked one that the journal cannot answer.
    """

    def __init__(self, settings: LlmSettings, address: str, memo: Path) -> None:
        super().__init__(settings)
        self._address = address
        self._journal = Journal(memo, address, settings.model)
        self._missed: set[str] = set()
        self.journal = 0
        self.most = Cost()
        self.reasks = 0
        self.last = Cost()
        self.asked = 0
        self.unknown = False

    def _answer(self, call: Call, reasks: int) -> Answer:
        self.asked += call.reask == 0
        key = answer_key(self._address, call)
        answer = self._journal.find(key)
        if answer is not None:
            self.journal += 1
            return answer
        self.last = Cost(1, prompt_bound(call), max_tokens_of(call.body))
        if key not in self._missed:
            self._missed.add(key)
            self.most += self.last
            self.reasks += reasks
        self.unknown = True
        raise _UnknownError


def estimate(
    settings: LlmSettings,
    address: str,
    memo: Path,
    rows: Iterable[Mapping[str, Any]],
    ask: Callable[[Mapping[str, Any], Llm], object],
    calls: int,
) -> dict[str, Any]:
    """Run the work of rows against the journal, and add up what it lacks.

    Where an answer is not known, what the row asks after it is taken to hold the same and that
    answer.

    Args:
        settings: Whom to ask, and how.
        address: Of whom is asked.
        memo: Folder of the memo.
        rows: As the stage's `ask` takes them.
        ask: The work of one row.
        calls: Answers that a row needs at most, re-asks left out.

    Returns:
        `calls` at most; `reasks`, beyond these, at most; answers in the `journal`;
        `prompt_tokens` and `completion_tokens` of the calls at most, and their `money`, a decimal;
        None without prices.
    """
    planner = Planner(settings, address, memo)
    for row in rows:
        planner.asked, planner.unknown = 0, False
        with suppress(AnswerError):  # what is known to fail the run will say
            ask(row, planner)
        if planner.unknown:
            following = planner.last
            for _ in range(calls - planner.asked):
                following = Cost(1, following.prompt + following.completion, following.completion)
                planner.most += following
    most = planner.most
    return {
        "calls": most.requests,
        "reasks": planner.reasks,
        "journal": planner.journal,
        "prompt_tokens": most.prompt,
        "completion_tokens": most.completion,
        "money": str(most.money(settings.prices)) if settings.prices else None,
    }
