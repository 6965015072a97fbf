import io
import math

import pytest
from rich.console import Console

from curate.printing import figure
from curate.report.closing import show
from curate.report.near import near


def ids(rows):
    return [int(row.id, 16) for row in rows]


def test_the_rows_nearest_to_the_last_cut_on_both_its_sides(make_version):
    found = near(make_version(), count=3)
    assert (found.line.stage, found.line.column) == ("top", "math")
    assert ids(found.kept) == [20, 21, 22]
    assert ids(found.dropped) == [19, 18, 17]
    assert [row.number for row in found.kept] == [0.20, 0.21, 0.22]
    assert found.kept[0].text == "Question 20? → Answer 20."


def test_the_screen_says_that_equal_rows_went_by_id(make_version):
    version = make_version(by="stars", scores={"stars": lambda n: 1 if n < 25 else 2})
    console = Console(file=io.StringIO(), width=120)
    show(version, console)
    said = "around the cut of top, by stars: passed from 1 up, of equal ones the first by id"
    assert said in console.file.getvalue()


def test_where_the_lowest_are_chosen_the_sides_change(make_version):
    found = near(make_version(lowest=True), count=2)
    assert ids(found.kept) == [11, 10]
    assert ids(found.dropped) == [12, 13]


def test_a_choice_may_be_by_a_column_of_the_source(make_version):
    found = near(make_version(by="tokens"), count=3)
    assert found.kept[0].number == 20
    assert ids(found.dropped) == [19, 18, 17]


def test_without_a_choice_the_rows_nearest_to_a_filters_number_are_shown(make_version):
    found = near(make_version(by=None), count=3)
    assert (found.line.stage, found.line.column) == ("dedup", "dedup_value")
    assert ids(found.kept) == [31, 30, 29]
    assert ids(found.dropped) == [32, 33, 34]


def test_without_any_number_there_is_no_cut(make_version):
    untouched = {"dropped": 0, "out": 40, "reasons": {}}
    assert near(make_version(by=None, stages={"dedup": untouched})) is None


def test_dropped_rows_that_are_not_published_are_named_by_their_scores(make_version):
    found = near(make_version(dropped=False), count=3)
    assert [row.number for row in found.dropped] == [0.19, 0.18, 0.17]
    assert {row.text for row in found.dropped} == {"(dropped rows are not published)"}
    assert found.kept[0].text == "Question 20? → Answer 20."


def test_no_place_where_numbers_of_dropped_rows_are_not_published(make_version):
    """By a column of the source: it went with the rows."""
    found = near(make_version(by="tokens", dropped=False))
    assert found is None or found.line.stage == "dedup"


@pytest.mark.parametrize("count", [1, 100])
def test_no_more_examples_than_asked_or_there_are(make_version, count):
    found = near(make_version(), count=count)
    assert (len(found.kept), len(found.dropped)) == (min(count, 12), min(count, 20))


@pytest.mark.parametrize(
    ("value", "beside", "shown"),
    [
        (0.79998, 0.8, "0.79998"),
        (0.8, 0.8, "0.8"),
        (0.8000000001, 0.8, "0.8000000001"),
        (math.nextafter(0.8, 0), 0.8, "0.7999999999999999"),
        (0.7996, 0.8, "0.7996"),
        (27310.2, 27310.4, "27310.2"),
        (27310, 27000, "27,310"),
    ],
)
def test_a_number_beside_a_cut_does_not_read_as_the_cut(value, beside, shown):
    assert figure(value, beside) == shown
    assert (figure(value, beside) == figure(beside)) == (value == beside)
