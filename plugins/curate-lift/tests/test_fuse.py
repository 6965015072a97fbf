"""`lift.fuse`: which rows of a family stay, against the definitions word for word."""

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import curate
from curate.api import Context, CurateError
from curate_lift.fuse import Fuse, FuseParams

TOYS = Path(__file__).parents[3] / "tests" / "toys"


def fuse(rows, keep="all", by=None, tables=1):
    """What the stage decides on (id, parents, number) rows, dealt out to some tables."""
    frames = {
        f"t{at}": pl.DataFrame(
            rows[at::tables],
            schema={"id": pl.String, "parents": pl.List(pl.String), "good": pl.Float64},
            orient="row",
        )
        for at in range(tables)
    }
    stage = Fuse(FuseParams(keep=keep, by=by), "fuse")
    return stage.fuse(frames, Context(0, {}, {}, (), lambda name: None))


def decided(decisions):
    """Id > None for rows that stay, otherwise reason and ref."""
    rows = decisions.rows.select("id", "keep", "reason", "ref").iter_rows()
    return {id: None if keep else (reason, ref) for id, keep, reason, ref in rows}


def better(rows, **more):
    return decided(fuse(rows, "child_if_better", "good", **more))


def best(rows, **more):
    return decided(fuse(rows, "best", "good", **more))


def test_a_child_stays_only_if_it_is_better():
    rows = [("p", [], 5.0), ("a", ["p"], 4.0), ("b", ["p"], 5.0)]
    assert better(rows) == {"p": None, "a": ("not_better", "p"), "b": ("not_better", "p")}
    rows.append(("c", ["p"], 6.0))
    assert better(rows) == {
        "p": ("replaced", "c"),
        "a": ("not_better", "c"),
        "b": ("not_better", "c"),
        "c": None,
    }
    rows.append(("d", ["p"], 5.5))
    found = better(rows)
    assert (found["c"], found["d"], found["p"]) == (None, None, ("replaced", "c"))


def test_of_a_chain_the_best_stays():
    rows = [("1", [], 5.0), ("2", ["1"], 4.0), ("3", ["2"], 7.0), ("4", ["3"], 7.0)]
    assert better(rows) == {
        "1": ("replaced", "3"),
        "2": ("not_better", "3"),
        "3": None,
        "4": ("not_better", "3"),
    }


def test_a_child_of_two_has_to_be_better_than_both():
    parents = [("p", [], 5.0), ("q", [], 7.0)]
    assert better([*parents, ("c", ["p", "q"], 6.0)]) == {
        "p": None,
        "q": None,
        "c": ("not_better", "q"),
    }
    assert better([*parents, ("c", ["p", "q"], 8.0)]) == {
        "p": ("replaced", "c"),
        "q": ("replaced", "c"),
        "c": None,
    }


def test_best_takes_one_of_a_family_and_ties_go_by_id():
    rows = [("b", [], 5.0), ("c", ["b"], 6.0), ("a", ["b"], 6.0), ("z", [], 1.0)]
    assert best(rows) == {
        "a": None,
        "b": ("not_best", "a"),
        "c": ("not_best", "a"),
        "z": None,
    }


def test_an_absent_parent_joins_its_children():
    rows = [("a", ["gone"], 3.0), ("b", ["gone"], 4.0), ("c", ["other"], 1.0)]
    assert best(rows) == {"a": ("not_best", "b"), "b": None, "c": None}
    # nothing is known of the parent's number: both stay
    assert better(rows) == {"a": None, "b": None, "c": None}
    assert fuse(rows).facts["orphans"] == 3


def test_all_stay_and_families_are_counted():
    rows = [("p", [], 5.0), ("a", ["p"], 4.0), ("q", [], 5.0), ("b", ["a", "a"], 4.0)]
    decisions = fuse(rows, tables=2)
    assert decided(decisions) == dict.fromkeys("paqb")
    assert decisions.notes == ("1 families",)
    assert decisions.facts == {
        "families": 1,
        "largest": 3,
        "originals": {"rows": 2, "kept": 2},
        "children": {"rows": 2, "kept": 2},
        "orphans": 0,
    }
    assert not decisions.margins


def test_counts_of_what_stays():
    rows = [("p", [], 5.0), ("a", ["p"], 6.0), ("b", ["p"], 1.0), ("q", [], 2.0)]
    facts = fuse(rows, "child_if_better", "good").facts
    assert facts["originals"] == {"rows": 2, "kept": 1}
    assert facts["children"] == {"rows": 2, "kept": 1}


def test_margins():
    rows = [("p", [], 5.0), ("a", ["p"], 5.25), ("b", ["a"], 1.0), ("q", [], 5.3)]
    (margin,) = fuse(rows, "child_if_better", "good").margins
    assert (margin.cut, margin.distance, margin.column) == ("better by good", 0.25, "good")
    (margin,) = fuse(rows, "best", "good").margins
    assert margin.distance == 0.25
    assert fuse(rows[-1:], "best", "good").margins == ()
    # which of two better children a parent names is decided by a number too
    rows = [("p", [], 1.0), ("a", ["p"], 5.0), ("b", ["p"], 5.125)]
    (margin,) = fuse(rows, "child_if_better", "good").margins
    assert margin.distance == 0.125


def test_no_rows():
    for keep, by in (("all", None), ("best", "good"), ("child_if_better", "good")):
        decisions = fuse([], keep, by)
        assert decisions.rows.is_empty()
        assert decisions.facts["families"] == decisions.facts["largest"] == 0


@st.composite
def forests(draw):
    """Rows in rounds: each later one with up to two earlier parents, some of them not here."""
    count = draw(st.integers(1, 14))
    ids = draw(st.permutations([f"{at:02}" for at in range(count)]))
    gone = draw(st.sets(st.sampled_from(range(count)), max_size=3))
    rows = []
    for at in range(count):
        parents = draw(st.lists(st.sampled_from(range(at)), max_size=2)) if at else []
        number = float(draw(st.integers(0, 5)))
        rows.append((ids[at], [ids[parent] for parent in parents], number))
    return [row for at, row in enumerate(rows) if at not in gone]


def above(rows):
    """Id > the ids of all rows here that it descends from."""
    parents = {id: each for id, each, _ in rows}
    found = {}
    for id in parents:
        seen, todo = set(), [id]
        while todo:
            for parent in parents[todo.pop()]:
                if parent in parents and parent not in seen:
                    seen.add(parent)
                    todo.append(parent)
        found[id] = seen
    return found


@settings(deadline=None)
@given(forests(), st.integers(1, 3), st.randoms(use_true_random=False))
def test_child_if_better_is_what_it_says(rows, tables, random):
    value = {id: number for id, _, number in rows}
    forebears = above(rows)
    ahead = {id for id in value if all(value[id] > value[each] for each in forebears[id])}
    below = {id: {each for each in value if id in forebears[each]} for id in value}
    stays = {id for id in ahead if not below[id] & ahead}

    def top(ids):
        return min(ids, key=lambda each: (-value[each], each))

    expected = {}
    for id in value:
        if id in stays:
            expected[id] = None
        elif id in ahead:
            expected[id] = ("replaced", top(below[id] & stays))
        else:
            first = top(forebears[id] & ahead)
            expected[id] = ("not_better", top((below[first] | {first}) & stays))
    assert better(rows, tables=tables) == expected
    shuffled = random.sample(rows, len(rows))
    assert better(shuffled) == expected
    for found in filter(None, expected.values()):
        assert expected[found[1]] is None


@settings(deadline=None)
@given(forests(), st.integers(1, 3))
def test_best_leaves_one_of_each_family(rows, tables):
    family = {}  # id, of a row or of a parent that is not here > the ids joined to it
    for id, parents, _ in rows:
        joined = set().union(*(family.get(each, {each}) for each in (id, *parents)))
        family |= dict.fromkeys(joined, joined)
    here = {id: number for id, _, number in rows}
    found = best(rows, tables=tables)
    for id in here:
        first = min(family[id] & set(here), key=lambda each: (-here[each], each))
        assert found[id] == (None if id == first else ("not_best", first))
    groups = {frozenset(each) & set(here) for each in map(frozenset, family.values())}
    facts = fuse(rows, tables=tables).facts
    assert facts["families"] == sum(len(group) > 1 for group in groups)
    assert facts["largest"] == max(map(len, groups), default=0)


def test_a_row_that_descends_from_itself_is_refused():
    with pytest.raises(CurateError, match=r"Rows descend from themselves: .*a > b|b > a"):
        fuse([("a", ["b"], 1.0), ("b", ["a"], 1.0)])


def test_infinite_numbers_are_refused():
    with pytest.raises(CurateError, match=r"'good' holds inf \(row b\)"):
        fuse([("a", [], 1.0), ("b", [], float("inf"))], "best", "good")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"keep": "best"}, "`keep: best` needs `by`"),
        ({"keep": "child_if_better"}, "needs `by`"),
        ({"by": "good"}, "no effect"),
        ({"keep": "some"}, "all"),
    ],
)
def test_parameters_that_do_not_fit(params, message):
    with pytest.raises(ValidationError, match=message):
        FuseParams.model_validate(params)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a pipeline on nine numbered rows."""
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(str(TOYS))
    pool = tmp_path / "pool.jsonl"
    rows = [{"instruction": f"Say {n}.", "input": "", "output": f"It is {n}."} for n in range(9)]
    pool.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run(*pipeline):
        recipe = {"name": "family", "sources": {"pool": {"path": str(pool)}}}
        return curate.run(recipe | {"pipeline": [*pipeline]}, out=tmp_path / "curated")

    return run


DOUBLE = {"expand": "toys.double", "with": {"every": 1}}
LONG = {"score": "core.length", "id": "long"}


def test_families_are_visible_in_the_ledger(run):
    better = {"keep": "child_if_better", "by": "long_characters"}
    version = run(DOUBLE, LONG, {"fuse": "lift.fuse", "with": better})
    ledger = version.ledger
    left = ledger.filter(pl.col("stage") == "lift_fuse")
    assert left["reason"].to_list() == ["replaced"] * 9
    parents = ledger.filter(pl.col("parents").list.len() > 0)
    assert sorted(left["ref"]) == sorted(parents["id"])
    assert sorted(parents["parents"].explode()) == sorted(left["id"])
    (entry,) = (each for each in version.manifest["stages"] if each["id"] == "lift_fuse")
    assert entry["facts"]["families"] == 9
    assert entry["facts"]["children"] == {"rows": 9, "kept": 9}
    assert len(version.frame()) == 9


def test_two_rounds_and_pairs(run):
    again = {"expand": "toys.double", "id": "again", "with": {"every": 2}}
    pairs = {"expand": "toys.pairs"}
    version = run(
        DOUBLE,
        again,
        pairs,
        LONG,
        {"fuse": "lift.fuse", "with": {"keep": "best", "by": "long_characters"}},
    )
    ledger, scores = version.ledger, version.scores
    long = dict(scores.select("id", "long_characters").iter_rows())
    rows = [
        (id, [*parents], float(long[id]))
        for id, parents in ledger.select("id", "parents").iter_rows()
    ]
    expected = {id: found for id, found in best(rows).items() if found}
    left = ledger.filter(pl.col("stage") == "lift_fuse").select("id", "reason", "ref").iter_rows()
    assert {id: (reason, ref) for id, reason, ref in left} == expected
    assert expected


def test_rows_without_a_number(run):
    some = {**LONG, "where": "instruction <> 'Say 3.'"}
    fuse = {"fuse": "lift.fuse", "with": {"keep": "best", "by": "long_characters"}}
    with pytest.raises(CurateError, match="long_characters, which 1 rows do not have"):
        run(DOUBLE, some, fuse)
    # its child is alone then, and stays
    assert len(run(DOUBLE, some, {**fuse, "missing": "keep"}).frame()) == 10
    assert len(run(DOUBLE, some, {**fuse, "missing": "drop"}).frame()) == 9
