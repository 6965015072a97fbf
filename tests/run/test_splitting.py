"""Which row goes to which split: nothing straddles, shares hold, later rows move none."""

from collections import Counter
from decimal import Decimal
from itertools import combinations
from math import sqrt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.recipe.model import Output
from curate.run.arena import Arena
from curate.run.grouping import Groups, outermost
from curate.run.splitting import drawn, split, stratified
from curate.sources.formats.found import AnyShape
from curate.sources.kept import Earlier
from curate.sources.load import Loaded

HALVES = {"train": Decimal("0.5"), "validation": Decimal("0.5")}


@st.composite
def pools(draw):
    """Rows, each with the rows it was made from and the values of two columns."""
    count = draw(st.integers(1, 14))
    first, second = st.sampled_from([None, "u", "v"]), st.sampled_from([None, None, "u", "v", "w"])
    return {
        f"r{at:02}": (
            [f"r{p:02}" for p in draw(st.sets(st.integers(0, at - 1), max_size=2))] if at else [],
            (draw(first), draw(second)),
        )
        for at in range(count)
    }


def arena_of(rows):
    """Rows by id, each with `parents` and values of the columns `a`, `b`, as a run has them."""
    columns = dict.fromkeys(column for row in rows.values() for column in row) | {"parents": None}
    values = {column: [row.get(column) for row in rows.values()] for column in columns}
    values["parents"] = [parents or [] for parents in values["parents"]]
    frame = pl.DataFrame(
        {"id": list(rows), **values},
        schema_overrides={"parents": pl.List(pl.String)},
        strict=False,
    ).with_columns(
        pl.lit("mine").alias("source"),
        pl.lit("in.jsonl").alias("@file"),
        pl.int_range(1, pl.len() + 1).alias("@line"),
    )
    return Arena({"mine": Loaded(frame, (), (), {}, AnyShape(), {})})


def made(rows, seed=0, shares=HALVES, kept=None, like=None, **output):
    """What `split` makes of rows: its facts, and row > its split, None for those that bridge."""
    arena = arena_of(rows)
    order = list(rows)
    at = np.array([order.index(id) for id in (rows if kept is None else kept)], dtype=np.int64)
    earlier = Earlier(like) if isinstance(like, dict) else like
    found = split(arena, at, Output(splits=shares, **output), seed, earlier)
    assert len(found.why) == len(found.dropped)
    where = dict.fromkeys(order[i] for i in found.dropped)
    for name, positions in found.positions.items():
        where |= {order[i]: name for i in positions}
    assert len(where) == len(at)
    return found.facts, {order[i]: where[order[i]] for i in at}


def places(pool, seed, columns=("a", "b"), **more):
    """Row > its split; None for rows that bridge splits."""
    rows = {
        id: {"parents": parents, **dict(zip("ab", values, strict=True))}
        for id, (parents, values) in pool.items()
    }
    return made(rows, seed, keep_together=list(columns), **more)[1]


def ancestors(pool, id):
    """A row and all that it was made from, by a walk of its own."""
    seen, left = set(), [id]
    while left:
        at = left.pop()
        if at not in seen:
            seen.add(at)
            left += pool[at][0]
    return seen


@settings(deadline=None)
@given(pools(), st.integers(0, 50))
def test_rows_with_an_ancestor_or_a_value_in_common_are_in_one_split(pool, seed):
    found = {id: split for id, split in places(pool, seed).items() if split}
    above = {id: ancestors(pool, id) for id in found}
    for (one, first), (other, second) in combinations(found.items(), 2):
        values = zip(pool[one][1], pool[other][1], strict=True)
        if any(x is not None and x == y for x, y in values) or above[one] & above[other]:
            assert first == second


@settings(deadline=None)
@given(pools(), st.integers(0, 50))
def test_what_is_left_of_a_family_is_in_one_split(pool, seed):
    found = places(pool, seed, columns=())
    part = {id: id for id in found}  # rows that are joined without those that bridge
    for id, place in found.items():
        for parent in pool[id][0]:
            if place and found[parent]:
                old, new = part[id], part[parent]
                part = {each: new if at == old else at for each, at in part.items()}
    for one in found:
        for other in found:
            if found[one] and found[other] and part[one] == part[other]:
                assert found[one] == found[other]
        if len(pool[one][0]) < 2:  # only a row that joins two families, or its children, can go
            assert found[one] or any(not found[parent] for parent in pool[one][0])


@settings(deadline=None)
@given(pools(), st.integers(0, 50), st.data())
def test_families_alone_are_moved_by_no_row_that_comes_later(pool, seed, data):
    rows = list(pool.items())
    before = places(dict(rows[: data.draw(st.integers(1, len(pool)))]), seed, columns=())
    after = places(dict(data.draw(st.permutations(rows))), seed, columns=())
    assert before == {id: after[id] for id in before}


@settings(deadline=None)
@given(pools(), st.integers(0, 50), st.data())
def test_with_columns_later_rows_send_none_to_another_split(pool, seed, data):
    rows = list(pool.items())
    before = places(dict(rows[: data.draw(st.integers(1, len(pool)))]), seed)
    after = places(dict(data.draw(st.permutations(rows))), seed)
    assert all(after[id] in (split, None) for id, split in before.items())


def test_a_group_within_another_is_left_out():
    family, cluster = ["p"], ["c"]
    pool = {"p": ([], []), "one": (family, cluster), "two": (family, cluster)}
    groups = Groups({id: p for id, (p, _) in pool.items()}, {id: v for id, (_, v) in pool.items()})
    rows = [groups.of(id) for id in pool]
    assert outermost(rows, {"c": 1}) == [{"p"}] * 3
    assert outermost([*rows, frozenset(["c"])], {"c": 1})[1:] == [{"p", "c"}] * 2 + [{"c"}]


def test_columns_with_large_groups_come_first():
    rows = {f"r{at}": {"a": at // 20, "b": at // 4} for at in range(200)}  # five of b in one of a
    for seed in range(3):
        _, where = made(rows, seed, keep_together=["a", "b"])
        assert None not in where.values()
        for start in range(0, 200, 20):
            assert len({where[f"r{at}"] for at in range(start, start + 20)}) == 1
        assert None in made(rows, seed, keep_together=["b", "a"])[1].values()


def test_equal_values_of_different_columns_are_different_groups():
    rows = {f"r{at}": {"a": at, "b": 39 - at} for at in range(40)}
    _, alone = made({id: {"a": row["a"]} for id, row in rows.items()}, keep_together=["a"])
    _, both = made(rows, keep_together=["a", "b"])  # b says what a does
    assert both == alone
    assert set(alone.values()) == {"train", "validation"}


def test_a_cluster_named_by_a_row_is_in_the_group_of_that_row():
    ids = [f"r{at:02}" for at in range(40)]
    _, alone = made({id: {"a": None} for id in ids}, keep_together=["a"])
    rows = {id: {"a": None} for id in ids} | {f"s{id}": {"a": id} for id in ids}
    _, joined = made(rows, keep_together=["a"])
    assert all(joined[id] == joined[f"s{id}"] == alone[id] for id in ids)


def test_no_value_is_none_and_zero_has_no_sign():
    numbers = {f"r{at}": {"a": float("nan")} for at in range(40)}
    assert set(made(numbers, keep_together=["a"])[1].values()) == {"train", "validation"}
    for seed in range(10):
        where = made({"x": {"a": 0.0}, "y": {"a": -0.0}}, seed, keep_together=["a"])[1]
        assert where["x"] == where["y"]


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u2003"])
def test_an_empty_text_keeps_nothing_together_and_is_a_stratum(text):
    none = {f"r{at}": {"a": None, "b": "x"} for at in range(40)}
    texts = {id: {"a": text, "b": text} for id in none}
    assert made(texts, keep_together=["a"])[1] == made(none, keep_together=["a"])[1]
    facts, _ = made(texts | {"s": {"a": None}}, keep_together=["a"], stratify="a")
    assert facts["strata"].keys() == {text}
    assert sum(facts["no_value"].values()) == 1
    kept = {f"r{at}": {"a": f" {text}x"} for at in range(40)}  # what is not empty stays as it is
    assert len(set(made(kept, keep_together=["a"])[1].values())) == 1


def test_the_seed_draws_others():
    rows = {f"r{at}": {} for at in range(40)}
    assert made(rows, 1)[1] != made(rows, 2)[1]
    strata = {id: {"a": "x"} for id in rows}
    assert made(strata, 1, stratify="a")[1] != made(strata, 2, stratify="a")[1]


def test_families_of_any_depth_are_walked():
    count = 5000
    rows = {f"r{at}": {"parents": [f"r{at - 1}"] if at else []} for at in range(count)}
    last = {f"r{count - 1}": rows[f"r{count - 1}"], "r0": rows["r0"]}
    _, where = made(rows, kept=last)
    assert len(set(where.values())) == 1
    assert Groups({"a": ["b"], "b": ["a"]}, {}).of("a")  # of a version that somebody forged


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", ["0.5", "0.1"])
def test_families_of_uneven_size_deviate_by_the_squares_of_their_sizes(seed, share):
    sizes = [min(60, int(4 / (1 - (at % 97) / 97) ** 0.8)) for at in range(500)]  # Pareto's
    rows = {
        f"r{at}.{one}": {"parents": [f"p{at}"]}
        for at, size in enumerate(sizes)
        for one in range(size)
    }
    p = float(share)
    shares = {"train": 1 - Decimal(share), "validation": Decimal(share)}
    facts, _ = made(rows, seed, shares)
    found = facts["shares"]["validation"]["rows"]
    deviation = sqrt(p * (1 - p) * sum(size**2 for size in sizes))
    assert abs(found - p * len(rows)) <= 3 * deviation


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", ["0.5", "0.05", "0.001"])
def test_shares_lie_within_three_binomial_deviations(seed, share):
    count, asked = 20_000, float(share)
    shares = {"train": 1 - Decimal(share), "validation": Decimal(share)}
    found = list(drawn(map(str, range(count)), shares, seed).values()).count("validation")
    assert abs(found - count * asked) <= 3 * sqrt(count * asked * (1 - asked))


def test_a_larger_share_only_takes_from_the_split_beside_it():
    names = [str(at) for at in range(2000)]
    small = drawn(names, {"train": Decimal("0.9"), "test": Decimal("0.1")}, 0)
    large = drawn(names, {"train": Decimal("0.8"), "test": Decimal("0.2")}, 0)
    assert {name for name in names if small[name] == "test"} < {
        name for name in names if large[name] == "test"
    }


THREE = {"train": Decimal("0.7"), "validation": Decimal("0.2"), "test": Decimal("0.1")}
TWO = {"validation": Decimal("0.05"), "train": Decimal("0.95")}


@settings(deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=3),
        st.tuples(st.integers(1, 9), st.sampled_from(["a", "b", "c", "", None])),
        min_size=1,
        max_size=40,
    ),
    st.integers(0, 9),
    st.sampled_from([TWO, THREE, HALVES]),
)
def test_shares_are_as_near_as_groups_allow_of_each_stratum_and_of_all(groups, seed, shares):
    rows = {name: count for name, (count, _) in groups.items()}
    strata = {name: value for name, (_, value) in groups.items()}
    found = stratified(rows, strata, shares, seed)
    assert found.keys() == rows.keys()

    def off(inside):
        total, largest = sum(rows[name] for name in inside), max(rows[name] for name in inside)
        return max(
            abs(sum(rows[n] for n in inside if found[n] == split) - float(share) * total) / largest
            for split, share in shares.items()
        )

    times = len(shares) - 1
    assert off(list(rows)) <= times / 2 + 1e-9
    for value in set(strata.values()):
        assert off([name for name in rows if strata[name] == value]) <= times + 1e-9


@pytest.mark.parametrize("each", [1, 2, 5, 9, 15])
@pytest.mark.parametrize("shares", [TWO, THREE, dict(reversed(TWO.items()))])
def test_shares_hold_over_values_that_few_rows_have(each, shares):
    rows = {f"r{at}": {"a": at // each} for at in range(1000)}
    facts, _ = made(rows, 3, shares, stratify="a")
    for name, one in facts["shares"].items():
        assert abs(one["rows"] - 1000 * shares[name]) <= 1
    for value, counts in facts["strata"].items():
        size = sum(counts.values())
        assert size == sum(row["a"] == int(value) for row in rows.values())
        for name, count in counts.items():
            assert abs(count - size * shares[name]) < len(shares)


def test_a_group_counts_for_the_value_of_most_of_its_rows_and_by_all_of_them():
    rows = {}
    for at in range(10):
        rows |= {f"f{at}": {"a": "z"}, f"g{at}": {"a": "z", "parents": [f"f{at}"]}}
        rows |= {f"h{at}": {"a": "a", "parents": [f"f{at}"]}, f"i{at}": {"a": "a"}}
        # most have no value: that is none to count for
        rows |= {f"j{at}": {"a": "k"}, f"k{at}": {"parents": [f"j{at}"]}}
        rows |= {f"l{at}": {"parents": [f"j{at}"]}, f"m{at}": {}, f"n{at}": {"a": ""}}
    for seed in range(5):
        facts, where = made(rows, seed, stratify="a")
        for kind in "fijmn":
            assert [where[f"{kind}{at}"] for at in range(10)].count("train") == 5
        assert facts["strata"] == {
            "": {"train": 5, "validation": 5},
            "a": {"train": 10, "validation": 10},
            "k": {"train": 5, "validation": 5},
            "z": {"train": 10, "validation": 10},
        }
        assert facts["no_value"] == {"train": 15, "validation": 15}


def test_values_of_small_groups_do_not_pay_for_large_ones():
    rows = {f"r{at}": {"a": "large"} for at in range(3)}
    rows |= {
        f"c{at}.{n}": {"a": "large", "parents": [f"r{at}"]} for at in range(3) for n in range(9)
    }
    rows |= {f"s{at}": {"a": f"small{at % 4}"} for at in range(40)}
    for seed in range(10):
        strata = made(rows, seed, stratify="a")[0]["strata"]
        assert all(strata[f"small{at}"] == {"train": 5, "validation": 5} for at in range(4))


def test_a_group_is_as_long_as_it_has_rows():
    rows = {f"r{at}": {"a": "x"} for at in range(40)}
    rows |= {f"c{at}.{n}": {"a": "x", "parents": [f"r{at}"]} for at in range(20) for n in range(8)}
    for seed in range(5):
        got = made(rows, seed, stratify="a")[0]["shares"]["train"]["rows"]
        assert abs(got - 100) <= 4  # half of a family of nine


def test_rows_that_bridge_splits_are_in_no_stratum():
    rows = {f"r{at}": {"a": "x"} for at in range(40)}
    rows |= {f"s{at}": {"a": f"s{at}", "parents": [f"r{at}", f"r{at + 1}"]} for at in range(39)}
    facts, where = made(rows, stratify="a")
    assert None in where.values()
    assert facts["strata"].keys() == {rows[id]["a"] for id, place in where.items() if place}
    for name, one in facts["shares"].items():
        assert sum(counts[name] for counts in facts["strata"].values()) == one["rows"]


@st.composite
def grown(draw):
    """A pool, how many of its rows are old, and which are near, the first ones found then."""
    pool = draw(pools())
    ids = list(pool)
    pairs = st.tuples(st.sampled_from(ids), st.sampled_from(ids))
    near = draw(st.lists(pairs, max_size=8))
    return pool, draw(st.integers(1, len(pool))), near


def clustered(pool, near):
    """The rows with the smallest id of their cluster in `a`, as dedup stages write it."""
    label = {id: id for id in pool}
    for one, other in near:
        if one in pool and other in pool:
            old, new = sorted((label[one], label[other]), reverse=True)
            label = {id: new if at == old else at for id, at in label.items()}
    sizes = Counter(label.values())
    return {
        id: {
            "parents": [p for p in parents if p in pool],
            "a": label[id] if sizes[label[id]] > 1 else None,
            "b": values[1],
        }
        for id, (parents, values) in pool.items()
    }


@settings(deadline=None)
@given(
    grown(),
    st.integers(0, 9),
    st.sampled_from([None, "b"]),
    st.sampled_from([["a"], ["a", "b"], []]),
    st.sampled_from([HALVES, {"validation": Decimal("0.2"), "train": Decimal("0.8")}]),
)
def test_like_moves_no_old_row_and_parts_only_old_ones(grown, seed, stratify, columns, shares):
    pool, count, near = grown
    old = clustered(dict(list(pool.items())[:count]), near[: len(near) // 2])
    how = {"keep_together": columns, "stratify": stratify}
    like = {id: split for id, split in made(old, seed, **how)[1].items() if split}
    rows = clustered(pool, near)
    facts, now = made(rows, seed + 1, shares, like=like, **how)
    assert {id: now[id] for id in like} == like
    assert sum(facts["like"].values()) == len(like)
    above = {id: ancestors(pool, id) for id in pool}
    for one, other in combinations([id for id, place in now.items() if place], 2):
        together = above[one] & above[other] or any(
            rows[one][column] is not None and rows[one][column] == rows[other][column]
            for column in columns
        )
        if together and now[one] != now[other]:
            assert one in like
            assert other in like


def test_with_like_a_new_row_goes_to_the_old_ones_and_falls_between_two():
    like = {f"r{at}": "train" if at % 2 else "validation" for at in range(40)}
    rows = {id: {"a": None} for id in like}
    for at in range(40):
        rows[f"r{at}"] = {"a": f"r{at}"}
        rows[f"near{at}"] = {"a": f"r{at}"}
    rows |= {"free": {"a": None}, "between": {"a": None, "parents": ["r0", "r1"]}}
    rows |= {"child": {"a": None, "parents": ["gone"]}}
    _, where = made(rows, like={**like, "gone": "validation"}, keep_together=["a"])
    assert all(where[f"near{at}"] == where[f"r{at}"] == like[f"r{at}"] for at in range(40))
    assert where["between"] is None
    assert where["child"] == "validation"  # of a row that the earlier version had
    joined = {id: {"a": "r0" if id in ("r0", "r1") else None} for id in like} | {"n": {"a": "r0"}}
    _, where = made(joined, like=like, keep_together=["a"])
    assert (where["r0"], where["r1"], where["n"]) == ("validation", "train", None)


def test_with_like_and_stratify_the_shares_are_those_of_the_new_rows():
    like = {f"r{at}": "train" for at in range(30)}
    rows = {f"r{at}": {"a": "xy"[at % 2]} for at in range(130)}
    facts, _ = made(rows, like=like, stratify="a", shares=TWO)
    assert facts["shares"]["validation"]["rows"] == 5
    assert facts["like"] == {"validation": 0, "train": 30}


def test_shares_that_one_group_wrecks_are_told_with_the_group():
    rows = {f"r{at}": {"a": "many\n" * 40 if at < 60 else None} for at in range(100)}
    shares = {"train": Decimal("0.9"), "validation": Decimal("0.1")}
    for stratify in (None, "a"):
        facts, where = made(rows, 0, shares, keep_together=["a"], stratify=stratify)
        largest = facts["uneven"]["largest"]
        assert (largest["rows"], largest["column"]) == (60, "a")
        assert largest["split"] == where["r0"]
        assert largest["value"] == ("many " * 8)[:39] + "…"
        assert sum(facts["uneven"]["got"].values()) == 100
    family = {id: {"parents": ["p" if row["a"] else id + "p"]} for id, row in rows.items()}
    largest = made(family, 0, shares)[0]["uneven"]["largest"]
    assert (largest["rows"], largest["column"], largest["value"]) == (60, None, "p")
    assert "uneven" not in made({f"r{at}": {} for at in range(3)}, 0, shares)[0]


def test_rows_that_bridge_splits_are_told_where_they_cost_a_split_its_share():
    rows = {f"r{at}": {"a": at // 5, "b": at % 2000, "c": at % 37} for at in range(10_000)}
    for stratify in (None, "c"):
        how = {"keep_together": ["a", "b"], "stratify": stratify}
        facts, where = made(rows, 0, {"train": Decimal("0.9"), "test": Decimal("0.1")}, **how)
        assert None in where.values()
        assert facts["shares"]["test"]["share"] < 0.05
        assert facts["uneven"]["far"]
        assert facts["uneven"]["largest"]["rows"] == 5


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=60, max_size=120),
    st.integers(0, 1000),
    st.sampled_from([None, "b"]),
)
def test_groups_that_explain_the_shares_are_not_told(sizes, seed, stratify):
    rows = {
        f"{group}.{at}": {"a": group, "b": group % 7}
        for group, size in enumerate(sizes)
        for at in range(size)
    }
    facts, _ = made(rows, seed, keep_together=["a"], stratify=stratify)
    assert "uneven" not in facts


def test_a_row_that_bridges_splits_says_which_groups_are_where():
    like = {"r0": "train", "r1": "validation", "r2": "train"}
    rows = {
        "r0": {"a": "u", "b": "x"},
        "r1": {"a": "v", "b": "y"},
        "r2": {"a": "v", "b": None},
        "n0": {"a": "u", "b": "y"},
        "n1": {"parents": ["r0", "r1"]},
        "n2": {"a": "v"},
        "n3": {"a": "u", "b": "z", "parents": ["r1" * 30, "s"]},
    }
    like["r1" * 30] = "validation"
    order = list(rows)
    found = split(
        arena_of(rows),
        np.arange(len(rows)),
        Output(splits=HALVES, keep_together=["a", "b"]),
        0,
        Earlier(like),
    )
    why = dict(zip([order[at] for at in found.dropped], found.why, strict=True))
    assert why["n0"] == "a 'u' in train; b 'y' in validation"
    assert why["n1"] == "a 'u' in train; a 'v' in train and validation; and 1 more"
    assert why["n2"] == "a 'v' in train and validation"
    assert why["n3"].startswith("the family of r1r1r1r1r1r1 in validation; ")


def test_old_and_new_value_of_rows_that_a_stage_rewrote_are_one_group():
    rows = {f"r{at}": {"a": f"raw {at}"} for at in range(200)}
    children = {f"c{at}": {"a": f"clean {at}", "parents": [f"r{at}"]} for at in range(200)}
    _, where = made(rows | children, kept=children, keep_together=["a"])
    assert None not in where.values()
    assert set(where.values()) == {"train", "validation"}


def test_with_like_families_and_columns_hold_with_rows_that_are_gone():
    """A source rewritten otherwise than before, and a page of which the old rows were deleted."""
    ids = [f"r{at}" for at in range(40)]
    like = {f"old{id}": "train" for id in ids} | {f"page{id}": "validation" for id in ids}
    earlier = Earlier(
        like,
        {f"old{id}": [id] for id in ids},
        {"a": pl.DataFrame({"id": [f"page{id}" for id in ids], "a": [f"p{id}" for id in ids]})},
    )
    rows = {id: {} for id in ids}
    rows |= {f"new{id}": {"parents": [id]} for id in ids} | {
        f"n{id}": {"a": f"p{id}"} for id in ids
    }
    kept = [id for id in rows if id not in ids]
    _, where = made(rows, kept=kept, like=earlier, keep_together=["a"])
    assert {where[f"new{id}"] for id in ids} == {"train"}
    assert {where[f"n{id}"] for id in ids} == {"validation"}
