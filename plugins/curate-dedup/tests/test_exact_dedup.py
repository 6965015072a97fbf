"""dedup.exact: equal after the normalisations asked for, and the survivor that was asked for."""

import unicodedata

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from curate_dedup.exact import ExactDedup, ExactParams

WORDS = ["a", "b", "A", "a ", "a.", ""]


def test_the_first_id_stays_and_is_named(tools):
    found, _ = tools.decide(ExactDedup, tools.texts(["a", "b", "a"]))
    assert [found[id]["keep"] for id in ("00", "01", "02")] == [True, True, False]
    assert (found["02"]["reason"], found["02"]["ref"]) == ("duplicate", "00")


def test_equal_means_equal_to_the_byte(tools):
    rows = tools.texts(["a", "a ", "A", "\u00e9", "e\u0301"])
    assert len(tools.kept(tools.decide(ExactDedup, rows)[0])) == 5


@pytest.mark.parametrize(
    ("name", "one", "other", "different"),
    [
        ("nfkc", "\u00e9 \ufb01", "e\u0301 fi", "E fi"),
        ("case", "Ab", "aB", "a b"),
        ("letters", "caf\u00e9 \u2014 1\u00bd \u20ac,\tso 3!", "caf\u00e9so", "cafeso"),
        ("letters", "\u0915\u093f 7", "\u0915 \u093f", "\u0915"),  # a vowel sign is a mark
        ("punctuation", "It's, well.", "Its well", "its well"),
        ("whitespace", " a\t b\u00a0c\n", "a b c", "abc"),
    ],
)
def test_each_normalisation_makes_equal_what_it_says(tools, name, one, other, different):
    rows = tools.texts([one, other, different])
    assert tools.kept(tools.decide(ExactDedup, rows)[0]) == ["00", "01", "02"]
    assert tools.kept(tools.decide(ExactDedup, rows, normalize=[name])[0]) == ["00", "02"]


@given(st.lists(st.text(max_size=8), min_size=1, max_size=8))
def test_letters_are_unicode_s_letters_and_marks(tools, texts):
    def longhand(text):
        return "".join(c for c in text if unicodedata.category(c)[0] in "LM")

    known = [text for text in texts if not any(unicodedata.category(c) == "Cn" for c in text)]
    decided, _ = tools.decide(ExactDedup, tools.texts(known), normalize=["letters"])
    first = {}
    for at, text in enumerate(known):
        first.setdefault(longhand(text), f"{at:02}")
    assert tools.kept(decided) == sorted(first.values())


def test_normalisations_work_together_in_one_order(tools):
    rows = tools.texts(["  \uff21 - b!", "a b"])
    for order in (["whitespace", "punctuation", "nfkc", "case"], ["case", "nfkc", "punctuation"]):
        found, _ = tools.decide(ExactDedup, rows, normalize=[*order])
        assert len(tools.kept(found)) == (1 if "whitespace" in order else 2)


def test_columns_are_compared_in_place_of_the_text(tools):
    rows = tools.texts(["x", "y", "z"], one=["a", "a", "ab"], two=["bc", "bc", "c"])
    found, _ = tools.decide(ExactDedup, rows, columns=["one", "two"])
    assert tools.kept(found) == ["00", "02"]  # "a" + "bc" is not "ab" + "c"


def test_preference_decides_before_the_id(tools):
    rows = tools.texts(["a", "a"], origin=["synthetic", "human"])
    found, _ = tools.decide(ExactDedup, rows, prefer=["origin:human"])
    assert (found["00"]["keep"], found["00"]["ref"]) == (False, "01")


def test_rows_outside_where_stay_and_stand_for_others(tools):
    found, _ = tools.decide(ExactDedup, tools.texts(["a"] * 3, asked=[True, False, False]))
    assert tools.kept(found) == ["01", "02"]
    assert found["00"]["ref"] == "01"


def test_only_rows_of_one_group_are_duplicates(tools):
    rows = tools.texts(["a"] * 6, lang=["en", "de", None, None, "en", "de"])
    found, _ = tools.decide(ExactDedup, rows, per="lang")
    assert tools.kept(found) == ["00", "01", "02"]
    assert [found[id]["ref"] for id in ("03", "04", "05")] == ["02", "00", "01"]


def test_equal_rows_are_a_cluster_named_by_the_smallest_id(tools):
    rows = tools.texts(["b", "a", "a", "c", "a", "b"], group=["x", "x", "y", "x", "x", "x"])
    found, _ = tools.decide(ExactDedup, rows, prefer=["group:y"])
    assert [row["cluster"] for row in found.values()] == ["00", "01", "01", None, "01", "00"]
    assert found["01"]["ref"] == found["04"]["ref"] == "02"
    found, _ = tools.decide(ExactDedup, rows, per="group")
    assert [row["cluster"] for row in found.values()] == ["00", "01", None, None, "01", "00"]
    marked, _ = tools.decide(ExactDedup, rows, per="group", drop=False)
    assert [row["cluster"] for row in marked.values()] == [r["cluster"] for r in found.values()]
    assert len(tools.kept(marked)) == 6


def test_rows_of_a_reference_are_dropped_though_duplicates_are_only_marked(tools):
    held = pl.DataFrame({"id": ["r0"], "@both": ["a"], "@line": [4]})
    rows = tools.texts(["a", "b", "a", "b"])
    found, _ = tools.decide(ExactDedup, rows, {"test": held}, drop=False)
    assert tools.kept(found) == ["01", "03"]
    assert [row["cluster"] for row in found.values()] == [None, "01", None, "01"]


def test_rows_of_a_reference_are_dropped_and_counted(tools):
    rows = tools.texts(["q", "Q", "z", "z"], asked=[True, True, True, True])
    lines = {"@line": [7, 3, 9]}
    first = tools.texts(["q", "q", "other"], **lines)
    second = tools.texts(["Q", "q", "other"], **lines)
    found, decisions = tools.decide(ExactDedup, rows, {"first": first, "second": second})
    assert [found[id]["ref"] for id in ("00", "01", "03")] == ["first#3", "second#7", "02"]
    assert found["00"]["reason"] == "in_reference"
    counts = decisions.facts["against"]
    assert counts["first"] == {"contents": 2, "dropped": 1}
    assert counts["second"] == {"contents": 3, "dropped": 1}


def test_rows_outside_where_are_not_dropped_for_a_reference(tools):
    rows = tools.texts(["q", "q"], asked=[True, False])
    reference = tools.texts(["q"], **{"@line": [1]})
    found, _ = tools.decide(ExactDedup, rows, {"test": reference})
    assert tools.kept(found) == ["01"]
    assert found["00"]["reason"] == "in_reference"


def test_an_empty_table(tools):
    assert tools.decide(ExactDedup, tools.texts([]))[0] == {}


def test_unknown_normalisations_are_refused():
    with pytest.raises(ValidationError, match="normalize"):
        ExactParams(normalize=["lowercase"])


@given(st.data())
def test_one_of_each_text_stays_in_any_order(tools, data):
    count = data.draw(st.integers(1, 12))
    texts = data.draw(st.lists(st.sampled_from(WORDS), min_size=count, max_size=count))
    asked = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    group = data.draw(st.lists(st.sampled_from(["x", "y", None]), min_size=count, max_size=count))
    prefer = data.draw(st.sampled_from([[], ["longest"], ["group:y"], ["group:x", "shortest"]]))
    per = data.draw(st.sampled_from([None, "group"]))
    rows = tools.texts(texts, asked, group=pl.Series(group, dtype=pl.String))
    order = data.draw(st.permutations(range(count)))
    names = data.draw(st.sampled_from([[], ["case"], ["punctuation", "whitespace"]]))
    params = {"prefer": prefer, "per": per, "normalize": names}
    found, _ = tools.decide(ExactDedup, rows, **params)
    assert tools.decide(ExactDedup, rows[order], **params)[0] == found

    def same(text):
        text = text.lower() if "case" in names else text
        return text.replace(".", "").strip() if "punctuation" in names else text

    def content(id):
        at = int(id)
        return same(texts[at]), group[at] if per else None

    contents = {content(id) for id in found}
    assert {content(id) for id in tools.kept(found)} == contents
    free = [id for id in tools.kept(found) if asked[int(id)]]
    assert len({content(id) for id in free}) == len(free)
    for id, row in found.items():
        if not row["keep"]:
            assert asked[int(id)]
            assert content(row["ref"]) == content(id)
            assert found[row["ref"]]["keep"]
