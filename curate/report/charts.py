"""The charts of a version: specifications in Vega-Lite, drawn as SVG and PNG. Heavy.

Needs the extra `curate-data[report]`. Every chart is drawn in the colours of `COLOURS`; a page that
wants others, for the dark, gives them by these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from curate.errors import CurateError
from curate.report.agreement import Agreement, agreements
from curate.report.histograms import Histogram, of_lengths, of_scores
from curate.report.marks import marked_line
from curate.versions.funnel import Share, funnel, shares
from curate.versions.open import Version
from curate.versions.overlap import overlap

try:
    import altair as alt
    import vl_convert
except ImportError as missing:  # the extra is not installed
    raise CurateError(
        f"Charts need packages that are not installed: {missing}.",
        "pip install 'curate-data[report]'",
    ) from missing

COLOURS = {
    "kept": "#2563a8",
    "rest": "#c3c9d2",
    "fell": "#d98e73",
    "cut": "#c2410c",
    "ink": "#1f2329",
    "faint": "#59616b",
    "grid": "#e3e6ea",
    "against": "#8250a8",
}
"""What each colour means: rows kept, all or other rows, rows that fell, a cut, text, text of less
weight, lines, and a picture's other end."""

_WIDTH = 400
_HEIGHT = 190
_BAND = 26
"""Height of a bar with its gap, in pixels."""

_VALUES = 8
"""Values of a column that are drawn; the rest is one bar."""

_LABEL = 24
_HISTOGRAMS = 12
"""Score columns that are drawn."""

_FEW = 4
"""Rows on an axis up to which every whole number has its mark."""

_ROOM = 0.12
_TITLE = 34
"""Height of a title in a picture, in pixels."""

_STRONGEST = 0.6
"""How strong a cell of correlation 1 is painted: figures stay readable on it."""


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


@dataclass(frozen=True)
class Charts:
    """The charts of a version, by what they are about."""

    funnel: Drawing
    shares: tuple[Drawing, ...]
    scores: tuple[Drawing, ...]
    undrawn: tuple[str, ...]
    lengths: Drawing | None
    baselines: tuple[Drawing, ...]
    agreements: tuple[Drawing, ...]


def charts(version: Version) -> Charts:
    """All charts of a version."""
    histograms, lengths = of_scores(version), of_lengths(version)
    manifest = version.manifest
    found = {name: shares(manifest, name) for name in ("source", "origin", "generator", "ability")}
    return Charts(
        funnel=_funnel(manifest),
        shares=tuple(_shares(name, values) for name, values in found.items() if len(values) > 1),
        scores=tuple(_scores(one) for one in histograms[:_HISTOGRAMS]),
        undrawn=tuple(one.column for one in histograms[_HISTOGRAMS:]),
        lengths=_lengths(lengths, whole=version.dropped is not None) if lengths else None,
        baselines=_baselines(manifest),
        agreements=tuple(_agreement(one) for one in agreements(version)),
    )


def pngs(version: Version) -> dict[str, bytes]:
    """The main charts as pictures: file name such as `funnel.png` > PNG, light, at twice the size.

    The funnel, the shares that differ, the scores that a filter cut by, lengths and baselines.
    """
    drawn = charts(version)
    cut = [one for one in drawn.scores if "cut" in one.head] or list(drawn.scores[:1])
    chosen = [drawn.funnel, *drawn.shares, *cut, drawn.lengths, *drawn.baselines]
    return {f"{one.name}.png": png(one) for one in chosen if one is not None}


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


def _spec(chart: alt.LayerChart | alt.FacetChart, height: int) -> dict[str, Any]:
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


def _data(rows: Sequence[Mapping[str, Any]]) -> alt.Data:
    data: alt.Data = alt.Data.from_dict({"values": [dict(row) for row in rows]}, validate=False)
    return data


def _painted(names: Sequence[str]) -> alt.Color:
    """Colour by the field `what`, without a legend: the page has its own."""
    scale = alt.Scale(domain=list(names), range=[COLOURS[name] for name in names])
    return alt.Color("what:N", scale=scale, legend=None)


def _label(text: str) -> str:
    shown = marked_line(text)
    return shown if len(shown) <= _LABEL else f"{shown[: _LABEL - 1]}…"


def _different(labels: Sequence[str]) -> list[str]:
    """Labels cut to length, told apart by numbers where that made them equal."""
    seen: dict[str, int] = {}
    different = []
    for label in map(_label, labels):
        seen[label] = seen.get(label, 0) + 1
        different.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return different


def _bands(title: str | None = None) -> alt.Axis:
    return alt.Axis(title=title, ticks=False, domain=False)


def _funnel(manifest: Mapping[str, Any]) -> Drawing:
    books, steps = manifest["books"], funnel(manifest)
    unreadable = sum(source["unreadable"] for source in manifest["sources"].values())
    figures: list[tuple[Any, ...]] = [
        ("read", "sources", books["sources"], books["sources"] - unreadable, unreadable, "")
    ]
    figures += [
        (f"{step.verb} {step.stage}", step.id, step.entered + step.created, step.out,
         step.entered + step.created - step.out, step.why().replace("_", " "))
        for step in steps
    ]  # fmt: skip
    order = _different([row[1] for row in figures])
    bars: list[dict[str, Any]] = []
    for label, row in zip(order, figures, strict=True):
        bars += [
            {"stage": label, "rows": row[3], "what": "kept", "at": 0},
            {"stage": label, "rows": row[4], "what": "fell", "at": 1},
        ]
    ends = [
        {"stage": label, "end": row[2], "text": f"{row[3]:,}"}
        for label, row in zip(order, figures, strict=True)
    ]
    y = alt.Y("stage:N", sort=order, axis=_bands())
    most = max((row[2] for row in figures), default=1) or 1
    scale = alt.Scale(domain=[0, most * 1.18], nice=False)
    base = alt.Chart(_data(bars)).mark_bar(height={"band": 0.72})
    drawn = base.encode(
        y=y,
        x=alt.X("rows:Q", stack="zero", axis=None, scale=scale),
        color=_painted(("kept", "fell")),
        order=alt.Order("at:Q"),
    )
    words = (
        alt.Chart(_data(ends))
        .mark_text(align="left", dx=5, color=COLOURS["ink"])
        .encode(y=y, x=alt.X("end:Q", axis=None, scale=scale), text="text:N")
    )
    return Drawing(
        "funnel",
        "Rows after each stage",
        f"{books['kept']:,} of {books['sources'] + books['created']:,} rows are left after "
        f"{len(steps)} stages. The figure beside a bar is what went on.",
        _spec(drawn + words, _BAND * len(order)),
        ("does", "stage", "in", "out", "gone", "why"),
        tuple(figures),
    )


def _shares(column: str, found: Sequence[Share]) -> Drawing:
    before, after = (sum(getattr(s, when) for s in found) or 1 for when in ("before", "after"))
    shown, rest = list(found[:_VALUES]), found[_VALUES:]
    if len(rest) == 1:
        shown += rest
    elif rest:
        others = (sum(getattr(s, when) for s in rest) for when in ("before", "after"))
        shown.append(Share(f"{len(rest)} others", *others))
    order = _different([share.value for share in shown])
    bars = [
        {"value": label, "share": part / whole, "what": what, "text": f"{part / whole:.1%}"}
        for label, share in zip(order, shown, strict=True)
        for what, part, whole in (("rest", share.before, before), ("kept", share.after, after))
    ]
    y = alt.Y("value:N", sort=order, axis=_bands())
    most = max(max(s.before / before, s.after / after) for s in shown)
    base = alt.Chart(_data(bars)).encode(
        y=y,
        x=alt.X("share:Q", axis=None, scale=alt.Scale(domain=[0, most * 1.2], nice=False)),
        yOffset=alt.YOffset("what:N", sort=["rest", "kept"]),
    )
    drawn = base.mark_bar().encode(color=_painted(("rest", "kept")))
    words = base.mark_text(align="left", dx=4, color=COLOURS["faint"], fontSize=11)
    first = max(found, key=lambda share: abs(share.after / after - share.before / before))
    return Drawing(
        f"shares-{column}",
        f"Shares by {column}",
        f"{marked_line(first.value)} changed most: {first.before / before:.1%} of the source rows, "
        f"{first.after / after:.1%} of the kept rows.",
        _spec(drawn + words.encode(text="text:N"), round(_BAND * 1.6 * len(order)) + 8),
        (column, "before", "share before", "after", "share after"),
        tuple(
            (marked_line(s.value), s.before, f"{s.before / before:.1%}", s.after,
             f"{s.after / after:.1%}")
            for s in found
        ),
    )  # fmt: skip


def _scores(one: Histogram) -> Drawing:
    total, kept = sum(one.before), sum(one.after)
    says = [f"Of {total:,} rows with this score, from {one.low:.4g} to {one.high:.4g}, "
            f"{kept:,} are kept."]  # fmt: skip
    for line in one.lines:
        says.append(f"Cut of {line.stage}: {line.words}.")
        if line.at is not None and (line.stage, line.at) not in one.drawn:
            says.append("It stands beyond the picture.")
        if line.where:
            says.append(f"Rows outside its `where: {line.where}` pass untouched.")
    if one.beyond:
        says.append(f"{one.beyond:,} rows lie beyond the ends and are counted in the last bars.")
    if one.without:
        says.append(f"{one.without:,} rows have none: they fell before, or were not asked.")
    return Drawing(
        f"scores-{one.column}",
        one.column,
        " ".join(says),
        _spec(_bars(one), _HEIGHT),
        *_binned(one),
    )


def _lengths(one: Histogram, *, whole: bool) -> Drawing:
    says = "Characters of instruction and response together; each bin is a quarter wider than the "
    says += "one before." if whole else "one before. Dropped rows are not published."
    if one.beyond:
        says += f" {one.beyond:,} rows lie beyond the ends and are counted in the last bars."
    return Drawing("length", "Length", says, _spec(_bars(one), _HEIGHT), *_binned(one))


def _binned(one: Histogram) -> tuple[tuple[str, ...], tuple[tuple[Any, ...], ...]]:
    """Head and rows of a histogram's figures; with a column `cut` where one goes through it."""
    rows = []
    bins = zip(one.edges, one.edges[1:], one.before, one.after, strict=False)
    for low, high, before, after in bins:
        stages = ", ".join(stage for stage, at in one.drawn if low <= at < high)
        row = (f"{low:.4g}", f"{high:.4g}", before, after)
        rows.append((*row, stages) if one.drawn else row)
    head = ("from", "to", "all", "kept", *(("cut",) if one.drawn else ()))
    return head, tuple(rows)


def _bars(one: Histogram) -> alt.LayerChart | alt.FacetChart:
    bars: list[dict[str, Any]] = []
    for low, high, before, after in zip(
        one.edges, one.edges[1:], one.before, one.after, strict=False
    ):
        bars += [
            {"low": low, "high": high, "rows": rows, "none": 0, "what": what}
            for what, rows in (("rest", before), ("kept", after))
            if rows
        ]
    ends = (one.edges[0], one.edges[-1])
    kind: Literal["log", "linear"] = "log" if one.geometric else "linear"
    axis = alt.Axis(grid=False, title=None, tickCount=6, labelOverlap=True)
    if one.geometric:
        values = [v for p in range(8) for v in (10**p, 2 * 10**p, 5 * 10**p)]
        axis = alt.Axis(grid=False, title=None, values=values, format="~s", labelOverlap=True)
    most = max(one.before)
    few = list(range(most + 1)) if most <= _FEW else alt.Undefined
    rows_axis = alt.Axis(title="rows", tickCount=4, values=few, format="~s")
    # above the bars there is room for the words of each cut
    rows_scale = alt.Scale(domain=[0, most * (1 + _ROOM * len(one.drawn))], nice=False)
    x = alt.X("low:Q", scale=alt.Scale(type=kind, domain=ends, nice=False), axis=axis)
    drawn = alt.Chart(_data(bars)).mark_bar(binSpacing=0, orient="vertical").encode(
        x=x,
        x2="high:Q",
        y=alt.Y("rows:Q", stack=None, axis=rows_axis, scale=rows_scale),
        y2="none:Q",
        color=_painted(("rest", "kept")),
    )  # fmt: skip
    if not one.drawn:
        return alt.layer(drawn)
    middle = (one.edges[0] + one.edges[-1]) / 2
    marks = []
    for number, (stage, at) in enumerate(one.drawn):
        where = _data([{"low": at, "text": f"cut of {stage}"}])
        left = at > middle
        words = alt.Chart(where).mark_text(
            align="right" if left else "left", dx=-4 if left else 4, baseline="top",
            color=COLOURS["cut"], fontWeight="bold",
        )  # fmt: skip
        rule = alt.Chart(where).mark_rule(color=COLOURS["cut"], strokeWidth=2, strokeDash=[5, 3])
        marks += [rule.encode(x=x), words.encode(x=x, y=alt.value(14 * number), text="text:N")]
    return alt.layer(drawn, *marks)


def _baselines(manifest: Mapping[str, Any]) -> tuple[Drawing, ...]:
    """How much the picks share with the selection, and how long their rows are."""
    found, compared = overlap(manifest), manifest.get("baselines")
    if found is None or not compared:
        return ()
    picks = [
        ("the selection", compared["selection"], "kept"),
        *((f"at random, {pick['pick']}", pick, "rest") for pick in compared["random"]),
        ("the longest", compared["length"], "against"),
    ]
    order = [name for name, _, _ in picks]
    y = alt.Y("pick:N", sort=order, axis=_bands())
    return (
        _overlaps(picks, found.sentence(), found.size, y),
        _spreads(picks, y),
    )


_Pick = tuple[str, Mapping[str, Any], str]


def _overlaps(picks: Sequence[_Pick], sentence: str, size: int, y: alt.Y) -> Drawing:
    bars = [
        {"pick": name, "share": pick["overlap"] / size, "what": what,
         "text": f"{pick['overlap']:,} ({pick['overlap'] / size:.1%})"}
        for name, pick, what in picks[1:]
    ]  # fmt: skip
    scale = alt.Scale(domain=[0, 1.3], nice=False)
    axis = alt.Axis(title=None, format="%", values=[0, 0.25, 0.5, 0.75, 1])
    base = alt.Chart(_data(bars)).encode(y=y, x=alt.X("share:Q", axis=axis, scale=scale))
    drawn = base.mark_bar(height={"band": 0.72}).encode(color=_painted(("rest", "against")))
    words = base.mark_text(align="left", dx=5, color=COLOURS["ink"]).encode(text="text:N")
    return Drawing(
        "baselines-shared",
        "Rows that other picks share with the selection",
        f"{sentence}.",
        _spec(drawn + words, _BAND * len(bars) + 24),
        ("pick", "rows", "shared", "share"),
        tuple((n, p["size"], p["overlap"], f"{p['overlap'] / size:.1%}") for n, p, _ in picks),
    )


def _spreads(picks: Sequence[_Pick], y: alt.Y) -> Drawing:
    keys = ("q1", "median", "mean", "q3")
    bars = [
        {"pick": name, "what": what, **{key: max(pick["characters"][key], 1) for key in keys}}
        for name, pick, what in picks
    ]
    axis = alt.Axis(title="characters", format="~s", tickCount=5, labelOverlap=True)
    scale = alt.Scale(zero=False, nice=True)
    base = alt.Chart(_data(bars)).encode(y=y)
    drawn = base.mark_bar(height={"band": 0.6}).encode(
        x=alt.X("q1:Q", axis=axis, scale=scale),
        x2="q3:Q",
        color=_painted(("kept", "rest", "against")),
    )
    middle = base.mark_tick(color=COLOURS["ink"], thickness=2).encode(x="median:Q")
    return Drawing(
        "baselines-length",
        "How long the rows of each pick are",
        "From the first to the third quartile of characters of instruction and response; the mark "
        "is the median.",
        _spec(drawn + middle, _BAND * len(bars) + 40),
        ("pick", *keys),
        tuple((n, *(f"{p['characters'][key]:,.0f}" for key in keys)) for n, p, _ in picks),
    )


def _agreement(one: Agreement) -> Drawing:
    names = _different(one.columns)
    cells = [
        {"one": a, "two": b, "value": value, "strength": abs(value) * _STRONGEST,
         "what": "kept" if value >= 0 else "fell", "text": f"{value:.2f}"}
        for a, row in zip(names, one.correlation, strict=True)
        for b, value in zip(names, row, strict=True)
        if value is not None
    ]  # fmt: skip
    base = alt.Chart(_data(cells)).encode(
        y=alt.Y("one:N", sort=names, axis=_bands()),
        x=alt.X("two:N", sort=names, axis=alt.Axis(title=None, orient="top", ticks=False,
                                                   domain=False, labelAngle=0)),
    )  # fmt: skip
    drawn = base.mark_rect().encode(
        color=_painted(("kept", "fell")), opacity=alt.Opacity("strength:Q", scale=None)
    )
    words = base.mark_text(color=COLOURS["ink"]).encode(text="text:N")
    alike = one.kind.startswith("nait.")
    title = "Transfer between capabilities" if alike else f"How the scores of {one.stage} agree"
    return Drawing(
        f"agreement-{one.stage}",
        f"{title} ({one.stage})" if alike else title,
        f"Spearman's rank correlation of the scores of {one.stage} ({one.kind}) over {one.rows:,} "
        "rows: 1 where two put the rows in the same order, 0 where neither tells of the other."
        + (" A high value: who selects by the one takes many rows that the other would take."
           if alike else ""),
        _spec(drawn + words, max(36 * len(names) + 30, 120)),
        ("score", *map(marked_line, one.columns)),
        tuple(
            (marked_line(name), *("" if v is None else f"{v:.3f}" for v in row))
            for name, row in zip(one.columns, one.correlation, strict=True)
        ),
    )  # fmt: skip
