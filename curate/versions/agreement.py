"""Whether the parts of a version say the same: books, ledger, rows, scores, lock, digest, card.

Imported by `verify` when a version is verified, and by nothing at start-up: it is heavy.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version as installed_version
from itertools import takewhile
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import yaml

from curate.errors import CurateError
from curate.ledger import DROPPED, FAILED, FATES, KEPT, MERGED, UNREADABLE
from curate.printing import one_line
from curate.recipe.document import read_document
from curate.recipe.load import KEYS
from curate.versions.card import description, render
from curate.versions.digest import digest
from curate.versions.hub.readme import own
from curate.versions.marks import parted, text_sum
from curate.versions.splits import SPLIT, TRAIN, splits_of
from curate.versions.verify import CARD, GONE, SUMS, Finding
from curate.versions.verify import DROPPED as DROPPED_FILE

MANIFEST, LEDGER, SCORES, RECIPE, LOCK = (
    "manifest.json",
    "ledger.parquet",
    "scores.parquet",
    "recipe.yaml",
    "recipe.lock.yaml",
)
_SHARD = re.compile(r"data/([a-z][a-z0-9_]*)-(\d{5})-of-(\d{5})\.parquet")
_SAYS, _GIVE = f"{MANIFEST} says", "manifest and data give"
_SHOWN = 200
"""Characters of a value in a finding."""

_WORDS = 60
"""Characters of a line of the card that differs."""

_COLUMNS = ["id", "source", "file", "line", "fate", "stage", "reason", "detail", "ref", "parents"]
_NO_FORM = (
    *(AttributeError, IndexError, KeyError, TypeError, ValueError),
    *(CurateError, OSError, pl.exceptions.PolarsError, yaml.YAMLError),
    pl.exceptions.PanicException,
)
"""What reading a file raises that does not hold what a version's does."""


class Agreement:
    """The parts of one version, read once and compared.

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

    def named(self, key: str) -> str:
        """A text of the manifest on one line; empty where it has none."""
        value = self.manifest.get(key, "")
        return one_line(value) if isinstance(value, str) else ""

    def check(self) -> None:
        """Read everything, and compare what could be read."""
        with self._form(MANIFEST):
            self.manifest = dict(orjson.loads(self._at(MANIFEST).read_bytes()))
        with self._form(LOCK):
            loader = yaml.CSafeLoader
            self.lock = dict(yaml.load(self._at(LOCK).read_bytes(), loader))  # noqa: S506 - it is the safe loader, in C
        self.ledger, self.scores = self._table(LEDGER), self._table(SCORES)
        self.data = self._shards()
        if DROPPED_FILE in self.there:
            self.dropped = self._table(DROPPED_FILE)
        if self.manifest:
            self._all(MANIFEST, self._hashes, self._balance, self._sources)
        if self.manifest and self.ledger is not None:
            self._all(LEDGER, partial(self._fates, self.ledger), partial(self._stages, self.ledger))
        if self.ledger is not None and self.data is not None:
            self._all("data/", partial(self._rows, self.ledger, self.data))
        if self.manifest and self.data is not None:
            self._all("data/", partial(self._shares, self.data))
        if self.manifest and self.lock:
            self._all(LOCK, self._locked)
        if self.manifest and self.lock and self.ledger is not None and self.data is not None:
            self._all(MANIFEST, partial(self._digest, self.data, self.ledger))
        if self.manifest and self.data is not None:
            self._all(CARD, partial(self._card, self.data))

    def _all(self, file: str, *checks: Callable[[], None]) -> None:
        for check in checks:
            with self._form(file):
                check()

    @contextmanager
    def _form(self, file: str) -> Iterator[None]:
        """Say of a file that it does not hold what is expected, in place of an error."""
        try:
            yield
        except FileNotFoundError:
            self._find(file, GONE)
        except _NO_FORM as error:
            said = str(error).partition("\n")[0]
            self._find(file, f"cannot be compared: {type(error).__name__}: {said}")

    def _find(self, file: str, problem: str) -> None:
        self.findings.append(Finding(file, problem))

    def _same(self, file: str, what: str, there: object, expected: object, by: str) -> None:
        """Find fault unless two values are equal; `by` is who says what is expected."""
        if there != expected:
            self._find(file, f"{what} {_shown(there)}, {by} {_shown(expected)}")

    # reading

    def _at(self, name: str) -> Path:
        """Where a plain file is; raises FileNotFoundError where there is none."""
        if name not in self.there:
            raise FileNotFoundError
        return self.folder / name

    def _table(self, name: str) -> pl.DataFrame | None:
        with self._form(name):
            return pl.read_parquet(self._at(name), glob=False, hive_partitioning=False)
        return None

    def _shards(self) -> pl.DataFrame | None:
        """The kept rows of all shards, which have one schema and lack none of their number."""
        there = [found for name in sorted(self.there) if (found := _SHARD.fullmatch(name))]
        splits = {TRAIN: 0}
        with self._form(MANIFEST):
            splits = splits_of(self.manifest)
        tables: list[tuple[str, pl.DataFrame | None]] = []
        for split in splits:
            shards = [found for found in there if found[1] == split]
            if not shards:
                self._find("data/", f"is missing, or holds no {split}-*.parquet")
                return None
            numbers = [int(found[2]) for found in shards]
            count = int(shards[0][3])
            if numbers != list(range(count)) or any(int(found[3]) != count for found in shards):
                names = ", ".join(found[0] for found in shards)
                self._find("data/", f"holds {names}, expected all of 0 to {count - 1} of {count}")
            parts = [(found[0], self._table(found[0])) for found in shards]
            self.splits[split] = sum(len(table) for _, table in parts if table is not None)
            tables += parts
        whole = [(name, table) for name, table in tables if table is not None]
        for name, table in whole[1:]:
            self._schema(name, table, whole[0][1], whole[0][0])
        if len(whole) < len(tables) or any(t.schema != whole[0][1].schema for _, t in whole):
            return None
        return pl.concat([table for _, table in whole])

    def _schema(self, name: str, table: pl.DataFrame, like: pl.DataFrame, other: str) -> None:
        if table.schema != like.schema:
            kinds = {*table.schema.items()} ^ {*like.schema.items()}
            columns = ", ".join(sorted({column for column, _ in kinds})) or "the order of columns"
            self._find(name, f"has other columns than {other}: {columns}")

    # comparing

    def _hashes(self) -> None:
        """The hashes of the other files in the manifest, against SHA256SUMS."""
        files: Mapping[str, str] = self.manifest["files"]
        for name in sorted({*files} - {*self.sums}):
            self._find(name, f"{GONE}; {MANIFEST} names it")
        for name in sorted({*self.sums} - {*files, MANIFEST, CARD}):
            self._find(name, f"is no file of the version: {MANIFEST} does not name it")
        for name in sorted({*files} & {*self.sums}):
            self._same(name, f"{SUMS} says", self.sums[name], files[name], f"{MANIFEST} says")

    def _balance(self) -> None:
        """The books of the version and of each stage."""
        books: Mapping[str, int] = self.manifest["books"]
        self.books = {name: books[name] for name in ("sources", "created", *FATES)}
        entered, left = books["sources"] + books["created"], sum(books[fate] for fate in FATES)
        if entered != left:
            self._find(MANIFEST, f"its books do not balance: {entered} in, {left} accounted for")
        for stage in self.manifest["stages"]:
            left = stage["out"] + sum(stage[fate] for fate in (DROPPED, FAILED, MERGED))
            if stage["in"] + stage["created"] != left:
                self._find(
                    MANIFEST,
                    f"the books of stage '{stage['id']}' do not balance: "
                    f"{stage['in'] + stage['created']} in, {left} accounted for",
                )
        stages = self.manifest["stages"]
        created = sum(stage["created"] for stage in stages)
        self._same(MANIFEST, "its stages created", created, books["created"], "its books say")
        if stages:
            self._same(MANIFEST, "the last stage let out", stages[-1]["out"], books[KEPT], "kept")

    def _sources(self) -> None:
        """The rows of the sources, against the books and the ledger."""
        sources: Mapping[str, Mapping[str, Any]] = self.manifest["sources"]
        books = self.manifest["books"]
        rows = sum(source["rows"] for source in sources.values())
        self._same(MANIFEST, "its sources have rows", rows, books["sources"], "its books say")
        if self.ledger is None:
            return
        counts = dict(self.ledger["source"].value_counts().iter_rows())
        unread = self.ledger.filter(pl.col("reason") == UNREADABLE, pl.col("stage").is_null())
        unreadable = dict(unread["source"].value_counts().iter_rows())
        for name, source in sources.items():
            at = f"the source '{name}' has rows"
            if not books["created"]:
                self._same(MANIFEST, at, source["rows"], counts.get(name, 0), f"{LEDGER} holds")
            elif source["rows"] > counts.get(name, 0):
                self._find(MANIFEST, f"{at} {source['rows']}, {LEDGER} holds {counts.get(name, 0)}")
            at = f"the source '{name}' has unreadable rows"
            there = unreadable.get(name, 0)
            self._same(MANIFEST, at, source["unreadable"], there, f"{LEDGER} holds")
        for name in sorted({*counts} - {*sources}, key=str):
            self._find(LEDGER, f"holds rows of the source '{name}', which {MANIFEST} has not")

    def _fates(self, ledger: pl.DataFrame) -> None:
        """Every row once, with a fate, as many as the books say."""
        if ledger.columns != _COLUMNS:
            self._find(LEDGER, f"has the columns {ledger.columns}, expected {_COLUMNS}")
        if twice := len(ledger) - ledger["id"].n_unique():
            self._find(LEDGER, f"{twice} ids stand more than once")
        books = self.manifest["books"]
        entered = books["sources"] + books["created"]
        self._same(LEDGER, "holds rows", len(ledger), entered, f"{MANIFEST} says")
        counts = dict(ledger["fate"].value_counts().iter_rows())
        for fate in FATES:
            self._same(LEDGER, f"{fate} are", counts.pop(fate, 0), books[fate], f"{MANIFEST} says")
        if counts:
            self._find(LEDGER, f"holds fates that there are not: {', '.join(map(str, counts))}")

    def _stages(self, ledger: pl.DataFrame) -> None:
        """What each stage did, by fate and reason."""
        counts = {
            (stage, fate): rows
            for stage, fate, rows in ledger.group_by("stage", "fate").len().iter_rows()
            if stage is not None
        }
        gone = ledger.filter(pl.col("fate") == DROPPED).group_by("stage", "reason").len()
        reasons = {(stage, reason): rows for stage, reason, rows in gone.iter_rows()}
        for stage in self.manifest["stages"]:
            id = stage["id"]
            for fate in (DROPPED, FAILED, MERGED):
                there = counts.pop((id, fate), 0)
                at = f"of stage '{id}' {fate} are"
                self._same(LEDGER, at, there, stage[fate], f"{MANIFEST} says")
            for reason, rows in stage["reasons"].items():
                there = reasons.pop((id, reason), 0)
                at = f"of stage '{id}' dropped as '{reason}' are"
                self._same(LEDGER, at, there, rows, f"{MANIFEST} says")
        for stage, fate in counts:
            self._find(LEDGER, f"holds rows {fate} by '{stage}', of which {MANIFEST} does not say")
        for stage, reason in reasons:
            self._find(
                LEDGER,
                f"holds rows dropped by '{stage}' as '{reason}', of which {MANIFEST} does not say",
            )

    def _rows(self, ledger: pl.DataFrame, data: pl.DataFrame) -> None:
        """Data, dropped rows and scores are those of the ledger, each row once."""
        fates = ledger.select("id", "fate")
        kept = fates.filter(pl.col("fate") == KEPT)["id"]
        self._ids("data/", data["id"], kept, f"that {LEDGER} has kept")
        readable = None
        dropped = self.dropped
        if dropped is not None:
            self._schema(DROPPED_FILE, dropped, data, "data/")
            rest = fates.filter(pl.col("fate") != KEPT)
            # rows that could not be read or made have no content
            whole = rest.filter(
                (pl.col("fate") != FAILED) | pl.col("id").is_in(dropped["id"].implode())
            )
            self._ids(DROPPED_FILE, dropped["id"], whole["id"], f"that {LEDGER} has not kept")
            readable = pl.concat([kept, whole["id"]])
        if self.scores is None:
            return
        if readable is not None:
            self._ids(SCORES, self.scores["id"], readable, f"of data/ and {DROPPED_FILE}")
        else:
            self._ids(SCORES, self.scores["id"], kept, "of data/", more=True)
        if self.manifest:
            there = sorted({*self.scores.columns} - {"id"})
            says = sorted(c["name"] for c in self.manifest["columns"] if c["published"])
            self._same(SCORES, "has the columns", there, says, f"{MANIFEST} says")

    def _ids(
        self, file: str, there: pl.Series, expected: pl.Series, which: str, more: bool = False
    ) -> None:
        if twice := len(there) - there.n_unique():
            self._find(file, f"{twice} ids stand more than once")
        missing = expected.filter(~expected.is_in(there.implode()))
        if len(missing):
            self._find(file, f"lacks {len(missing)} rows {which}, such as {missing[0]}")
        foreign = there.filter(~there.is_in(expected.implode()))
        if len(foreign) and not more:
            self._find(file, f"holds {len(foreign)} rows beside those {which}: {foreign[0]}")

    def _shares(self, data: pl.DataFrame) -> None:
        """What the manifest says of the kept rows."""
        self._same("data/", "holds rows", len(data), self.manifest["books"][KEPT], "kept are")
        for split, rows in splits_of(self.manifest).items():
            at = f"rows of the split {split} are"
            self._same("data/", at, self.splits[split], rows, f"{MANIFEST} says")
        for column, shares in self.manifest["shares"].items():
            there = _counts(data[column].fill_null(""))
            at = f"the rows after it by {column} are"
            self._same(MANIFEST, at, shares["after"], there, "data/ holds")
        if "licenses" in self.manifest:
            stated = pl.when(pl.col("license").str.strip_chars() != "").then("license")
            there = _counts(data.select(stated.fill_null("unknown").alias("license"))["license"])
            self._same(
                MANIFEST, "the rows by license are", self.manifest["licenses"], there, "data/ holds"
            )

    def _locked(self) -> None:
        """What the lock and the manifest say of the same things."""
        lock, manifest = self.lock, self.manifest
        says = _SAYS
        self._same(LOCK, "its run_key is", lock["run_key"], manifest["run_key"], says)
        for name, source in manifest["sources"].items():
            there = [file["sha256"] for file in lock["sources"][name]["files"]]
            files = [file["sha256"] for file in source["files"]]
            self._same(LOCK, f"the files of source '{name}' are", there, files, says)
        self._same(LOCK, "its models are", lock["models"], manifest["models"], says)
        self._same(LOCK, "its references are", lock["references"], manifest["references"], says)
        document, _ = read_document(self._at(RECIPE), lock["sets"], KEYS)
        if document.shown() != lock["recipe"]:
            self._find(LOCK, f"its recipe is not {RECIPE} with its sets")
        for stage in manifest["stages"]:
            if stage["verb"] == SPLIT:  # the recipe's `output`, which no plugin makes
                continue
            there = lock["stages"][stage["id"]]
            expected = (stage["stage"], stage["version"])
            at = f"the stage '{stage['id']}' is"
            self._same(LOCK, at, (there["stage"], there["version"]), expected, says)

    def _digest(self, data: pl.DataFrame, ledger: pl.DataFrame) -> None:
        files = {
            file["file"]: file["sha256"]
            for source in self.manifest["sources"].values()
            for file in source["files"]
        }
        splits = self.splits if "splits" in self.manifest else None
        found = digest(data, ledger, files, self.lock["identity"], splits)
        at = f"data/, {LEDGER} and the identity of {LOCK} have the digest"
        self._same(MANIFEST, at, found, self.manifest["digest"], "it says")

    def _card(self, data: pl.DataFrame) -> None:
        """The card against manifest and data."""
        readme = self._at(CARD).read_bytes().decode()
        if self.pushed:
            readme = self._own(readme)
        head, text = parted(readme)
        info, values = head["dataset_info"], self.manifest["num_bytes"]
        shards = [
            name
            for name in self.there
            if (shard := _SHARD.fullmatch(name)) and shard[1] in self.splits
        ]
        stored = sum((self.folder / name).stat().st_size for name in shards)
        there = {split["name"]: split for split in info["splits"]}
        for name, split in there.items():
            self._same(CARD, "num_bytes is", split["num_bytes"], values.get(name), _SAYS)
        if self.manifest["curate"] == installed_version("curate-data"):
            expected, wanted = parted(render(self.manifest, data, values=values, stored=stored))
            self._metadata(head, expected)
            self._text(text, wanted, readme.count("\n", 0, readme.index(text)))
        else:
            wanted = description(self.manifest)
            for name, rows in self.splits.items():
                said = there.get(name, {"num_examples": 0})
                self._same(CARD, "num_examples is", said["num_examples"], rows, "data/ holds")
            self._same(CARD, "download_size is", info["download_size"], stored, "data/ has bytes")
            self._same(CARD, "its description is", info["description"], wanted, _SAYS)
            self.notes.append(
                f"The card was written by curate {self.manifest['curate']}: its text was compared "
                f"by the sum in {MANIFEST}, its numbers with the data."
            )
        found = text_sum(text)
        self._same(CARD, "its text has the sha256", found, self.manifest["card"], _SAYS)

    def _own(self, readme: str) -> str:
        """What curate wrote of a repository's README, which is the version's own to the byte."""
        whole = own(readme)
        found = hashlib.sha256(whole.encode()).hexdigest()
        if f"{found}  {CARD}" not in (self.folder / SUMS).read_text("utf-8").split("\n"):
            self._find(CARD, f"what curate wrote of it has the sha256 {found}, {SUMS} says another")
        return whole

    def _metadata(self, head: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
        """Each field that curate writes, and no other."""
        for key, value in expected.items():
            there = head.get(key)
            if isinstance(value, dict) and isinstance(there, dict):
                for name in {**value, **there}:
                    at = f"its '{key}.{name}' is"
                    self._same(CARD, at, there.get(name), value.get(name), _GIVE)
                continue
            self._same(CARD, f"its '{key}' is", there, value, _GIVE)
        for key in head.keys() - expected.keys():
            self._find(CARD, f"its metadata hold '{key}', which curate did not write")

    def _text(self, text: str, expected: str, before: int) -> None:
        """Where the text first differs: its line in the file, and its words there.

        Args:
            text: What is there.
            expected: What manifest and data give.
            before: Lines of the file before it.
        """
        there, wanted = text.split("\n"), expected.split("\n")
        for number, (line, other) in enumerate(zip(there, wanted, strict=False), before + 1):
            if line != other:
                at = len([*takewhile(_equal, zip(line, other, strict=False))])
                start = max(0, line.rfind(" ", 0, at) + 1)
                self._find(
                    CARD,
                    f"line {number}, from character {start + 1}: {_part(line, start)}, {_GIVE}: "
                    f"{_part(other, start)}",
                )
                return
        self._same(CARD, "its text has lines", len(there), len(wanted), _GIVE)


def _counts(values: pl.Series) -> dict[str, int]:
    return dict(values.alias("value").value_counts(name="rows").iter_rows())


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _equal(pair: tuple[str, str]) -> bool:
    return pair[0] == pair[1]


def _part(line: str, start: int) -> str:
    part = line[start : start + _WORDS]
    return f"{part}..." if len(line) > start + _WORDS else part or "nothing more"
