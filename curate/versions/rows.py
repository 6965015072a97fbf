"""Rows of a version, read where they are asked for. Heavy: import it where it is used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from curate.contract.columns import TEXTS
from curate.errors import UsageError, nearest
from curate.examples.texts import texts_of
from curate.recipe.where import Where, WhereError, parse_where
from curate.versions.open import Version
from curate.versions.splits import data_files

Message = dict[str, str]

LEDGER = ("id", "source", "parents", "file", "line", "fate", "stage", "reason", "detail", "ref")
"""Columns of the ledger; the first three stand in the rows too, and say the same there."""


def published(version: Version, *, dropped: bool = True) -> pl.LazyFrame:
    """The kept rows and, where they are published, those that were not kept."""
    files = version.shards
    if dropped and (version.path / "dropped.parquet").exists():
        files.append(version.path / "dropped.parquet")
    return version.scan(*files)


def by_split(version: Version) -> pl.DataFrame:
    """`id` and `split` of the kept rows, in their order."""
    return pl.concat(
        version.scan(*data_files(version.path, version.manifest, [name]))
        .select("id", split=pl.lit(name))
        .collect()
        for name in version.splits
    )


def whole(version: Version, id: str) -> dict[str, Any] | None:
    """Every column of one row; None where it is not published or could never be read or made."""
    found = published(version).filter(pl.col("id") == id).collect().to_dicts()
    return found[0] if found else None


def messages_of(version: Version, ids: Iterable[str]) -> dict[str, list[Message]]:
    """The conversations of some rows, as far as they are published, in no order."""
    wanted = pl.Series(sorted(set(ids)), dtype=pl.String)
    if not len(wanted):
        return {}
    rows = published(version).filter(pl.col("id").is_in(wanted.implode()))
    return dict(rows.select("id", "messages").collect().iter_rows())


def schema_of(version: Version) -> dict[str, pl.DataType]:
    """Every column that `table` can give: of the rows, the scores and the ledger, and texts.

    A column of the ledger whose name one of the data has stands as `ledger.<name>` alone; each
    has that name too.
    """
    ledger = version.scan(version.path / "ledger.parquet").collect_schema()
    scores = version.scan(version.path / "scores.parquet").collect_schema()
    rows = published(version).collect_schema()
    texts = dict.fromkeys((name for name in TEXTS), pl.String())
    prefixed = {f"ledger.{name}": dtype for name, dtype in ledger.items()}
    return {**prefixed, **ledger, **texts, **scores, **rows}


def check_columns(version: Version, names: Iterable[str]) -> None:
    """Raise UsageError unless `schema_of` gives every name."""
    known = schema_of(version)
    for name in names:
        if name not in known:
            raise UsageError(
                f"{version.name}@{version.version} has no column '{name}'.",
                nearest(name, [each for each in known if "." not in each]),
            )


def table(version: Version, columns: Iterable[str]) -> pl.DataFrame:
    """Columns of every example ever seen, in the order of the ledger.

    Args:
        version: The version.
        columns: Names that `schema_of` gives.

    Returns:
        `id` and the columns; null where a row has none, is not published or could not be read.

    Raises:
        UsageError: There is no such column.
    """
    names = list(dict.fromkeys(columns))
    check_columns(version, names)
    rows, scores = published(version), version.scan(version.path / "scores.parquet")
    held, scored = rows.collect_schema(), scores.collect_schema()
    shared = ("id", "source", "parents")  # of rows that could not be read too
    texts = [name for name in names if name in TEXTS]
    from_rows = [n for n in names if n in held and n not in shared]
    from_scores = [n for n in names if n in scored and n not in held and n != "id"]
    taken = {*from_rows, *from_scores, *texts}
    ledger = version.ledger.lazy().select(
        "id",
        *(
            pl.col(name.removeprefix("ledger.")).alias(name)
            for name in names
            if name not in taken and name != "id"
        ),
    )
    if from_rows or texts:
        read = list(dict.fromkeys(["id", *from_rows, *(["messages"] if texts else [])]))
        part = rows.select(read).collect()
        if texts:
            part = part.with_columns(texts_of(part["messages"])).select("id", *from_rows, *texts)
        ledger = ledger.join(part.lazy(), on="id", how="left", maintain_order="left")
    if from_scores:
        part = scores.select("id", *from_scores).collect()
        ledger = ledger.join(part.lazy(), on="id", how="left", maintain_order="left")
    return ledger.collect().select("id", *(name for name in names if name != "id"))


def condition(text: object) -> Where | None:
    """A condition of a recipe; None where it cannot be read here, such as with `${NAME}` in it."""
    if not isinstance(text, str):
        return None
    try:
        return parse_where(text)
    except WhereError:
        return None


def inside(version: Version, where: str | None) -> pl.DataFrame | None:
    """Which examples a condition holds for.

    Args:
        version: The version.
        where: A `where:` as the manifest has it; None holds for all.

    Returns:
        `id` and `inside` (bool) of every example ever seen, in the order of the ledger; null where
        it reads what is not published of a row. None where the condition cannot be read here, or
        names a column that no row of the version has.
    """
    if where is None:
        return version.ledger.select("id", inside=pl.lit(value=True))
    parsed, known = condition(where), schema_of(version)
    if parsed is None or not set(parsed.columns) <= set(known):
        return None
    holds = table(version, parsed.columns).select("id", inside=parsed.expr().fill_null(value=False))
    held = {*published(version).collect_schema(), *TEXTS} - {"id", "source", "parents"}
    if not held.isdisjoint(parsed.columns):
        there = published(version).select("id").collect()["id"]
        holds = holds.with_columns(
            inside=pl.when(pl.col("id").is_in(there.implode())).then("inside")
        )
    return holds


def values(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The published score columns that are no vectors, as the manifest describes them."""
    return [
        column
        for column in manifest["columns"]
        if column["published"] and column["kind"] in (*NUMBERS, "string")
    ]


NUMBERS = ("integer", "number", "boolean")
"""Kinds of columns whose values have an order; true counts as 1."""
