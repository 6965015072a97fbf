"""What a version comes to, in a few sentences that are true at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curate.versions.funnel import funnel, kept_of, unreadable
from curate.versions.overlap import overlap


def headline(manifest: Mapping[str, Any]) -> list[str]:
    """Sentences: what is kept, where most rows fell, and what costless picks share with it."""
    books = manifest["books"]
    said = [f"{books['kept']:,} {kept_of(books)}."]
    if books["merged"]:
        said.append(f"{books['merged']:,} gave way to what was made of them.")
    worst = max(funnel(manifest), key=lambda step: step.gone, default=None)
    if worst is not None and worst.gone:
        reasons = [word.replace("_", " ") for word in worst.losses if word != "merged"]
        why = f" ({', '.join(reasons)})" if reasons else ""
        seen = worst.entered + worst.created
        said.append(f"Most fell at {worst.id}: {worst.gone:,} of {seen:,}{why}.")
    found = overlap(manifest)
    if found is not None:
        shares = [rows / found.size for rows in found.random]
        low, high = f"{min(shares):.1%}", f"{max(shares):.1%}"
        drawn = low if low == high else f"{low} to {high}"
        said.append(
            f"Of the {found.size:,} rows chosen from {found.pool:,}, random picks of the same size "
            f"share {drawn}, the longest rows {found.longest / found.size:.1%}."
        )
    unread = unreadable(manifest)
    if unread:
        said.append(f"{unread:,} could not be read.")
    if books["failed"] > unread:
        said.append(f"{books['failed'] - unread:,} failed.")
    return said
