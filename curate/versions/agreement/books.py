"""Manifest, ledger, rows and scores of a version, against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from curate.examples import parents_of
from curate.ledger import DROPPED, FAILED, FATES, KEPT, MERGED, UNREADABLE
from curate.sources.kept import ANCESTORS
from curate.versions.agreement.parts import LEDGER, MANIFEST, SAYS, SCORES, Parts
from curate.versions.splits import splits_of
from curate.versions.verify import CARD, GONE, SUMS
from curate.versions.verify import DROPPED as DROPPED_FILE

_COLUMNS = ["id", "source", "file", "line", "fate", "stage", "reason", "detail", "ref", "parents"]


def hashes(parts: Parts) -> None:
    """The hashes of the other files in the manifest, against SHA256SUMS."""
    files: Mapping[str, str] = parts.manifest["files"]
    for name in sorted({*files} - {*parts.sums}):
        parts.find(name, f"{GONE}; {MANIFEST} names it")
    for name in sorted({*parts.sums} - {*files, MANIFEST, CARD}):
        parts.find(name, f"is no file of the version: {MANIFEST} does not name it")
    for name in sorted({*files} & {*parts.sums}):
        parts.same(name, f"{SUMS} says", parts.sums[name], files[name], SAYS)


def balance(parts: Parts) -> None:
    """The books of the version and of each stage."""
    books: Mapping[str, int] = parts.manifest["books"]
    parts.books = {name: books[name] for name in ("sources", "created", *FATES)}
    entered, left = books["sources"] + books["created"], sum(books[fate] for fate in FATES)
    if entered != left:
        parts.find(MANIFEST, f"its books do not balance: {entered} in, {left} accounted for")
    for stage in parts.manifest["stages"]:
        left = stage["out"] + sum(stage[fate] for fate in (DROPPED, FAILED, MERGED))
        if stage["in"] + stage["created"] != left:
            parts.find(
                MANIFEST,
                f"the books of stage '{stage['id']}' do not balance: "
                f"{stage['in'] + stage['created']} in, {left} accounted for",
            )
    stages = parts.manifest["stages"]
    created = sum(stage["created"] for stage in stages)
    parts.same(MANIFEST, "its stages created", created, books["created"], "its books say")
    if stages:
        parts.same(MANIFEST, "the last stage let out", stages[-1]["out"], books[KEPT], "kept")


def sources(parts: Parts) -> None:
    """The rows of the sources, against the books and the ledger."""
    entries: Mapping[str, Mapping[str, Any]] = parts.manifest["sources"]
    books = parts.manifest["books"]
    rows = sum(source["rows"] for source in entries.values())
    parts.same(MANIFEST, "its sources have rows", rows, books["sources"], "its books say")
    if parts.ledger is None:
        return
    counts = dict(parts.ledger["source"].value_counts().iter_rows())
    unread = parts.ledger.filter(pl.col("reason") == UNREADABLE, pl.col("stage").is_null())
    unreadable = dict(unread["source"].value_counts().iter_rows())
    for name, source in entries.items():
        at = f"the source '{name}' has rows"
        if not books["created"]:
            parts.same(MANIFEST, at, source["rows"], counts.get(name, 0), f"{LEDGER} holds")
        elif source["rows"] > counts.get(name, 0):
            parts.find(MANIFEST, f"{at} {source['rows']}, {LEDGER} holds {counts.get(name, 0)}")
        at = f"the source '{name}' has unreadable rows"
        there = unreadable.get(name, 0)
        parts.same(MANIFEST, at, source["unreadable"], there, f"{LEDGER} holds")
    for name in sorted({*counts} - {*entries}, key=str):
        parts.find(LEDGER, f"holds rows of the source '{name}', which {MANIFEST} has not")


def fates(parts: Parts, ledger: pl.DataFrame) -> None:
    """Every row once, with a fate, as many as the books say."""
    if ledger.columns != _COLUMNS:
        parts.find(LEDGER, f"has the columns {ledger.columns}, expected {_COLUMNS}")
    if twice := len(ledger) - ledger["id"].n_unique():
        parts.find(LEDGER, f"{twice} ids stand more than once")
    books = parts.manifest["books"]
    entered = books["sources"] + books["created"]
    parts.same(LEDGER, "holds rows", len(ledger), entered, SAYS)
    counts = dict(ledger["fate"].value_counts().iter_rows())
    for fate in FATES:
        parts.same(LEDGER, f"{fate} are", counts.pop(fate, 0), books[fate], SAYS)
    if counts:
        parts.find(LEDGER, f"holds fates that there are not: {', '.join(map(str, counts))}")


def stages(parts: Parts, ledger: pl.DataFrame) -> None:
    """What each stage did, by fate and reason."""
    counts = {
        (stage, fate): rows
        for stage, fate, rows in ledger.group_by("stage", "fate").len().iter_rows()
        if stage is not None
    }
    gone = ledger.filter(pl.col("fate") == DROPPED).group_by("stage", "reason").len()
    reasons = {(stage, reason): rows for stage, reason, rows in gone.iter_rows()}
    for stage in parts.manifest["stages"]:
        id = stage["id"]
        for fate in (DROPPED, FAILED, MERGED):
            there = counts.pop((id, fate), 0)
            at = f"of stage '{id}' {fate} are"
            parts.same(LEDGER, at, there, stage[fate], SAYS)
        for reason, rows in stage["reasons"].items():
            there = reasons.pop((id, reason), 0)
            at = f"of stage '{id}' dropped as '{reason}' are"
            parts.same(LEDGER, at, there, rows, SAYS)
    for stage, fate in counts:
        parts.find(LEDGER, f"holds rows {fate} by '{stage}', of which {MANIFEST} does not say")
    for stage, reason in reasons:
        parts.find(
            LEDGER,
            f"holds rows dropped by '{stage}' as '{reason}', of which {MANIFEST} does not say",
        )


def rows(parts: Parts, ledger: pl.DataFrame, data: pl.DataFrame) -> None:
    """Data, dropped rows and scores are those of the ledger, each row once."""
    fates = ledger.select("id", "fate")
    kept = fates.filter(pl.col("fate") == KEPT)["id"]
    _ids(parts, "data/", data["id"], kept, f"that {LEDGER} has kept")
    readable = None
    dropped = parts.dropped
    if dropped is not None:
        parts.same_columns(DROPPED_FILE, dropped, data, "data/")
        rest = fates.filter(pl.col("fate") != KEPT)
        # rows that could not be read or made have no content
        whole = rest.filter(
            (pl.col("fate") != FAILED) | pl.col("id").is_in(dropped["id"].implode())
        )
        _ids(parts, DROPPED_FILE, dropped["id"], whole["id"], f"that {LEDGER} has not kept")
        readable = pl.concat([kept, whole["id"]])
    if parts.scores is None:
        return
    if readable is not None:
        _ids(parts, SCORES, parts.scores["id"], readable, f"of data/ and {DROPPED_FILE}")
    else:
        _ids(parts, SCORES, parts.scores["id"], kept, "of data/", more=True)
    if parts.manifest:
        there = sorted({*parts.scores.columns} - {"id"})
        says = sorted(c["name"] for c in parts.manifest["columns"] if c["published"])
        parts.same(SCORES, "has the columns", there, says, SAYS)


def ancestors(parts: Parts, ledger: pl.DataFrame, before: pl.DataFrame) -> None:
    """The rows that those of the ledger stem from, each once, and none beside them."""
    known = {**parents_of(before), **parents_of(ledger)}
    expected = named = set(ledger["id"])
    while named:
        named = {parent for id in named for parent in known.get(id, ())} - expected
        expected = expected | named
    there = before["id"]
    which = f"that rows of {LEDGER} stem from and that were made from others"
    _ids(parts, ANCESTORS, there, there.filter(there.is_in(list(expected))), which)
    if twice := len(there.filter(there.is_in(ledger["id"].implode()))):
        parts.find(ANCESTORS, f"{twice} of its rows are in {LEDGER}")


def _ids(
    parts: Parts, file: str, there: pl.Series, expected: pl.Series, which: str, more: bool = False
) -> None:
    if twice := len(there) - there.n_unique():
        parts.find(file, f"{twice} ids stand more than once")
    missing = expected.filter(~expected.is_in(there.implode()))
    if len(missing):
        parts.find(file, f"lacks {len(missing)} rows {which}, such as {missing[0]}")
    foreign = there.filter(~there.is_in(expected.implode()))
    if len(foreign) and not more:
        parts.find(file, f"holds {len(foreign)} rows beside those {which}: {foreign[0]}")


def shares(parts: Parts, data: pl.DataFrame) -> None:
    """What the manifest says of the kept rows."""
    parts.same("data/", "holds rows", len(data), parts.manifest["books"][KEPT], "kept are")
    for split, rows in splits_of(parts.manifest).items():
        at = f"rows of the split {split} are"
        parts.same("data/", at, parts.splits[split], rows, SAYS)
    for column, shares in parts.manifest["shares"].items():
        there = _counts(data[column].fill_null(""))
        at = f"the rows after it by {column} are"
        parts.same(MANIFEST, at, shares["after"], there, "data/ holds")
    if "licenses" in parts.manifest:
        stated = pl.when(pl.col("license").str.strip_chars() != "").then("license")
        there = _counts(data.select(stated.fill_null("unknown").alias("license"))["license"])
        parts.same(
            MANIFEST, "the rows by license are", parts.manifest["licenses"], there, "data/ holds"
        )


def _counts(values: pl.Series) -> dict[str, int]:
    return dict(values.alias("value").value_counts(name="rows").iter_rows())
