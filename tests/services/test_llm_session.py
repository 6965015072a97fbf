"""Whatever a backend does, every question has one end, and the books balance."""

import re
import tempfile
import threading
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.answers import Answer, AnswerError, UnreceivedError, Usage
from curate.asking import Budget, LlmSettings
from curate.errors import CurateError
from curate.services.llm import sending
from curate.services.llm import session as asking_session
from curate.services.llm.bodies import prompt_bound
from curate.services.llm.budget import BudgetError
from curate.services.llm.session import Session

ENDS = st.sampled_from(["well", "well", "well", "unmetered", "refused", "lost", "busy"])


class Scripted:
    """A backend that does with each question what is written for it, attempt by attempt."""

    kind = "endpoint"
    address = "scripted"

    def __init__(self, scripts):
        self.scripts = scripts
        self.lock = threading.Lock()
        self.sent, self.answered, self.bounds = Counter(), Counter(), Counter()
        self.open = self.most_open = 0

    def send(self, call):
        text = call.body["messages"][0]["content"]
        with self.lock:
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            script = self.scripts[int(text)]
            end = script[min(self.sent[text], len(script) - 1)]
            self.sent[text] += 1
        try:
            if end == "refused":
                raise AnswerError("no")
            if end == "lost":
                with self.lock:
                    self.bounds["lost"] += prompt_bound(call) + call.body["max_tokens"]
                raise UnreceivedError("lost", billed=True)
            if end == "busy":
                raise UnreceivedError("busy", billed=False, retry_after=0.0)
            with self.lock:
                self.answered[text] += 1
            return Answer(f"<{text}>", usage=Usage(3, 4) if end == "well" else None)
        finally:
            with self.lock:
                self.open -= 1

    def close(self):
        pass


@contextmanager
def patient():
    """Nobody waits, and no row of failures stops a run."""
    with (
        mock.patch.object(sending, "_FIRST", 0.0),
        mock.patch.object(asking_session, "IN_A_ROW", 1_000_000),
    ):
        yield


def expected(script, attempts):
    """How a question ends, and after how many attempts, where nothing else stops it."""
    for at in range(attempts):
        end = script[min(at, len(script) - 1)]
        if end in ("well", "unmetered", "refused"):
            return end, at + 1
    return "lost", attempts


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(ENDS, min_size=1, max_size=4), max_size=18),
    st.integers(1, 5),
    st.integers(1, 4),
    st.lists(st.integers(0, 17), max_size=40),
)
def test_every_question_has_one_end(scripts, concurrency, attempts, more):
    backend = Scripted(scripts)
    given_ = LlmSettings(model="m", max_tokens=9, concurrency=concurrency, attempts=attempts)
    numbers = [*range(len(scripts)), *(n for n in more if n < len(scripts))]
    with tempfile.TemporaryDirectory() as folder, patient():
        session = Session(given_, backend, Path(folder), "stage")
        found = list(session.each(numbers, lambda n: session.ask(f"{n}").text))
        account = session.account()
        session.close()
    assert sorted(n for n, _, _ in found) == sorted(numbers)
    ends = {n: expected(script, attempts) for n, script in enumerate(scripts)}
    for n, text, error in found:
        if ends[n][0] in ("well", "unmetered"):
            assert (text, error) == (f"<{n}>", None)
    assert backend.most_open <= concurrency
    assert set(backend.answered.values()) <= {1}
    assert account["sent"] == sum(backend.sent.values())
    if len(numbers) == len(scripts):  # failed questions that come twice may be sent twice
        assert [(text is None) for _, text, _ in sorted(found)] == [
            end in ("refused", "lost") for end, _ in ends.values()
        ]
        assert account["unmetered"] == sum(end == "unmetered" for end, _ in ends.values())
        assert account["sent"] == sum(times for _, times in ends.values())
        assert account["failed"] == sum(end in ("refused", "lost") for end, _ in ends.values())
        assert account["done"] == len(scripts) - account["failed"]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(ENDS, min_size=1, max_size=4), min_size=1, max_size=18),
    st.integers(1, 5),
    st.integers(0, 900),
    st.integers(0, 30),
)
def test_a_budget_holds_whatever_happens(scripts, concurrency, tokens, requests):
    budget = Budget(tokens=tokens, requests=requests)
    settings_ = LlmSettings(model="m", max_tokens=9, concurrency=concurrency, budget=budget)
    backend, stopped = Scripted(scripts), False
    with tempfile.TemporaryDirectory() as folder, patient():
        session = Session(settings_, backend, Path(folder), "stage")
        try:
            list(session.each(range(len(scripts)), lambda n: session.ask(f"{n}").text))
        except BudgetError:
            stopped = True
        spent = session.purse.spent
        session.close()
        unmetered = session.account()["unmetered"]
        again = Session(settings_.model_copy(update={"budget": None}), backend, Path(folder), "s")
        before = Counter(backend.answered)
        list(again.each(range(len(scripts)), lambda n: again.ask(f"{n}").text))
        again.close()
    assert spent.requests <= requests
    assert spent.tokens <= tokens
    assert spent.tokens >= 7 * (before.total() - unmetered)
    # what was answered before the stop was not asked again
    assert set(backend.answered.values()) <= {1}
    assert all(backend.answered[text] == times for text, times in before.items())
    if not stopped:
        assert spent.requests == sum(expected(script, 8)[1] for script in scripts)


def test_an_error_of_the_stage_fails_its_row_and_one_of_the_run_stops_it(tmp_path):
    backend = Scripted([["well"]] * 10)
    session = Session(LlmSettings(model="m", max_tokens=9), backend, tmp_path, "stage")

    def work(n):
        if n == 3:
            raise KeyError("missing")
        return session.ask(f"{n}").text

    found = {n: (text, error) for n, text, error in session.each(range(10), work)}
    assert found[3] == (None, "KeyError: 'missing'")
    assert sum(error is not None for _, error in found.values()) == 1

    def stop(n):
        raise CurateError("the run cannot go on")

    with pytest.raises(CurateError, match="cannot go on"):
        list(session.each(range(10), stop))
    session.close()


def test_requests_without_an_answer_count_over_all_questions(tmp_path):
    def sent(script, **more):
        backend = Scripted([script] * 200)
        given_ = LlmSettings(model="m", max_tokens=9, attempts=3, **more)
        session = Session(given_, backend, tmp_path, "stage")
        with mock.patch.object(sending, "_FIRST", 0.0):
            try:
                list(session.each(range(200), lambda n: session.ask(f"{n}").text))
            except CurateError as error:
                return backend.sent.total(), error.message
            finally:
                session.close()
        return backend.sent.total(), None

    requests, said = sent(["lost"], concurrency=1)
    assert (requests, said.startswith("Stage 'stage' got no answer to 20 requests")) == (20, True)
    requests, said = sent(["lost"], concurrency=16)
    assert 32 <= requests < 32 + 16
    assert re.search(r"to (3[2-9]|4\d) requests", said)  # threads that end together all count
    # where the server asks for time, only questions that were given up count
    requests, said = sent(["busy"], concurrency=1)
    assert (requests, "to 20 requests" in said) == (60, True)
    # refused questions do not count, and any answer begins the row anew
    assert sent(["refused"]) == (200, None)
    assert sent(["lost", "lost", "well"], concurrency=1) == (600, None)


def test_the_time_that_a_server_asks_for_last_is_given_by_all(tmp_path):
    """Also where the request is not sent again."""
    paused = []

    class Busy(Scripted):
        def send(self, call):
            raise UnreceivedError("busy", billed=False, retry_after=7.0)

    settings_ = LlmSettings(model="m", max_tokens=9, attempts=1)
    session = Session(settings_, Busy([]), tmp_path, "stage")
    with mock.patch.object(session._pace, "pause", paused.append):
        ((_, _, error),) = session.each([0], lambda n: session.ask(f"{n}").text)
    session.close()
    assert error == "busy (1 attempt)"
    assert paused == [7.0]
