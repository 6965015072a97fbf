"""Distributions of scores, drawn in a terminal of 80 columns, or piped."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from curate.printing import figure, one_line
from curate.report.cuts import unplaced
from curate.report.spreads import BINS, Histogram, Quartiles, flags, of_scores
from curate.versions.open import Version

SHOWN = 12
"""Columns that are drawn; the names of the rest stand in one line."""

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = ".:-=+*#@"
_LABEL = 5
_ROWS = 8
_NUMBER = 9


def draw(version: Version, console: Console) -> None:
    """Print a histogram of each score: all rows above, kept rows below on the same scale.

    Those that a filter cut by come first; flags are lines of their own at the end.
    """
    numbers, raised = of_scores(version), flags(version)
    if numbers:
        console.print()
        words = "".join(word.rjust(_NUMBER) for word in ("q1", "median", "q3"))
        head = "scores".ljust(_LABEL + BINS) + "rows".rjust(_ROWS) + words
        console.print(Text(head, style="dim"), soft_wrap=True)
    for number in numbers[:SHOWN]:
        _histogram(number, console)
    if raised:
        console.print()
    for flag in raised[:SHOWN]:
        said = (
            f"true in {flag.true:,} of {flag.rows:,} rows, {flag.kept_true:,} of {flag.kept:,} kept"
        )
        console.print(Text.assemble((one_line(flag.column), "bold"), f"  {said}"))
    names = [one.column for one in numbers], [one.column for one in raised]
    further = [name for kind in names for name in kind[SHOWN:]]
    others = [n for n in version.scores.columns if n not in (*names[0], *names[1], "id")]
    notes = [f"not drawn, after the first {SHOWN}: {', '.join(further)}"] if further else []
    notes += [f"not drawn: {', '.join(others)} (no numbers)"] if others else []
    notes += unplaced(version)
    if notes:
        console.print()
    for sentence in notes:
        console.print(Text(one_line(sentence), style="dim"))


def _histogram(each: Histogram, console: Console) -> None:
    console.print(Text(one_line(each.column), style="bold"), soft_wrap=True)
    most = max(each.before)
    _line("all", each.before, each.all, most, "none", console)
    if each.kept is None:
        console.print(Text("kept  no row with a value", style="dim"))
    else:
        _line("kept", each.after, each.kept, most, "green", console)
    for text in _axis(each, console.options.ascii_only):
        console.print(text, soft_wrap=True)


def _line(
    label: str, bins: Sequence[int], of: Quartiles, most: int, style: str, console: Console
) -> None:
    levels = _ASCII if console.options.ascii_only else _BLOCKS
    drawn = "".join(_level(count, most, levels) for count in _widened(bins))
    line = Text.assemble((label.ljust(_LABEL), "dim"), (drawn.ljust(BINS), style))
    line.append(f"{of.rows:,}".rjust(_ROWS))
    for number in (of.q1, of.median, of.q3):
        line.append(_short(number).rjust(_NUMBER))
    console.print(line, soft_wrap=True)


def _short(number: float) -> str:
    """A number to read, or in as many digits as leave a gap before it."""
    shorter = (f"{number:.{digits}g}" for digits in (4, 3, 2, 1))
    return next(text for text in (figure(number), *shorter) if len(text) < _NUMBER)


def _widened(bins: Sequence[int]) -> list[int]:
    """Each bin as many times as fit, so that few bins do not make a narrow picture."""
    times = BINS // len(bins)
    return [count for count in bins for _ in range(times)]


def _level(count: int, most: int, levels: str) -> str:
    """A mark as high as the count; the lowest for whatever is not nothing."""
    if not count:
        return " "
    return levels[max(0, -(-count * len(levels) // most) - 1)]


def _axis(each: Histogram, ascii_only: bool) -> list[Text]:
    """Where the histogram starts and ends, and the cuts: the last beside the ends."""
    below, above = ("<=", ">=") if ascii_only else ("≤ ", "≥ ")
    first, last = each.edges[0], each.edges[-1]
    if each.whole:
        first, last = math.floor(first), math.ceil(last)
    start = f"{below}{_short(first)}" if each.gathers[0] else _short(each.low)
    end = f"{above}{_short(last)}" if each.gathers[1] else _short(each.high)
    width = len(_widened(each.before))
    texts = [
        _mark(each, stage, at, width, ascii_only, *(("", "") if others else (start, end)))
        for others, (stage, at) in enumerate(reversed(each.drawn))
    ]
    if not texts:
        ends = start + end.rjust(max(width - len(start), len(end) + 1))
        texts = [Text(" " * _LABEL).append(ends, style="dim")]
    for line in each.lines:
        if (line.stage, line.at) not in each.drawn:
            place = "" if line.at is None else f"{_short(line.at)}, beyond the picture, "
            said = one_line(f"cut of {line.stage}: {place}{line.words}")
            texts.append(Text(" " * _LABEL + said, style="dim"))
    return texts


def _mark(
    each: Histogram, stage: str, cut: float, width: int, ascii_only: bool, start: str, end: str
) -> Text:
    """A cut at its place between the ends, or as near as these let it stand."""
    at = round((cut - each.edges[0]) / (each.edges[-1] - each.edges[0]) * width)
    line = f"{start} ".ljust(at) if start and at > len(start) else " " * at
    said = f"{'^' if ascii_only else '▲'} {_short(cut)}, cut of {stage}"
    text = Text(" " * _LABEL).append(line, "dim").append(said, "yellow")
    if at + len(said) + len(end) + 1 <= width:
        text.append(end.rjust(width - at - len(said)), "dim")
    return text
