"""How many rows a growth table takes: the published counts, and a longhand of the rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.api import PolicyError
from curate_sources.growth.filling import fill
from curate_sources.growth.paces import Pace
from curate_sources.growth.stage import GrowthParams

PUBLISHED = {
    "ethics": 1_000,
    "role_play": 1_000,
    "creative_writing": 1_000,
    "biology": 1_041,
    "chinese": 1_450,
    "history": 1_893,
    "code": 4_968,
    "understanding": 4_885,
    "reasoning": 12_751,
    "math": 11_501,
}
"""Training rows of DoIT's abilities; of biology 1,041 or 1,042."""


def taken(preset, **rows):
    params = GrowthParams.model_validate({"preset": preset})
    return fill(params.growth.paces, PUBLISHED | rows, params.token, params.size).taken


def test_reconstruct_with_1041_rows_of_biology():
    assert taken("doit-reconstruct", biology=1_041) == {
        "ethics": 64,
        "role_play": 64,
        "creative_writing": 1_000,
        "biology": 1_041,
        "chinese": 1_306,
        "history": 1_305,
        "code": 1_305,
        "understanding": 1_305,
        "reasoning": 1_305,
        "math": 1_305,
    }
    assert sum(taken("doit-reconstruct", biology=1_041).values()) == 10_000


def test_reconstruct_with_1042_rows_of_biology():
    counts = taken("doit-reconstruct", biology=1_042)
    assert sum(counts.values()) == 10_000
    assert [counts[name] for name in list(PUBLISHED)[3:]] == [1_042, *[1_305] * 6]


def test_maximum_and_baseline():
    assert sum(taken("doit-maximum", biology=1_042).values()) == 39_618
    assert taken("doit-baseline") == dict.fromkeys(PUBLISHED, 1_000)


def longhand(paces, available, token, size):
    """The rule, one row at a time: a turn gives a row to each responsive ability that has one."""
    counts = {}
    for pace in paces:
        n = available[pace.ability]
        if pace.pace == "token":
            counts[pace.ability] = min(n, token)
        elif pace.pace == "saturates":
            counts[pace.ability] = min(n, pace.at)
        else:
            counts[pace.ability] = 0
    left = size - sum(counts.values())
    while left > 0:
        open_ = [
            pace.ability
            for pace in paces
            if pace.pace == "responsive" and counts[pace.ability] < available[pace.ability]
        ]
        if not open_:
            return None
        for ability in open_[:left]:
            counts[ability] += 1
        left -= len(open_[:left])
    return counts if left == 0 else None


PACES = st.sampled_from(["token", "responsive", "saturates at 1", "saturates at 5"])


@given(
    st.lists(st.tuples(PACES, st.integers(1, 12)), min_size=1, max_size=6),
    st.integers(1, 4),
    st.integers(1, 60),
)
def test_fill_is_the_longhand_of_the_rule(abilities, token, size):
    table = {f"a{at}": pace for at, (pace, _) in enumerate(abilities)}
    available = {f"a{at}": rows for at, (_, rows) in enumerate(abilities)}
    paces = GrowthParams.model_validate({"growth": table}).growth.paces
    expected = longhand(paces, available, token, size)
    if expected is None:
        with pytest.raises(PolicyError):
            fill(paces, available, token, size)
        return
    found = fill(paces, available, token, size)
    assert found.taken == expected
    assert list(found.taken) == list(table)
    assert sum(found.taken.values()) == size
    assert all(found.taken[name] <= available[name] for name in table)


def pace(ability, kind, at=None):
    return Pace(ability, kind, at)


def test_spare_rows_go_in_the_order_of_the_table_to_those_with_rows_left():
    rows = {"a": 1, "b": 9, "c": 9, "d": 9}
    one = fill([pace(name, "responsive") for name in "abcd"], rows, 64, 9)
    assert (one.taken, one.level) == ({"a": 1, "b": 3, "c": 3, "d": 2}, 2)
    assert one.spare == {"b", "c"}
    other = fill([pace(name, "responsive") for name in "dcba"], rows, 64, 9)
    assert other.taken == {"d": 3, "c": 3, "b": 2, "a": 1}


def test_a_size_below_one_row_each():
    found = fill([pace(name, "responsive") for name in "abc"], dict.fromkeys("abc", 5), 64, 2)
    assert (found.taken, found.level) == ({"a": 1, "b": 1, "c": 0}, 0)


@pytest.mark.parametrize(
    ("table", "size", "message", "remedy"),
    [
        (
            {"a": "token", "b": "responsive"},
            200,
            "`size` is 200, and the growth table gives 164 rows at most: a 64 (token, of 100), "
            "b 100 (responsive, of 100).",
            "at most 164",
        ),
        (
            {"a": "token", "b": "saturates at 90", "c": "responsive"},
            150,
            "`size` is 150, and the growth table gives 154 rows, responsive abilities left out: "
            "a 64 (token, of 100), b 90 (saturates at 90, of 100).",
            "at least 154",
        ),
        (
            {"a": "token", "b": "saturates at 90"},
            150,
            "`size` is 150, and the growth table gives 154 rows, nothing in it being responsive: "
            "a 64 (token, of 100), b 90 (saturates at 90, of 100).",
            "a size of 154",
        ),
    ],
)
def test_a_size_that_cannot_be_met(table, size, message, remedy):
    paces = GrowthParams.model_validate({"growth": table}).growth.paces
    with pytest.raises(PolicyError) as caught:
        fill(paces, dict.fromkeys("abc", 100), 64, size)
    assert caught.value.message == message
    assert remedy in caught.value.remedy
    assert caught.value.exit_code == 3
