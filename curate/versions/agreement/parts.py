"""The parts of a version, read once, and what is found at fault in them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import yaml

from curate.errors import CurateError
from curate.printing import one_line
from curate.sources.kept import ANCESTORS
from curate.versions.splits import TRAIN, splits_of
from curate.versions.verify import DROPPED, GONE, Finding

MANIFEST, LEDGER, SCORES, RECIPE, LOCK = (
    "manifest.json",
    "ledger.parquet",
    "scores.parquet",
    "recipe.yaml",
    "recipe.lock.yaml",
)
SHARD = re.compile(r"data/([a-z][a-z0-9_]*)-(\d{5})-of-(\d{5})\.parquet")
SAYS = f"{MANIFEST} says"

_SHOWN = 200
"""Characters of a value in a finding."""

_NO_FORM = (
    *(AttributeError, IndexError, KeyError, TypeError, ValueError),
    *(CurateError, OSError, pl.exceptions.PolarsError, yaml.YAMLError),
    pl.exceptions.PanicException,
)
"""What reading a file raises that does not hold what a version's does."""


class Parts:
    """The parts of one version, and what does not agree in them.

    Args:
        folder: Of the version.
        sums: Its files > hex sha256, as SHA256SUMS says.
        there: Its plain files: nothing else is opened.
        pushed: As in `verify`.

    Attributes:
        findings: What does not agree.
        notes: What could not be compared, and why that is in order.
        books: Rows by fate, of the manifest.
    """

    def __init__(
        self, folder: Path, sums: Mapping[str, str], there: Collection[str], *, pushed: bool
    ) -> None:
        self.folder = folder
        self.sums = sums
        self.there = there
        self.pushed = pushed
        self.findings: list[Finding] = []
        self.notes: list[str] = []
        self.books: dict[str, int] = {}
        self.manifest: dict[str, Any] = {}
        self.lock: dict[str, Any] = {}
        self.ledger: pl.DataFrame | None = None
        self.data: pl.DataFrame | None = None
        self.dropped: pl.DataFrame | None = None
        self.scores: pl.DataFrame | None = None
        self.splits: dict[str, int] = {}
        self.ancestors: pl.DataFrame | None = None

    def read(self) -> None:
        """Read everything; what cannot be read is a finding."""
        with self.form(MANIFEST):
            self.manifest = dict(orjson.loads(self.at(MANIFEST).read_bytes()))
        with self.form(LOCK):
            loader = yaml.CSafeLoader
            self.lock = dict(yaml.load(self.at(LOCK).read_bytes(), loader))  # noqa: S506 - it is the safe loader, in C
        self.ledger, self.scores = self._table(LEDGER), self._table(SCORES)
        self.data = self._shards()
        if DROPPED in self.there:
            self.dropped = self._table(DROPPED)
        if ANCESTORS in self.there:
            self.ancestors = self._table(ANCESTORS)

    def named(self, key: str) -> str:
        """A text of the manifest on one line; empty where it has none."""
        value = self.manifest.get(key, "")
        return one_line(value) if isinstance(value, str) else ""

    @contextmanager
    def form(self, file: str) -> Iterator[None]:
        """Say of a file that it does not hold what is expected, in place of an error."""
        try:
            yield
        except FileNotFoundError:
            self.find(file, GONE)
        except _NO_FORM as error:
            said = str(error).partition("\n")[0]
            self.find(file, f"cannot be compared: {type(error).__name__}: {said}")

    def find(self, file: str, problem: str) -> None:
        """Find fault with a file, or with a folder of them."""
        self.findings.append(Finding(file, problem))

    def same(self, file: str, what: str, there: object, expected: object, by: str) -> None:
        """Find fault unless two values are equal; `by` is who says what is expected."""
        if there != expected:
            self.find(file, f"{what} {_shown(there)}, {by} {_shown(expected)}")

    def at(self, name: str) -> Path:
        """Where a plain file is; raises FileNotFoundError where there is none."""
        if name not in self.there:
            raise FileNotFoundError
        return self.folder / name

    def same_columns(self, name: str, table: pl.DataFrame, like: pl.DataFrame, other: str) -> None:
        """Find fault unless two tables have the same columns."""
        if table.schema != like.schema:
            kinds = {*table.schema.items()} ^ {*like.schema.items()}
            columns = ", ".join(sorted({column for column, _ in kinds})) or "the order of columns"
            self.find(name, f"has other columns than {other}: {columns}")

    def _table(self, name: str) -> pl.DataFrame | None:
        with self.form(name):
            return pl.read_parquet(self.at(name), glob=False, hive_partitioning=False)
        return None

    def _shards(self) -> pl.DataFrame | None:
        """The kept rows of all shards, which have one schema and lack none of their number."""
        there = [found for name in sorted(self.there) if (found := SHARD.fullmatch(name))]
        splits = {TRAIN: 0}
        with self.form(MANIFEST):
            splits = splits_of(self.manifest)
        tables: list[tuple[str, pl.DataFrame | None]] = []
        for split in splits:
            shards = [found for found in there if found[1] == split]
            if not shards:
                self.find("data/", f"is missing, or holds no {split}-*.parquet")
                return None
            numbers = [int(found[2]) for found in shards]
            count = int(shards[0][3])
            if numbers != list(range(count)) or any(int(found[3]) != count for found in shards):
                names = ", ".join(found[0] for found in shards)
                self.find("data/", f"holds {names}, expected all of 0 to {count - 1} of {count}")
            parts = [(found[0], self._table(found[0])) for found in shards]
            self.splits[split] = sum(len(table) for _, table in parts if table is not None)
            tables += parts
        whole = [(name, table) for name, table in tables if table is not None]
        for name, table in whole[1:]:
            self.same_columns(name, table, whole[0][1], whole[0][0])
        if len(whole) < len(tables) or any(t.schema != whole[0][1].schema for _, t in whole):
            return None
        return pl.concat([table for _, table in whole])


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
