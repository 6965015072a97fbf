"""Finding rows of a version: by the beginning of an id, by text, by a condition.

Heavy: import it where it is used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from curate.errors import UsageError
from curate.examples.columns import kind_of
from curate.printing import one_line
from curate.recipe.where import WhereError, parse_where
from curate.versions.open import Version
from curate.versions.rows import check_columns, inside, published, schema_of

SHORTEST = 6
"""Characters that the beginning of an id has at least."""

_BEGINNING = re.compile(rf"[0-9a-f]{{{SHORTEST},32}}\Z")


@dataclass(frozen=True)
class Found:
    """Rows that were looked for.

    Attributes:
        how: `id`, `text` or `where`.
        ids: In the order of the ledger.
        searched: Rows whose text was looked at; None where none was.
        unpublished: Rows whose text could not be looked at.
    """

    how: str
    ids: tuple[str, ...]
    searched: int | None = None
    unpublished: int = 0


def find(version: Version, words: str | None, where: str | None) -> Found:
    """Find rows.

    Args:
        version: The version.
        words: An id or at least 6 characters of its beginning; otherwise, and where no id begins
            so, text that a turn holds, small and capital letters alike.
        where: A condition over columns of the rows, the scores and the ledger. With `words` both
            must hold.

    Raises:
        UsageError: Nothing is asked, nothing found, or the condition is wrong.
    """
    inside = None if where is None else _where(version, where)
    if not words:
        if inside is None:
            raise UsageError("Nothing to look for.", "Give an id, a text, or --where.")
        found = Found("where", inside)
    else:
        found = _ids(version, words) or _text(version, words)
        if inside is not None:
            both = set(inside)
            ids = tuple(id for id in found.ids if id in both)
            found = Found(found.how, ids, found.searched, found.unpublished)
    if not found.ids:
        raise _nothing(version, found, words, where)
    return found


def _nothing(version: Version, found: Found, words: str | None, where: str | None) -> UsageError:
    name = f"{version.name}@{version.version}"
    asked = " and ".join(
        [
            *([f"with the id or text '{one_line(words)[:80]}'"] if words else []),
            *([f"for which {one_line(where)[:200]} holds"] if where else []),
        ]
    )
    aside = (
        f"The text of {found.unpublished:,} rows that were not kept is not published."
        if found.unpublished
        else ""
    )
    return UsageError(f"{name} has no example {asked}.", aside)


def _ids(version: Version, words: str) -> Found | None:
    if not _BEGINNING.match(words):
        return None
    ids = version.ledger.filter(pl.col("id").str.starts_with(words))["id"].to_list()
    return Found("id", tuple(ids)) if ids else None


def _text(version: Version, words: str) -> Found:
    pattern = f"(?i){re.escape(words)}"
    content = pl.element().struct.field("content")
    rows = (
        published(version)
        .select("id", hit=pl.col("messages").list.eval(content.str.contains(pattern)).list.any())
        .collect()
    )
    ids = version.ledger.join(rows.filter("hit"), on="id", how="semi", maintain_order="left")
    return Found("text", tuple(ids["id"]), len(rows), len(version.ledger) - len(rows))


def _where(version: Version, where: str) -> tuple[str, ...]:
    try:
        condition = parse_where(where)
    except WhereError as error:
        raise _wrong(error) from None
    check_columns(version, condition.columns)
    kinds = {name: kind_of(dtype) for name, dtype in schema_of(version).items()}
    problems = condition.check_types({name: kinds[name] for name in condition.columns})
    if problems:
        raise _wrong(problems[0])
    rows = inside(version, where)
    assert rows is not None, "it can be read, and its columns are there"
    return tuple(rows.filter("inside")["id"])


def _wrong(error: WhereError) -> UsageError:
    return UsageError(f"--where, at character {error.offset + 1}: {error.message}.", error.remedy)
