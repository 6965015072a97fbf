"""Sending a request again where no answer came; imported where requests travel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import tenacity

from curate.answers import AnswerError, UnreceivedError
from curate.services.llm.pace import PATIENCE

T = TypeVar("T")

_FIRST, _LONGEST = 1.0, 60.0
"""Seconds: the ceiling of the first random wait, doubled each time, and of all."""


def spell(attempts: int) -> float:
    """Seconds that a request waits between its attempts, on average, before it is given up."""
    return sum(min(_FIRST * 2.0**at, _LONGEST) for at in range(attempts - 1)) / 2


def persistently(
    attempt: Callable[[], T],
    attempts: int,
    again: Callable[[], None],
    sleep: Callable[[float], None],
) -> T:
    """Try until there is an answer, with random waits that grow, or as long as the server asks.

    Args:
        attempt: Tries once.
        attempts: How often, at most.
        again: Told that there will be a further attempt.
        sleep: Waits for seconds.

    Raises:
        AnswerError: The server asks for more patience than there is.
        UnreceivedError: That of the last attempt.
    """
    jittered = tenacity.wait_random_exponential(multiplier=_FIRST, max=_LONGEST)

    def seconds(state: tenacity.RetryCallState) -> float:
        asked = _asked(state)
        return asked + jittered(state) / 4 if asked else jittered(state)

    def told(state: tenacity.RetryCallState) -> None:
        asked = _asked(state)
        if asked > PATIENCE:
            raise AnswerError(f"the endpoint asks to wait for {asked:.0f} s")
        again()

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(UnreceivedError),
        stop=tenacity.stop_after_attempt(attempts),
        wait=seconds,
        before_sleep=told,
        sleep=sleep,
        reraise=True,
    )
    return retrying(attempt)


def _asked(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return (error.retry_after or 0.0) if isinstance(error, UnreceivedError) else 0.0
