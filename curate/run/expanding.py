"""The verb `expand`: children made, remembered by the content of their parent, and entered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import polars as pl

from curate.asking import LLM
from curate.contract.columns import ORIGINS, REJECTED
from curate.contract.context import Context
from curate.contract.results import Child
from curate.contract.stages import ExpandStage
from curate.errors import CurateError
from curate.examples import FRAMEWORK, HIDDEN
from curate.ledger import FAILED, MERGED, Positions
from curate.memo.keys import contents_of
from curate.run.arena import Arena
from curate.run.computing import broken
from curate.run.facts import StageFacts
from curate.run.failures import Failures, describe
from curate.run.fitting import Fitted
from curate.run.resolved import ResolvedStep
from curate.run.tools import Tools

CHILDREN = "children"
"""The output under which the children of a row are remembered."""

_PAID = 32
"""Rows of the first slice of a stage that asks a model."""

FIELDS = (
    "messages",
    "replaces",
    "rejected",
    "round",
    "columns",
    "origin",
    "generator",
    "license",
    "ability",
    "removed",
    "counts",
)


def expand(
    arena: Arena,
    resolved: ResolvedStep,
    asked: Positions,
    fitted: Fitted,
    tools: Tools,
    allowed: int,
    facts: StageFacts,
) -> tuple[Positions, Positions]:
    """Make children of rows.

    A child that could not be made is created and failed; where it was to replace its parents, they
    fail too. Such a pair is one failure of those allowed.

    Returns:
        Positions of new live rows, and of parents that are live no more.

    Raises:
        RowError: More than `allowed` children could not be made.
        PluginError: The stage broke its contract.
    """
    stage = resolved.step.stage
    assert isinstance(stage, ExpandStage)
    service = tools.service(resolved)
    context = Context(
        tools.seed, resolved.models, fitted.arrays, (), service, facts.count, tools.preview
    )
    rows = arena.stage_frame(resolved.step, asked)
    at = dict(zip(rows["id"], asked.tolist(), strict=True))
    failures = Failures(stage.id, allowed)

    def count(child: Child, rows: int = 1) -> None:
        if child.error is not None:
            failures.add(arena.place(at[child.parents[0]]), child.error, rows)

    # counted as they come: what is made after one too many is made, and perhaps paid, for nothing
    columns = arena.rows.columns
    if stage.scope == "row":
        children = list(_by_content(resolved, rows, columns, fitted, context, tools, facts, count))
    else:
        children, given = [], _given(rows)
        for child in stage.expand(rows, context):
            _check(stage, [child], given, columns)
            children.append(child)
            count(child)
    counted: dict[str, int] = {}
    for child in children:
        for name, times in child.counts.items():
            counted[name] = counted.get(name, 0) + times
            facts.count(name, times)
    children = [child for child in children if not _is_count(child)]
    parents = [np.array([at[id] for id in child.parents], dtype=np.int64) for child in children]
    if not children:
        facts.notes += stage.notes(counted)
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    made = arena.add_children(stage.id, parents, children)
    for name, times in arena.still_holding(made, children).items():
        counted[name] = times
        facts.count(name, times)
    facts.notes += stage.notes(counted)
    facts.books.created = len(children)
    return _settle(arena, stage.id, children, parents, made)


def _settle(
    arena: Arena,
    stage: str,
    children: Sequence[Child],
    parents: Sequence[Positions],
    made: Positions,
) -> tuple[Positions, Positions]:
    failed = np.array([child.error is not None for child in children])
    errors = [child.error for child in children if child.error is not None]
    arena.ledger.settle(made[failed], FAILED, stage=stage, reason="error", detail=errors)
    lost: dict[int, str] = {}
    replaced: set[int] = set()
    for child, positions in zip(children, parents, strict=True):
        if child.replaces:
            replaced.update(positions.tolist())
            if child.error is not None:
                lost |= dict.fromkeys(positions.tolist(), child.error)
    merged = np.array(sorted(replaced - set(lost)), dtype=np.int64)
    gone = np.array(sorted(lost), dtype=np.int64)
    arena.ledger.settle(merged, MERGED, stage=stage, reason="replaced")
    arena.ledger.settle(
        gone, FAILED, stage=stage, reason="error", detail=[lost[p] for p in gone.tolist()]
    )
    return made[~failed], np.concatenate([merged, gone])


def _check(
    stage: ExpandStage,
    children: Sequence[Child],
    given: Mapping[str, Pair | None],
    columns: Sequence[str],
) -> None:
    """Raise PluginError unless children are sound: no other is remembered or entered."""
    for child in children:
        if not isinstance(child, Child):
            raise broken(stage.name, f"it returned {type(child).__name__}, not Child")
        if not child.parents or len(set(child.parents)) != len(child.parents):
            raise broken(stage.name, f"a child names the parents {child.parents}")
        for id in child.parents:
            if id not in given:
                raise broken(stage.name, f"a child names the parent {id}, which it was not given")
        if (child.messages is None) == (child.error is None) and not _is_count(child):
            raise broken(stage.name, f"a child of {child.parents[0]} needs messages or an error")
        for turn in (*(child.messages or ()), *(child.rejected or ())):
            if set(turn) != {"role", "content"} or not all(
                isinstance(value, str) for value in turn.values()
            ):
                raise broken(
                    stage.name, f"a child of {child.parents[0]} has a turn without role and content"
                )
        if child.rejected is not None and not (
            child.replaces and given[child.parents[0]] == _speakers(child.messages, child.rejected)
        ):
            raise broken(
                stage.name,
                f"a child of {child.parents[0]} has a rejected answer; it takes a child that "
                f"replaces a row that has one, with its turns, and a stage that reads `messages` "
                f"and `{REJECTED}`",
            )
        if child.origin is not None and child.origin not in ORIGINS:
            raise broken(
                stage.name, f"a child has the origin {child.origin!r}, not one of {list(ORIGINS)}"
            )
        own = [name for name in child.columns if name in (*FRAMEWORK, *HIDDEN)]
        if own:
            raise broken(stage.name, f"a child sets columns that are the framework's: {own}")
        unknown = [name for name in child.columns if name not in columns]
        if unknown:
            raise broken(stage.name, f"a child has columns that the table has not: {unknown}")


Pair = tuple[list[str], list[str]]
"""Who speaks in a conversation, and in the answer that was rejected."""


def _given(rows: pl.DataFrame) -> dict[str, Pair | None]:
    """The ids of rows that a stage is given, with the speakers where it reads a rejected answer."""
    given: dict[str, Pair | None] = dict.fromkeys(rows["id"])
    if {"messages", REJECTED} <= set(rows.columns):
        for id, *turns in rows.drop_nulls(REJECTED).select("id", "messages", REJECTED).iter_rows():
            given[id] = _speakers(*turns)
    return given


def _speakers(*conversations: Sequence[Mapping[str, str]] | None) -> Pair:
    one, two = ([turn["role"] for turn in turns or ()] for turns in conversations)
    return one, two


def _by_content(
    resolved: ResolvedStep,
    rows: pl.DataFrame,
    columns: Sequence[str],
    fitted: Fitted,
    context: Context,
    tools: Tools,
    facts: StageFacts,
    count: Callable[[Child, int], None],
) -> Iterator[Child]:
    """Children of every row, made once for equal contents and remembered where all went well.

    Failures are counted chunk by chunk, each for as many rows as hold the content.
    """
    stage = resolved.step.stage
    assert isinstance(stage, ExpandStage)
    contents = pl.Series("id", contents_of(rows, stage.inputs()), dtype=pl.String)
    distinct = rows.with_columns(contents).unique("id", keep="first", maintain_order=True)
    column = tools.memo.column(stage.name, CHILDREN, children_components(resolved, fitted))
    known = {id: _loads(value) for id, value in column.lookup(distinct["id"]).iter_rows()}
    todo = distinct.filter(~pl.col("id").is_in(list(known)))
    facts.repeats = len(contents) - len(distinct)
    memo = {"distinct": len(distinct), "hits": len(known), "computed": 0}
    facts.memo = memo
    times: dict[str, int] = dict(contents.value_counts().iter_rows())
    first = dict(zip(distinct["id"], rows.filter(contents.is_first_distinct())["id"], strict=True))
    if len(todo):
        tools.advance(resolved, 0, len(todo))
    for part in _chunks(stage, todo):
        made = _isolated(stage, part, context)
        _check(stage, [child for each in made.values() for child in each], _given(part), columns)
        fine = [id for id, children in made.items() if all(c.error is None for c in children)]
        column.append(pl.DataFrame({"id": fine, "value": [_dumps(made[id]) for id in fine]}))
        memo["computed"] += len(made)
        tools.advance(resolved, memo["computed"], len(todo))
        # what is used is what is stored, so that a first and a resumed run agree
        known |= {id: _loads(_dumps(made[id])) if id in set(fine) else made[id] for id in made}
        for id, children in made.items():
            for child in children:
                count(_for_parent(child, first[id]), times[id])
    tools.recall(resolved, distinct.join(todo, on="id", how="anti", maintain_order="left"))
    for id, content in zip(rows["id"], contents, strict=True):
        for child in known[content]:
            yield _for_parent(child, id)


def _is_count(child: Child) -> bool:
    """Whether it only says what is to be counted of a row that stays itself."""
    nothing = child.messages is None and child.error is None and not child.replaces
    return nothing and bool(child.counts)


def _chunks(stage: ExpandStage, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Slices of `stage.chunk` rows; of a stage that asks a model, small ones first, each doubled.

    So a stage whose rows all fail has not asked about many when that is seen, and one whose rows do
    not fail rarely waits for the last answers of a slice.
    """
    size = min(_PAID, stage.chunk) if LLM in stage.services else stage.chunk
    start = 0
    while start < len(rows):
        yield rows[start : start + size]
        start, size = start + size, min(2 * size, stage.chunk)


def children_components(resolved: ResolvedStep, fitted: Fitted) -> dict[str, Any]:
    """The components of the key under which children are remembered."""
    components = resolved.components() | {"output": CHILDREN, "fits": dict(fitted.keys)}
    if resolved.step.stage.uses_seed:
        components["seed"] = fitted.seed
    return components


def _isolated(stage: ExpandStage, rows: pl.DataFrame, context: Context) -> dict[str, list[Child]]:
    """Children by the id of their row; an exception costs only the row that raises it."""
    try:
        return _grouped(stage, rows["id"].to_list(), stage.expand(rows, context))
    except CurateError:
        raise
    except Exception as error:  # a plugin may raise anything; the row is found and carries it
        if len(rows) > 1:
            middle = len(rows) // 2
            return _isolated(stage, rows[:middle], context) | _isolated(
                stage, rows[middle:], context
            )
        id = rows["id"][0]
        return {id: [Child((id,), replaces=stage.in_place(), error=describe(error))]}


def _grouped(
    stage: ExpandStage, ids: Sequence[str], children: Iterable[Child]
) -> dict[str, list[Child]]:
    groups: dict[str, list[Child]] = {id: [] for id in ids}
    for child in children:
        if not isinstance(child, Child):
            raise broken(stage.name, f"it returned {type(child).__name__}, not Child")
        if len(child.parents) != 1 or child.parents[0] not in groups:
            raise broken(
                stage.name,
                f"a child names the parents {child.parents}; of a row-scoped stage it has one, "
                "among the rows given",
            )
        groups[child.parents[0]].append(child)
    return groups


def _for_parent(child: Child, id: str) -> Child:
    return Child((id,), **{name: getattr(child, name) for name in (*FIELDS, "error")})


def _dumps(children: Sequence[Child]) -> str:
    dumped = [{name: getattr(child, name) for name in FIELDS} for child in children]
    return orjson.dumps(dumped, default=dict).decode()


def _loads(value: str) -> list[Child]:
    return [Child(("",), **fields) for fields in orjson.loads(value)]
