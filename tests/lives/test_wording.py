from hypothesis import given
from hypothesis import strategies as st

from curate.versions.wording import GONE, MOST, NEW, SAME, differences

words = st.lists(st.sampled_from(["a", "bb", " ", "\n", ".", "é", "c"]), max_size=30).map("".join)


@given(words, words)
def test_differences_make_both_texts(one, two):
    parts = differences(one, two)
    assert "".join(text for kind, text in parts if kind in (SAME, GONE)) == one
    assert "".join(text for kind, text in parts if kind in (SAME, NEW)) == two
    assert all(text for _, text in parts)
    assert (one == two) == all(kind == SAME for kind, _ in parts)


def test_words_that_differ_are_told_apart_and_space_between_them_belongs_to_them():
    assert differences("the cat sat down", "the dog ran down") == [
        (SAME, "the "),
        (GONE, "cat sat"),
        (NEW, "dog ran"),
        (SAME, " down"),
    ]


def test_long_texts_are_compared_where_what_differs_is_short():
    same = "word " * 10 * MOST
    assert differences(f"{same}a {same}", f"{same}b {same}")[1:3] == [(GONE, "a"), (NEW, "b")]
    assert differences("a " * MOST, "b " * MOST) is None
