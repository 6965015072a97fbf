"""The charts of a version. Heavy, and needs the extra `curate-data[report]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curate.printing import counted, marked_line
from curate.report.agreement import agreements
from curate.report.comparisons import agreement_chart, baseline_charts
from curate.report.cuts import unplaced
from curate.report.spread_charts import length_chart, score_chart
from curate.report.spreads import of_lengths, of_scores
from curate.report.vega import (
    BAND,
    COLOURS,
    Drawing,
    alt,
    bands,
    data,
    different,
    finished,
    painted,
    png,
)
from curate.versions.funnel import Share, funnel, grouped, kept_of, shares, unreadable
from curate.versions.open import Version

_VALUES = 8
"""Values of a column that are drawn; the rest is one bar."""

_HISTOGRAMS = 12
"""Score columns that are drawn."""


@dataclass(frozen=True)
class Charts:
    """The charts of a version, by what they are about.

    Score columns beyond the first are `undrawn`; `unplaced` says which cuts are not in the charts.
    """

    funnel: Drawing
    shares: tuple[Drawing, ...]
    scores: tuple[Drawing, ...]
    undrawn: tuple[str, ...]
    unplaced: tuple[str, ...]
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
        scores=tuple(score_chart(one) for one in histograms[:_HISTOGRAMS]),
        undrawn=tuple(one.column for one in histograms[_HISTOGRAMS:]),
        unplaced=tuple(unplaced(version)),
        lengths=length_chart(lengths, whole=version.dropped is not None) if lengths else None,
        baselines=baseline_charts(manifest),
        agreements=tuple(agreement_chart(one) for one in agreements(version)),
    )


def pngs(version: Version) -> dict[str, bytes]:
    """The main charts as pictures: file name such as `funnel.png` > PNG, light, at twice the size.

    The funnel, the shares that differ, the scores that a filter cut by, lengths and baselines.
    """
    drawn = charts(version)
    cut = [one for one in drawn.scores if "cut" in one.head] or list(drawn.scores[:1])
    chosen = [drawn.funnel, *drawn.shares, *cut, drawn.lengths, *drawn.baselines]
    return {f"{one.name}.png": png(one) for one in chosen if one is not None}


def _funnel(manifest: Mapping[str, Any]) -> Drawing:
    books, steps = manifest["books"], funnel(manifest)
    unread = unreadable(manifest)
    figures: list[tuple[Any, ...]] = [
        (
            "read",
            "sources",
            books["sources"],
            books["sources"] - unread,
            unread,
            0,
            f"{unread:,} unreadable" if unread else "",
        )
    ]
    figures += [
        (f"{step.verb} {step.stage}", step.id, step.entered + step.created, step.out,
         step.gone, step.merged, step.why().replace("_", " "))
        for step in steps
    ]  # fmt: skip
    order = different([row[1] for row in figures])
    bars: list[dict[str, Any]] = []
    for label, row in zip(order, figures, strict=True):
        bars += [
            {"stage": label, "rows": row[3], "what": "kept", "at": 0},
            {"stage": label, "rows": row[5], "what": "replaced", "at": 1},
            {"stage": label, "rows": row[4], "what": "fell", "at": 2},
        ]
    ends = [
        {"stage": label, "end": row[2], "text": f"{row[3]:,}"}
        for label, row in zip(order, figures, strict=True)
    ]
    y = alt.Y("stage:N", sort=order, axis=bands())
    most = max((row[2] for row in figures), default=1) or 1
    scale = alt.Scale(domain=[0, most * 1.18], nice=False)
    base = alt.Chart(data(bars)).mark_bar(height={"band": 0.72})
    drawn = base.encode(
        y=y,
        x=alt.X("rows:Q", stack="zero", axis=None, scale=scale),
        color=painted(("kept", "replaced", "fell")),
        order=alt.Order("at:Q"),
    )
    words = (
        alt.Chart(data(ends))
        .mark_text(align="left", dx=5, color=COLOURS["ink"])
        .encode(y=y, x=alt.X("end:Q", axis=None, scale=scale), text="text:N")
    )
    return Drawing(
        "funnel",
        "Rows after each stage",
        f"{books['kept']:,} {kept_of(books)} after {counted(len(steps), 'stage')}. The figure "
        "beside a bar is what went on.",
        finished(drawn + words, BAND * len(order)),
        ("does", "stage", "in", "out", "fell", "replaced", "why"),
        tuple(figures),
    )


def _shares(column: str, found: Sequence[Share]) -> Drawing:
    before, after = (sum(getattr(s, when) for s in found) or 1 for when in ("before", "after"))
    shown = grouped(found, _VALUES)
    order = different([share.value for share in shown])
    bars = [
        {"value": label, "share": part / whole, "what": what, "text": f"{part / whole:.1%}"}
        for label, share in zip(order, shown, strict=True)
        for what, part, whole in (("rest", share.before, before), ("kept", share.after, after))
    ]
    y = alt.Y("value:N", sort=order, axis=bands())
    most = max(max(s.before / before, s.after / after) for s in shown)
    base = alt.Chart(data(bars)).encode(
        y=y,
        x=alt.X("share:Q", axis=None, scale=alt.Scale(domain=[0, most * 1.2], nice=False)),
        yOffset=alt.YOffset("what:N", sort=["rest", "kept"]),
    )
    drawn = base.mark_bar().encode(color=painted(("rest", "kept")))
    words = base.mark_text(align="left", dx=4, color=COLOURS["faint"], fontSize=11)
    return Drawing(
        f"shares-{column}",
        f"Shares by {column}",
        _changed(found, before, after),
        finished(drawn + words.encode(text="text:N"), round(BAND * 1.6 * len(order)) + 8),
        (column, "before", "share before", "after", "share after"),
        tuple(
            (marked_line(s.value), s.before, f"{s.before / before:.1%}", s.after,
             f"{s.after / after:.1%}")
            for s in found
        ),
    )  # fmt: skip


def _changed(found: Sequence[Share], before: int, after: int) -> str:
    """The value whose share changed most, or that none did."""
    first = max(found, key=lambda share: abs(share.after / after - share.before / before))
    then, now = f"{first.before / before:.1%}", f"{first.after / after:.1%}"
    if then == now:
        return "The same shares of the source rows and of the kept rows."
    return (
        f"{marked_line(first.value)} changed most: {then} of the source rows, {now} of the kept "
        "rows."
    )
