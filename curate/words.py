"""Numbers in words, for whatever a person reads."""

from __future__ import annotations


def counted(rows: int, word: str = "row") -> str:
    """A number of rows, or of something else, in words: `1 row`, `2,560 rows`."""
    return f"{rows:,} {word}" if abs(rows) == 1 else f"{rows:,} {word}s"
