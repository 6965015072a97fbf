"""What stages return, and what they say of it beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from curate.contract.columns import Kind, Origin
from curate.printing import counted

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Output:
    """A column that a score stage writes as `<id>_<name>`.

    Args:
        kind: What the column holds.
        tolerance: How far neutral parameters and other machines may move a value.
        flag: A boolean whose true values are counted and shown in the stage's line.
    """

    kind: Kind
    tolerance: float = 0.0
    flag: bool = False


@dataclass(frozen=True)
class Depends:
    """What one output depends on: parameters by name and parts of the fit (None: all)."""

    params: tuple[str, ...] | None = None
    fits: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Margin:
    """How far the row nearest to a cut stood from it.

    Args:
        cut: The cut in words, such as `similarity 0.92`.
        distance: In units of the value that was cut.
        column: The column whose tolerance bears on the cut.
        factor: How much an error in that column is multiplied in the value; None: nobody can say,
            so that the cut is called close wherever the column has a tolerance.
    """

    cut: str
    distance: float
    column: str | None = None
    factor: float | None = 1.0


@dataclass(frozen=True)
class Clause:
    """A clause of a policy: what was asked for and what came of it.

    Args:
        name: Its place in the stage's parameters, such as `shares.origin.human`.
        asked: As the recipe writes it, such as `>= 0.6`.
        rows: How many of the rows taken it is about.
        of: The rows taken, of which `rows` is a part.
        state: `binding`: not one row less, or more, would do; `slack`: some would; `relaxed`: the
            policy allowed that it be missed, and it is.
        slack: Rows to the nearest bound; below 0 the rows by which a relaxed one is missed.
        available: The rows that it could have taken; None where that does not apply.
    """

    name: str
    asked: str
    rows: int
    of: int
    state: Literal["binding", "slack", "relaxed"]
    slack: int
    available: int | None = None

    HEAD: ClassVar = ("clause", "asked", "achieved", "state", "available")
    """What `words` says."""

    def words(self) -> tuple[str, str, str, str, str]:
        """The clause in words, under `HEAD`; name and bounds are as the recipe has them."""
        state = self.state
        return (
            self.name,
            self.asked,
            self.achieved(),
            state if state == "binding" else f"{state}, {counted(self.slack)}",
            "" if self.available is None else f"{self.available:,}",
        )

    def achieved(self) -> str:
        """The rows that it is about, and their share of those taken: `600 (60.00 %)`."""
        share = f" ({100 * self.rows / self.of:.2f} %)" if self.of else ""
        return f"{self.rows:,}{share}"


@dataclass(frozen=True)
class Decisions:
    """What a filter or a fuse decided.

    Args:
        rows: Columns `id`, `keep` (boolean) and, where they apply, `reason` (one of the stage's
            codes, null for kept rows), `ref` (the id or reference row that the decision points
            at), `value` (a number), `detail` (free text), and of a filter its labels (texts, or
            null). One row for each row received.
        margins: One for every cut.
        facts: Counts and shares for the manifest, JSON values only.
        notes: What stands in the stage's line besides reasons, a few words each.
        certificate: How each clause of a policy was met, for manifest and card.
    """

    rows: pl.DataFrame
    margins: tuple[Margin, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    certificate: tuple[Clause, ...] = ()


STILL_IN = ".in."
"""Between what was removed and the column that still holds it, in the names of counts."""


@dataclass(frozen=True)
class Child:
    """A new example, or the news that one could not be made.

    With `counts` alone it is neither: a row that stays itself, of which something is counted.

    Args:
        parents: Ids of the examples that it was made from; at least one.
        messages: The conversation, as mappings with `role` and `content`.
        replaces: Whether it takes the place of its parents.
        rejected: Of a child that replaces a preference: the turns of the rejected answer, each as
            in `@rejected` but for its content. Not given, the row's format says what becomes of
            that answer.
        error: Set in place of `messages` where the child could not be made.
        round: In which round of a stage that works in rounds it was made.
        columns: Values for columns that the table has. Without them a child that replaces its one
            parent keeps that parent's, and any other has nulls; the fields of the row's format
            always follow `messages`.
        origin: `human`, `synthetic`, `mixed` or `unknown`. A stage says `synthetic` where a model
            wrote the text; a child of a human or mixed parent is `mixed` all the same, in its place
            or beside it, for text of a human went in. Not given, it is the parents' where they
            agree, `unknown` where one of theirs is, else `mixed`.
        generator: The model that wrote it. Not given, those of the parents, as far as they are
            known, sorted and joined by commas.
        license: What the stage adds to the licences of the parents. None of these is ever lost:
            several hold together, as the SPDX expression `a AND b`, with `unknown` for a parent
            whose licence is not known (see `curate.api.licenses_in`).
        ability: Not given, the parents' where they agree, else none.
        removed: Of a child that replaces its parent: texts that were taken out of the conversation,
            by what found them. Rows of which another column of text still holds one are counted as
            `NAME.in.COLUMN` (`STILL_IN`).
        counts: What was done to make it, by name: added up in the manifest over all rows, those
            whose children are remembered too; see `ExpandStage.notes`.
    """

    parents: tuple[str, ...]
    messages: Sequence[Mapping[str, str]] | None = None
    replaces: bool = False
    rejected: Sequence[Mapping[str, str]] | None = None
    error: str | None = None
    round: int = 0
    columns: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin | None = None
    generator: str | None = None
    license: str | None = None
    ability: str | None = None
    removed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
