import pytest

from curate.report.facts import last_cut


def ids(examples):
    return [int(example.id, 16) for example in examples]


def test_the_best_and_the_just_dropped_of_the_last_choice(make_version):
    cut = last_cut(make_version())
    assert (cut.stage, cut.column, cut.chosen) == ("top", "math", True)
    assert ids(cut.kept) == [31, 30, 29]
    assert ids(cut.dropped) == [19, 18, 17]
    assert [example.score for example in cut.kept] == [0.31, 0.30, 0.29]
    assert cut.kept[0].text == "Question 31? → Answer 31."


def test_where_the_lowest_are_chosen_they_are_the_best(make_version):
    cut = last_cut(make_version(lowest=True), count=2)
    assert ids(cut.kept) == [0, 1]
    assert ids(cut.dropped) == [12, 13]


def test_a_choice_may_be_by_a_column_of_the_source(make_version):
    cut = last_cut(make_version(by="tokens"))
    assert cut.kept[0].score == 31
    assert ids(cut.dropped) == [19, 18, 17]


def test_without_a_choice_the_rows_nearest_to_a_filters_number_are_shown(make_version):
    cut = last_cut(make_version(by=None))
    assert (cut.stage, cut.column, cut.chosen) == ("dedup", "dedup_value", False)
    assert ids(cut.kept) == [31, 30, 29]
    assert ids(cut.dropped) == [32, 33, 34]


def test_without_any_number_there_is_no_cut(make_version):
    untouched = {"dropped": 0, "out": 40, "reasons": {}}
    assert last_cut(make_version(by=None, stages={"dedup": untouched})) is None


def test_dropped_rows_that_are_not_published_are_named_by_their_scores(make_version):
    cut = last_cut(make_version(dropped=False))
    assert [example.score for example in cut.dropped] == [0.19, 0.18, 0.17]
    assert {example.text for example in cut.dropped} == {"(dropped rows are not published)"}
    assert cut.kept[0].text == "Question 31? → Answer 31."


@pytest.mark.parametrize("count", [1, 100])
def test_no_more_examples_than_asked_or_there_are(make_version, count):
    cut = last_cut(make_version(), count=count)
    assert (len(cut.kept), len(cut.dropped)) == (min(count, 12), min(count, 20))
