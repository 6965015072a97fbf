"""All rows of a run in one append-only place; tables are arrays of positions in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.contract.columns import BY_FORMAT, REJECTED, SEAM
from curate.contract.results import STILL_IN, Child
from curate.errors import CurateError, nearest
from curate.examples import FRAMEWORK, HIDDEN, child_id, combine, kind_of, parents_of, texts_of
from curate.ledger import FAILED, UNREADABLE, Ledger, Positions
from curate.provenance import RULES
from curate.recipe.where import Where
from curate.run.steps import Step
from curate.sources.formats.base import Format
from curate.sources.formats.found import column_of, columns_of, rewritten, telling, told
from curate.sources.formats.tools import as_text
from curate.sources.load import Loaded


class Arena:
    """Rows, their scores, the ledger and the tables that are alive.

    Attributes:
        rows: Framework columns, originals and the hidden `@file`, `@line` and texts. Rows that
            could not be read or made have an id and nulls.
        scores: Score columns, each as long as `rows`; null means not asked.
        root: For each row the source row that it stems from, over its first parent.
        made_before: Ids of rows that came with parents, from the version that they were made in.
        ancestors: The parents of rows that stood in versions which are sources now.
    """

    def __init__(self, loaded: Mapping[str, Loaded]) -> None:
        self.ledger = Ledger()
        self.tables: dict[str, Positions] = {}
        self.scores: dict[str, pl.Series] = {}
        self.formats: dict[str, tuple[Format, Mapping[str, str]]] = {}
        names = sorted(loaded)
        self.rows = combine([_with_unreadable(name, loaded[name]) for name in names])
        for name in names:
            source = loaded[name]
            self.formats[name] = (source.format, source.columns)
            entered = self.ledger.enter(len(source.rows) + len(source.unreadable))
            errors = {row.id: row.error for row in source.unreadable}
            unread = self.rows["id"][int(entered[0]) : int(entered[-1]) + 1].is_in(list(errors))
            bad = entered[unread.to_numpy()]
            details = [errors[id] for id in self.rows["id"].gather(bad)]
            self.ledger.settle(bad, FAILED, stage=None, reason=UNREADABLE, detail=details)
            self.tables[name] = entered[~unread.to_numpy()]
        self.made_before = frozenset(parents_of(self.rows))
        self.ancestors: dict[str, Sequence[str]] = {}
        for source in loaded.values():
            self.ancestors |= source.ancestors
        self.root: Positions = np.arange(len(self.rows), dtype=np.int64)

    def check_types(self, stage: str, where: Where) -> None:
        """Check a condition against the columns as they are, which for remote rows is news.

        Raises:
            CurateError: A column is not there, or holds another type than the condition needs.
        """
        kinds = {name: kind_of(dtype) for name, dtype in self.rows.schema.items()}
        kinds |= {name: kind_of(column.dtype) for name, column in self.scores.items()}
        self._check_there(where.columns)
        for error in where.check_types(kinds):
            raise CurateError(f"The condition of '{stage}': {error.message}", error.remedy)

    def _check_there(self, columns: Iterable[str]) -> None:
        there = [*self.rows.columns, *self.scores]
        for name in columns:
            if name not in there:
                raise CurateError(f"There is no column '{name}'.", nearest(name, there))

    def frame(self, positions: Positions, columns: Iterable[str]) -> pl.DataFrame:
        """`id` and the given columns of some rows, score columns among them.

        Raises:
            CurateError: There is no such column.
        """
        index = pl.Series(positions, dtype=pl.UInt32)
        wanted = dict.fromkeys(["id", *columns])
        self._check_there(wanted)
        stored = [name for name in wanted if name not in self.scores]
        frame = self.rows.select(stored)[index]
        added = [
            self.scores[name].gather(index).alias(name) for name in wanted if name in self.scores
        ]
        return frame.with_columns(added).select(list(wanted))

    def stage_frame(
        self, step: Step, positions: Positions, columns: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """`id` and what a stage reads of some rows (or some of it), its conditions evaluated.

        Raises:
            CurateError: A column is not there, or holds another type than a condition needs.
        """
        conditions = {f"@{name}": where for name, where in step.conditions.items()}
        inputs = step.stage.inputs() if columns is None else columns
        made = {*conditions, *BY_FORMAT}
        frame = self.frame(positions, [name for name in inputs if name not in made])
        if not set(BY_FORMAT).isdisjoint(inputs):
            frame = frame.with_columns(self._by_format(positions))
        for name, where in conditions.items():
            if name not in inputs:
                continue
            self.check_types(step.id, where)
            read = self.frame(positions, where.columns)
            frame = frame.with_columns(read.select(where.expr().alias(name)).to_series())
        return frame.select(list(dict.fromkeys(["id", *inputs])))

    def _by_format(self, positions: Positions) -> list[pl.Series]:
        """The columns of `BY_FORMAT` for some rows."""
        columns = self.rows.columns
        shapes = {source: telling(*form, columns) for source, form in self.formats.items()}
        names = {
            column_of(field, mapping)
            for forms in shapes.values()
            for form, mapping in forms
            for field in form.fields
        }
        stored = [name for name in columns if name in {"source", "messages", *names}]
        said: list[tuple[list[dict[str, str]] | None, str | None]] = [(None, None)] * len(positions)
        if names:
            index = pl.Series(positions, dtype=pl.UInt32)
            for at, row in enumerate(self.rows.select(stored)[index].iter_rows(named=True)):
                said[at] = told(row, shapes[row["source"]])
        rejected, seams = ([each[part] for each in said] for part in (0, 1))
        return [
            pl.Series(REJECTED, rejected, dtype=self.rows.schema["messages"]),
            pl.Series(SEAM, seams, dtype=pl.String),
        ]

    def inside(self, step: Step, positions: Positions) -> NDArray[np.bool_]:
        """Which rows a step's `where:` lets it touch.

        Raises:
            CurateError: A column is not there, or holds another type than the condition needs.
        """
        if step.where is None:
            return np.ones(len(positions), dtype=np.bool_)
        self.check_types(step.id, step.where)
        frame = self.frame(positions, step.where.columns)
        mask = frame.select(step.where.expr().fill_null(False).alias("inside"))
        return mask["inside"].to_numpy().astype(np.bool_)

    def set_scores(self, name: str, positions: Positions, values: pl.Series) -> None:
        """Write a score column for some rows; it is null for the others."""
        placed = pl.DataFrame({"at": pl.Series(positions, dtype=pl.UInt32), "value": values})
        at = pl.DataFrame({"at": pl.int_range(len(self.rows), dtype=pl.UInt32, eager=True)})
        joined = at.join(placed, on="at", how="left", maintain_order="left")
        self.scores[name] = joined["value"].alias(name)

    def ordered(self, positions: Positions) -> Positions:
        """Positions by source, file and line, children after their root."""
        return positions[np.lexsort((positions, self.root[positions]))]

    def place(self, position: int) -> str:
        """Where a row comes from, for messages: file and line, or its parents."""
        row = self.rows.row(position, named=True)
        at = f"{row['@file']}:{row['@line']}"
        return f"{at} (id {row['id']})" if not row["parents"] else f"{row['id']}, made from {at}"

    def parents(self) -> dict[str, Sequence[str]]:
        """Row > the rows that it was made from, here or in a version; rows of none are left out."""
        return self.ancestors | parents_of(self.rows)

    def before(self) -> pl.DataFrame:
        """`id` and `parents` of the rows that those here stem from and that are not among them.

        Only of rows that were themselves made from others, sorted by id.
        """
        here, known = frozenset(self.rows["id"]), self.parents()
        found: dict[str, Sequence[str]] = {}
        left = [parent for id in here for parent in known.get(id, ())]
        while left:
            id = left.pop()
            if id in known and id not in here and id not in found:
                found[id] = known[id]
                left += known[id]
        rows = sorted(found.items())
        return pl.DataFrame(rows, {"id": pl.String, "parents": pl.List(pl.String)}, orient="row")

    def add_children(
        self, stage: str, parents: Sequence[Positions], children: Sequence[Child]
    ) -> Positions:
        """Take up new examples; returns their positions. Errors among them get no fate here.

        Args:
            stage: Id of the stage that made them.
            parents: For each child the positions of its parents.
            children: The new examples.
        """
        first = np.array([positions[0] for positions in parents], dtype=np.int64)
        inherits = np.array(
            [c.replaces and len(c.parents) == 1 and c.error is None for c in children]
        )
        base = self.rows[pl.Series(first, dtype=pl.UInt32)]
        keep = pl.Series("keep", inherits)
        always = {"source", "@file", "@line"}
        base = base.with_columns(
            pl.when(keep).then(pl.col(name)).otherwise(None).alias(name)
            for name in base.columns
            if name not in always
        )
        values = self._values(stage, parents, children)
        made = base.with_columns(
            pl.Series(name, column, dtype=self.rows.schema[name], strict=True)
            if given.all()
            else pl.Series(name, column, dtype=self.rows.schema[name], strict=True).zip_with(
                pl.Series(given), base[name]
            )
            for name, (column, given) in values.items()
        )
        texts = texts_of(made["messages"])
        made = made.with_columns(texts)
        positions = self.ledger.create(len(children))
        self._append(made)
        self.root = np.concatenate([self.root, self.root[first]])
        return positions

    def still_holding(self, positions: Positions, children: Sequence[Child]) -> Counter[str]:
        """Rows of which a column of text holds what was removed from the conversation.

        What the conversation itself still holds, such as a value left in code, is not looked for.

        Args:
            positions: Of the children.
            children: The same, as they came.

        Returns:
            Under the name of what was removed, `STILL_IN` and the column.
        """
        found = Counter[str]()
        own = {*FRAMEWORK, *HIDDEN}
        kinds = self.rows.schema.items()
        names = [name for name, kind in kinds if kind == pl.String and name not in own]
        those = [at for at, child in enumerate(children) if child.removed]
        if not those or not names:
            return found
        texts = self.rows.select(names)[pl.Series(positions[those], dtype=pl.UInt32)]
        for at, row in zip(those, texts.iter_rows(), strict=True):
            child = children[at]
            turns = (*(child.messages or ()), *(child.rejected or ()))
            said = "\n".join(turn["content"] for turn in turns).lower()
            for name, values in child.removed.items():
                gone = [value.lower() for value in values if value.lower() not in said]
                found.update(
                    f"{name}{STILL_IN}{column}"
                    for column, text in zip(names, row, strict=True)
                    if text is not None and any(value in text.lower() for value in gone)
                )
        return found

    def _values(
        self, stage: str, parents: Sequence[Positions], children: Sequence[Child]
    ) -> dict[str, tuple[list[Any], np.ndarray[Any, np.dtype[np.bool_]]]]:
        """Column > values for each child and whether the child has one of its own there."""
        columns: dict[str, list[Any]] = {}
        given: dict[str, list[bool]] = {}
        occurrences: dict[tuple[str, ...], int] = {}
        for at, child in enumerate(children):
            around = self.rows.select(*RULES, "source")[
                pl.Series(parents[at], dtype=pl.UInt32)
            ].to_dict(as_series=False)
            occurrence = occurrences.get(child.parents, 0)
            said = {name: getattr(child, name) or None for name in RULES}
            messages = None if child.messages is None else [dict(m) for m in child.messages]
            id = child_id(child.parents, stage, child.round, occurrence, messages)
            while id in self.made_before:
                occurrence += 1
                id = child_id(child.parents, stage, child.round, occurrence, messages)
            occurrences[child.parents] = occurrence + 1
            row: dict[str, Any] = {
                "id": id,
                "messages": messages,
                "parents": list(child.parents),
                **{name: rule(said[name], around[name]) for name, rule in RULES.items()},
            }
            if messages is not None:
                first = int(parents[at][0])
                row |= self._in_shape(around["source"][0], first, child)
            row |= child.columns
            for name, value in row.items():
                columns.setdefault(name, [None] * len(children))[at] = value
                given.setdefault(name, [False] * len(children))[at] = True
        return {name: (columns[name], np.array(given[name])) for name in columns}

    def _in_shape(self, source: str, parent: int, child: Child) -> dict[str, Any]:
        """The original columns of a child, in the shape that its parent came in."""
        shape, mapping = self.formats[source]
        there = [name for name in columns_of(shape, mapping) if name in self.rows.columns]
        row = self.rows.select("messages", *there).row(parent, named=True)
        assert child.messages is not None
        made = rewritten(
            row,
            shape,
            mapping,
            [dict(turn) for turn in child.messages],
            in_place=child.replaces,
            rejected=child.rejected,
        )
        return {
            name: as_text(value)
            if isinstance(value, list) and self.rows.schema[name] == pl.String
            else value
            for name, value in made.items()
            if name in there
        }

    def _append(self, rows: pl.DataFrame) -> None:
        before = len(self.rows)
        self.rows = pl.concat([self.rows, rows], how="diagonal")
        for name, column in self.scores.items():
            padding = pl.Series([None] * (len(self.rows) - before), dtype=column.dtype)
            self.scores[name] = column.append(padding)


def _with_unreadable(name: str, loaded: Loaded) -> pl.DataFrame:
    """The rows of a source by file and line, those that could not be read among them."""
    if not loaded.unreadable:
        return loaded.rows
    bad = pl.DataFrame(
        {
            "id": [row.id for row in loaded.unreadable],
            "source": [name] * len(loaded.unreadable),
            "@file": [row.file for row in loaded.unreadable],
            "@line": [row.line for row in loaded.unreadable],
        }
    )
    order = {file.shown: at for at, file in enumerate(loaded.files)}
    together = pl.concat([loaded.rows, bad], how="diagonal")
    return together.sort(pl.col("@file").replace_strict(order, return_dtype=pl.Int64), "@line")
