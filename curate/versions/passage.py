"""A row's way through the stages of a version: what each decided on it, and by what.

Heavy: import it where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from curate.examples.texts import texts_of
from curate.ledger import DROPPED, FAILED, KEPT, MERGED
from curate.versions.judged import column_of, judged
from curate.versions.open import Version
from curate.versions.rows import condition, schema_of
from curate.versions.splits import SPLIT

Stage = Mapping[str, Any]

_SHORT = 100
"""Characters of a text that is shown among what a stage read."""


def passage(
    version: Version,
    life: Mapping[str, Any],
    known: Mapping[str, Any],
    maker: str | None,
    children: Mapping[str, list[str]],
    *,
    made: bool,
) -> list[dict[str, Any]]:
    """What each stage did to a row, in the order in which it came to them.

    Args:
        version: The version.
        life: The row's line of the ledger.
        known: Its columns, scores and texts, as far as they are published.
        maker: The stage that made it; None for rows of the sources, and where it cannot be told.
        children: Stage > rows that it made of this one; `` for those whose maker cannot be told.
        made: Whether a stage of this version made it.

    Returns:
        For each stage its `id`, `stage`, `verb` and `params`, and `outcome`: `scored`, `not asked`
        (outside its `where:`, or without a value that it reads), `stayed`, `dropped`, `failed`,
        `replaced`, `rewritten` (children beside it), `passed`, or `unknown`: it may have been
        rewritten. Of a row whose maker cannot be told only the stage that ended it is known. A
        stage that ended its life has `reason`, `detail` and `ref`; `values` are the scores that it
        wrote, `reads` the columns that its parameters name; `clauses` those of the condition that
        it keeps by, see `_clauses`; `cut` is what it chose by, among the
        rows that it decided on: see `_cut`. `margins` are the stage's.
    """
    found = []
    for stage in _stages(version, life, maker, unknown=made and maker is None):
        ends = life["stage"] == stage["id"] and life["fate"] != KEPT
        inside = _asked(version, stage, known)
        entry: dict[str, Any] = {
            "id": stage["id"],
            "stage": stage["stage"],
            "verb": stage["verb"],
            "outcome": _outcome(stage, life, children, ends=ends, inside=inside),
            "where": stage.get("where"),
            "params": stage["params"],
            "values": {
                column["name"]: known[column["name"]]
                for column in version.manifest["columns"]
                if column["stage"] == stage["id"] and known.get(column["name"]) is not None
            },
        }
        if stage["verb"] in ("filter", "fuse", SPLIT) and entry["outcome"] != "not asked":
            reads = _reads(stage, known)
            if stage["verb"] == SPLIT:  # a row need not have a value in every column
                reads = {name: value for name, value in reads.items() if value not in (None, "")}
            entry["reads"] = reads
            entry["clauses"] = _clauses(version, stage, known)
            entry["cut"] = _cut(version, stage, known)
            entry["margins"] = stage["margins"]
        if ends:
            entry |= {name: life[name] for name in ("reason", "detail", "ref")}
        if children.get(stage["id"]):
            entry["children"] = children[stage["id"]]
        found.append(entry)
    return found


def known_of(row: Mapping[str, Any] | None, scores: Mapping[str, Any]) -> dict[str, Any]:
    """What a stage could read of a row: its columns, scores and texts."""
    if row is None:
        return dict(scores)
    frame = pl.DataFrame([row], {"messages": _MESSAGES}, strict=False).select("messages")
    texts = {each.name: each[0] for each in texts_of(frame["messages"])}
    return {**row, **scores, **texts}


_MESSAGES = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))


def _stages(
    version: Version, life: Mapping[str, Any], maker: str | None, *, unknown: bool
) -> Iterator[Stage]:
    """The stages that a row came to; where its way is not recorded, the one that ended it."""
    stages = {stage["id"]: stage for stage in version.manifest["stages"]}
    reader = {name: stage for stage in stages.values() for name in stage["inputs"]}
    if unknown:
        if life["stage"] in stages:
            yield stages[life["stage"]]
        return
    start = life["source"] if maker is None else stages[maker].get("result", maker)
    last = life["stage"]
    if life["fate"] != KEPT and last not in stages:  # it could not be read
        return
    if life["stage"] == maker and last is not None:  # it could not be made
        yield stages[maker]
        return
    way, at = [], reader.get(start)
    while at is not None:
        way.append(at)
        if at["id"] == last:
            break
        at = reader.get(at.get("result", at["id"]))
    if last is not None and (not way or way[-1]["id"] != last):
        way = [stages[last]]
    yield from way


def _outcome(
    stage: Stage,
    life: Mapping[str, Any],
    children: Mapping[str, list[str]],
    *,
    ends: bool,
    inside: bool | None,
) -> str:
    if ends:
        return {DROPPED: "dropped", FAILED: "failed", MERGED: "replaced"}[life["fate"]]
    if inside is False:
        return "not asked"
    if stage["verb"] == "expand":
        if children.get(stage["id"]):
            return "rewritten"
        return "unknown" if children.get("") else "passed"
    return "scored" if stage["verb"] == "score" else "stayed"


def _asked(version: Version, stage: Stage, known: Mapping[str, Any]) -> bool | None:
    """Whether a stage was asked about a row; None where that cannot be told."""
    columns = [
        each["name"]
        for each in version.manifest["columns"]
        if each["stage"] == stage["id"] and each["published"]
    ]
    if stage["verb"] == "score" and columns and all(known.get(n) is None for n in columns):
        return False  # a null means that and nothing else
    return _inside(stage.get("where"), known)


def _inside(where: object, known: Mapping[str, Any]) -> bool | None:
    """Whether a row is inside `where:`; None where that cannot be told."""
    parsed = condition(where)
    if parsed is None or any(name not in known for name in parsed.columns):
        return None if where else True
    frame = pl.DataFrame({name: [known[name]] for name in parsed.columns}, strict=False)
    try:
        return frame.select(parsed.expr().fill_null(value=False)).item() is True
    except pl.exceptions.PolarsError:  # a column of nulls has no type to compare
        return None


def _reads(stage: Stage, known: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the columns that parameters name, long texts and vectors left out."""
    names: list[str] = []
    for name, value in stage["params"].items():
        if name == "text":  # says which text is read, and names no column
            continue
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str):
                names.append(each.partition(":")[2] or each)
    kept = condition(stage["params"].get("keep"))
    names += kept.columns if kept else ()
    values = {name: known[name] for name in dict.fromkeys(names) if name in known}
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, bool | int | float)
        or value is None
        or (isinstance(value, str) and len(value) <= _SHORT)
    }


def _clauses(version: Version, stage: Stage, known: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What came of each clause of the condition that a stage keeps by, in the recipe's order.

    Returns:
        For each its text (`clause`), the `values` that it looked at, by column, and `outcome`:
        `holds`, `false`, `null`, or `not published`, where a value is not there to be looked at.
        Empty where the condition has one clause only, or cannot be read here.
    """
    keep = condition(stage["params"].get("keep"))
    clauses = keep.clauses() if keep else ()
    schema = schema_of(version)
    found = []
    for clause in clauses if len(clauses) > 1 else ():
        there = all(name in known and name in schema for name in clause.columns)
        outcome = "not published"
        if there:
            held = pl.DataFrame(
                {name: pl.Series([known[name]], dtype=schema[name]) for name in clause.columns}
            ).select(clause.expr())
            outcome = _OUTCOMES[held.item()]
        values = {name: known[name] for name in clause.columns if name in known}
        found.append({"clause": clause.text, "values": values, "outcome": outcome})
    return found


_OUTCOMES = {True: "holds", False: "false", None: "null"}


def _cut(version: Version, stage: Stage, known: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a stage chose by, and where the rows stood that passed and that it dropped.

    Only rows that it judged count, and, where it chose in groups (`per`), those of the row's group.

    Returns:
        `column`, the row's `value` there, `kept` and `dropped` (each least and greatest value, None
        where there is none), `rows` (how many had a value) and `unpublished` (how many more it
        judged, in any group); None where the stage has no numbers.
    """
    column, per = column_of(version, stage), stage["params"].get("per")
    if column is None:
        return None
    grouped = isinstance(per, str) and per in known and per in schema_of(version)
    found = judged(version, stage, column, [str(per)] if grouped else [])
    if found is None:
        return None
    rows = found.rows
    if grouped:
        rows = rows.filter(pl.col(str(per)).eq_missing(pl.lit(known[str(per)])))
    sides = {
        "kept": rows.filter("passed")["value"],
        "dropped": rows.filter(~pl.col("passed"))["value"],
    }
    return {
        "column": column,
        "value": known.get(column),
        **{name: [side.min(), side.max()] if len(side) else None for name, side in sides.items()},
        "rows": len(rows),
        "unpublished": found.unpublished,
    }
