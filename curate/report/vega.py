"""How a chart is drawn: colours, labels, a specification in Vega-Lite as SVG or PNG. Heavy.

Needs the extra `curate-data[report]`. Every chart is drawn in the colours of `COLOURS`; a page that
wants others, for the dark, gives them by these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curate.errors import CurateError
from curate.printing import marked_line

try:
    import altair as alt
    import vl_convert
except ImportError as missing:  # the extra is not installed
    raise CurateError(
        f"Charts need packages that are not installed: {missing}.",
        "pip install 'curate-data[report]'",
    ) from missing

__all__ = [  # `alt` too: who draws takes it from here, where its absence has a remedy
    "BAND",
    "COLOURS",
    "Drawing",
    "alt",
    "bands",
    "data",
    "different",
    "finished",
    "painted",
    "png",
    "svg",
]

COLOURS = {
    "kept": "#2563a8",
    "rest": "#c3c9d2",
    "fell": "#d98e73",
    "replaced": "#8fbfae",
    "cut": "#c2410c",
    "ink": "#1f2329",
    "faint": "#59616b",
    "grid": "#e3e6ea",
    "against": "#8250a8",
}
"""What each colour means: rows kept, all or other rows, rows that fell, rows that gave way to what
was made of them, a cut, text, text of less weight, lines, and the longest rows, with which a
selection is compared."""

BAND = 26
"""Height of a bar with its gap, in pixels."""

_WIDTH = 400
_LABEL = 24
_TITLE = 34
"""Height of a title in a picture, in pixels."""


@dataclass(frozen=True)
class Drawing:
    """A chart and what it says in words and figures.

    Attributes:
        name: Letters, digits, `_` and `-`.
        title: A heading.
        says: What it shows, in a sentence or two.
        spec: In Vega-Lite.
        head: Names of the columns of `rows`.
        rows: The figures that are drawn.
    """

    name: str
    title: str
    says: str
    spec: Mapping[str, Any]
    head: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def png(drawing: Drawing) -> bytes:
    """A chart with its title on white, at twice the size."""
    spec = {
        **drawing.spec,
        "height": drawing.spec["height"] + _TITLE,
        "background": "white",
        "title": drawing.title,
        "padding": 12,
    }
    return vl_convert.vegalite_to_png(spec, scale=2, allowed_base_urls=[])


def svg(drawing: Drawing) -> str:
    """A chart as an SVG element, without a background."""
    return vl_convert.vegalite_to_svg(dict(drawing.spec), allowed_base_urls=[])


def finished(chart: alt.LayerChart | alt.FacetChart, height: int) -> dict[str, Any]:
    """The specification of a chart, with the look and the width that all have in common.

    Args:
        chart: The chart.
        height: Of the whole, in pixels.
    """
    ink, faint, grid = (COLOURS[name] for name in ("ink", "faint", "grid"))
    axis = {"labelColor": faint, "titleColor": faint, "domainColor": grid, "tickColor": grid}
    whole = chart.properties(
        width=_WIDTH,
        height=height,
        background="transparent",
        autosize=alt.AutoSizeParams(type="fit", contains="padding"),
        # beside the measured width of labels there is room for wider fonts
        padding={"left": 12, "right": 4, "top": 2, "bottom": 2},
    ).configure(
        font="sans-serif",
        view={"stroke": None},
        axis={
            **axis,
            "gridColor": grid,
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "labelLimit": 150,
            "labelPadding": 6,
        },
        text={"fill": ink, "fontSize": 12},
        title={"color": ink, "fontSize": 14, "anchor": "start", "fontWeight": "bold"},
    )
    spec: dict[str, Any] = whole.to_dict()
    return spec


def data(rows: Sequence[Mapping[str, Any]]) -> alt.Data:
    """Rows as a chart's data."""
    given: alt.Data = alt.Data.from_dict({"values": [dict(row) for row in rows]}, validate=False)
    return given


def painted(names: Sequence[str]) -> alt.Color:
    """Colour by the field `what`, without a legend: the page has its own."""
    scale = alt.Scale(domain=list(names), range=[COLOURS[name] for name in names])
    return alt.Color("what:N", scale=scale, legend=None)


def different(labels: Sequence[str]) -> list[str]:
    """Labels cut to length, told apart by numbers where that made them equal."""
    seen: dict[str, int] = {}
    different = []
    for label in map(_label, labels):
        seen[label] = seen.get(label, 0) + 1
        different.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return different


def _label(text: str) -> str:
    shown = marked_line(text)
    return shown if len(shown) <= _LABEL else f"{shown[: _LABEL - 1]}…"


def bands() -> alt.Axis:
    """The axis of names beside bars."""
    return alt.Axis(title=None, ticks=False, domain=False)
