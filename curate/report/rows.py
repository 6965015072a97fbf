"""The rows of a page: all of them, or a seeded sample, in a form that a browser unpacks. Heavy."""

from __future__ import annotations

import base64
import gzip
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import polars as pl
import xxhash

from curate.examples.columns import FRAMEWORK
from curate.printing import marked, marked_line
from curate.versions.lineage import Lineage
from curate.versions.open import Version
from curate.versions.rows import published
from curate.versions.rows import table as columns_of

MOST = 20_000
"""Rows of a page, but for those that it names elsewhere."""

TEXT = 20_000
"""Characters of a row; halved until all rows together have no more than `TOTAL`."""

TOTAL = 32_000_000

_CHILDREN = 50
"""Children of a row that are named; they are counted."""

_EXACT = 2**53
"""Whole numbers up to which a browser knows each."""

_KINDS = ("number", "integer", "boolean", "string")
_LEDGER = ("id", "source", "file", "line", "fate", "stage", "reason", "detail", "ref")
_PER_ROW = ("origin", "generator", "license", "ability")


@dataclass(frozen=True)
class Table:
    """The rows of a page.

    Attributes:
        packed: gzip in base64 of JSON: `scores` (names of columns), and `rows`, an object of lists
            that are equally long: the ledger's columns, `parents`, the first `children`, how many
            there are of these (`born`), what is said of each row, `numbers` (a list for each row,
            as long as `scores`), `turns` (pairs of role and text; null where the row is not
            published or could not be read), `more` (pairs of column and text; null for a text that
            is left out) and `left` (characters that are left out). All texts are safe to show.
        shown: Rows in it.
        total: Rows of the version's ledger.
        drawn: How many of them were drawn by the seed; None where all are there.
        characters: Characters that a row may have.
        shortened: Rows that have more.
        columns: Score columns that are left out: vectors and nested values.
    """

    packed: str
    shown: int
    total: int
    drawn: int | None
    characters: int
    shortened: int
    columns: tuple[str, ...]


def table(version: Version, named: Iterable[str] = (), also: Iterable[str] = ()) -> Table:
    """The rows of a page in the ledger's order.

    Args:
        version: The version.
        named: Ids of rows that the page names elsewhere: they are in it in any case.
        also: Columns of the rows that stand with the scores.
    """
    ledger, seed = version.ledger, version.manifest["seed"]
    total, drawn = len(ledger), None
    if total > MOST:
        chosen = _drawn(ledger["id"].to_list(), seed) | set(named)
        ledger = ledger.filter(pl.col("id").is_in(pl.Series(list(chosen)).implode()))
        drawn = MOST
    wanted = ledger["id"].implode()
    texts = {
        row.pop("id"): row
        for row in published(version)
        .filter(pl.col("id").is_in(wanted))
        .collect()
        .iter_rows(named=True)
    }
    rows = [texts.get(id) for id in ledger["id"]]
    written = [_written(row) for row in rows]
    sizes = [sum(len(text) for _, text in (*(turns or ()), *more)) for turns, more in written]
    characters = _cap(sizes)
    names, numbers = _scores(version, ledger, also)
    kin = Lineage(version) if "parents" in ledger.columns else None
    parents, children = (
        [list(of.get(id, ())) for id in ledger["id"]]
        for of in ((kin.parents, kin.children) if kin else ({}, {}))
    )
    content = {
        "scores": names,
        "rows": {
            **{name: _column(ledger, name) for name in _LEDGER},
            "parents": [list(map(marked_line, ids)) for ids in parents],
            "children": [ids[:_CHILDREN] for ids in children],
            "born": list(map(len, children)),
            **{name: [_safe(row[name]) if row else None for row in rows] for name in _PER_ROW},
            "numbers": numbers,
            "turns": [_shortened(turns, characters) for turns, _ in written],
            "more": [
                _shortened(more, characters - sum(len(text) for _, text in turns or ()))
                for turns, more in written
            ],
            "left": [max(size - characters, 0) for size in sizes],
        },
    }
    packed = gzip.compress(orjson.dumps(content), compresslevel=6, mtime=0)
    return Table(
        packed=base64.b64encode(packed).decode(),
        shown=len(ledger),
        total=total,
        drawn=drawn,
        characters=characters,
        shortened=sum(size > characters for size in sizes),
        columns=tuple(name for name in version.scores.columns if name not in ("id", *names)),
    )


def _drawn(ids: Sequence[str], seed: int) -> set[str]:
    """The rows with the smallest hashes of seed and id."""
    return set(sorted(ids, key=lambda row: xxhash.xxh3_128_digest(f"{seed}:{row}".encode()))[:MOST])


def _cap(sizes: Sequence[int]) -> int:
    cap = TEXT
    while sum(min(size, cap) for size in sizes) > TOTAL:
        cap //= 2
    return cap


_Texts = list[tuple[str, str]]


def _written(row: Mapping[str, Any] | None) -> tuple[_Texts | None, _Texts]:
    """The turns of a row, and its other columns where their text does not stand in a turn."""
    if row is None:
        return None, []
    said = row["messages"]
    turns = [(marked_line(t["role"] or ""), marked(t["content"] or "")) for t in said or ()]
    more = []
    for name, value in row.items():
        if name in FRAMEWORK or value is None:
            continue
        text = marked(value if isinstance(value, str) else _json(value))
        if text and not any(text in content for _, content in turns):
            more.append((marked_line(name), text))
    return (turns if said is not None else None), more


def _json(value: Any) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2).decode()


def _shortened(texts: _Texts | None, room: int) -> list[tuple[str, str | None]] | None:
    """The texts without what goes beyond so many characters; None in place of one left out."""
    if texts is None:
        return None
    shown: list[tuple[str, str | None]] = []
    for name, text in texts:
        if len(text) <= room:
            shown.append((name, text))
        else:
            shown.append((name, f"{text[:room]}…" if room > 0 else None))
        room -= len(text)
    return shown


def _column(ledger: pl.DataFrame, name: str) -> list[Any]:
    if name not in ledger.columns:
        return [None] * len(ledger)
    return list(map(_safe, ledger[name].to_list()))


def _safe(value: Any) -> Any:
    if isinstance(value, str):
        return marked(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and abs(value) > _EXACT:
        return str(value)
    return value


def _scores(
    version: Version, ledger: pl.DataFrame, also: Iterable[str]
) -> tuple[list[str], list[list[Any]]]:
    """Names of the score columns that can be shown and of others, and their values of each row."""
    columns = version.manifest["columns"]
    shown = [c["name"] for c in columns if c["published"] and c["kind"] in _KINDS]
    names = [*dict.fromkeys([*(name for name in shown if name in version.scores.columns), *also])]
    rows = ledger.select("id").join(
        columns_of(version, names), on="id", how="left", maintain_order="left"
    )
    return names, [list(map(_safe, row)) for row in rows.drop("id").iter_rows()]
