"""Asking for one stage of one run: journal first, then budget, pace, and the backend."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from curate.answers import (
    Answer,
    AnswerError,
    Backend,
    Call,
    Llm,
    RefusedError,
    UnreceivedError,
)
from curate.asking import LlmSettings
from curate.errors import CurateError
from curate.memo.answers import Journal, answer_key
from curate.printing import counted
from curate.services.llm.bodies import max_tokens_of, prompt_bound
from curate.services.llm.budget import BudgetError, Cost, Purse, took
from curate.services.llm.pace import PATIENCE, Pace
from curate.services.llm.questions import Asker
from curate.services.llm.using import Recaller, Used

T = TypeVar("T")
R = TypeVar("R")

_LISTEN = 0.2  # seconds

IN_A_ROW = 20
"""Requests, new ones and repeated ones of all threads, that may go without an answer one after the
other before the run stops; or twice as many as may be open, where that is more. Where many are open
that takes no time, so the row has to last as long, too, as one request is tried: an endpoint that
restarts is waited for."""


class Session(Asker):
    """See `curate.answers.Llm`.

    Args:
        settings: Whom to ask, and how.
        backend: Who answers.
        memo: Folder of the memo, which holds the journal.
        id: The stage's id, for messages.
        paid: Folder of the memo whose journal alone answers for an endpoint; None: it is asked.
        ticked: Called now and then while answers are awaited, by whoever waits.

    Attributes:
        purse: What was spent.
    """

    def __init__(
        self,
        settings: LlmSettings,
        backend: Backend,
        memo: Path,
        id: str,
        paid: Path | None = None,
        ticked: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(settings)
        self._backend = backend
        self._id = id
        self._ticked = ticked
        self._sealed = paid is not None and backend.kind == "endpoint"
        folder = paid if paid is not None and self._sealed else memo
        self._journal = Journal(folder, backend.address, settings.model)
        self._slots = threading.BoundedSemaphore(settings.concurrency)
        self._lock = threading.Lock()
        self._flying: dict[str, Future[Answer]] = {}
        self._counts: Counter[str] = Counter()
        self._in_a_row = 0
        self._since = 0.0
        self._most_in_a_row = max(IN_A_ROW, 2 * settings.concurrency)
        self._stopped: CurateError | None = None
        self._hurry = threading.Event()
        self._pools: set[ThreadPoolExecutor] = set()
        self._pace = Pace(
            settings.requests_per_minute, settings.tokens_per_minute, sleep=self._hurry.wait
        )
        self.purse = Purse(settings.budget, settings.prices)
        self._used = Used()

    def account(self) -> dict[str, Any]:
        """What the stage took so far, as JSON values.

        `done`: items that work was done for; `sent`: requests, repeated ones included; `journal`:
        answers that had been received before, or for others who asked the same just then;
        `reasked`: questions put again for the form of their answer; `retried`: requests sent again;
        `failed`: questions without an answer; `prompt_tokens` and `completion_tokens`: as counted
        by the server, or as much as could be where it did not say; `unmetered`: requests of which
        it did not; `money`: at the recipe's prices, as a decimal; None without them; `used`: the
        same of all answers that the stage's results are made of, whenever they were paid for, as
        far as the journal holds them; `kind`: of the backend.
        """
        names = ("done", "sent", "journal", "reasked", "retried", "failed", "unmetered")
        with self._lock:
            counts = {name: self._counts[name] for name in names}
        spent = self.purse.spent
        return {
            "address": self._backend.address,
            "kind": self._backend.kind,
            "model": self.model,
            **counts,
            "prompt_tokens": spent.prompt,
            "completion_tokens": spent.completion,
            "money": str(self.purse.money) if self._settings.prices else None,
            "used": self._used.account(self._settings.prices),
        }

    def paid_answers(self) -> list[str]:
        """The answers of an endpoint that results are made of, as a lock names them."""
        return self._used.prints() if self._backend.kind == "endpoint" else []

    def recall(
        self, rows: Iterable[Mapping[str, Any]], ask: Callable[[Mapping[str, Any], Llm], object]
    ) -> None:
        """Count the answers behind results that the memo knows as used; see `Recaller`."""
        recaller = Recaller(self._settings, self._backend.address, self._journal, self._used)
        recaller.recall(rows, ask)

    def close(self) -> None:
        """End what is still worked on, and give up connections and files.

        A failed row may have stopped the run elsewhere, while others were being asked about.
        """
        self._hurry.set()
        for pool in list(self._pools):
            pool.shutdown(wait=True, cancel_futures=True)
        self._backend.close()
        self._journal.close()

    def each(
        self, items: Iterable[T], work: Callable[[T], R]
    ) -> Iterator[tuple[T, R | None, str | None]]:
        """See `curate.answers.Llm`."""
        left, begun = iter(items), self._counts["done"]
        self._hurry.clear()
        with ThreadPoolExecutor(self._settings.concurrency, "llm") as pool:
            self._pools.add(pool)
            open_: dict[Future[tuple[R | None, str | None]], T] = {}
            try:
                while True:
                    for item in islice(left, 2 * self._settings.concurrency - len(open_)):
                        open_[pool.submit(self._worked, work, item)] = item
                    if not open_:
                        return
                    # not for ever: an interrupt may have been taken by one of the threads
                    for done in wait(open_, _LISTEN, FIRST_COMPLETED).done:
                        item = open_.pop(done)
                        result, error = done.result()
                        yield item, result, error
                    self._ticked()
            except BaseException as error:  # nothing new is begun, what is open is journalled
                self._hurry.set()
                pool.shutdown(wait=True, cancel_futures=True)
                if isinstance(error, BudgetError) and isinstance(items, Sized):
                    todo = len(items) - (self._counts["done"] - begun)
                    raise error.with_left(todo, len(items), "items of its work") from error
                raise
            finally:
                self._pools.discard(pool)

    def _worked(self, work: Callable[[T], R], item: T) -> tuple[R | None, str | None]:
        """The result of the work, or what is wrong with the item."""
        self._check_going()
        try:
            result = work(item)
            self._count("done")
            return result, None
        except CurateError as error:
            self._stopped = error
            self._hurry.set()
            raise
        except AnswerError as error:
            return None, str(error)
        except Exception as error:  # a plugin may raise anything; its row carries it
            said = " ".join(str(error).split())
            return None, f"{type(error).__name__}: {said}" if said else type(error).__name__

    def _answer(self, call: Call, reasks: int) -> Answer:  # noqa: ARG002 - for planning
        """The answer of a call: from the journal, from who asks the same just now, or a new one."""
        if call.reask:
            self._count("reasked")
        key = answer_key(self._backend.address, call)
        with self._lock:
            flying = self._flying.get(key)
            mine: Future[Answer] = Future()
            if flying is None:
                self._flying[key] = mine
        if flying is not None:
            answer = flying.result()
            self._count("journal")
            return answer
        try:
            answer = self._found(key) or self._claimed(key, call)
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            self._used.add(key, call, answer)
            mine.set_result(answer)
            return answer
        finally:
            with self._lock:
                del self._flying[key]

    def _found(self, key: str) -> Answer | None:
        answer = self._journal.find(key)
        if answer is not None:
            self._count("journal")
        return answer

    def _claimed(self, key: str, call: Call) -> Answer:
        """Ask, unless another process is doing so and receives the answer.

        Raises:
            AnswerError: Nobody is to be asked.
        """
        if self._sealed:
            raise AnswerError("the journal holds no answer, and nobody is asked in a locked run")
        with self._journal.claim(key, self._hurry.wait):
            return self._found(key) or self._sent(key, call)

    def _sent(self, key: str, call: Call) -> Answer:
        """Ask, and write down what is received.

        Raises:
            AnswerError: No answer came.
            CurateError: None will.
        """
        try:
            if self._backend.kind == "endpoint":
                return self._persistently(lambda: self._attempt(key, call))
            return self._attempt(key, call)
        except AnswerError:
            self._count("failed")
            raise
        except UnreceivedError as error:
            self._count("failed")
            if error.retry_after is not None:
                self._miss(error)
            raise AnswerError(f"{error} ({counted(self._settings.attempts, 'attempt')})") from error

    def _persistently(self, attempt: Callable[[], Answer]) -> Answer:
        try:
            from curate.services.llm.sending import persistently
        except ImportError as error:
            raise CurateError(
                "Asking an endpoint needs libraries that are not installed.",
                "pip install 'curate-data[llm]'",
            ) from error
        return persistently(attempt, self._settings.attempts, self._again, self._sleep)

    def _attempt(self, key: str, call: Call) -> Answer:
        most = Cost(1, prompt_bound(call), max_tokens_of(call.body))
        self._check_going()
        with self._slots:
            self._set_aside(most)
            spent = Cost()
            try:
                self._pace.wait(most.tokens)
                self._check_going()
                spent = most  # unless more is known: an unknown outcome counts as spent
                self._count("sent")
                answer = self._backend.send(call)
                self._journal.add(key, call, answer)
                spent = took(most, answer.usage)
                self._count("unmetered", answer.usage is None)
            except UnreceivedError as error:
                spent = most if error.billed else Cost(1)
                self._heed(error)
                raise
            except (AnswerError, RefusedError):
                spent = Cost(1)
                raise
            finally:
                self.purse.settle(most, spent)
        with self._lock:
            self._in_a_row = 0
        return answer

    def _set_aside(self, most: Cost) -> None:
        try:
            self.purse.set_aside(most)
        except BudgetError as error:
            raise BudgetError(
                f"Stage '{self._id}' stopped before its budget was exceeded: {error.message}.",
                "Run again: `llm.budget` is what one run may spend, not all together; what was "
                "answered is journalled and costs nothing. Raise it to finish in one run.",
            ) from error

    def _check_going(self) -> None:
        """Begin nothing where the run stops."""
        if self._stopped is not None:
            raise self._stopped
        if self._hurry.is_set():
            raise CurateError(f"Stage '{self._id}' was interrupted.")

    def _again(self) -> None:
        self._count("retried")

    def _sleep(self, seconds: float) -> None:
        self._hurry.wait(seconds)

    def _count(self, name: str, times: int = 1) -> None:
        with self._lock:
            self._counts[name] += times

    def _heed(self, error: UnreceivedError) -> None:
        """Take from a request without an answer what it means for all others.

        Where the server asks for time, it is given that, and is there: such a request counts in the
        row only when it is given up.
        """
        if error.retry_after is None:
            self._miss(error)
        elif error.retry_after <= PATIENCE:
            self._pace.pause(error.retry_after)

    def _miss(self, error: UnreceivedError) -> None:
        """Count a request without an answer, and stop where none seems to come."""
        with self._lock:
            now = time.monotonic()
            if not self._in_a_row:
                self._since = now
            self._in_a_row += 1
            row, seconds = self._in_a_row, now - self._since
        if row < self._most_in_a_row or seconds < self._spell():
            return
        raise CurateError(
            f"Stage '{self._id}' got no answer to {row} requests in a row from "
            f"{self._backend.address}; the last: {error}.",
            "Run again when the endpoint answers: what was answered is journalled and costs "
            "nothing.",
        ) from error

    def _spell(self) -> float:
        """Seconds that a row of failures lasts before the run stops."""
        if self._backend.kind != "endpoint":
            return 0.0
        from curate.services.llm.sending import spell

        return spell(self._settings.attempts)
