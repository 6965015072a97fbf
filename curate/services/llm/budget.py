"""What may be spent, what is set aside for open requests, and what was spent."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from decimal import Decimal

from curate.answers import Usage
from curate.asking import Budget, Prices
from curate.errors import CurateError

_MILLION = 1_000_000


class BudgetError(CurateError):
    """The budget does not suffice for another request: the run stops, to be continued."""

    told = False
    """Whether it says what is left to do."""

    def with_left(self, left: int, total: int, what: str) -> BudgetError:
        """The same, with how much of the stage's work is left to do, where it does not say so yet.

        Args:
            left: Of the work.
            total: All of it.
            what: Is counted.
        """
        if self.told:
            return self
        are = "is" if left == 1 else "are"
        said = f"{self.message} {left:,} of {total:,} {what} {are} left to do."
        error = BudgetError(said, self.remedy)
        error.told = True
        return error


@dataclass(frozen=True)
class Cost:
    """Requests and tokens, spent or set aside."""

    requests: int = 0
    prompt: int = 0
    completion: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.requests + other.requests,
            self.prompt + other.prompt,
            self.completion + other.completion,
        )

    def __sub__(self, other: Cost) -> Cost:
        return self + Cost(-other.requests, -other.prompt, -other.completion)

    @property
    def tokens(self) -> int:
        """Of requests and answers."""
        return self.prompt + self.completion

    def money(self, prices: Prices | None) -> Decimal:
        """What it costs at these prices; nothing where there are none."""
        if prices is None:
            return Decimal()
        return (self.prompt * prices.prompt + self.completion * prices.completion) / _MILLION


class Purse:
    """Lets requests be sent only while the budget suffices for all that are open.

    Before a request is sent, the most that it can take is set aside; when it is settled, what it
    took is spent and the rest is free again. A request for which the rest does not suffice waits
    for open ones to settle, and is refused once none is open.

    Args:
        budget: The limits.
        prices: For its limit in money.
    """

    def __init__(self, budget: Budget | None, prices: Prices | None) -> None:
        self._budget = budget
        self._prices = prices
        self._changed = threading.Condition()
        self._aside = Cost()
        self._open = 0
        self._refused = False
        self.spent = Cost()

    @property
    def money(self) -> Decimal:
        """The money spent."""
        return self.spent.money(self._prices)

    def set_aside(self, most: Cost) -> None:
        """Set the most aside that a request can take, waiting for open ones if need be.

        Raises:
            BudgetError: The rest does not suffice, and no open request can set more of it free.
        """
        with self._changed:
            while self._refused or not self._suffices(most):
                if self._refused or not self._open:
                    self._refused = True  # others would take what is left, row by smaller row
                    self._changed.notify_all()
                    raise BudgetError(self._told(most))
                self._changed.wait()
            self._aside += most
            self._open += 1

    def settle(self, most: Cost, took: Cost) -> None:
        """A request is settled: what it took is spent, the rest of what was set aside is free."""
        with self._changed:
            self._aside -= most
            self._open -= 1
            self.spent += took
            self._changed.notify_all()

    def _suffices(self, most: Cost) -> bool:
        if self._budget is None:
            return True
        total, budget = self.spent + self._aside + most, self._budget
        return (
            (budget.requests is None or total.requests <= budget.requests)
            and (budget.tokens is None or total.tokens <= budget.tokens)
            and (budget.money is None or total.money(self._prices) <= budget.money)
        )

    def _told(self, most: Cost) -> str:
        assert self._budget is not None
        budget, said = self._budget, []
        if budget.requests is not None:
            said.append(f"{self.spent.requests:,} of {budget.requests:,} requests")
        if budget.tokens is not None:
            said.append(f"{self.spent.tokens:,} of {budget.tokens:,} tokens")
        if budget.money is not None:
            said.append(f"{self.money:.4f} of {budget.money} in money")
        needs = []
        if budget.tokens is not None:
            needs.append(f"{most.tokens:,} tokens")
        if budget.money is not None:
            needs.append(f"{most.money(self._prices):.4f} in money")
        next_ = f"; the next request can take {' or '.join(needs)}" if needs else ""
        return f"spent {', '.join(said)}{next_}"


def took(most: Cost, usage: Usage | None) -> Cost:
    """What an answered request took: what the server says, or else the most that it could."""
    return most if usage is None else Cost(most.requests, usage.prompt, usage.completion)
