"""How the policies of a version were met, as its manifest records it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curate.contract.results import Clause
from curate.printing import counted


@dataclass(frozen=True)
class Certificate:
    """The clauses of one stage's policy."""

    stage: str
    clauses: tuple[Clause, ...]


def certificates(manifest: Mapping[str, Any]) -> list[Certificate]:
    """The certificates of a version, in the order of its stages; those that have none do not."""
    return [
        Certificate(stage["id"], tuple(Clause(**clause) for clause in stage["certificate"]))
        for stage in manifest["stages"]
        if stage.get("certificate")
    ]


def relaxed(certificate: Certificate) -> list[str]:
    """A sentence for each clause that the policy gave up, and by how much it is missed."""
    return [
        f"Stage {certificate.stage}: the clause {clause.name} ({clause.asked}) was relaxed: "
        f"{clause.achieved()} of {counted(clause.of)}, {counted(-clause.slack)} from what was "
        "asked."
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
