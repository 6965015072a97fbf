"""Distributions of scores, drawn in a terminal of 80 columns, or piped."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from curate.report.distributions import BINS, Distribution, Flag, Side, distributions
from curate.versions.open import Version
from curate.versions.text import one_line

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
    found = list(distributions(version))
    numbers = [each for each in found if isinstance(each, Distribution)]
    numbers.sort(key=lambda each: each.cut is None)
    shown, flags = numbers[:SHOWN], [each for each in found if isinstance(each, Flag)]
    if shown:
        console.print()
        words = "".join(word.rjust(_NUMBER) for word in ("q1", "median", "q3"))
        head = "scores".ljust(_LABEL + BINS) + "rows".rjust(_ROWS) + words
        console.print(Text(head, style="dim"), soft_wrap=True)
    for number in shown:
        _histogram(number, console)
    if flags:
        console.print()
    for flag in flags[:SHOWN]:
        said = (
            f"true in {flag.true:,} of {flag.rows:,} rows, {flag.kept_true:,} of {flag.kept:,} kept"
        )
        console.print(Text.assemble((one_line(flag.column), "bold"), f"  {said}"))
    rest = [number.column for number in numbers[SHOWN:]]
    rest += [flag.column for flag in flags[SHOWN:]]
    rest += [each for each in found if isinstance(each, str)]
    if rest:
        console.print()
        console.print(Text(f"not drawn: {one_line(', '.join(rest))}", style="dim"))


def _histogram(each: Distribution, console: Console) -> None:
    ascii_only = console.options.ascii_only
    console.print(Text(one_line(each.column), style="bold"), soft_wrap=True)
    most = max(each.all.bins)
    _line("all", each.all, most, "none", console)
    if each.kept is None:
        console.print(Text("kept  no row with a value", style="dim"))
    else:
        _line("kept", each.kept, most, "green", console)
    console.print(_axis(each, ascii_only), soft_wrap=True)


def _line(label: str, side: Side, most: int, style: str, console: Console) -> None:
    levels = _ASCII if console.options.ascii_only else _BLOCKS
    drawn = "".join(_level(count, most, levels) for count in _widened(side.bins))
    line = Text.assemble((label.ljust(_LABEL), "dim"), (drawn.ljust(BINS), style))
    line.append(f"{side.rows:,}".rjust(_ROWS))
    for number in (side.q1, side.median, side.q3):
        line.append(_short(number).rjust(_NUMBER))
    console.print(line, soft_wrap=True)


def _short(number: float) -> str:
    """A number in four digits, or as many as leave a gap before it."""
    return next(text for digits in (4, 3, 2, 1) if len(text := f"{number:.{digits}g}") < _NUMBER)


def _widened(bins: Sequence[int]) -> list[int]:
    """Each bin as many times as fit, so that few bins do not make a narrow picture."""
    times = BINS // len(bins)
    return [count for count in bins for _ in range(times)]


def _level(count: int, most: int, levels: str) -> str:
    """A mark as high as the count; the lowest for whatever is not nothing."""
    if not count:
        return " "
    return levels[max(0, -(-count * len(levels) // most) - 1)]


def _axis(each: Distribution, ascii_only: bool) -> Text:
    """Where the histogram starts and ends, and the cut where it is."""
    below, above = ("<=", ">=") if ascii_only else ("≤ ", "≥ ")
    start = f"{below}{_short(each.start)}" if each.gathers[0] else _short(each.all.low)
    end = f"{above}{_short(each.end)}" if each.gathers[1] else _short(each.all.high)
    width = len(_widened(each.all.bins))
    text = Text(" " * _LABEL)
    if each.cut is None:
        return text.append(start + end.rjust(max(width - len(start), len(end) + 1)), style="dim")
    share = (each.cut - each.start) / (each.end - each.start) if each.end > each.start else 0
    at = min(max(round(share * width), 0), width)
    mark = "^" if ascii_only else "▲"
    line = f"{start} ".ljust(at) if at > len(start) else " " * at
    said = f"{mark} {_short(each.cut)}, cut of {each.cut_by}"
    if at + len(said) + len(end) + 1 <= width:
        return (
            text.append(line, "dim")
            .append(said, "yellow")
            .append(end.rjust(width - at - len(said)), "dim")
        )
    text.append(line, "dim").append(said, "yellow")
    return text
