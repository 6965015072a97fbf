"""The verbs `filter` and `fuse`: decisions checked, then written to the ledger."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import polars as pl

from curate.contract.results import Clause, Decisions
from curate.ledger import DROPPED, Positions
from curate.run.arena import Arena
from curate.run.computing import broken, check_columns, check_ids
from curate.run.facts import StageFacts

OPTIONAL = {"reason": pl.String, "ref": pl.String, "value": pl.Float64, "detail": pl.String}


def check_decisions(
    stage: str,
    decisions: Decisions,
    ids: pl.Series,
    droppable: Collection[str] | None,
    reasons: Mapping[str, str],
    labels: Collection[str] = (),
) -> pl.DataFrame:
    """Check what a filter or a fuse decided.

    Returns:
        `keep`, `reason`, `ref`, `value`, `detail` and the labels, in the order of `ids`.

    Raises:
        PluginError: Wrong columns or ids, a row missing, a decision that is null, a reason that is
            not declared or missing, a row dropped that the stage may not touch, or a certificate
            that is none.
    """
    if not isinstance(decisions, Decisions):
        raise broken(stage, f"it returned {type(decisions).__name__}, not Decisions")
    _check_certificate(stage, decisions.certificate)
    rows = decisions.rows
    check_columns(stage, rows, ["id", "keep", *labels], [*OPTIONAL])
    check_ids(stage, rows["id"], set(ids.to_list()))
    if len(rows) != len(ids):
        raise broken(stage, f"it decided on {len(rows)} of {len(ids)} rows")
    if rows["keep"].dtype != pl.Boolean or rows["keep"].null_count():
        raise broken(stage, "`keep` must be true or false for every row")
    rows = rows.with_columns(
        pl.col(name).cast(dtype) if name in rows.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in OPTIONAL.items()
    )
    for name in labels:
        if rows[name].dtype not in (pl.String, pl.Null):
            raise broken(stage, f"`{name}` must hold text")
    rows = rows.with_columns(pl.col(name).cast(pl.String) for name in labels)
    dropped = rows.filter(~pl.col("keep"))
    unknown = set(dropped["reason"].unique()) - set(reasons)
    if unknown:
        raise broken(stage, f"it gave the reason {unknown.pop()}, declared are {sorted(reasons)}")
    if droppable is not None:
        touched = next((id for id in dropped["id"] if id not in droppable), None)
        if touched is not None:
            raise broken(stage, f"it dropped {touched}, which its `where:` leaves untouched")
    return ids.to_frame("id").join(rows, on="id", how="left", maintain_order="left")


def _check_certificate(stage: str, certificate: Iterable[Clause]) -> None:
    for clause in certificate:
        if not isinstance(clause, Clause):
            raise broken(stage, f"its certificate holds {type(clause).__name__}, not Clause")
        counts = (clause.rows, clause.of, clause.slack, clause.available or 0)
        if any(type(count) is not int for count in counts):
            raise broken(
                stage, f"the clause {clause.name} has numbers of rows that are no integers"
            )
        if not 0 <= clause.rows <= clause.of or (clause.state == "relaxed") != (clause.slack < 0):
            raise broken(stage, f"the clause {clause.name} contradicts itself: {clause}")


def settle(
    arena: Arena, stage: str, positions: Positions, decided: pl.DataFrame, facts: StageFacts
) -> Positions:
    """Write dropped rows to the ledger; returns the positions that stay."""
    keep = decided["keep"].to_numpy()
    dropped = decided.filter(~pl.col("keep"))
    arena.ledger.settle(
        positions[~keep],
        DROPPED,
        stage=stage,
        reason=dropped["reason"].to_list(),
        ref=dropped["ref"].to_list(),
        detail=dropped["detail"].to_list(),
    )
    counts = dropped.group_by("reason").len().sort("reason")
    for reason, count in counts.iter_rows():
        facts.reasons[reason] = facts.reasons.get(reason, 0) + count
    stay: Positions = positions[keep]
    return stay
