"""What commands share when they print."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_WIDE = 160


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
