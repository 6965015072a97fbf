from hypothesis import given
from hypothesis import strategies as st

from curate.versions.wording import GONE, MOST, NEW, SAME, differences, first_difference

words = st.lists(st.sampled_from(["a", "bb", " ", "\n", ".", "é", "c"]), max_size=30).map("".join)


@given(words, words)
def test_differences_make_both_texts(one, two):
    parts = differences(one, two)
    assert "".join(text for kind, text in parts if kind in (SAME, GONE)) == one
    assert "".join(text for kind, text in parts if kind in (SAME, NEW)) == two
    assert all(text for _, text in parts)
    assert (one == two) == all(kind == SAME for kind, _ in parts)


@given(words, words)
def test_the_first_difference_stands_where_the_texts_part(one, two):
    parts, first = differences(one, two), first_difference(one, two)
    assert (first is None) == (one == two)
    if first is None:
        return
    kinds = [kind for kind, _ in first]
    assert kinds in [[*left, *changed, *right]
                     for left in ([], [SAME]) for right in ([], [SAME])
                     for changed in ([GONE], [NEW], [GONE, NEW])]  # fmt: skip
    changed = [part for part in parts if part[0] != SAME][: sum(kind != SAME for kind in kinds)]
    assert [part for part in first if part[0] != SAME] == changed
    for texts, other in ((one, NEW), (two, GONE)):
        assert "".join(text for kind, text in first if kind != other) in texts


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
