"""How often `curate growth` says the right thing of curves whose law is known.

    python benchmarks/growth_verdicts.py [--curves 300]

Draws curves at 1, 4, 16, 64, 256 and 1,000 rows with normal noise of standard deviation 2, fits
them with the defaults, and prints for each law, with one run and with three at each point, the
share of each verdict and where it says that the curve saturates (10th, 50th, 90th percentile).
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Callable

import numpy as np

from curate_sources.growth.saturation import FitParams, fit_curves

ROWS = (1, 4, 16, 64, 256, 1000)
NOISE = 2.0
LAWS: dict[str, Callable[[int], float]] = {
    "flat": lambda n: 30.0,  # noqa: ARG005 - flat is what does not depend on rows
    "gains 50, saturates at 147": lambda n: 80 - 50 * n**-0.6,
    "gains 50, saturates at 779": lambda n: 80 - 50 * n**-0.45,
    "grows with the logarithm": lambda n: 20 + 6 * math.log(n),
    "grows faster": lambda n: 20 + 3 * n**0.3,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--curves", type=int, default=300, help="curves of each kind")
    curves: int = parser.parse_args().curves
    for name, law in LAWS.items():
        for runs in (1, 3):
            rng = np.random.default_rng(0)
            drawn = {
                str(at): tuple(
                    sorted((n, law(n) + NOISE * rng.normal()) for n in ROWS for _ in range(runs))
                )
                for at in range(curves)
            }
            paces = [fit.pace for fit in fit_curves(drawn, FitParams()).values()]
            shares = Counter(pace.pace for pace in paces)
            said = ", ".join(f"{pace} {shares[pace] / curves:.0%}" for pace in sorted(shares))
            ends = [pace.at for pace in paces if pace.at is not None]
            at = f"; at {np.percentile(ends, [10, 50, 90]).round()} rows" if ends else ""
            print(f"{name}, {runs} run{'s' * (runs > 1)} a point: {said}{at}")


if __name__ == "__main__":
    main()
