"""What a selection is compared with, and scores with one another, as charts. Heavy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from curate.printing import marked_line
from curate.report.agreement import Agreement
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
)
from curate.versions.overlap import overlap

_VALUES = 8
"""Values of a column that are drawn."""

_STRONGEST = 0.6
"""How strong a cell of correlation 1 is painted: figures stay readable on it."""

_Pick = tuple[str, Mapping[str, Any], str]
"""Its name, what the manifest says of it, and the meaning of its colour."""


def baseline_charts(manifest: Mapping[str, Any]) -> tuple[Drawing, ...]:
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
    y = alt.Y("pick:N", sort=order, axis=bands())
    return (
        _overlaps(picks, found.sentence(), found.size, y),
        _spreads(picks, y),
        *_mixes(picks),
    )


def _overlaps(picks: Sequence[_Pick], sentence: str, size: int, y: alt.Y) -> Drawing:
    bars = [
        {"pick": name, "share": pick["overlap"] / size, "what": what,
         "text": f"{pick['overlap']:,} ({pick['overlap'] / size:.1%})"}
        for name, pick, what in picks[1:]
    ]  # fmt: skip
    scale = alt.Scale(domain=[0, 1.3], nice=False)
    axis = alt.Axis(title=None, format="%", values=[0, 0.25, 0.5, 0.75, 1])
    base = alt.Chart(data(bars)).encode(y=y, x=alt.X("share:Q", axis=axis, scale=scale))
    drawn = base.mark_bar(height={"band": 0.72}).encode(color=painted(("rest", "against")))
    words = base.mark_text(align="left", dx=5, color=COLOURS["ink"]).encode(text="text:N")
    return Drawing(
        "baselines-shared",
        "Rows that other picks share with the selection",
        f"{sentence}.",
        finished(drawn + words, BAND * len(bars) + 24),
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
    base = alt.Chart(data(bars)).encode(y=y)
    drawn = base.mark_bar(height={"band": 0.6}).encode(
        x=alt.X("q1:Q", axis=axis, scale=scale),
        x2="q3:Q",
        color=painted(("kept", "rest", "against")),
    )
    middle = base.mark_tick(color=COLOURS["ink"], thickness=2).encode(x="median:Q")
    return Drawing(
        "baselines-length",
        "How long the rows of each pick are",
        "From the first to the third quartile of characters of instruction and response; the mark "
        "is the median.",
        finished(drawn + middle, BAND * len(bars) + 40),
        ("pick", *keys),
        tuple((n, *(f"{p['characters'][key]:,.0f}" for key in keys)) for n, p, _ in picks),
    )


def _mixes(picks: Sequence[_Pick]) -> list[Drawing]:
    """What the picks are made of, by the column that tells most; nothing where none tells any."""
    chosen, longest = picks[0][1], picks[-1][1]
    at_random = [pick for _, pick, what in picks if what == "rest"]
    for column in ("ability", "source", "origin", "generator"):
        values = sorted({value for _, pick, _ in picks for value in pick["shares"][column]})
        if len(values) > 1:
            break
    else:
        return []
    size = chosen["size"]
    figures = [
        (
            value,
            chosen["shares"][column].get(value, 0) / size,
            sum(p["shares"][column].get(value, 0) for p in at_random) / len(at_random) / size,
            longest["shares"][column].get(value, 0) / size,
        )
        for value in values
    ]
    figures.sort(key=lambda row: -max(row[1:]))
    shown = figures[:_VALUES]
    order = different([value or "unknown" for value, *_ in shown])
    kinds = ("kept", "rest", "against")
    bars = [
        {"value": label, "share": share, "what": what, "text": f"{share:.1%}"}
        for label, (_, *shares) in zip(order, shown, strict=True)
        for what, share in zip(kinds, shares, strict=True)
    ]
    most = max(bar["share"] for bar in bars)
    base = alt.Chart(data(bars)).encode(
        y=alt.Y("value:N", sort=order, axis=bands()),
        x=alt.X("share:Q", axis=None, scale=alt.Scale(domain=[0, most * 1.2], nice=False)),
        yOffset=alt.YOffset("what:N", sort=kinds),
    )
    drawn = base.mark_bar().encode(color=painted(kinds))
    words = base.mark_text(align="left", dx=4, color=COLOURS["faint"], fontSize=11)
    left = f" Drawn: {len(shown)} of {len(figures)} values." if figures[_VALUES:] else ""
    return [
        Drawing(
            f"baselines-{column}",
            f"What each pick is made of, by {column}",
            f"Shares of the selection, of the {len(at_random)} random picks on average, and of the "
            f"longest rows.{left}",
            finished(drawn + words.encode(text="text:N"), round(BAND * 2.2 * len(order)) + 8),
            (column, "selection", "random", "longest"),
            tuple(
                (marked_line(value) or "unknown", *(f"{share:.1%}" for share in row))
                for value, *row in figures
            ),
        )
    ]


def agreement_chart(one: Agreement) -> Drawing:
    """Rank correlations as cells, the stronger painted the more."""
    names = different(one.columns)
    cells = [
        {"one": a, "two": b, "value": value, "strength": abs(value) * _STRONGEST,
         "what": "kept" if value >= 0 else "fell", "text": f"{value:.2f}"}
        for a, row in zip(names, one.correlation, strict=True)
        for b, value in zip(names, row, strict=True)
        if value is not None
    ]  # fmt: skip
    base = alt.Chart(data(cells)).encode(
        y=alt.Y("one:N", sort=names, axis=bands()),
        x=alt.X("two:N", sort=names, axis=alt.Axis(title=None, orient="top", ticks=False,
                                                   domain=False, labelAngle=0)),
    )  # fmt: skip
    drawn = base.mark_rect().encode(
        color=painted(("kept", "fell")), opacity=alt.Opacity("strength:Q", scale=None)
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
        finished(drawn + words, max(36 * len(names) + 30, 120)),
        ("score", *map(marked_line, one.columns)),
        tuple(
            (marked_line(name), *("" if v is None else f"{v:.3f}" for v in row))
            for name, row in zip(one.columns, one.correlation, strict=True)
        ),
    )  # fmt: skip
