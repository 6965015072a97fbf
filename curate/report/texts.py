"""What examples say, short or in full, safe to show. Heavy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from curate.printing import marked, marked_line
from curate.versions.open import Version
from curate.versions.rows import messages_of

_PREVIEW = 240
"""Characters of an example's line."""

_FULL = 2_000
"""Characters of an example side by side with another."""

UNPUBLISHED = "(dropped rows are not published)"


def previews(version: Version, ids: Iterable[str]) -> dict[str, str]:
    """Question and answer of examples, on one line each."""
    return {id: preview(turns) for id, turns in conversations(version, ids).items()}


def preview(turns: Sequence[Mapping[str, str]] | None) -> str:
    """The first two turns but those of a system, on one line."""
    if turns is None:
        return UNPUBLISHED
    said = [
        marked_line((turn["content"] or "")[: _PREVIEW + 1])
        for turn in turns
        if turn["role"] != "system"
    ]
    line = " → ".join(said[:2])
    return line if len(line) <= _PREVIEW else f"{line[: _PREVIEW - 1]}…"


def full(turns: Sequence[Mapping[str, str]] | None) -> str:
    """All turns below one another, cut where they are very long."""
    if turns is None:
        return UNPUBLISHED
    text = marked("\n\n".join(f"{turn['role']}: {turn['content'] or ''}" for turn in turns))
    return text if len(text) <= _FULL else f"{text[:_FULL]}… ({len(text) - _FULL:,} more)"


def conversations(version: Version, ids: Iterable[str]) -> dict[str, list[dict[str, str]] | None]:
    """The messages of examples; None for those that are not published or could not be read."""
    wanted = list(ids)
    known = messages_of(version, wanted)
    return {id: known.get(id) for id in wanted}
