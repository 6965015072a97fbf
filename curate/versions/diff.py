"""What lies between two versions, row by row, as their ledgers tell it.

Heavy: import it where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import zip_longest
from typing import Any

import polars as pl

from curate.ledger import KEPT
from curate.recipe.names import OUTPUT
from curate.versions.causes import placed, why
from curate.versions.lineage import Lineage
from curate.versions.open import Version
from curate.versions.parameters import Change, changes
from curate.versions.rows import by_split, published
from curate.versions.shifts import (
    ClauseShift,
    Move,
    ScoreShift,
    ShareShift,
    SplitShift,
    StageShift,
    clause_shifts,
    score_shifts,
    share_shifts,
    split_shifts,
    stage_shifts,
)

REASONS = {
    "values": "the same row holds other values",
    "replaced": "a stage of the second version rewrote it",
    "not_replaced": "a stage of the first version had rewritten it",
    "replaced_otherwise": "both versions rewrote it, each in its way",
    "not_in_sources": "the sources of the second version do not hold it",
    "new_in_sources": "the sources of the first version did not hold it",
    "not_made": "the stage that made it in the first version did not make it in the second",
    "newly_made": "the stage that made it in the second version had not made it in the first",
    "other_split": "the same row, with the same values, is in another split",
}
"""Reasons of a difference besides those of the ledgers."""

_SCHEMA = pl.Schema(
    [
        *((name, pl.String) for name in ("change", "id", "other")),
        *((name, pl.String) for name in ("stage", "reason", "detail", "ref")),
        ("columns", pl.List(pl.String)),
        *((name, pl.String) for name in ("source", "file")),
        ("line", pl.Int64),
    ]
)


@dataclass(frozen=True)
class Count:
    """How many rows changed in one way for one reason.

    Attributes:
        change: `removed`, `added` or `changed`.
        stage: The stage that did it; None where none did.
        reason: A code of the ledger's, or one of `REASONS`.
        rows: How many; of changed rows, pairs of a row and what stands in its place.
    """

    change: str
    stage: str | None
    reason: str
    rows: int


@dataclass(frozen=True)
class Counts:
    """Kept rows: before = same + changed_before + removed, after = same + changed_after + added.

    Rows that are the same may be in another split.
    """

    before: int
    after: int
    same: int
    changed_before: int
    changed_after: int
    removed: int
    added: int


class Diff:
    """The difference between two versions.

    A row is the same where its id is. Rows of the first version that are not kept in the second
    are removed, unless rows that replaced them are kept: then they are changed, as are rows with
    other values.

    Attributes:
        one: The first version.
        two: The second.
    """

    def __init__(self, one: Version, two: Version) -> None:
        """Compare two versions, of one dataset or of two; nothing is read yet."""
        self.one = one
        self.two = two

    @cached_property
    def changes(self) -> list[Change]:
        """Parameters, inputs, models and packages that differ."""
        return changes(self.one, self.two)

    @cached_property
    def shares(self) -> list[ShareShift]:
        """Kept rows by source, origin, generator, ability and licence."""
        return share_shifts(self.one.manifest, self.two.manifest)

    @cached_property
    def splits(self) -> list[SplitShift]:
        """Kept rows by split; `train` alone where a version names none."""
        return split_shifts(self.one, self.two)

    @cached_property
    def moves(self) -> list[Move]:
        """Rows of the same id by the splits between which they moved, the most frequent first."""
        groups = self._moved.group_by("before", "after").len()
        return sorted(
            (Move(*row) for row in groups.iter_rows()), key=lambda m: (-m.rows, m.before, m.after)
        )

    @cached_property
    def clauses(self) -> list[ClauseShift]:
        """The clauses of policies, and how they were met."""
        return clause_shifts(self.one.manifest, self.two.manifest)

    @cached_property
    def stages(self) -> list[StageShift]:
        """The books of each stage."""
        return stage_shifts(self.one.manifest, self.two.manifest)

    @cached_property
    def scores(self) -> tuple[list[ScoreShift], list[str], list[str]]:
        """Score columns of both versions; names of those of the first and the second alone."""
        return score_shifts(self.one, self.two)

    @cached_property
    def counts(self) -> Counts:
        """How many rows are the same, removed, added and changed."""
        before, after = (version.manifest["books"][KEPT] for version in (self.one, self.two))
        rows = self.rows
        gone, new = (int((rows["change"] == change).sum()) for change in ("removed", "added"))
        changed = rows.filter(change="changed")
        was = changed["id"].n_unique()
        is_now = changed.select(pl.col("other").fill_null(pl.col("id")).n_unique()).item()
        return Counts(before, after, before - gone - was, was, is_now, gone, new)

    @cached_property
    def reasons(self) -> list[Count]:
        """The changes but moves by stage and reason, the most frequent first."""
        groups = (
            self.rows.filter(pl.col("change") != "moved")
            .group_by("change", "stage", "reason")
            .len()
        )
        order = {"removed": 0, "added": 1, "changed": 2}
        counts = [Count(*row) for row in groups.iter_rows()]
        return sorted(counts, key=lambda c: (order[c.change], -c.rows, c.stage or "", c.reason))

    @cached_property
    def rows(self) -> pl.DataFrame:
        """One row for each example that changed, or only moved to another split.

        Returns:
            `change`: `removed`, `added`, `changed` or `moved`; `id` (of all but added rows that of
            the first version); `other`, the id of the row in its place; `stage`, `reason`,
            `detail` and `ref`; `columns`, those whose values differ; `source`, `file` and `line`.
            By change, then in the order of the ledger.
        """
        kept = [v.ledger.filter(fate=KEPT).select("id") for v in (self.one, self.two)]
        gone = kept[0].join(kept[1], on="id", how="anti", maintain_order="left")
        new = kept[1].join(kept[0], on="id", how="anti", maintain_order="left")
        pairs = self._replaced(gone["id"].to_list(), new["id"].to_list())
        gone = gone.join(pairs, on="id", how="anti", maintain_order="left")
        new = new.join(pairs, left_on="id", right_on="other", how="anti", maintain_order="left")
        moved = self._moved.join(self._edited, on="id", how="anti", maintain_order="left")
        moved = moved.select("id", stage=pl.lit(OUTPUT), reason=pl.lit("other_split"))
        parts = [
            why(gone, self._lineages[0], self._lineages[1], "not_in_sources", "not_made"),
            why(new, self._lineages[1], self._lineages[0], "new_in_sources", "newly_made"),
            placed(pl.concat([pairs, self._edited], how="diagonal"), self.one),
            placed(moved, self.one),
        ]
        names = ("removed", "added", "changed", "moved")
        return pl.concat(
            [
                part.with_columns(change=pl.lit(name)).match_to_schema(
                    _SCHEMA, missing_columns="insert", extra_columns="ignore"
                )
                for name, part in zip(names, parts, strict=True)
            ]
        )

    @cached_property
    def _lineages(self) -> tuple[Lineage, Lineage]:
        return Lineage(self.one), Lineage(self.two)

    @cached_property
    def columns(self) -> dict[str, list[str]]:
        """Columns of the rows of one version alone (`before`, `after`), and of other `types`."""
        one, two = (published(v, dropped=False).collect_schema() for v in (self.one, self.two))
        return {
            "before": [name for name in one if name not in two],
            "after": [name for name in two if name not in one],
            "types": [name for name in one if name in two and one[name] != two[name]],
        }

    @cached_property
    def _by_split(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        return by_split(self.one), by_split(self.two)

    @cached_property
    def _moved(self) -> pl.DataFrame:
        """Rows kept in both versions in splits of other names: `id`, `before`, `after`."""
        if len(self.splits) == 1:
            return pl.DataFrame(schema=dict.fromkeys(("id", "before", "after"), pl.String))
        before, after = (
            rows.rename({"split": side})
            for rows, side in zip(self._by_split, ("before", "after"), strict=True)
        )
        both = before.join(after, on="id", maintain_order="left")
        return both.filter(pl.col("before") != pl.col("after"))

    @cached_property
    def _edited(self) -> pl.DataFrame:
        """Rows kept in both versions with other values: `id`, `columns`, `reason`."""
        tables = [published(v, dropped=False) for v in (self.one, self.two)]
        one, two = (table.collect_schema() for table in tables)
        names = [n for n in one if n in two and one[n] == two[n] and n != "id"]
        frames = [table.select("id", *names).collect() for table in tables]
        both = frames[0].join(frames[1], on="id", suffix="@after", maintain_order="left")
        differs = [pl.col(n).ne_missing(pl.col(f"{n}@after")).alias(n) for n in names]
        marks = both.select("id", *differs)
        marks = marks.filter(pl.any_horizontal(names) if names else pl.lit(value=False))
        which = pl.concat_list(
            pl.when(pl.col(name)).then(pl.lit(name)) for name in names
        ).list.drop_nulls()
        return marks.select("id", columns=which, reason=pl.lit("values"))

    def _replaced(self, gone: list[str], new: list[str]) -> pl.DataFrame:
        """Rows of the first version beside those that stand in their place in the second.

        Both stand for a row that was replaced on the way to one of them, or to both. Of several on
        one side each stands once at least.

        Returns:
            `id`, `other`, `stage`, `reason`.
        """
        one, two = self._lineages
        before, after = one.standing(gone), two.standing(new)
        roots = dict.fromkeys([*before, *after])
        for ids, standing in ((set(gone), before), (set(new), after)):
            for root in roots:
                if root in ids and root not in standing:
                    standing[root] = [root]
        columns: dict[str, list[Any]] = {"id": [], "other": [], "stage": [], "reason": []}
        taken: set[str] = set()
        for root in roots:
            olds, news = before.get(root), after.get(root)
            for was, now in _side_by_side(olds, news) if olds and news else ():
                if was not in taken or now not in taken:
                    cause = _by_whom(root, was, now, one.merged, two.merged)
                    for name, value in zip(columns, (was, now, *cause), strict=True):
                        columns[name].append(value)
                    taken.update((was, now))
        return pl.DataFrame(columns, dict.fromkeys(columns, pl.String))

    def full_rows(self) -> pl.DataFrame:
        """`rows` with splits and conversations before and after, and the other values that differ.

        Returns:
            Besides, `split_before` and `split_after`, `before` and `after` (conversations; all
            null where the version does not keep such a row), `values_before` and `values_after`
            (JSON of the columns but `messages` that differ in some row of the same id; null for
            all others).
        """
        rows = self.rows.with_columns(
            was=pl.when(pl.col("change") != "added").then("id"),
            now=pl.when(pl.col("change") == "added")
            .then("id")
            .when(pl.col("change") != "removed")
            .then(pl.col("other").fill_null(pl.col("id"))),
        )
        edited = rows.filter(reason="values", change="changed")
        names = set(edited["columns"].explode(empty_as_null=False).unique()) - {"messages"}
        for rows_of_split, key, text in zip(
            self._by_split, ("was", "now"), ("before", "after"), strict=True
        ):
            rows = rows.join(
                rows_of_split.rename({"split": f"split_{text}"}),
                left_on=key,
                right_on="id",
                how="left",
                maintain_order="left",
            )
        for version, key, text in ((self.one, "was", "before"), (self.two, "now", "after")):
            wanted = published(version, dropped=False).select("id", pl.col("messages").alias(text))
            rows = rows.join(
                wanted.collect(), left_on=key, right_on="id", how="left", maintain_order="left"
            )
            values = pl.DataFrame(schema={"id": pl.String, f"values_{text}": pl.String})
            if names:
                values = (
                    published(version, dropped=False)
                    .filter(pl.col("id").is_in(edited["id"].implode()))
                    .select(
                        "id", pl.struct(sorted(names)).struct.json_encode().alias(f"values_{text}")
                    )
                    .collect()
                )
            rows = rows.join(
                values.with_columns(reason=pl.lit("values")),
                left_on=[key, "reason"],
                right_on=["id", "reason"],
                how="left",
                maintain_order="left",
            )
        return rows.drop("was", "now")

    def facts(self) -> dict[str, Any]:
        """Everything but the single rows, as JSON values."""
        scores, before, after = self.scores
        return {
            "before": _about(self.one),
            "after": _about(self.two),
            "counts": asdict(self.counts),
            "reasons": [asdict(count) for count in self.reasons],
            "changes": [asdict(change) for change in self.changes],
            "stages": [asdict(stage) for stage in self.stages],
            "policies": [asdict(clause) for clause in self.clauses],
            "shares": [asdict(share) for share in self.shares],
            "splits": [asdict(split) for split in self.splits],
            "moves": [asdict(move) for move in self.moves],
            "scores": [asdict(score) for score in scores],
            "scores_alone": {"before": before, "after": after},
            "columns": self.columns,
        }


def _about(version: Version) -> dict[str, Any]:
    books = version.manifest["books"]
    return {
        "name": version.name,
        "version": version.version,
        "path": str(version.path),
        "digest": version.digest,
        "books": dict(books),
    }


def _side_by_side(olds: list[str], news: list[str]) -> Iterator[tuple[str, str]]:
    """Pairs in which each stands once at least; the last of the shorter side beside the rest."""
    return zip_longest(olds, news, fillvalue=olds[-1] if len(olds) < len(news) else news[-1])


def _by_whom(
    root: str, old: str, new: str, before: Mapping[str, str], after: Mapping[str, str]
) -> tuple[str | None, str]:
    """The stage that replaced a row, and in which of the versions it did."""
    if old in after:
        return after[old], "replaced"
    if new in before:
        return before[new], "not_replaced"
    return after.get(root) or before.get(root), "replaced_otherwise"
