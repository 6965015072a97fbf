"""What a clause asks for: `>= 0.6`, `15%..25%`, `<= 64 rows`, `all`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

DECIMALS = 6
"""Decimal places that a share may have."""

_NUMBER = r"(?:\d+(?:\.\d+)?|\.\d+)"
_AMOUNT = re.compile(rf"(?P<number>{_NUMBER})\s*(?P<unit>%|rows?)?\Z")
_BOUND = re.compile(r"(?P<sign>>=|<=)\s*(?P<amount>.+)\Z")


@dataclass(frozen=True)
class Amount:
    """A number of rows, or a share of all rows taken.

    Args:
        value: Rows, or a share from 0 to 1; exact.
        unit: Which of the two.
    """

    value: Fraction
    unit: Literal["rows", "share"]


@dataclass(frozen=True)
class Bounds:
    """How much a clause asks for.

    Args:
        low: At least so much; None: no lower bound.
        high: At most so much; None: no upper bound.
        unit: Of both: rows, or shares of all rows taken.
        everything: `all`: every row that there is; both bounds are None then.
        text: As the recipe writes it.
    """

    low: Fraction | None
    high: Fraction | None
    unit: Literal["rows", "share"]
    text: str
    everything: bool = False


def read_bounds(value: object) -> Bounds:
    """Read the bounds of a clause.

    Args:
        value: `>= 0.6`, `<= 40%`, `15%..25%`, `10..64 rows`, `0.6` (exactly), `64 rows` (exactly)
            or `all`.

    Raises:
        ValueError: It cannot be read, or could be read in two ways.
    """
    text = str(value).strip()
    if text == "all":
        return Bounds(None, None, "rows", text, everything=True)
    if found := _BOUND.match(text):
        amount = read_amount(found["amount"])
        low, high = (amount.value, None) if found["sign"] == ">=" else (None, amount.value)
        return Bounds(low, high, amount.unit, text)
    first, dots, second = text.partition("..")
    if not dots:
        amount = read_amount(value)
        return Bounds(amount.value, amount.value, amount.unit, text)
    upper = read_amount(second)
    plain, full = _AMOUNT.match(first.strip()), _AMOUNT.match(second.strip())
    if plain and full and not plain["unit"] and full["unit"]:  # `10..64 rows` names the unit once
        if full["unit"] == "%" and "." in plain["number"] and Fraction(plain["number"]) <= 1:
            raise ValueError(
                f"'{text}' could begin at {first.strip()}% or at the share {first.strip()}: write "
                "both with %, or both without"
            )
        first = f"{first} {full['unit']}"
    lower = read_amount(first)
    if lower.unit != upper.unit:
        raise ValueError(f"'{text}' goes from {lower.unit} to {upper.unit}: write both in one unit")
    if lower.value > upper.value:
        raise ValueError(f"'{text}' contradicts itself: its lower bound is above its upper one")
    return Bounds(lower.value, upper.value, lower.unit, text)


def read_amount(value: object) -> Amount:
    """Read one amount: `0.6` and `60%` are shares, `64 rows` is a number of rows.

    Raises:
        ValueError: It cannot be read, or could be read in two ways.
    """
    text = str(value).strip()
    found = _AMOUNT.match(text)
    if isinstance(value, bool) or found is None:
        raise ValueError(
            f"'{text}' is no amount; write a share (0.6 or 60%), rows (64 rows), `>=` or `<=` "
            "before one of them, `a..b`, or all"
        )
    number, unit = Fraction(found["number"]), found["unit"]
    if unit and unit.startswith("row"):
        if number.denominator != 1:
            raise ValueError(f"'{text}' is no whole number of rows")
        return Amount(number, "rows")
    if unit is None and "." not in found["number"] and number != 0:
        rows = "1 row" if number == 1 else f"{number} rows"
        part = "100%" if number == 1 else f"{number}%"
        raise ValueError(f"'{text}' could be {rows} or a share, {part}: write one of the two")
    share = number / 100 if unit == "%" else number
    if share > 1:
        raise ValueError(f"'{text}' is a share above 1")
    if (share * 10**DECIMALS).denominator != 1:
        raise ValueError(f"'{text}' has more than {DECIMALS} decimal places as a share")
    return Amount(share, "share")
