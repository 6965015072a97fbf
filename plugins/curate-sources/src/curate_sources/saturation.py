"""From growth curves to paces: a law fitted to each curve, and what it says.

The law is this project's own choice; it is not, and does not stand for, what DoIT (arXiv
2310.19651) calls Complexity and Transference. With n0 the smallest number of rows measured,

    metric(n) = start + slope * (1 - (n / n0)^-b) / b,        for b = 0: start + slope * ln(n / n0)

which is the power law with a ceiling, c - a n^-b, that learning curves are commonly given (for
instance Viering and Loog, arXiv 2103.10948), written so that it goes through b = 0, growth with the
logarithm of rows, to b < 0, growth that gets faster and has no ceiling.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from curate.api import CurateError, Params
from curate_sources.curves import Curves
from curate_sources.paces import Pace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_STEP = math.log(1000)
"""Exponents are sought up to those that put all but a thousandth of the growth between the first
two points (b > 0), or between the last two (b < 0): beyond them nothing in the data changes."""

_GRID = 200
_REPEATS = 3
"""Degrees of freedom from which repeated runs tell the noise; below, residuals do."""


class FitParams(Params):
    """When a fitted curve is flat, and when it is saturated."""

    better: Annotated[
        Literal["higher", "lower"], Field(description="Which values of the metric are better.")
    ] = "higher"
    reach: Annotated[
        float,
        Field(
            ge=0.5,
            le=0.999,
            description="Saturated where this share of the way from the smallest number of rows "
            "measured to the law's ceiling is behind it.",
        ),
    ] = 0.95
    flat: Annotated[
        float,
        Field(
            ge=0,
            description="Flat where the gain over the measured range is not above this many "
            "standard deviations of one run.",
        ),
    ] = 3.0
    min_gain: Annotated[
        float, Field(ge=0, description="Flat, too, where it is not above this, in the metric.")
    ] = 0.0
    digits: Annotated[
        int, Field(ge=1, le=15, description="N is rounded up to so many significant digits.")
    ] = 2
    poor: Annotated[
        float,
        Field(ge=0, le=1, description="Below this R2 a curve that rises is said to fit poorly."),
    ] = 0.8


@dataclass(frozen=True)
class Fit:
    """A law fitted to one curve.

    Args:
        runs: What was measured, (rows, metric), ascending.
        start: The law at the smallest number of rows.
        slope: By how much it rises there for each natural logarithm of rows.
        b: Its exponent.
        gain: What it rises, for the better, from the smallest to the largest number of rows.
        noise: Standard deviation of one run.
        noise_of: What tells the noise: `repeated runs` or `residuals`.
        r2: Share of the variance of the runs that it explains; None where all are equal.
        residual: Standard deviation of the runs about it, in the metric.
        reached: Rows at which it is saturated; None: never.
        pace: What follows.
        why: In words.
    """

    runs: tuple[tuple[int, float], ...]
    start: float
    slope: float
    b: float
    gain: float
    noise: float
    noise_of: str
    r2: float | None
    residual: float
    reached: float | None
    pace: Pace
    why: str

    @property
    def law(self) -> str:
        """The law with its numbers."""
        base = f"n / {self.runs[0][0]:,}"
        if abs(self.b) < 1e-3:
            return f"{self.start:.4g} {_signed(self.slope)} ln({base})"
        part = self.slope / self.b
        return f"{self.start + part:.4g} {_signed(-part)} ({base})^{-self.b:.3g}"

    def at(self, rows: Floats) -> Floats:
        """The law at numbers of rows [n]."""
        import numpy as np

        values: Floats = self.start + self.slope * _growth(np.log(rows / self.runs[0][0]), self.b)
        return values

    def facts(self) -> dict[str, Any]:
        """For the manifest, JSON values."""
        numbers = {name: getattr(self, name) for name in ("start", "slope", "b", "gain", "noise")}
        rest = {"r2": self.r2, "residual": self.residual, "reached": self.reached}
        return {"pace": str(self.pace), "why": self.why, "runs": len(self.runs), **numbers, **rest}


def _signed(value: float) -> str:
    return f"{'-' if value < 0 else '+'} {abs(value):.4g}"


def fit_curves(curves: Curves, params: FitParams) -> Mapping[str, Fit]:
    """Fit each curve; abilities stay in their order.

    Raises:
        CurateError: A fit does not converge.
    """
    return {ability: _fit(ability, runs, params) for ability, runs in curves.items()}


def paces_of(fits: Mapping[str, Fit]) -> list[Pace]:
    """The growth table that follows from fits."""
    return [fit.pace for fit in fits.values()]


def _growth(logs: Floats, b: float) -> Floats:
    """(1 - x^-b) / b, or ln x for b = 0, from ln x."""
    import numpy as np

    grown: Floats = -np.expm1(-b * logs) / b if b else logs
    return grown


def _fit(ability: str, runs: tuple[tuple[int, float], ...], params: FitParams) -> Fit:
    """Least squares: for each b the best line in closed form, and b by a bounded search."""
    import numpy as np
    from scipy.optimize import minimize_scalar

    rows, metric = (np.array(column, dtype=np.float64) for column in zip(*runs, strict=True))
    logs = np.log(rows / rows[0])
    points = np.unique(logs)
    ends = -_STEP / (points[-1] - points[-2]), _STEP / points[1]
    grid = np.linspace(*ends, _GRID)
    found = [_line(_growth(logs, b), metric)[2] for b in grid]
    best = int(np.argmin(found))
    around = grid[max(best - 1, 0)], grid[min(best + 1, _GRID - 1)]
    result = minimize_scalar(
        lambda b: _line(_growth(logs, b), metric)[2],
        bounds=around,
        method="bounded",
        options={"xatol": 1e-9 * (ends[1] - ends[0])},
    )
    if not result.success or not math.isfinite(result.fun):
        raise CurateError(
            f"The fit of the curve of '{ability}' does not converge: {result.message}",
            "Look at its runs, and write its pace into a `growth:` table yourself.",
        )
    b = float(result.x)
    start, slope, squares = _line(_growth(logs, b), metric)
    noise, noise_of = _noise(rows, metric, squares)
    sign = 1 if params.better == "higher" else -1
    gain = sign * slope * float(_growth(logs[-1:], b)[0])
    total = float(((metric - metric.mean()) ** 2).sum())
    r2 = 1 - squares / total if total else None
    reached = _reached(runs[0][0], b, params.reach)
    pace, why = _verdict(ability, runs, (gain, noise, noise_of), reached, params)
    if pace.pace != "token" and r2 is not None and r2 < params.poor:
        why += f"; the law fits poorly (R2 {r2:.2f}): look at the curve"
    residual = math.sqrt(squares / (len(runs) - 3))
    return Fit(runs, start, slope, b, gain, noise, noise_of, r2, residual, reached, pace, why)


def _line(x: Floats, y: Floats) -> tuple[float, float, float]:
    """Intercept and slope of the least-squares line, and the sum of squares about it."""
    centred, rest = x - x.mean(), y - y.mean()
    slope = float(centred @ rest / (centred @ centred))
    about = rest - slope * centred
    return float(y.mean() - slope * x.mean()), slope, float(about @ about)


def _noise(rows: Floats, metric: Floats, squares: float) -> tuple[float, str]:
    """Standard deviation of a run: of repeated runs about their means, or about the law."""
    import numpy as np

    values, which = np.unique(rows, return_inverse=True)
    means = np.bincount(which, metric) / np.bincount(which)
    freedom = len(rows) - len(values)
    if freedom < _REPEATS:
        return math.sqrt(squares / (len(rows) - 3)), "residuals"
    return math.sqrt(float(((metric - means[which]) ** 2).sum()) / freedom), "repeated runs"


def _reached(smallest: int, b: float, reach: float) -> float | None:
    """Rows at which `reach` of the way to the ceiling is done: n0 (1 - reach)^(-1/b)."""
    if b <= 0:
        return None
    power = math.log(smallest) - math.log1p(-reach) / b
    return math.exp(power) if power < math.log(1e15) else None


def _verdict(
    ability: str,
    runs: Sequence[tuple[int, float]],
    rise: tuple[float, float, str],
    reached: float | None,
    params: FitParams,
) -> tuple[Pace, str]:
    gain, noise, noise_of = rise
    measured = sorted({rows for rows, _ in runs})
    span = f"from {measured[0]:,} to {measured[-1]:,} rows"
    least = max(params.min_gain, params.flat * noise)
    if gain <= least:
        limit = (
            f"min_gain {params.min_gain:.3g}"
            if params.min_gain >= params.flat * noise
            else f"{params.flat:g} x noise {noise:.3g} ({noise_of})"
        )
        moves = f"falls by {-gain:.3g}" if gain < 0 else f"gains {gain:.3g}"
        return Pace(ability=ability, pace="token"), f"{moves} {span}, not above {limit}"
    gains = f"gains {gain:.3g} {span}"
    if reached is not None and reached <= measured[-1]:
        # nothing was measured between the first two points, so nothing is said to end there
        at = min(_rounded_up(max(reached, measured[1]), params.digits), measured[-1])
        why = f"{gains}; {params.reach:.3g} of the way to its ceiling at {reached:,.0f} rows"
        return Pace(ability=ability, pace="saturates", at=at), why
    why = (
        "the law has no ceiling that could be reached"
        if reached is None
        else f"{params.reach:.3g} of the way to its ceiling only at {reached:,.3g} rows"
    )
    return Pace(ability=ability, pace="responsive"), f"{gains}; {why}"


def _rounded_up(value: float, digits: int) -> int:
    """The next whole number up with so many significant digits; a millionth above is on it."""
    unit = int(10 ** max(math.floor(math.log10(value)) + 1 - digits, 0))
    return math.ceil(value * (1 - 1e-6) / unit) * unit
