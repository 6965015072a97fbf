"""`sources.mix` against every mix that there is: small pools, random policies, longhand sums.

What a policy means is written out here once more, in whole numbers over all combinations of rows
by cell, from the clauses as they were drawn and never from what the stage read of them.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations, product
from math import ceil, floor
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.optimize import linprog

from curate.api import Context, PolicyError
from curate_sources.mix.cells import Blocks, Cells, into_blocks, into_cells
from curate_sources.mix.conflicts import Conflict, find_conflict
from curate_sources.mix.policy import MixParams
from curate_sources.mix.program import Conditions
from curate_sources.mix.spread import GRID, Fill, spread
from curate_sources.mix.stage import Mix

VALUES: dict[str, tuple[str | None, ...]] = {
    "source": ("a", "b", "c"),
    "origin": ("human", "synthetic", None),
    "ability": ("code", "ethics", None),
    "license": ("mit", "CC-BY-NC-4.0", "mit AND cc-by-nc-4.0", None),
}
CONTEXT = Context(seed=7, models={}, fits={}, wanted=(), service=lambda name: None)
STEADY = settings(
    derandomize=True,
    deadline=None,
    max_examples=120,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
SEEN: Counter[str] = Counter()
"""What the drawn cases were, so that a test can say that each kind was among them."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Said:
    """A clause as it was drawn: how it is written, and what it means."""

    name: str
    text: str
    low: Fraction | None = None
    high: Fraction | None = None
    share: bool = False
    everything: bool = False
    about: Callable[[Row], bool] = lambda row: True


@dataclass(frozen=True)
class Case:
    """A pool, a policy as a recipe writes it, and its clauses."""

    rows: tuple[Row, ...]
    params: dict[str, Any]
    clauses: dict[str, Said]
    denied: Callable[[Row], bool]

    @property
    def frame(self) -> pl.DataFrame:
        return frame(self.rows)


def frame(rows: Sequence[Row]) -> pl.DataFrame:
    schema = {"id": pl.String, **dict.fromkeys(VALUES, pl.String), "score": pl.Int64}
    return pl.DataFrame(list(rows), schema=schema)


# What is drawn.


@st.composite
def amounts(draw: Any) -> tuple[str, Fraction, bool]:
    """How an amount is written, its value, and whether it is a share."""
    if draw(st.booleans()):
        rows = draw(st.integers(0, 5))
        return f"{rows} row{'s' * (rows != 1)}", Fraction(rows), False
    share = Fraction(draw(st.sampled_from(["0", "5", "10", "20", "25", "33.3", "40", "50", "60"])))
    share += draw(st.sampled_from([0, 0, 20, 40]))
    written = f"{float(share):g}%" if draw(st.booleans()) else f"{float(share / 100):.4f}"
    return written, share / 100, True


@st.composite
def bounds(draw: Any) -> tuple[str, Fraction | None, Fraction | None, bool, bool]:
    """Text, bounds, whether they are shares, whether all is asked for."""
    form = draw(st.sampled_from(["least", "most", "between", "exactly", "all"]))
    if form == "all":
        return "all", None, None, False, True
    text, value, share = draw(amounts())
    if form == "least":
        return f">= {text}", value, None, share, False
    if form == "most":
        return f"<= {text}", None, value, share, False
    if form == "between":
        more = value + draw(st.sampled_from([Fraction(1), Fraction(2)]) if not share else FIFTHS)
        more = min(more, Fraction(1)) if share else more
        first = text.removesuffix("s").removesuffix(" row") if not share else text
        second = f"{float(more):.4f}" if share else f"{more} rows"
        return f"{first}..{second}", value, more, share, False
    return text, value, value, share, False


FIFTHS = st.sampled_from([Fraction(1, 5), Fraction(2, 5)])


@st.composite
def sizes(draw: Any) -> tuple[Any, Said]:
    form = draw(st.sampled_from(["none", "exact", "exact", "max", "min", "both"]))
    rows = draw(st.integers(1, 9))
    if form == "none":
        return None, Said("size", "", Fraction(1))
    if form == "exact":
        return rows, Said("size", "", Fraction(rows), Fraction(rows))
    if form == "max":
        return {"max": rows}, Said("size", "", Fraction(1), Fraction(rows))
    if form == "min":
        return {"min": rows}, Said("size", "", Fraction(rows))
    return {"min": rows, "max": rows + 2}, Said("size", "", Fraction(rows), Fraction(rows + 2))


def has(column: str, allowed: Iterable[str]) -> Callable[[Row], bool]:
    names = frozenset(allowed)
    return lambda row: (row[column] or "unknown") in names


@st.composite
def limits(
    draw: Any, rows: Sequence[Row], denied: Callable[[Row], bool]
) -> tuple[dict[str, Any], list[Said]]:
    """A limit, and the clauses that it comes to."""
    columns = draw(st.lists(st.sampled_from(["source", "origin", "ability"]), max_size=2))
    where = {
        column: draw(
            st.lists(
                st.sampled_from([v or "unknown" for v in VALUES[column]]),
                min_size=1,
                max_size=2,
                unique=True,
            )
        )
        for column in sorted(set(columns))
    }
    per = draw(st.sampled_from([None, "source", "ability"])) if where else "source"
    low = draw(st.none() | amounts())
    high = draw(amounts()) if low is None else draw(st.none() | amounts())
    if low and high and low[2] == high[2] and low[1] > high[1]:
        low, high = high, low
    limit: dict[str, Any] = {"min": low and low[0], "max": high and high[0]}
    said = [f"{column}={'|'.join(sorted(names))}" for column, names in where.items()]
    name = "limits." + ",".join([*said, *([f"per {per}"] if per else [])])
    limit |= {"where": where} if where else {}
    limit |= {"per": per} if per else {}

    def within(row: Row) -> bool:
        return all(has(column, names)(row) for column, names in where.items())

    about = {name: within}
    if per:
        values = {row[per] or "unknown" for row in rows if within(row) and not denied(row)}
        about = (
            about
            if not values
            else {
                f"{name}.{value}": (lambda row, value=value: within(row) and has(per, [value])(row))
                for value in sorted(values)
            }
        )
    clauses = []
    for each, inside in about.items():
        if low and high and low[2] != high[2]:
            clauses.append(Said(f"{each}.min", "", low[1], None, low[2], about=inside))
            clauses.append(Said(f"{each}.max", "", None, high[1], high[2], about=inside))
        else:
            unit = (low or high)[2]  # type: ignore[index]  # one of them was drawn
            bound = (low and low[1], high and high[1])
            clauses.append(Said(each, "", *bound, unit, about=inside))
    return limit, clauses


@st.composite
def cases(draw: Any, most_rows: int = 9) -> Case:
    """A pool and a policy over it."""
    kinds = st.tuples(*(st.sampled_from(VALUES[column]) for column in VALUES))
    drawn = draw(st.lists(kinds, min_size=1, max_size=most_rows))
    scores = draw(st.permutations(range(len(drawn))))
    rows = tuple(
        {"id": f"{at:032x}", **dict(zip(VALUES, kind, strict=True)), "score": scores[at]}
        for at, kind in enumerate(drawn)
    )
    size, asked = draw(sizes())
    params: dict[str, Any] = {} if size is None else {"size": size}
    clauses = {"size": asked}
    wanted = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["source", "origin", "ability"]),
                st.sampled_from([0, 1, 2, 2, 3]),
                bounds(),
            ),
            max_size=4,
            unique_by=lambda each: each[:2],
        )
    )
    for column, at, (text, low, high, share, everything) in wanted:
        value = ([each or "unknown" for each in VALUES[column]] + ["nowhere"])[at]
        params.setdefault("shares", {}).setdefault(column, {})[value] = text
        name = f"shares.{column}.{value}"
        clauses[name] = Said(name, text, low, high, share, everything, has(column, [value]))
    denied: Callable[[Row], bool] = lambda row: False  # noqa: E731  # a function like the next
    if draw(st.booleans()):
        unknown = draw(st.sampled_from(["keep", "drop"]))
        params["licenses"] = {"deny": ["cc-by-NC-*"], "unknown": unknown}
        clauses["licenses"] = Said("licenses", "")
        denied = lambda row: (  # noqa: E731
            unknown == "drop" if row["license"] is None else "nc" in row["license"].lower()
        )
    chosen: dict[str, Any] = {}
    for limit, said in draw(st.lists(limits(rows, denied), max_size=2)):
        chosen.setdefault(str((limit.get("where"), limit.get("per"))), (limit, said))
    if chosen:
        params["limits"] = [limit for limit, _ in chosen.values()]
        clauses |= {each.name: each for _, said in chosen.values() for each in said}
    params["spread"] = draw(st.sampled_from(["natural", "even"]))
    return Case(rows, params, clauses, denied)


# What it means, longhand.


@dataclass
class Every:
    """Every mix of a pool, as rows by cell; a cell has equal values in all columns."""

    case: Case
    cells: list[tuple[Any, ...]] = field(init=False)
    _missed: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        counted = Counter(tuple(row[column] for column in VALUES) for row in self.case.rows)
        self.cells = list(counted)
        self.counts = np.array([counted[cell] for cell in self.cells])
        self.mixes = np.array(list(product(*(range(c + 1) for c in self.counts)))[1:])
        self.sizes = self.mixes.sum(1)
        self.denied = self._cells(self.case.denied)

    def _cells(self, about: Callable[[Row], bool]) -> Any:
        return np.array([about(dict(zip(VALUES, cell, strict=True))) for cell in self.cells])

    def inside(self, clause: Said) -> Any:
        """The cells that a clause is about."""
        return self._cells(clause.about)

    def of(self, ids: Iterable[str]) -> int:
        """Which mix some rows are."""
        by_id = {row["id"]: row for row in self.case.rows}
        taken = Counter(tuple(by_id[id][column] for column in VALUES) for id in ids)
        mix = np.array([taken[cell] for cell in self.cells])
        return int(np.flatnonzero((self.mixes == mix).all(1))[0])

    def missed(self, clause: Said) -> Any:
        """By how many rows every mix misses a clause."""
        key = clause.name
        if key not in self._missed:
            self._missed[key] = self._miss(clause)
        return self._missed[key]

    def _miss(self, clause: Said) -> Any:
        if clause.name == "licenses":
            return self.mixes[:, self.denied].sum(1)
        inside = self.inside(clause)
        rows = self.mixes[:, inside].sum(1)
        if clause.everything:
            there = self.counts[inside & ~self.denied].sum()
            return np.maximum(max(there, 1) - rows, 0)
        of = range(int(self.counts.sum()) + 1) if clause.share else (1,)
        at = self.sizes if clause.share else 0
        by = np.zeros(len(rows), dtype=np.int64)
        if clause.low is not None:
            by = np.maximum(by, np.array([ceil(clause.low * each) for each in of])[at] - rows)
        if clause.high is not None:
            by = np.maximum(by, rows - np.array([floor(clause.high * each) for each in of])[at])
        return by

    def met(self, names: Iterable[str]) -> Any:
        """Which mixes meet clauses; `all` is of what the licences allow, whether or not held."""
        holds = np.ones(len(self.mixes), dtype=bool)
        for name in names:
            holds &= self.missed(self.case.clauses[name]) == 0
        return holds

    def possible(self, names: Iterable[str]) -> bool:
        return bool(self.met(names).any())

    def blocks(self) -> list[Any]:
        """The cells that the same clauses are about, those of denied licences left out."""
        about = [self.inside(clause) for clause in self.case.clauses.values()]
        signatures = list(zip(*about, strict=True))
        return [
            np.array([each == one and not d for each, d in zip(signatures, self.denied)])  # noqa: B905
            for one in dict.fromkeys(
                each for each, d in zip(signatures, self.denied, strict=True) if not d
            )
        ]


def fused(case: Case, rows: pl.DataFrame | None = None, **more: Any) -> tuple[set[str], Any]:
    """The ids that the stage keeps, and its decisions."""
    params = MixParams.model_validate(case.params | more)
    decisions = Mix(params, "mix").fuse({"pool": case.frame if rows is None else rows}, CONTEXT)
    found = decisions.rows
    assert sorted(found["id"]) == [row["id"] for row in case.rows]
    assert (found["keep"] == found["reason"].is_null()).all()
    return set(found.filter("keep")["id"]), decisions


def refusal(case: Case) -> str | None:
    """Why the stage refuses a policy; None where it can be met."""
    try:
        fused(case)
    except PolicyError as error:
        return str(error)
    except ValidationError:
        return "wrong in itself"
    return None


def parts(case: Case, params: MixParams) -> tuple[Cells, Blocks, tuple[Any, ...]]:
    cells = into_cells(case.frame, params.columns)
    rules = params.rules(lambda limit: cells.values_for(limit, params.licenses))
    return cells, into_blocks(cells, rules, params.licenses), rules


@STEADY
@given(cases())
def test_a_policy_is_met_or_its_conflict_named(case: Case) -> None:
    every = Every(case)
    possible = every.possible(case.clauses)
    try:
        params = MixParams.model_validate(case.params)
    except ValidationError:
        SEEN["refused"] += 1
        assert not possible
        return
    SEEN["met" if possible else "not met"] += 1
    if possible:
        kept, decisions = fused(case)
        _meets(case, every, kept, decisions)
        _is_certified(case, every, kept, decisions.certificate)
        _is_spread(case, params, every, kept, decisions)
        return
    with pytest.raises(PolicyError) as raised:
        fused(case)
    _, blocks, rules = parts(case, params)
    conflict = find_conflict(blocks.pool, rules)
    assert conflict is not None
    for rule, reachable in zip(conflict.rules, conflict.reachable, strict=True):
        assert f"{rule.name}: {rule.asked}" in str(raised.value)
        assert reachable in str(raised.value)
    _is_minimal(case, every, conflict)
    _is_reachable(case, every, conflict)


def _meets(case: Case, every: Every, kept: set[str], decisions: Any) -> None:
    mix = every.of(kept)  # a mix of the pool: no cell gives more than it has
    met = every.met(case.clauses)
    assert met[mix]
    assert every.sizes[mix] == every.sizes[met].max()
    reasons = dict(zip(decisions.rows["id"], decisions.rows["reason"], strict=True))
    for row in case.rows:
        if row["id"] not in kept:
            assert reasons[row["id"]] == ("license" if case.denied(row) else "surplus")


def _is_certified(case: Case, every: Every, kept: set[str], certificate: Any) -> None:
    mix = every.of(kept)
    size = int(every.sizes[mix])
    assert {clause.name for clause in certificate} == set(case.clauses)
    for clause in certificate:
        said = case.clauses[clause.name]
        inside = np.ones(len(every.cells), dtype=bool)
        if said.name != "size":
            inside = ~every.denied if said.name == "licenses" else every.inside(said)
        rows = int(every.mixes[mix, inside].sum())
        assert (clause.rows, clause.of) == (rows, size)
        let_in = "licenses" in {each.name for each in certificate if each.state == "relaxed"}
        let_in &= said.name != "licenses"
        assert clause.available == every.counts[inside & (~every.denied | let_in)].sum()
        of = size if said.share else 1
        slack = [] if said.low is None else [rows - ceil(said.low * of)]
        slack += [] if said.high is None else [floor(said.high * of) - rows]
        if said.everything:
            # none at all is an error
            slack = [rows - max(every.counts[inside & ~every.denied].sum(), 1)]
        if said.name == "licenses":
            slack = [rows - size]
        if said.name == "size":
            slack.append(0)  # the most is taken, so that not one row more would do
        assert clause.slack == min(slack)
        by = int(every.missed(said)[mix])
        assert clause.slack == -by if by else clause.slack >= 0
        expected = "relaxed" if by else "binding" if clause.slack == 0 else "slack"
        assert clause.state == expected


def _is_spread(case: Case, params: MixParams, every: Every, kept: set[str], decision: Any) -> None:
    """The target is max-min fair; its rounding is the nearest; cells of a block share fairly."""
    even = case.params["spread"] == "even"
    mix, size = every.of(kept), len(kept)
    blocks = every.blocks()
    stock = np.array([int(every.counts[block].sum()) for block in blocks])
    # the target, block by block, of the stage
    cells, theirs, rules = parts(case, params)
    rest = [rule for rule in rules if rule.part != "size"]
    fill = Fill([cells.counts[members] for members in theirs.cells], even=even)
    found = spread(Conditions(theirs.pool, rest, size=size), fill)
    target = np.zeros(len(blocks))
    for members, rows in zip(theirs.cells, found, strict=True):
        named = {name: values[members[0]] for name, values in cells.values.items()}
        for at, block in enumerate(blocks):
            one = dict(zip(VALUES, every.cells[int(np.flatnonzero(block)[0])], strict=True))
            same = [
                each.about({c: (None if v == "unknown" else v) for c, v in named.items()})
                == each.about(one)
                for each in case.clauses.values()
                if each.name not in ("size", "licenses")
            ]
            if all(same) and not theirs.pool.denied[_block(theirs, members)]:
                target[at] = rows
    assert abs(target.sum() - size) < 1e-5
    _is_fair(case, every, blocks, stock, target, size, even)
    # the nearest whole numbers, to the 10,000th of a row
    there = every.met(case.clauses) & (every.sizes == size)
    whole = np.stack([every.mixes[:, block].sum(1) for block in blocks], axis=1)
    far = np.abs(whole * GRID - np.rint(target * GRID).astype(np.int64)).sum(1)
    assert far[mix] == far[there].min()
    as_near = {tuple(each) for each in whole[there & (far == far[mix])]}
    assert decision.facts["unique"] or len(as_near) > 1
    for at, block in enumerate(blocks):
        _is_shared(case, every, mix, block, int(whole[mix, at]), even)


def _block(blocks: Blocks, members: Any) -> int:
    return next(at for at, each in enumerate(blocks.cells) if each is members)


def _is_fair(
    case: Case, every: Every, blocks: list[Any], stock: Any, target: Any, size: int, even: bool
) -> None:
    """No block can have more unless one that has no higher level has less."""
    lines, most = [], []
    for clause in case.clauses.values():
        if clause.name in ("size", "licenses"):
            continue
        inside = every.inside(clause)
        line = np.array([float((block & inside).any()) for block in blocks])
        of = size if clause.share else 1
        low = None if clause.low is None else ceil(clause.low * of)
        if clause.everything:
            low = int(every.counts[inside & ~every.denied].sum())
        if low is not None:
            lines.append(-line)
            most.append(-low)
        if clause.high is not None:
            lines.append(line)
            most.append(floor(clause.high * of))
    if lines:
        assert (np.array(lines) @ target <= np.array(most) + 1e-5).all()
    levels = target / stock
    if even:
        levels = np.array(
            [
                _level([there for there, _ in _merged(case, every, block)], rows)
                for block, rows in zip(blocks, target, strict=True)
            ]
        )
    for at in range(len(blocks)):
        if target[at] >= stock[at] - 1e-6:
            continue
        held = (levels <= levels[at] + 1e-7) & (np.arange(len(blocks)) != at)
        least = np.where(held, np.maximum(target - 1e-9, 0), 0.0)
        better = linprog(
            -np.eye(len(blocks))[at],
            A_ub=np.array(lines) if lines else None,
            b_ub=np.array(most, dtype=float) if lines else None,
            A_eq=np.ones((1, len(blocks))),
            b_eq=[size],
            bounds=np.column_stack([least, stock.astype(float)]),
        )
        assert better.status == 0
        assert -better.fun <= target[at] + 1e-4


def _level(counts: list[int], rows: float) -> float:
    """The rows of each cell, or all it has, that come to so many."""
    left, ordered = rows, np.sort(counts)
    for at, count in enumerate(ordered):
        if count * (len(ordered) - at) >= left - 1e-12:
            return float(left / (len(ordered) - at))
        left -= count
    return float(ordered[-1])


def _is_shared(case: Case, every: Every, mix: int, block: Any, rows: int, even: bool) -> None:
    """Cells of a block, as the stage sees them, share its rows."""
    cells = _merged(case, every, block, mix)
    total = sum(there for there, _ in cells)
    for there, taken in cells:
        for more, other in cells:
            if even:
                assert taken == there or taken >= other - 1
            elif taken * total < rows * there and other * total > rows * more:
                # this one was rounded down, that one up: its remainder is no larger
                assert (rows * there) % total <= (rows * more) % total
        if not even:
            assert abs(Fraction(rows * there, total) - taken) < 1


def _merged(case: Case, every: Every, block: Any, mix: int = 0) -> list[tuple[int, int]]:
    """Rows there are, and taken, of the cells of a block by the columns that the policy names."""
    named = sorted({"source", *case.params.get("shares", {}), *_columns_of_limits(case)})
    named += ["license"] * ("licenses" in case.params)
    merged: dict[tuple[str, ...], tuple[int, int]] = {}
    for at in np.flatnonzero(block):
        values = dict(zip(VALUES, every.cells[at], strict=True))
        key = tuple(values[column] or "unknown" for column in named)
        there, taken = merged.get(key, (0, 0))
        merged[key] = (there + int(every.counts[at]), taken + int(every.mixes[mix, at]))
    return list(merged.values())


def _columns_of_limits(case: Case) -> set[str]:
    found: set[str] = set()
    for limit in case.params.get("limits", []):
        found |= {*limit.get("where", {}), *([limit["per"]] if limit.get("per") else [])}
    return found


def _is_minimal(case: Case, every: Every, conflict: Conflict) -> None:
    names = [rule.name for rule in conflict.rules]
    assert not every.possible(names)
    for name in names:
        assert every.possible([other for other in names if other != name])
    given_up = {rule.name for rule in conflict.surrender}
    assert every.possible(case.clauses.keys() - given_up)
    for fewer in range(len(given_up)):
        for some in combinations(case.clauses, fewer):
            assert not every.possible(case.clauses.keys() - set(some))


def _is_reachable(case: Case, every: Every, conflict: Conflict) -> None:
    names = [rule.name for rule in conflict.rules]
    for rule, said in zip(conflict.rules, conflict.reachable, strict=True):
        clause = case.clauses[rule.name]
        others = [name for name in names if name != rule.name]
        met = every.met(others)
        numbers = [
            int(each.replace(",", "")) for each in re.findall(r"(?<![\d.])\d+(?= row)", said)
        ]
        if rule.part == "licenses":
            assert numbers == [every.mixes[met][:, every.denied].sum(1).min()]
            continue
        if rule.part == "size":
            sizes = every.sizes[met]
            below = sizes[sizes < clause.low]
            above = sizes[sizes > clause.high] if clause.high is not None else sizes[:0]
            assert numbers == [
                *([below.max()] if len(below) else []),
                *([above.min()] if len(above) else []),
            ]
            continue
        inside = every.inside(clause)
        rows, sizes = every.mixes[met][:, inside].sum(1), every.sizes[met]
        if clause.everything:
            there = every.counts[inside & ~every.denied].sum()
            expected = f"at most {rows.max()} of its {there} row" if there else "there is none"
            assert said.startswith(expected)
            continue
        of = sizes if clause.share else np.ones_like(sizes)
        reached = [Fraction(int(r), int(s)) for r, s in zip(rows, of, strict=True)]
        if clause.share:
            found = [Fraction(int(r), int(s)) for r, s in re.findall(r"\((\d+) of (\d+) row", said)]
        else:
            found = [Fraction(each) for each in numbers]
        if clause.low is not None and max(reached) < clause.low:
            assert said.startswith("at most")
            assert found == [max(reached)]
        elif clause.high is not None and min(reached) > clause.high:
            assert said.startswith("at least")
            assert found == [min(reached)]
        else:
            assert found == [min(reached), max(reached)]


@STEADY
@given(cases(), st.randoms(use_true_random=False))
def test_no_order_matters(case: Case, shuffled: random.Random) -> None:
    """Of rows, tables, clauses, values and limits."""

    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in shuffled.sample(list(value), len(value))}
        if isinstance(value, list):
            return [turned(each) for each in shuffled.sample(value, len(value))]
        return value

    other = Case(case.rows, turned(case.params), case.clauses, case.denied)
    if (refused := refusal(case)) is not None:
        assert refusal(other) == refused
        return
    first, decisions = fused(case)
    rows = shuffled.sample(case.rows, len(case.rows))
    at = shuffled.randrange(len(rows) + 1)
    tables = {"z": frame(rows[:at]), "y": frame(rows[at:])}
    again = Mix(MixParams.model_validate(other.params), "mix").fuse(tables, CONTEXT)
    assert set(again.rows.filter("keep")["id"]) == first
    assert again.certificate == decisions.certificate


@STEADY
@given(cases(), st.booleans())
def test_highest_sum_of_ranks(case: Case, lowest: bool) -> None:
    every = Every(case)
    params = {name: value for name, value in case.params.items() if name != "spread"}
    rank = "lowest" if lowest else "highest"
    case = Case(case.rows, params, case.clauses, case.denied)
    met = every.met(case.clauses)
    if not met.any():
        return
    SEEN["ranked"] += 1
    kept, decisions = fused(case, maximize="rank", rank_by="score", rank=rank)
    met &= every.sizes == every.sizes[met].max()
    best: dict[tuple[Any, ...], list[int]] = {cell: [] for cell in every.cells}
    for row in case.rows:
        score = len(case.rows) - 1 - row["score"] if lowest else row["score"]
        best[tuple(row[column] for column in VALUES)].append(score)
    sums = [
        np.concatenate([[0], np.cumsum(sorted(best[cell], reverse=True))]) for cell in every.cells
    ]
    totals = sum(each[every.mixes[:, at]] for at, each in enumerate(sums))
    scores = [row["score"] for row in case.rows if row["id"] in kept]
    reached = sum(len(case.rows) - 1 - each if lowest else each for each in scores)
    assert met[every.of(kept)]
    assert reached == totals[met].max()
    _is_certified(case, every, kept, decisions.certificate)


@STEADY
@given(cases(), st.randoms(use_true_random=False))
def test_relaxed_policies_are_missed_by_the_least(case: Case, drawn: random.Random) -> None:
    every = Every(case)
    named = sorted({*case.clauses, *(_whole(name) for name in case.clauses)})
    relax = drawn.sample(named, drawn.randint(1, len(named)))
    order = list(
        dict.fromkeys(
            clause
            for name in relax
            for clause in sorted(case.clauses, key=lambda each: (PARTS.index(_part(each)), each))
            if name in (clause, _whole(clause), _part(clause))
        )
    )
    try:
        MixParams.model_validate(case.params)
    except ValidationError:
        return
    more = {"on_infeasible": {"relax": relax}}
    soft: list[str] = []
    while not every.possible(case.clauses.keys() - set(soft)):
        if len(soft) == len(order):
            SEEN["beyond relaxing"] += 1
            with pytest.raises(PolicyError):
                fused(case, **more)
            return
        soft.append(order[len(soft)])
    SEEN["relaxed"] += bool(soft)
    held, missing = case.clauses.keys() - set(soft), []
    for name in reversed(soft):  # the last to give way is taken back first, the size at the end
        if name != "size" and every.possible(held | {name}):
            held = held | {name}
        elif name != "size":
            missing.append(name)
    met = every.met(held)
    by = every.missed(case.clauses["size"])
    nearest = met & (by == by[met].min())  # on either side; of those asked for the largest
    least = every.sizes[nearest].max() if not by[nearest].any() else every.sizes[nearest].min()
    met &= every.sizes == least
    expected = {}
    for name in missing:
        by = every.missed(case.clauses[name])
        expected[name] = int(by[met].min())
        met &= by == expected[name]
    if soft:
        expected["size"] = int(every.missed(case.clauses["size"])[met][0])
    expected = {name: by for name, by in expected.items() if by}
    kept, decisions = fused(case, **more)
    mix = every.of(kept)
    assert decisions.facts["relaxed"] == expected
    assert met[mix]
    _is_certified(case, every, kept, decisions.certificate)
    states = {clause.name for clause in decisions.certificate if clause.state == "relaxed"}
    assert states == set(expected)
    if len(expected) == 1:
        ((name, by),) = expected.items()
        assert f"{name} relaxed by {by:,} row{'s' * (by != 1)}" in decisions.notes
    elif expected:
        assert f"{len(expected)} clauses relaxed" in decisions.notes


PARTS = ("size", "limits", "shares", "licenses")


def _part(clause: str) -> str:
    return clause.partition(".")[0]


def _whole(clause: str) -> str:
    """What a clause is one of: a limit with `per` or with bounds in two units, or a column."""
    if clause.startswith("shares."):
        return clause.rpartition(".")[0]
    limit = re.sub(r"\.(min|max)$", "", clause)
    return re.sub(r"(per [a-z]+)\..*", r"\1", limit)


def test_cases_were_of_every_kind() -> None:
    """The policies drawn for the tests above were of all kinds, each often."""
    if not SEEN["ranked"] or not SEEN["relaxed"]:
        pytest.skip("counts what the tests above saw")
    assert min(SEEN["met"], SEEN["not met"], SEEN["ranked"], SEEN["relaxed"]) >= 15
    assert min(SEEN["refused"], SEEN["beyond relaxing"]) >= 3


@pytest.mark.parametrize("seed", range(8))
def test_highest_sum_of_ranks_of_hundreds_of_rows(seed: int) -> None:
    """Against every number of rows of four blocks, of which the best rows are taken first."""
    drawn = np.random.default_rng(seed)
    scores = drawn.permutation(240)
    sources, origins = drawn.choice(["a", "b"], 240), drawn.choice(["human", "synthetic"], 240)
    rows = [
        {"id": f"{at:032x}", "source": s, "origin": o, "score": int(score)}
        for at, (s, o, score) in enumerate(zip(sources, origins, scores, strict=True))
    ]
    policy = {
        "size": 60,
        "shares": {"source": {"a": ">= 0.7"}, "origin": {"human": "<= 0.35"}},
        "limits": [{"where": {"source": "b", "origin": "human"}, "min": "9 rows"}],
    }
    params = MixParams.model_validate({**policy, "maximize": "rank", "rank_by": "score"})
    decisions = Mix(params, "mix").fuse({"pool": frame(rows)}, CONTEXT)
    kept = set(decisions.rows.filter("keep")["id"])
    sums = {
        (s, o): np.cumsum(
            [0, *sorted(r["score"] for r in rows if (r["source"], r["origin"]) == (s, o))[::-1]]
        )
        for s in ("a", "b")
        for o in ("human", "synthetic")
    }
    best = -1
    for ah, bh, bs in product(range(22), range(9, 22), range(19)):
        each = {("a", "human"): ah, ("b", "human"): bh, ("b", "synthetic"): bs}
        each["a", "synthetic"] = 60 - ah - bh - bs
        if ah + bh <= 21 and bh + bs <= 18 and all(n < len(sums[key]) for key, n in each.items()):
            best = max(best, sum(int(sums[key][n]) for key, n in each.items()))
    assert sum(row["score"] for row in rows if row["id"] in kept) == best
