"""What children inherit: no origin is beautified, no licence is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.api import licenses_in
from curate.provenance import ability_of, generator_of, license_of, origin_of

ORIGINS = ["human", "synthetic", "mixed", "unknown", None]
LICENSES = [
    *("mit", "cc-by-4.0", "apache-2.0 OR mit", "mit AND x", "(a AND b) OR c"),
    *("(a OR b) AND (c OR d)", "My own (ask) AND so on", None),
]
licenses = st.lists(st.sampled_from(LICENSES), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("said", "parents", "origin"),
    [
        (None, ["human"], "human"),
        (None, ["human", "human"], "human"),
        (None, ["human", "synthetic"], "mixed"),
        (None, ["mixed", "human"], "mixed"),
        (None, ["human", "unknown"], "unknown"),
        (None, ["human", None], "unknown"),
        (None, ["unknown", None], "unknown"),
        ("synthetic", ["human"], "mixed"),
        ("synthetic", ["mixed"], "mixed"),
        ("synthetic", ["synthetic", "human"], "mixed"),
        ("synthetic", ["synthetic"], "synthetic"),
        ("synthetic", ["unknown"], "synthetic"),
        ("human", ["synthetic"], "human"),
        ("mixed", ["human"], "mixed"),
        ("unknown", ["human"], "human"),  # `unknown` says nothing, and hides no human text
    ],
)
def test_the_origin_of_a_child(said, parents, origin):
    assert origin_of(said, parents) == origin


@given(st.sampled_from(ORIGINS), st.lists(st.sampled_from(ORIGINS), min_size=1, max_size=4))
def test_no_child_is_synthetic_with_text_of_a_human_in_it(said, parents):
    origin = origin_of(said, parents)
    assert origin == origin_of(said, parents[::-1])
    if {"human", "mixed"} & {*parents}:
        assert origin != "synthetic"
    if said is None and origin in ("human", "synthetic"):
        assert {*parents} == {origin}


@pytest.mark.parametrize(
    ("said", "parents", "generator"),
    [
        (None, [None], None),
        (None, ["gpt-4", "gpt-4"], "gpt-4"),
        (None, ["gpt-4", None], "gpt-4"),
        (None, ["llama", "gpt-4"], "gpt-4, llama"),
        (None, ["gpt-4, llama", "alpaca", "llama"], "alpaca, gpt-4, llama"),
        ("gpt-4", ["llama", None], "gpt-4"),
    ],
)
def test_the_generator_of_a_child(said, parents, generator):
    assert generator_of(said, parents) == generator


@pytest.mark.parametrize(
    ("said", "parents", "license"),
    [
        (None, [None, None], None),
        (None, ["mit", "mit"], "mit"),
        (None, ["mit", "cc-by-4.0"], "cc-by-4.0 AND mit"),
        (None, ["mit", None], "mit AND unknown"),
        (None, ["cc-by-4.0 AND mit", "mit"], "cc-by-4.0 AND mit"),
        (None, ["cc-by-4.0 AND mit", "x"], "cc-by-4.0 AND mit AND x"),
        (None, ["mit", "apache-2.0 OR bsd"], "(apache-2.0 OR bsd) AND mit"),
        ("cc-by-nc-4.0", ["mit"], "cc-by-nc-4.0 AND mit"),
        ("mit", [None], "mit AND unknown"),
        ("mit", ["mit"], "mit"),
    ],
)
def test_the_licence_of_a_child(said, parents, license):
    assert license_of(said, parents) == license


@given(st.sampled_from(LICENSES), licenses, licenses)
def test_no_licence_is_lost_in_any_generation(said, first, second):
    child = license_of(said, first)
    grandchild = license_of(None, [child, *second])
    owed = {name for each in (*first, *second) for name in licenses_in(each)}
    if said is not None:
        owed |= {*licenses_in(said)}
    assert {*licenses_in(grandchild)} == owed
    assert grandchild == license_of(None, [*second[::-1], child])


def test_a_choice_of_licences_is_one_part():
    assert licenses_in("(a OR b) AND c") == ("a OR b", "c")
    assert licenses_in("(a AND b) OR c") == ("(a AND b) OR c",)
    assert licenses_in(None) == ("unknown",)


def test_the_ability_of_a_child():
    assert ability_of(None, ["math", "math"]) == "math"
    assert ability_of(None, ["math", None]) is None
    assert ability_of("code", ["math"]) == "code"
