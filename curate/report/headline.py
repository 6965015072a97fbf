"""What a version comes to, in a few sentences that are true at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curate.versions.funnel import funnel
from curate.versions.overlap import overlap


def headline(manifest: Mapping[str, Any]) -> list[str]:
    """Sentences: what is kept, where most rows fell, and what costless picks share with it."""
    books = manifest["books"]
    seen = books["sources"] + books["created"]
    said = [f"{books['kept']:,} of {seen:,} examples kept."]
    steps = funnel(manifest)
    gone = [step.entered + step.created - step.out for step in steps]
    if any(gone):
        step, most = max(zip(steps, gone, strict=True), key=lambda pair: pair[1])
        reasons = [word.replace("_", " ") for word in step.losses]
        why = f" ({', '.join(reasons)})" if reasons else ""
        said.append(f"Most fell at {step.id}: {most:,} of {step.entered + step.created:,}{why}.")
    found = overlap(manifest)
    if found is not None:
        shares = [rows / found.size for rows in found.random]
        low, high = f"{min(shares):.1%}", f"{max(shares):.1%}"
        drawn = low if low == high else f"{low} to {high}"
        said.append(
            f"Of the {found.size:,} rows chosen from {found.pool:,}, random picks of the same size "
            f"share {drawn}, the longest rows {found.longest / found.size:.1%}."
        )
    failed = books["failed"]
    if failed:
        said.append(f"{failed:,} failed.")
    return said
