"""How scores, shares and books differ between two versions. Heavy: import it where it is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from curate.ledger import KEPT
from curate.versions.open import Version
from curate.versions.policy import certificates
from curate.versions.rows import values

SHARED = ("source", "origin", "generator", "ability", "license")


@dataclass(frozen=True)
class Numbers:
    """A column of numbers over some rows; None where there is none, and of texts."""

    rows: int
    mean: float | None
    median: float | None


@dataclass(frozen=True)
class ScoreShift:
    """A score column of two versions.

    Attributes:
        column: Its name; true counts as 1.
        before: Of all rows of the first version that have a value.
        after: Of those of the second.
        kept_before: Of the kept rows of the first version that have a value.
        kept_after: Of those of the second.
        both: Rows with a value in both.
        moved: How many of these moved by more than the tolerance; of texts, are others.
        tolerance: How far the stage says that other machines may move a value; None: nobody knows,
            and any difference counts.
        largest: The largest move; None of texts.
        rank_correlation: Spearman's, over the rows with a value in both; None below two rows,
            where all values are the same, and of texts.
    """

    column: str
    before: Numbers
    after: Numbers
    kept_before: Numbers
    kept_after: Numbers
    both: int
    moved: int
    tolerance: float | None
    largest: float | None
    rank_correlation: float | None


@dataclass(frozen=True)
class ShareShift:
    """Kept rows with a value in a column; a value of None stands for rows without one."""

    column: str
    value: str | None
    before: int
    after: int


@dataclass(frozen=True)
class SplitShift:
    """Kept rows of a split; None in the version that has no such split."""

    split: str
    before: int | None
    after: int | None


@dataclass(frozen=True)
class Move:
    """How many of the rows that both versions keep went from one split to another."""

    before: str
    after: str
    rows: int


def split_shifts(one: Version, two: Version) -> list[SplitShift]:
    """Splits in the second version's order; those of the first alone last."""
    order = dict.fromkeys([*two.splits, *one.splits])
    return [SplitShift(name, one.splits.get(name), two.splits.get(name)) for name in order]


def score_shifts(one: Version, two: Version) -> tuple[list[ScoreShift], list[str], list[str]]:
    """Score columns of both versions, compared, and the names of those of one alone."""
    known = [{each["name"]: each for each in values(v.manifest)} for v in (one, two)]
    names = [n for n in known[0] if n in known[1] and _alike(known[0][n], known[1][n])]
    alone = [[name for name in known[at] if name not in known[1 - at]] for at in (0, 1)]
    frames = [_numbers(version, names) for version in (one, two)]
    both = frames[0].join(frames[1], on="id", suffix="@after")
    shifts = []
    for name in names:
        tolerances = [each[name].get("tolerance", 0.0) for each in known]
        shifts.append(_shift(name, frames[0], frames[1], both, _larger(*tolerances)))
    return shifts, alone[0], alone[1]


def _alike(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
    """Whether two columns hold texts, or both something else."""
    return [one["kind"], two["kind"]].count("string") != 1


def _larger(one: float | None, two: float | None) -> float | None:
    return None if one is None or two is None else max(one, two)


def _numbers(version: Version, names: list[str]) -> pl.DataFrame:
    scores = version.scan(version.path / "scores.parquet")
    kept = version.ledger.select("id", kept=pl.col("fate") == KEPT)
    texts = [name for name, kind in scores.collect_schema().items() if kind == pl.String]
    columns = [pl.col(n) if n in texts else pl.col(n).cast(pl.Float64) for n in names]
    return scores.select("id", *columns).collect().join(kept, on="id")


def _shift(
    name: str,
    before: pl.DataFrame,
    after: pl.DataFrame,
    both: pl.DataFrame,
    tolerance: float | None,
) -> ScoreShift:
    pairs = both.select(one=name, two=f"{name}@after").drop_nulls()
    if pairs["one"].dtype == pl.String:
        moved, largest, ranks = int((pairs["one"] != pairs["two"]).sum()), None, None
    else:
        moves = (pairs["one"] - pairs["two"]).abs()
        moved, largest = int((moves > (tolerance or 0.0)).sum()), moves.max()
        varied = len(pairs) > 1 and all(pairs[each].n_unique() > 1 for each in pairs.columns)
        ranks = pairs.select(pl.corr("one", "two", method="spearman")).item() if varied else None
    return ScoreShift(
        column=name,
        before=_summary(before[name]),
        after=_summary(after[name]),
        kept_before=_summary(before.filter("kept")[name]),
        kept_after=_summary(after.filter("kept")[name]),
        both=len(pairs),
        moved=moved,
        tolerance=tolerance,
        largest=_plain(largest),
        rank_correlation=_plain(ranks),
    )


def _summary(values: pl.Series) -> Numbers:
    there = values.drop_nulls()
    if there.dtype == pl.String:
        return Numbers(len(there), None, None)
    return Numbers(len(there), _plain(there.mean()), _plain(there.median()))


def _plain(value: Any) -> float | None:
    return None if value is None else float(value)


def share_shifts(one: Mapping[str, Any], two: Mapping[str, Any]) -> list[ShareShift]:
    """Kept rows by source, origin, generator, ability and licence, from the manifests."""
    found = []
    for column in SHARED:
        counts = [_counts(manifest, column) for manifest in (one, two)]
        for value in sorted({*counts[0], *counts[1]}):
            pair = [each.get(value, 0) for each in counts]
            found.append(ShareShift(column, value or None, *pair))
    return found


def _counts(manifest: Mapping[str, Any], column: str) -> Mapping[str, int]:
    if column == "license":
        licenses: Mapping[str, int] = manifest.get("licenses", {})
        return licenses
    counts: Mapping[str, int] = manifest["shares"][column]["after"]
    return counts


@dataclass(frozen=True)
class ClauseShift:
    """A clause of a policy in two versions; None in the one that has none of this name.

    Attributes:
        stage: The stage whose policy it is of.
        name: Its place in the stage's parameters.
        before: `asked`, `rows`, `of`, `state`, `slack` and `available` in the first version.
        after: The same in the second.
    """

    stage: str
    name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def clause_shifts(one: Mapping[str, Any], two: Mapping[str, Any]) -> list[ClauseShift]:
    """The clauses of policies, in the second version's order; those of the first alone last."""
    clauses = [
        {
            (certificate.stage, clause.name): {
                name: value for name, value in asdict(clause).items() if name != "name"
            }
            for certificate in certificates(manifest)
            for clause in certificate.clauses
        }
        for manifest in (one, two)
    ]
    order = dict.fromkeys([*clauses[1], *clauses[0]])
    return [ClauseShift(*key, clauses[0].get(key), clauses[1].get(key)) for key in order]


@dataclass(frozen=True)
class StageShift:
    """A stage's books in two versions; None in the one that has no stage of this id."""

    id: str
    before: dict[str, int] | None
    after: dict[str, int] | None


_BOOKS = ("in", "created", "out", "dropped", "failed", "merged")


def stage_shifts(one: Mapping[str, Any], two: Mapping[str, Any]) -> list[StageShift]:
    """The books of each stage, in the second version's order; those of the first alone last."""
    books = [
        {stage["id"]: {name: stage[name] for name in _BOOKS} for stage in manifest["stages"]}
        for manifest in (one, two)
    ]
    order = dict.fromkeys([*books[1], *books[0]])
    return [StageShift(id, books[0].get(id), books[1].get(id)) for id in order]
