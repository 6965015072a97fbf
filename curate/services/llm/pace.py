"""How fast requests may be sent: limits a minute, and pauses that a server asks for."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from curate.errors import CurateError

_MINUTE = 60.0

PATIENCE = 600.0
"""Seconds that a server may ask to be left alone; a request that would wait longer fails."""


class Pace:
    """Lets a request go when fewer than the limits went in the last minute.

    Args:
        requests: A minute; None: as many as there are.
        tokens: A minute, by the bound of the prompt and the most that an answer may have.
        now: A clock in seconds.
        sleep: Waits for seconds; true where there is no time left to wait.
    """

    def __init__(
        self,
        requests: int | None,
        tokens: int | None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._requests = requests
        self._tokens = tokens
        self._now = now
        self._sleep = sleep
        self._lock = threading.Lock()
        self._gone: deque[tuple[float, int]] = deque()
        self._not_before = 0.0

    def pause(self, seconds: float) -> None:
        """Send nothing for so long, whoever asks."""
        with self._lock:
            self._not_before = max(self._not_before, self._now() + seconds)

    def wait(self, tokens: int) -> None:
        """Wait until a request of so many tokens may go, and count it as gone.

        Raises:
            CurateError: It is larger than a whole minute's tokens.
        """
        if self._tokens is not None and tokens > self._tokens:
            raise CurateError(
                f"A request can take {tokens:,} tokens, more than `tokens_per_minute: "
                f"{self._tokens}` ever lets through.",
                "Raise it, or lower `max_tokens`.",
            )
        while True:
            with self._lock:
                left = self._left(tokens)
                if left <= 0:
                    if self._requests is not None or self._tokens is not None:
                        self._gone.append((self._now(), tokens))
                    return
            if self._sleep(left):
                return  # whoever waits for it is in a hurry to end

    def _left(self, tokens: int) -> float:
        """Seconds until it may go, as far as is known now."""
        now = self._now()
        while self._gone and self._gone[0][0] <= now - _MINUTE:
            self._gone.popleft()
        left = self._not_before - now
        if self._requests is not None and len(self._gone) >= self._requests:
            left = max(left, self._gone[-self._requests][0] + _MINUTE - now)
        if self._tokens is not None:
            total = tokens + sum(gone for _, gone in self._gone)
            for at, gone in self._gone:
                if total <= self._tokens:
                    break
                total -= gone
                left = max(left, at + _MINUTE - now)
        return left
