"""Histograms as charts, with the cuts drawn. Heavy."""

from __future__ import annotations

from typing import Any, Literal

from curate.printing import counted, figure
from curate.report.spreads import Histogram
from curate.report.vega import COLOURS, Drawing, alt, data, finished, painted

_HEIGHT = 190
_FEW = 4
"""Rows on an axis up to which every whole number has its mark."""

_ROOM = 0.12
"""Of the height, above the bars, for the words of each cut."""


def score_chart(one: Histogram) -> Drawing:
    """A score before and after, with its cuts."""
    total, kept = sum(one.before), sum(one.after)
    ends = f"from {figure(one.low)} to {figure(one.high)}"
    says = [f"{counted(total)} with this score, {ends}; kept: {kept:,}."]
    for line in one.lines:
        says.append(f"Cut of {line.stage}: {line.words}.")
        if line.at is not None and (line.stage, line.at) not in one.drawn:
            says.append("It stands beyond the picture.")
        if line.where:
            says.append(f"Rows outside its `where: {line.where}` pass untouched.")
    if one.beyond:
        says.append(_beyond(one))
    if one.part:
        says.append("Of dropped rows it is not published.")
    elif one.without:
        says.append(f"Without it: {counted(one.without)}.")
    return Drawing(
        f"scores-{one.column}",
        one.column,
        " ".join(says),
        finished(_bars(one), _HEIGHT),
        *_binned(one),
    )


def length_chart(one: Histogram, *, whole: bool) -> Drawing:
    """Lengths before and after; after alone where dropped rows are not published (`whole`)."""
    says = "Characters of instruction and response together; each bin is a quarter wider than the "
    says += "one before." if whole else "one before. Dropped rows are not published."
    if one.beyond:
        says += f" {_beyond(one)}"
    return Drawing("length", "Length", says, finished(_bars(one), _HEIGHT), *_binned(one))


def _beyond(one: Histogram) -> str:
    return f"Beyond the ends, and counted in the last bars: {counted(one.beyond)}."


def _binned(one: Histogram) -> tuple[tuple[str, ...], tuple[tuple[Any, ...], ...]]:
    """Head and rows of a histogram's figures; with a column `cut` where one goes through it."""
    rows = []
    bins = zip(one.edges, one.edges[1:], one.before, one.after, strict=False)
    for low, high, before, after in bins:
        stages = ", ".join(stage for stage, at in one.drawn if low <= at < high)
        ends = one.between(low, high)
        row = (figure(ends[0]), figure(ends[1]), before, after)
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
    drawn = alt.Chart(data(bars)).mark_bar(binSpacing=0, orient="vertical").encode(
        x=x,
        x2="high:Q",
        y=alt.Y("rows:Q", stack=None, axis=rows_axis, scale=rows_scale),
        y2="none:Q",
        color=painted(("rest", "kept")),
    )  # fmt: skip
    if not one.drawn:
        return alt.layer(drawn)
    middle = (one.edges[0] + one.edges[-1]) / 2
    marks = []
    for number, (stage, at) in enumerate(one.drawn):
        where = data([{"low": at, "text": f"cut of {stage}"}])
        left = at > middle
        words = alt.Chart(where).mark_text(
            align="right" if left else "left", dx=-4 if left else 4, baseline="top",
            color=COLOURS["cut"], fontWeight="bold",
        )  # fmt: skip
        rule = alt.Chart(where).mark_rule(color=COLOURS["cut"], strokeWidth=2, strokeDash=[5, 3])
        marks += [rule.encode(x=x), words.encode(x=x, y=alt.value(14 * number), text="text:N")]
    return alt.layer(drawn, *marks)
