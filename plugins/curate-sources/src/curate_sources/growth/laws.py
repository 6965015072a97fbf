"""The law that growth curves are fitted with.

It is this project's own choice; it is not, and does not stand for, what DoIT (arXiv 2310.19651)
calls Complexity and Transference. With n0 the smallest number of rows measured,

    metric(n) = start + slope * (1 - (n / n0)^-b) / b,        for b = 0: start + slope * ln(n / n0)

which is the power law with a ceiling, c - a n^-b, that learning curves are commonly given (for
instance Viering and Loog, arXiv 2103.10948), written so that it goes through b = 0, growth with the
logarithm of rows, to b < 0, growth that gets faster and has no ceiling.

A module of heavy work: it imports numpy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.special import stdtrit

from curate.api import CurateError

Floats = NDArray[np.float64]

SURE = 0.9
"""The confidence of `Law.between`."""

_STEP = math.log(1000)
"""Exponents are sought up to those that put all but a thousandth of the growth between the first
two points (b > 0), or between the last two (b < 0): beyond them nothing in the data changes."""

_LOGARITHM = 1e-4
"""Exponents nearer to 0 are written as a logarithm: up to 10,000 times n0 rows the four digits
shown are the same, and no share of the way to such a ceiling is within 10^15 rows."""

_EQUAL = 1e-12
"""Metrics that differ by no more than this part of the largest are equal up to rounding."""

_GRID = 200
_REPEATS = 3
"""Degrees of freedom from which repeated runs tell the noise; below, residuals do."""


@dataclass(frozen=True)
class Law:
    """The law fitted to one curve.

    Args:
        smallest: n0, in rows.
        start: Its value there.
        slope: By how much it rises there for each natural logarithm of rows.
        b: Its exponent.
        between: Exponents that the runs do not tell from it, with the confidence `SURE`; infinite
            at the ends of what is sought.
        r2: Share of the variance of the runs that it explains; None where all are equal (slope, b
            and residual are 0 then).
        residual: Standard deviation of the runs about it.
        noise: Standard deviation of one run.
        noise_of: What tells the noise: `repeated runs` or `residuals`.
    """

    smallest: int
    start: float
    slope: float
    b: float
    between: tuple[float, float]
    r2: float | None
    residual: float
    noise: float
    noise_of: str

    @property
    def exact(self) -> bool:
        """Whether the runs lie on it: nothing but rounding is left of them."""
        return self.r2 is None or 1 - self.r2 < _EQUAL

    def __str__(self) -> str:
        if self.r2 is None:
            return f"{self.start:.4g}, a constant"
        sign, slope = "-" if self.slope < 0 else "+", abs(self.slope)
        rows = "n" if self.smallest == 1 else f"(n / {self.smallest:,})"
        if abs(self.b) < _LOGARITHM:
            return f"{self.start:.4g} {sign} {slope:.4g} ln {rows}"
        near = self.reached(0.5) is not None  # a ceiling that no data comes near is none to read
        ceiling = f", ceiling {self.start + self.slope / self.b:.4g}" if near else ""
        return f"{self.start:.4g} {sign} {slope:.4g} (1 - {rows}^-b) / b, b {self.b:.3g}{ceiling}"

    def at(self, rows: Floats) -> Floats:
        """The law at numbers of rows [n]."""
        values: Floats = self.start + self.slope * _growth(np.log(rows / self.smallest), self.b)
        return values

    def reached(self, share: float, b: float | None = None) -> float | None:
        """Rows at which a share of the way to the ceiling is behind it: n0 (1 - share)^(-1/b).

        Args:
            share: From 0 to 1.
            b: An exponent other than the law's.

        Returns:
            None: without a ceiling, or beyond 10^15 rows.
        """
        b = self.b if b is None else b
        if b <= 0:
            return None
        power = math.log(self.smallest) - math.log1p(-share) / b
        return math.exp(power) if power < math.log(1e15) else None


def fit_law(name: str, runs: tuple[tuple[int, float], ...]) -> Law:
    """Fit by least squares: for each b the best line in closed form, and b by a bounded search.

    Args:
        name: Whose curve it is, for errors.
        runs: (rows, metric), ascending, at four numbers of rows or more.

    Raises:
        CurateError: The search does not converge.
    """
    rows, metric = (np.array(column, dtype=np.float64) for column in zip(*runs, strict=True))
    if np.ptp(metric) <= _EQUAL * np.abs(metric).max():
        return _constant(rows, metric)
    logs = np.log(rows / rows[0])
    points = np.unique(logs)

    def squares(b: float) -> float:
        return _line(_growth(logs, b), metric)[2]

    grid = np.linspace(-_STEP / (points[-1] - points[-2]), _STEP / points[1], _GRID)
    found = [squares(b) for b in grid]
    best = int(np.argmin(found))
    result = minimize_scalar(
        squares,
        bounds=(grid[max(best - 1, 0)], grid[min(best + 1, _GRID - 1)]),
        method="bounded",
        options={"xatol": 1e-9 * (grid[-1] - grid[0])},
    )
    if not result.success or not math.isfinite(result.fun):
        raise CurateError(
            f"The fit of the curve of '{name}' does not converge: {result.message}",
            "Look at its runs, and write its pace into a `growth:` table yourself.",
        )
    b = float(result.x)
    start, slope, least = _line(_growth(logs, b), metric)
    freedom = len(runs) - 3
    limit = least * (1 + float(stdtrit(freedom, (1 + SURE) / 2)) ** 2 / freedom)
    ends: list[float] = []
    for infinite, outward in ((-math.inf, grid[grid < b][::-1]), (math.inf, grid[grid > b])):
        beyond = next((float(at) for at in outward if squares(at) > limit), None)
        crossing = beyond is not None and squares(b) < limit
        ends.append(
            float(brentq(lambda at: squares(at) - limit, b, beyond))
            if crossing
            else infinite
            if beyond is None
            else b
        )
    total = float(((metric - metric.mean()) ** 2).sum())
    return Law(
        runs[0][0],
        start,
        slope,
        b,
        (ends[0], ends[1]),
        1 - least / total,
        math.sqrt(least / freedom),
        *_noise(rows, metric, least),
    )


def _constant(rows: Floats, metric: Floats) -> Law:
    """The law of runs that are all equal, which every exponent fits."""
    return Law(
        int(rows[0]),
        float(metric.mean()),
        0.0,
        0.0,
        (-math.inf, math.inf),
        None,
        0.0,
        *_noise(rows, metric, 0.0),
    )


def _growth(logs: Floats, b: float) -> Floats:
    """(1 - x^-b) / b, or ln x for b = 0, from ln x."""
    grown: Floats = -np.expm1(-b * logs) / b if b else logs
    return grown


def _line(x: Floats, y: Floats) -> tuple[float, float, float]:
    """Intercept and slope of the least-squares line, and the sum of squares about it."""
    centred, rest = x - x.mean(), y - y.mean()
    slope = float(centred @ rest / (centred @ centred))
    about = rest - slope * centred
    return float(y.mean() - slope * x.mean()), slope, float(about @ about)


def _noise(rows: Floats, metric: Floats, squares: float) -> tuple[float, str]:
    """Standard deviation of a run: of repeated runs about their means, or about the law."""
    values, which = np.unique(rows, return_inverse=True)
    means = np.bincount(which, metric) / np.bincount(which)
    freedom = len(rows) - len(values)
    if freedom < _REPEATS:
        return math.sqrt(squares / (len(rows) - 3)), "residuals"
    return math.sqrt(float(((metric - means[which]) ** 2).sum()) / freedom), "repeated runs"
