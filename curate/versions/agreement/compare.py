"""Everything that two parts of a version say of the same thing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path

from curate.sources.kept import ANCESTORS
from curate.versions.agreement import books, lock
from curate.versions.agreement.card import card
from curate.versions.agreement.parts import LEDGER, LOCK, MANIFEST, Parts
from curate.versions.verify import CARD


def compare(
    folder: Path, sums: Mapping[str, str], there: Collection[str], *, pushed: bool
) -> Parts:
    """Read the parts of a version, and compare what could be read.

    Args:
        folder: As in `Parts`.
        sums: As in `Parts`.
        there: As in `Parts`.
        pushed: As in `verify`.
    """
    parts = Parts(folder, sums, there, pushed=pushed)
    parts.read()
    for file, check in _checks(parts):
        with parts.form(file):
            check()
    return parts


def _checks(parts: Parts) -> list[tuple[str, Callable[[], None]]]:
    """What can be compared of what was read, each with the file that is at fault where it fails."""
    ledger, data = parts.ledger, parts.data
    checks: list[tuple[str, Callable[[], None]]] = []
    if parts.manifest:
        for check in (books.hashes, books.balance, books.sources):
            checks.append((MANIFEST, partial(check, parts)))
    if parts.manifest and ledger is not None:
        for of_ledger in (books.fates, books.stages):
            checks.append((LEDGER, partial(of_ledger, parts, ledger)))
    if ledger is not None and parts.ancestors is not None:
        checks.append((ANCESTORS, partial(books.ancestors, parts, ledger, parts.ancestors)))
    if ledger is not None and data is not None:
        checks.append(("data/", partial(books.rows, parts, ledger, data)))
    if parts.manifest and data is not None:
        checks.append(("data/", partial(books.shares, parts, data)))
    if parts.manifest and parts.lock:
        checks.append((LOCK, partial(lock.locked, parts)))
    if parts.manifest and parts.lock and ledger is not None and data is not None:
        checks.append((MANIFEST, partial(lock.same_digest, parts, data, ledger)))
    if parts.manifest and data is not None:
        checks.append((CARD, partial(card, parts, data)))
    return checks
