"""`sources.weight` against its formulas, longhand, and what it refuses."""

import json
import math
from collections import Counter
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import curate
from curate.api import Context, CurateError
from curate_sources.weight import Weight, WeightParams


def counting():
    found = Counter()
    return found, Context(
        0, {}, {}, ("weight",), lambda name: name, lambda name, n: found.update({name: n})
    )


def frame(groups):
    ids = [f"{at:032x}" for at in range(len(groups))]
    return pl.DataFrame({"id": ids, "origin": pl.Series(groups, dtype=pl.String)})


def weigh(groups, order=None, **params):
    """The weight of each row, by its place in `groups`."""
    stage = Weight(WeightParams.model_validate({"by": "origin", **params}), "w")
    rows = frame(groups)
    rows = rows if order is None else rows[list(order)]
    found = stage.score(rows, counting()[1])
    assert found.columns == ["id", "weight"]
    assert found["id"].to_list() == rows["id"].to_list()
    by_id = dict(found.iter_rows())
    return [by_id[f"{at:032x}"] for at in range(len(groups))]


def by_group(groups, **params):
    found = dict(zip([each or "unknown" for each in groups], weigh(groups, **params), strict=True))
    return {name: pytest.approx(found[name], rel=1e-12) for name in found}


POOL = ["human"] * 6 + ["gpt"] * 3 + ["mixed"]


def test_a_temperature_longhand():
    # p ~ n^(1/2), and each row of a group has its share of 10 draws: p 10 / n
    total = math.sqrt(6) + math.sqrt(3) + 1
    assert {
        "human": math.sqrt(6) / total * 10 / 6,
        "gpt": math.sqrt(3) / total * 10 / 3,
        "mixed": 1 / total * 10,
    } == by_group(POOL, temperature=2)
    assert dict.fromkeys(set(POOL), 1.0) == by_group(POOL, temperature=1)
    # T = 1/2: p ~ n^2
    assert by_group(POOL, temperature=0.5) == {
        "human": 36 / 46 * 10 / 6,
        "gpt": 9 / 46 * 10 / 3,
        "mixed": 1 / 46 * 10,
    }


def test_weights_longhand():
    # 2, 1/2 and, where nothing is said, 1: a mean of (12 + 1.5 + 1) / 10
    given_ = {"weights": {"human": 2, "gpt": 0.5}}
    assert by_group(POOL, **given_) == {"human": 2 / 1.45, "gpt": 0.5 / 1.45, "mixed": 1 / 1.45}
    assert by_group(POOL, normalize="sum", **given_) == {
        "human": 2 / 14.5,
        "gpt": 0.5 / 14.5,
        "mixed": 1 / 14.5,
    }
    assert by_group(POOL, normalize="none", **given_) == {"human": 2, "gpt": 0.5, "mixed": 1}
    assert by_group(
        POOL, normalize="none", weights=dict.fromkeys(["human", "gpt", "mixed"], 0)
    ) == {"human": 0, "gpt": 0, "mixed": 0}


def test_shares_longhand():
    asked = {"human": 0.2, "gpt": "60%", "mixed": Decimal("0.2")}
    assert by_group(POOL, shares=asked) == {
        "human": 0.2 * 10 / 6,
        "gpt": 0.6 * 10 / 3,
        "mixed": 0.2 * 10,
    }
    # what is left goes to the others by their rows: 0.4 to six and to one
    assert by_group(POOL, shares={"gpt": 0.6}) == {
        "human": 0.4 * 10 / 7,
        "gpt": 0.6 * 10 / 3,
        "mixed": 0.4 * 10 / 7,
    }
    assert by_group(POOL, shares={"human": "100%", "gpt": 0, "mixed": 0}) == {
        "human": 10 / 6,
        "gpt": 0,
        "mixed": 0,
    }


def test_a_cap_gives_to_the_others_what_it_cuts_off():
    # without: human .5556, gpt 1.1111, mixed 3.3333; mixed at 2 leaves 8 for two even groups
    assert by_group(POOL, temperature=1e15, cap=2) == {"human": 4 / 6, "gpt": 4 / 3, "mixed": 2}
    # gpt would then be above 1.2 too: it and mixed have 4.8, human the rest
    assert by_group(POOL, temperature=1e15, cap=1.2) == {"human": 5.2 / 6, "gpt": 1.2, "mixed": 1.2}
    assert dict.fromkeys(POOL, 1.0) == by_group(POOL, temperature=1e15, cap=1)
    assert by_group(POOL, temperature=1e15, cap=1.2, normalize="sum") == {
        "human": 5.2 / 60,
        "gpt": 0.12,
        "mixed": 0.12,
    }


def test_rows_without_a_value_are_a_group_together_with_those_called_unknown():
    pool = [None, "unknown", "a", "a", "a", " "]
    named = [each if each == "a" else "unknown" for each in pool]
    assert weigh(pool, temperature=2) == weigh(named, temperature=2)
    assert weigh(["", "\t\n", "a"], temperature=1e9) == pytest.approx([0.75, 0.75, 1.5])
    pool = [None, "unknown", "a", "a", "a", None]
    assert by_group(pool, shares={"unknown": "100%", "a": 0}) == {"unknown": 2.0, "a": 0.0}
    for empty in (None, "", " "):
        with pytest.raises(CurateError, match="3 rows have no origin"):
            weigh([*pool[:-1], empty], temperature=2, unknown="error")
    assert weigh(["a", "b"], temperature=2, unknown="error") == [1, 1]


def test_no_rows_one_row_and_the_counts_of_groups():
    assert weigh([], temperature=3) == []
    assert weigh(["a"], temperature=3, cap=1) == [1]
    stage = Weight(WeightParams(by="origin", temperature=2.0), "w")
    counts, context = counting()
    stage.score(frame([*POOL, None]), context)
    assert counts == {"rows.human": 6, "rows.gpt": 3, "rows.mixed": 1, "rows.unknown": 1}


names = st.sampled_from(["a", "b", "c", "d", None])
pools = st.lists(names, min_size=1, max_size=60)
temperatures = st.floats(0.05, 1e6)
caps = st.none() | st.floats(1, 10)


@settings(deadline=None)
@given(pools, temperatures, caps, st.randoms())
def test_the_mean_is_one_none_is_above_the_cap_and_order_changes_nothing(pool, t, cap, random):
    found = weigh(pool, temperature=t, cap=cap)
    assert math.fsum(found) / len(pool) == pytest.approx(1, rel=1e-9)
    assert max(found) <= (cap or math.inf) * (1 + 1e-9)
    order = random.sample(range(len(pool)), len(pool))
    assert weigh(pool, order, temperature=t, cap=cap) == found


@settings(deadline=None)
@given(pools, st.dictionaries(st.sampled_from("abcd"), st.floats(0.1, 9), min_size=1))
def test_weights_keep_their_proportions_and_a_mean_of_one(pool, weights):
    known = {name: weight for name, weight in weights.items() if name in pool}
    if not known:
        return
    found = weigh(pool, weights=known)
    assert math.fsum(found) / len(pool) == pytest.approx(1, rel=1e-12)
    for name, weight in zip(pool, found, strict=True):
        assert weight / found[0] == pytest.approx(known.get(name, 1) / known.get(pool[0], 1))


@settings(deadline=None)
@given(pools, st.floats(1, 9), st.floats(1, 9))
def test_one_is_natural_more_is_evener_and_much_is_even(pool, lower, higher):
    assert weigh(pool, temperature=1) == pytest.approx([1.0] * len(pool))
    sizes = Counter(pool)
    even = weigh(pool, temperature=1e15)
    assert even == pytest.approx([len(pool) / len(sizes) / sizes[name] for name in pool], rel=1e-6)

    def largest(t):
        """The share of all draws that the largest group has."""
        name = max(sizes, key=lambda each: (sizes[each], str(each)))
        return weigh(pool, temperature=t)[pool.index(name)] * sizes[name] / len(pool)

    assert largest(max(lower, higher)) <= largest(min(lower, higher)) + 1e-12


@settings(deadline=None)
@given(pools, st.floats(1, 4))
def test_the_cap_keeps_proportions_below_it(pool, cap):
    free, capped = weigh(pool, temperature=50), weigh(pool, temperature=50, cap=cap)
    below = [at for at, weight in enumerate(capped) if weight < cap * (1 - 1e-9)]
    for at in below:
        assert capped[at] / free[at] == pytest.approx(capped[below[0]] / free[below[0]])
        assert capped[at] >= free[at] * (1 - 1e-9)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "exactly one of `temperature`, `weights` and `shares`"),
        ({"temperature": 2, "weights": {"a": 1}}, "exactly one of"),
        ({"temperature": 0}, "greater than 0"),
        ({"temperature": math.inf}, "finite"),
        ({"weights": {"a": -1}}, "greater than or equal to 0"),
        ({"weights": {}}, "at least 1"),
        (
            {"shares": {"a": 60}},
            "'60' is no share of the draws: write one with a point or a % sign, such as 0.6 or",
        ),
        ({"shares": {"a": 1}}, "'1' is no share of the draws"),
        ({"shares": {"a": "64 rows"}}, "'64 rows' is no share of the draws"),
        ({"shares": {"a": "all"}}, "'all' is no share of the draws"),
        ({"shares": {"a": True}}, "'True' is no share of the draws"),
        ({"shares": {"a": 0.7, "b": "40%"}}, "the shares sum to 1.1, which is more than 1"),
        ({"shares": {"a": "x%"}}, "'x%' is no share"),
        ({"shares": {"a": "120%"}}, "above 1"),
        ({"temperature": 2, "cap": 0.5}, "greater than or equal to 1"),
        ({"temperature": 2, "normalize": "none"}, "`normalize: none` is for `weights`"),
        ({"weights": {"a": 2}, "normalize": "none", "cap": 2}, "units of the mean weight"),
    ],
)
def test_what_the_recipe_alone_shows_to_be_wrong(params, said):
    with pytest.raises(ValueError, match=said):
        WeightParams.model_validate({"by": "origin", **params})


@pytest.mark.parametrize(
    ("params", "said", "remedy"),
    [
        ({"weights": {"humn": 2}}, "no row has the origin 'humn'", "Did you mean 'human'?"),
        ({"shares": {"x": 0.5}}, "no row has the origin 'x'", "Known: gpt, human, mixed."),
        ({"shares": {"human": 1.0}}, "leaves nothing for gpt, mixed", "0 if they are not"),
        (
            {"shares": {"human": 0.5, "gpt": 0.3, "mixed": 0.1}},
            "sum to 0.9, and there is no other group",
            "sum to 1",
        ),
        (
            {"weights": dict.fromkeys(["human", "gpt", "mixed"], 0)},
            "every row has the weight 0",
            "above 0",
        ),
        (
            {"shares": {"mixed": "100%", "human": 0, "gpt": 0}, "cap": 4},
            "`cap: 4` cannot be kept: 1 of 10 rows have a weight above 0, so they weigh 10",
            "Raise it",
        ),
    ],
)
def test_what_the_pool_shows_to_be_wrong(params, said, remedy):
    with pytest.raises(CurateError, match="Stage 'w': ") as caught:
        weigh(POOL, **params)
    assert said in caught.value.message
    assert remedy in caught.value.remedy


def test_in_a_recipe_rows_outside_where_have_no_weight(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    rows = [
        {"instruction": f"Say {at}.", "output": "Yes.", "ability": name}
        for at, name in enumerate(["a", "a", "a", "b", None, "out"])
    ]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stage = {
        "score": "sources.weight",
        "id": "draw",
        "where": "ability IS NULL OR ability != 'out'",
    }
    recipe = {
        "name": "weighted",
        "sources": {"pool": {"path": "pool.jsonl"}},
        "pipeline": [stage | {"with": {"by": "ability", "temperature": 1e15}}],
    }
    version = curate.run(recipe)
    found = version.frame().join(version.scores, on="id").select("ability", "draw_weight").rows()
    assert [name for name, weight in found if weight is None] == ["out"]
    expected = {"a": 5 / 9, "b": 5 / 3, None: 5 / 3}
    for name, weight in found[:-1]:
        assert weight == pytest.approx(expected[name], rel=1e-6)
    (facts,) = version.manifest["stages"]
    assert facts["counts"] == {"rows.a": 3, "rows.b": 1, "rows.unknown": 1}
    bad = {**recipe, "pipeline": [stage | {"with": {"by": "abilty", "temperature": 0}}]}
    with pytest.raises(CurateError, match="must be more than 0"):
        curate.check(bad)
