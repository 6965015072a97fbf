"""What is recorded of a stage, for the manifest, the screen and observers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from curate.contract.results import Decisions, Margin
from curate.ledger import Books


@dataclass
class StageFacts:
    """One stage's entry of the manifest, filled while the stage runs.

    `repeats` counts the rows that read the same as another one, and so are scored with it. Of the
    rows that raise a flag `flagged` names the first by id; all are in the score column.
    `clauses` are those of the condition that a filter keeps by, see `curate.run.clauses.failures`.
    """

    books: Books = field(default_factory=Books)
    untouched: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    memo: dict[str, int] | None = None
    repeats: int = 0
    remembered: dict[str, int] = field(default_factory=dict)
    fits: dict[str, str] = field(default_factory=dict)
    flags: dict[str, int] = field(default_factory=dict)
    flags_by_source: dict[str, dict[str, int]] = field(default_factory=dict)
    flagged: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    shares_pass_of: str | None = None
    margins: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    certificate: list[dict[str, Any]] = field(default_factory=list)
    clauses: list[dict[str, Any]] = field(default_factory=list)
    services: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def note(self, decisions: Decisions, tolerances: Mapping[str, float | None]) -> None:
        """Record what a filter or a fuse says besides its decisions on rows."""
        self.note_margins(decisions.margins, tolerances)
        self.facts |= decisions.facts
        self.notes += decisions.notes
        self.certificate += [asdict(clause) for clause in decisions.certificate]

    def count(self, name: str, times: int) -> None:
        """Add to a number."""
        self.counts[name] = self.counts.get(name, 0) + times

    def note_margins(
        self, margins: Iterable[Margin], tolerances: Mapping[str, float | None]
    ) -> None:
        """Record margins; one is close where it does not exceed twice the tolerance.

        Where a tolerance is not known (None), or what it makes of the value, every margin is.
        """
        for margin in margins:
            known = tolerances.get(margin.column or "", 0.0)
            if known == 0:
                tolerance: float | None = 0.0
            elif known is None or margin.factor is None:
                tolerance = None
            else:
                tolerance = known * margin.factor
            self.margins.append(
                {
                    "cut": margin.cut,
                    "distance": margin.distance,
                    "tolerance": tolerance,
                    "close": tolerance is None
                    or (tolerance > 0 and margin.distance <= 2 * tolerance),
                }
            )

    def entry(self) -> dict[str, Any]:
        """As JSON values; certificate, clauses and accounts of services only where there are."""
        entry = asdict(self)
        for name in ("services", "certificate", "clauses"):
            if not entry[name]:
                del entry[name]
        books = entry.pop("books")
        return {"in": books.pop("entered"), **books, **entry}
