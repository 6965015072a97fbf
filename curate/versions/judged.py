"""Which rows a filter or fuse judged, and which passed. Heavy: import it where it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from curate.ledger import DROPPED, KEPT
from curate.versions.lineage import Lineage
from curate.versions.open import Version
from curate.versions.rows import inside, schema_of, table


@dataclass(frozen=True)
class Judged:
    """Rows that a stage decided on.

    Attributes:
        rows: `id`, `value` (its number, never null or NaN), `passed` (bool), `fate` and the columns
            that were asked for; in the order of the ledger.
        unpublished: How many more it judged of which the number, or that they were judged, is not
            published; above 0 only where rows that were not kept are not published.
    """

    rows: pl.DataFrame
    unpublished: int

    def side(self, *, passed: bool) -> pl.Series:
        """The numbers of the rows that passed, or of those that it dropped."""
        return self.rows.filter(pl.col("passed") == passed)["value"]


def column_of(version: Version, stage: Mapping[str, Any]) -> str | None:
    """The numbers that a filter or fuse chose by: those of its `by`, else those that it gave.

    Returns:
        A numeric column that is published; None where there is none.
    """
    known, by = schema_of(version), stage["params"].get("by")
    name = by if isinstance(by, str) else f"{stage['id']}_value"
    return name if name in known and known[name].is_numeric() else None


def judged(
    version: Version, stage: Mapping[str, Any], column: str, also: Sequence[str] = ()
) -> Judged | None:
    """The rows that a filter or fuse judged, by a column of numbers.

    These came to it by their source or the stage that made them, had not fallen before, and are
    inside its `where:`; not rows that were made at it or later, though they inherit columns.

    Args:
        version: The version.
        stage: The stage, as in the manifest.
        column: Numbers: its `by`, its own `<id>_value`, or any that `schema_of` gives.
        also: More columns of the rows.

    Returns:
        None where its `where:` cannot be computed here, as with `${NAME}` in it.
    """
    within = inside(version, stage.get("where"))
    if within is None:
        return None
    stages = [each["id"] for each in version.manifest["stages"]]
    later = stages[stages.index(stage["id"]) + 1 :]
    here = (pl.col("ledger.fate") == DROPPED) & (pl.col("ledger.stage") == stage["id"])
    stayed = (pl.col("ledger.fate") == KEPT) | pl.col("ledger.stage").is_in(later)
    names = [name for name in also if name != "id"]
    ledger = ["ledger.source", "ledger.fate", "ledger.stage", "ledger.reason"]
    rows = (
        table(version, [column, *names, *ledger])
        .join(within, on="id", how="left", maintain_order="left")
        .filter(here | (stayed & pl.col("inside")))
        .filter(pl.col("ledger.reason").ne_missing("missing") | ~here)
        .with_columns(passed=~here.fill_null(value=False), fate="ledger.fate")
    )
    rows = _arrived(version, stage, rows)
    numbered = rows.with_columns(value=column).filter(pl.col("value").is_not_null())
    if numbered["value"].dtype.is_float():
        numbered = numbered.filter(pl.col("value").is_not_nan())
    told = len(rows) if column == f"{stage['id']}_value" else len(numbered)
    asked = stage["in"] - stage["untouched"] - stage["reasons"].get("missing", 0)
    return Judged(
        numbered.select("id", "value", "passed", "fate", *names),
        0 if (version.path / "dropped.parquet").exists() else asked - told,
    )


def _arrived(version: Version, stage: Mapping[str, Any], rows: pl.DataFrame) -> pl.DataFrame:
    """Those of some rows that came to a stage, if they had not fallen before."""
    sources, makers = _upstream(version.manifest, stage)
    lineage = Lineage(version)
    made = lineage.makers(id for id in rows["id"] if id in lineage.made)
    came = [id for id, maker in made.items() if maker in makers]
    by_source = pl.col("ledger.source").is_in(sources) & ~pl.col("id").is_in(list(made))
    return rows.filter(by_source | pl.col("id").is_in(came))


def _upstream(
    manifest: Mapping[str, Any], stage: Mapping[str, Any]
) -> tuple[list[str], frozenset[str]]:
    """The sources whose rows come to a stage, and the stages whose rows do."""
    makers = {each.get("result", each["id"]): each for each in manifest["stages"]}
    tables, sources, stages = list(stage["inputs"]), [], set()
    while tables:
        name = tables.pop()
        if name in makers:
            tables += makers[name]["inputs"]
            stages.add(makers[name]["id"])
        else:
            sources.append(name)
    return sources, frozenset(stages)
