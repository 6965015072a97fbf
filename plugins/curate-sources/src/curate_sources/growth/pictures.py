"""Growth curves as a picture. Needs the extra `curate-sources[plots]`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from curate.api import CurateError
from curate_sources.growth.saturation import Fit

SUFFIXES = (".png", ".svg", ".html")

_COLUMNS = 3
_STEPS = 100
"""Points of a drawn law."""


def draw(fits: Mapping[str, Fit], path: Path) -> None:
    """Draw each ability's runs, its law and where that is saturated.

    Args:
        fits: Ability > fit.
        path: What to write: .png, .svg or .html (which asks no network).

    Raises:
        CurateError: The drawing library is not installed, or the file cannot be written.
    """
    try:
        import altair as alt
        import vl_convert  # noqa: F401 - what altair saves pictures with
    except ImportError as error:
        raise CurateError(
            "Drawing needs a library that is not installed.", "pip install 'curate-sources[plots]'"
        ) from error
    panels = [_panel(alt, ability, fit) for ability, fit in fits.items()]
    chart = alt.concat(*panels, columns=_COLUMNS, spacing=28)
    chart = chart.configure_axis(labelFontSize=11, titleFontSize=11).configure_title(anchor="start")
    suffix = path.suffix[1:]
    options: dict[str, Any] = {"scale_factor": 2} if suffix == "png" else {}
    options |= {"inline": True} if suffix == "html" else {}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        chart.save(path, format=suffix, **options)
    except OSError as error:
        raise CurateError(f"{path} cannot be written: {error.strerror}.") from error


def _panel(alt: Any, ability: str, fit: Fit) -> Any:
    """Runs as points, the law as a line, and a rule at N; rows on a logarithmic axis."""
    first, last = fit.runs[0][0], fit.runs[-1][0]
    rows = np.geomspace(first, last, _STEPS)
    law = [
        {"rows": float(n), "metric": float(y)} for n, y in zip(rows, fit.law.at(rows), strict=True)
    ]
    runs = [{"rows": n, "metric": y} for n, y in fit.runs]
    ticks = sorted({n for n, _ in fit.runs})
    x = alt.X(
        "rows:Q",
        scale=alt.Scale(type="log", domain=[first * 0.8, last * 1.25], nice=False),
        axis=alt.Axis(values=ticks, format=",d", labelOverlap=True, grid=False),
    )
    y = alt.Y("metric:Q", scale=alt.Scale(zero=False), title="metric")
    r2 = "" if fit.law.r2 is None else f"R2 {fit.law.r2:.2f}, "
    title = alt.TitleParams(f"{ability}: {fit.pace}", subtitle=f"{r2}{fit.law}")
    layers = [
        alt.Chart(alt.Data(values=law)).mark_line(color="#4c78a8").encode(x=x, y=y),
        alt.Chart(alt.Data(values=runs)).mark_point(color="#222", filled=True).encode(x=x, y=y),
    ]
    if fit.pace.at is not None:
        rule = alt.Chart(alt.Data(values=[{"rows": fit.pace.at}]))
        layers.append(rule.mark_rule(color="#e45756", strokeDash=[4, 3]).encode(x=x))
    return alt.layer(*layers, title=title, width=260, height=170)
