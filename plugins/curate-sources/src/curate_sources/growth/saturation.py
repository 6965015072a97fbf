"""From growth curves to paces: what a fitted law says of an ability."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from curate.api import Params
from curate_sources.growth.curves import Curves
from curate_sources.growth.paces import Pace

if TYPE_CHECKING:
    from curate_sources.growth.laws import Law


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
    """One curve, its law and what follows.

    Args:
        runs: What was measured, (rows, metric), ascending.
        law: What was fitted to it.
        gain: What the law rises, for the better, from the smallest to the largest number of rows.
        reached: Rows at which it is saturated; None: never.
        between: The range of rows at which it may be, for the exponents `Law.between`.
        pace: The ability's row in a growth table.
        why: In words.
        poorly: Whether it rises, and the law explains little of it.
    """

    runs: tuple[tuple[int, float], ...]
    law: Law
    gain: float
    reached: float | None
    between: tuple[float | None, float | None]
    pace: Pace
    why: str
    poorly: bool

    def facts(self) -> dict[str, Any]:
        """For the manifest, JSON values."""
        law = self.law
        return {
            "pace": str(self.pace),
            "why": self.why,
            "runs": len(self.runs),
            "law": str(law),
            **{name: getattr(law, name) for name in ("start", "slope", "b", "r2")},
            **{name: getattr(law, name) for name in ("residual", "noise", "noise_of")},
            "gain": self.gain,
            "reached": self.reached,
            "between": list(self.between),
            "poorly": self.poorly,
        }


def fit_curves(curves: Curves, params: FitParams) -> Mapping[str, Fit]:
    """Fit each curve; abilities stay in their order.

    Raises:
        CurateError: A fit does not converge.
    """
    return {ability: _fit(ability, runs, params) for ability, runs in curves.items()}


def paces_of(fits: Mapping[str, Fit]) -> list[Pace]:
    """The growth table that follows from fits."""
    return [fit.pace for fit in fits.values()]


def _fit(ability: str, runs: tuple[tuple[int, float], ...], params: FitParams) -> Fit:
    import numpy as np

    from curate_sources.growth.laws import fit_law

    law = fit_law(ability, runs)
    measured = sorted({rows for rows, _ in runs})
    first, last = law.at(np.array([measured[0], measured[-1]], dtype=np.float64))
    gain = float(last - first) if params.better == "higher" else float(first - last)
    reached = law.reached(params.reach)
    low, high = (law.reached(params.reach, b) for b in reversed(law.between))
    span = f"from {measured[0]:,} to {measured[-1]:,} rows"
    moves = f"{'gets worse by' if gain < 0 else 'gains'} {abs(gain):.3g} {span}"
    noise = params.flat * law.noise
    if gain <= (limit := max(params.min_gain, noise)):
        pace = Pace(ability, "token")
        why = f"does not change {span}" if law.r2 is None else moves
        if law.r2 is not None and gain >= -limit:
            why += ", not above " + (
                f"min_gain {params.min_gain:.3g}"
                if params.min_gain >= noise
                else f"{params.flat:g} x noise {law.noise:.3g} ({law.noise_of})"
            )
        return Fit(runs, law, gain, reached, (low, high), pace, why, poorly=False)
    poorly = law.r2 is not None and law.r2 < params.poor
    if reached is not None and reached <= measured[-1]:
        # nothing was measured between the first two points, so nothing is said to end there
        at = min(_rounded_up(max(reached, measured[1]), params.digits), measured[-1])
        pace = Pace(ability, "saturates", at)
    else:
        pace = Pace(ability, "responsive")
    ends = None if law.exact or low is None else (low, high)
    why = f"{moves}; {_where(params.reach, reached, ends)}"
    if poorly:
        why += f"; the law fits poorly (R2 {law.r2:.2f}): look at the curve"
    return Fit(runs, law, gain, reached, (low, high), pace, why, poorly)


def _where(reach: float, reached: float | None, ends: tuple[float, float | None] | None) -> str:
    """Where a rising law is saturated, and in which range of rows that may be, if it may be."""
    from curate_sources.growth.laws import SURE

    sure = ""
    if ends is not None:
        low, high = ends
        to = " on" if high is None else f" to {_rows(high)}"
        sure = f" ({SURE:.0%}: from {_rows(low)}{to})"
    if reached is None:
        return f"no ceiling that could be reached{sure}"
    return f"{reach:.3g} of the way to its ceiling at {_rows(reached)} rows{sure}"


def _rows(value: float) -> str:
    return f"{value:,.0f}" if value < 1e6 else f"{value:.1e}"


def _rounded_up(value: float, digits: int) -> int:
    """The next whole number up with so many significant digits; a millionth above is on it."""
    unit = int(10 ** max(math.floor(math.log10(value)) + 1 - digits, 0))
    return math.ceil(value * (1 - 1e-6) / unit) * unit
