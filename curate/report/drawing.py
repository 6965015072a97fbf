"""What screens share: text from data made inert, plain tables, numbers."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from curate.printing import figure, marked, marked_line

if TYPE_CHECKING:
    from curate.versions.open import Version

_VALUE = 60
"""Characters of a text that stands among numbers."""


def inert(text: str, console: Console, style: str = "") -> Text:
    """Text from data as it is: no markup, control characters named, encodable."""
    return Text(_encodable(marked(text), console), style=style)


def inline(text: str, console: Console, style: str = "") -> Text:
    """The same on one line."""
    return Text(_encodable(marked_line(text), console), style=style)


def _encodable(text: str, console: Console) -> str:
    return text.encode(console.encoding, "replace").decode(console.encoding)


def grid(heads: Sequence[str], right: Sequence[str] = ()) -> Table:
    """A table without lines; columns in `right` are set flush right, the last one may wrap."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for head in heads:
        table.add_column(
            head,
            justify="right" if head.strip() in right else "left",
            no_wrap=head != heads[-1],
            overflow="fold",
        )
    return table


def number(value: Any) -> str:
    """A value of a score: numbers in few digits, a dash for none."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else figure(value)
    text = str(value)
    return text if len(text) <= _VALUE else f"{text[:_VALUE]}..."


def out_of(version: Version) -> str:
    """What a command about a version needs besides its name: where it lies, if not in `curated`."""
    root = version.path.parent.parent
    return "" if root == Path("curated") else f" --out {shlex.quote(str(root))}"


def heading(words: str) -> Text:
    """The title of a part of a screen."""
    return Text(words, style="bold")


def reason_of(code: str | None) -> str:
    """A reason in words."""
    return (code or "").replace("_", " ")
