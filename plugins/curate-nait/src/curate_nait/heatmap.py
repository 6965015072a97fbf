"""The transfer matrix as a picture. Needs the extra `curate-nait[plots]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curate.api import CurateError

_PANELS = {
    "cosine": "cosine of directions, mean over layers",
    "rank_correlation": "rank correlation of scores",
}


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Draw what `curate nait compare` found.

    Args:
        found: `capabilities`, `cosine`, `cosine_by_layer` and perhaps `rank_correlation`.
        path: The PNG to write.

    Raises:
        CurateError: The drawing library is not installed, or the file cannot be written.
    """
    try:
        import altair as alt
        import vl_convert  # noqa: F401 - what altair saves PNGs with
    except ImportError as error:
        raise CurateError(
            "Drawing needs a library that is not installed.", "pip install 'curate-nait[plots]'"
        ) from error
    names = found["capabilities"]
    panels = [
        _matrix(alt, names, found[key], title) for key, title in _PANELS.items() if key in found
    ]
    matrices = alt.hconcat(*panels, spacing=40)
    chart = alt.vconcat(matrices, _layers(alt, names, found["cosine_by_layer"]), spacing=30)
    chart = chart.configure_view(strokeWidth=0).configure_axis(labelFontSize=12, titleFontSize=12)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        chart.save(path, format="png", scale_factor=2)
    except OSError as error:
        raise CurateError(f"{path} cannot be written: {error.strerror}.") from error


def _matrix(alt: Any, names: Sequence[str], values: Sequence[Sequence[float]], title: str) -> Any:
    cells = [
        {"of": row, "with": column, "value": value}
        for row, line in zip(names, values, strict=True)
        for column, value in zip(names, line, strict=True)
    ]
    size = 62 * len(names)
    axis = alt.Axis(labelAngle=-30, orient="top")
    base = alt.Chart(alt.Data(values=cells), title=title, width=size, height=size).encode(
        x=alt.X("with:N", sort=list(names), title=None, axis=axis),
        y=alt.Y("of:N", sort=list(names), title=None),
    )
    color = alt.Color("value:Q", scale=alt.Scale(scheme="blueorange", domain=[-1, 1]), title=None)
    dark = alt.condition("abs(datum.value) > 0.6", alt.value("white"), alt.value("black"))
    text = base.mark_text(fontSize=13).encode(text=alt.Text("value:Q", format=".2f"), color=dark)
    return base.mark_rect().encode(color=color) + text


def _layers(alt: Any, names: Sequence[str], by_layer: Sequence[Sequence[Sequence[float]]]) -> Any:
    points = [
        {"layer": layer + 1, "pair": f"{names[one]} and {names[two]}", "value": values[one][two]}
        for layer, values in enumerate(by_layer)
        for one in range(len(names))
        for two in range(one)
    ]
    title = "cosine of directions by layer"
    return (
        alt.Chart(alt.Data(values=points), title=title, width=420, height=200)
        .mark_line(point=True)
        .encode(
            x=alt.X("layer:O", title="layer", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("value:Q", title="cosine"),
            color=alt.Color("pair:N", title=None),
        )
    )
