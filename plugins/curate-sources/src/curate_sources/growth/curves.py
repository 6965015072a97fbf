"""Growth curves as a user measured them: a CSV with the columns ability, rows and metric."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from curate.api import CurateError, nearest

if TYPE_CHECKING:
    import _csv  # where the type of a reader stands

COLUMNS = ("ability", "rows", "metric")

LEAST = 4
"""Different numbers of rows that a curve needs: the law has three unknowns, and one to judge it."""

Curves = Mapping[str, tuple[tuple[int, float], ...]]
"""Ability > its runs (rows, metric) in ascending order; abilities as they first appear."""


def read_curves(path: Path) -> Curves:
    """Read curves; a point may have several runs, each on a line of its own.

    Args:
        path: UTF-8 CSV with a header of the three columns, in any order, and no others.

    Raises:
        CurateError: The file cannot be read, a line is wrong, or a curve has too few points.
    """
    curves: dict[str, list[tuple[int, float]]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for ability, rows, metric in _runs(csv.reader(file, strict=True), path):
                curves.setdefault(ability, []).append((rows, metric))
    except OSError as error:
        raise CurateError(f"{path} cannot be read: {error.strerror}.") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise CurateError(f"{path} is no CSV in UTF-8: {error}.") from error
    if not curves:
        raise CurateError(f"{path} holds no runs.", f"Each line is {', '.join(COLUMNS)}.")
    for ability, runs in curves.items():
        measured = sorted({rows for rows, _ in runs})
        if len(measured) < LEAST:
            raise CurateError(
                f"{path}: '{ability}' is measured at {len(measured)} different numbers of rows "
                f"({', '.join(f'{rows:,}' for rows in measured)}); a curve needs {LEAST}.",
                "Add runs at other numbers of rows, or leave the ability out and write its pace "
                "into a `growth:` table yourself.",
            )
    return {ability: tuple(sorted(runs)) for ability, runs in curves.items()}


def _runs(lines: _csv.Reader, path: Path) -> Iterator[tuple[str, int, float]]:
    header = [name.strip() for name in next(lines, [])]
    for name in header:
        if header.count(name) > 1:
            raise CurateError(f"{path}:1: the column '{name}' stands there twice.")
        if name not in COLUMNS:
            raise CurateError(
                f"{path}:1: there is a column '{name}' beside {', '.join(COLUMNS)}.",
                nearest(name, COLUMNS) + " Curves of several models or metrics are several files.",
            )
    for name in COLUMNS:
        if name not in header:
            raise CurateError(f"{path}:1: the column '{name}' is missing.")
    for cells in lines:
        if not cells:
            continue
        place = f"{path}:{lines.line_num}"
        if len(cells) != len(header):
            raise CurateError(f"{place}: {len(cells)} cells under {len(header)} columns.")
        ability, rows, metric = (cells[header.index(name)].strip() for name in COLUMNS)
        if not ability:
            raise CurateError(f"{place}: the ability is empty.")
        if not ability.isprintable():
            raise CurateError(f"{place}: the ability holds characters that cannot be printed.")
        yield ability, _whole(rows, place), _finite(metric, place)


def _whole(text: str, place: str) -> int:
    if re.fullmatch(r"[0-9]{1,15}", text) and int(text) > 0:
        return int(text)
    remedy = "The law is one of powers: it has no place for a model without training rows."
    raise CurateError(
        f"{place}: rows must be a whole number from 1 on, not '{text}'.",
        remedy if re.fullmatch("0+", text) else "",
    )


def _finite(text: str, place: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value):
        return value
    raise CurateError(
        f"{place}: metric must be a finite number, not '{text}'.", "Leave failed runs out."
    )
