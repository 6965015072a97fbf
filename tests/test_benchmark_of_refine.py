"""The benchmark against data-juicer's recipe, without data-juicer: definitions, causes, recipe."""

import sys
from pathlib import Path

import polars as pl
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curate.api import Context
from curate_text.stats import Stats, StatsParams

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import refine  # noqa: E402 - found through the line above
from refine_definitions import (  # noqa: E402
    counted_here,
    counted_there,
    repetition,
    words_of,
)

FLAGGED = ["damn", "piss off"]
ENTRIES = [words_of(entry) for entry in FLAGGED]
SPECIAL = frozenset("\"'.,!?()-/0123456789")
LONG = "a line that is long enough for every filter, and then some words"


def here(*texts):
    return [counted_here(text, ENTRIES) for text in texts]


def there(*texts):
    return [counted_there(text, FLAGGED, SPECIAL) for text in texts]


def why(*texts):
    """The cause for the last of some texts, as the benchmark calls it."""
    ours, theirs = here(*texts), there(*texts)
    kept, firsts = refine.decided(ours)
    others, _ = refine.decided(theirs)
    last = len(texts) - 1
    assert last in kept ^ others
    return refine.cause(last, firsts[last], ours, theirs)


PARTS = [
    "damn",
    "Damn",
    "piss off",
    "hand",
    " ",
    "-",
    "'",
    "\u2019",
    "\n",
    "12",
    "e\u0301",
    "\u4e2d",
]


@settings(deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PARTS), st.text(max_size=2)), max_size=30).map("".join))
@example("strap-on a--b 'tis e\u0301-e \u4e2d-a \u3042\u3044")
def test_the_definitions_here_are_what_text_stats_counts(tmp_path_factory, text):
    flagged = tmp_path_factory.getbasetemp() / "flagged.txt"
    flagged.write_text("\n".join(FLAGGED))
    outputs = ["words", "flagged", "char_repetition"]
    stage = Stats(StatsParams(outputs=outputs, flagged=str(flagged)), "s")
    rows = pl.DataFrame({"id": ["0"], "@both": [text]})
    found = stage.score(rows, Context(0, {}, {}, tuple(outputs), None)).row(0, named=True)
    (words,) = [one.words for one in here(text)]
    assert (found["words"], found["flagged"]) == (words.count, words.share)
    assert found["char_repetition"] == repetition(text)


def test_what_data_juicer_compares_and_counts():
    (one,) = there("A \u20142 b\u00bd!\tDamn, (damn) damn/it piss off")
    assert one.key == "a\u2014b\u00bddamndamndamnitpissoff"
    assert (one.words.count, one.words.flagged) == (8, ("damn", "damn"))
    assert one.failed == {"flagged_words_filter"}
    assert there("x" * 29)[0].failed == {"text_length_filter", "character_repetition_filter"}
    assert there("\n".join(["of nineteen letters"] * 2))[0].failed == {"maximum_line_length_filter"}
    assert there("+" * 90 + "\n" + "abcdefghi")[0].failed > {"alphanumeric_filter"}
    assert there(LONG)[0].failed == frozenset()


def test_of_equal_rows_the_first_stays():
    kept, firsts = refine.decided(here(LONG, LONG + " 1", "x", "another " + LONG))
    assert (kept, firsts) == ({0, 3}, [0, 0, 2, 3])


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ([LONG, LONG + " \u2014"], "equal here alone"),
        ([LONG + " a/damn"], "some found here alone"),
        ([LONG + " piss off"], "some found here alone"),
        ([LONG + " damn2"], "some found in data-juicer alone"),
        ([LONG + " damn" + " 2" * 50], "among another number of words"),
    ],
)
def test_each_difference_has_its_cause(texts, says):
    assert says in why(*texts)


def test_what_no_definition_explains_stays_unexplained(monkeypatch, capsys):
    """A row that a side dropped though both its definitions keep it, or kept as no equal one."""
    monkeypatch.setattr(refine, "FLAGGED", FLAGGED)
    rows = [{"instruction": LONG, "input": "", "output": text} for text in ("one", "two")]
    both = frozenset({0, 1})
    assert refine.explained(rows, both, both, SPECIAL)
    assert not refine.explained(rows, both, frozenset({0}), SPECIAL)
    assert "UNEXPLAINED" in capsys.readouterr().out
    assert not refine.explained(rows, frozenset({1}), frozenset({1}), SPECIAL)


def test_both_sides_are_asked_for_the_same():
    asked = yaml.safe_load((ROOT / "benchmarks/peers/refine_data_juicer.yaml").read_text())
    theirs = {name: given for step in asked["process"] for name, given in step.items()}
    recipe = yaml.safe_load(refine.RECIPE.read_text())["pipeline"]
    exact, stats, cut = [step["with"] for step in recipe[:3]]
    assert exact["normalize"] == ["case", "letters"]
    assert theirs["document_deduplicator"] == {"lowercase": True, "ignore_non_character": True}
    repeated = theirs["character_repetition_filter"]
    assert stats["char_n"] == repeated["rep_len"]
    assert cut["keep"].split(" AND ") == [
        f"t_alnum >= {theirs['alphanumeric_filter']['min_ratio']}",
        f"t_char_repetition <= {repeated['max_ratio']}",
        f"t_flagged <= {theirs['flagged_words_filter']['max_ratio']}",
        f"t_longest_line >= {theirs['maximum_line_length_filter']['min_len']}",
        f"t_characters >= {theirs['text_length_filter']['min_len']}",
    ]
