"""What commands share when they print."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_WIDE = 160


def plain(text: str) -> str:
    """The text without control characters, but for tabs and line ends."""
    return _CONTROL.sub("", text)


def wide_console() -> Console:
    """A console for answers on stdout; wide where no terminal says how wide it is."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDE
    return console


def json_text(facts: object) -> str:
    """Facts as JSON in plain ASCII, so that texts from data stay inert; NaN becomes null."""
    import json

    import orjson

    return json.dumps(orjson.loads(orjson.dumps(facts, default=str)))
