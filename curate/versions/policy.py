"""How the policies of a version were met, as its manifest records it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curate.contract import Clause


@dataclass(frozen=True)
class Certificate:
    """The clauses of one stage's policy."""

    stage: str
    clauses: tuple[Clause, ...]


HEAD = ("clause", "asked", "achieved", "state", "available")
"""What `cells` says of a clause."""


def certificates(manifest: Mapping[str, Any]) -> list[Certificate]:
    """The certificates of a version, in the order of its stages; those that have none do not."""
    return [
        Certificate(stage["id"], tuple(Clause(**clause) for clause in stage["certificate"]))
        for stage in manifest["stages"]
        if stage.get("certificate")
    ]


def cells(clause: Clause) -> tuple[str, str, str, str, str]:
    """A clause in words, under `HEAD`; name and bounds are as the recipe has them."""
    return (
        clause.name,
        clause.asked,
        achieved(clause),
        clause.state if clause.state == "binding" else f"{clause.state}, {_rows(clause.slack)}",
        "" if clause.available is None else f"{clause.available:,}",
    )


def _rows(count: int) -> str:
    return f"{count:,} row" if abs(count) == 1 else f"{count:,} rows"


def achieved(clause: Clause) -> str:
    """The rows that a clause is about, and their share of those taken: `600 (60.00 %)`."""
    share = f" ({100 * clause.rows / clause.of:.2f} %)" if clause.of else ""
    return f"{clause.rows:,}{share}"


def relaxed(certificate: Certificate) -> list[str]:
    """A sentence for each clause that the policy gave up, and by how much it is missed."""
    return [
        f"Stage {certificate.stage}: the clause {clause.name} ({clause.asked}) was relaxed: "
        f"{achieved(clause)} of {clause.of:,} rows, {-clause.slack:,} rows from what was asked."
        for clause in certificate.clauses
        if clause.state == "relaxed"
    ]


def empty(certificate: Certificate) -> list[str]:
    """A sentence for each clause about rows of which there were none: it was met, by nothing."""
    return [
        f"Stage {certificate.stage}: the clause {clause.name} ({clause.asked}) is about rows of "
        "which there are none."
        for clause in certificate.clauses
        if clause.available == 0 and clause.state != "relaxed"
    ]
