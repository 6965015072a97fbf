"""Distributions of scores against longhand numbers, and how they are drawn."""

import io
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from curate.report.distributions import BINS, Distribution, Flag, _edges, _side, distributions
from curate.report.histograms import SHOWN, draw


def found(version):
    return {getattr(each, "column", each): each for each in distributions(version)}


@pytest.fixture
def with_scores(make_version):
    """A version whose scores are these columns besides; a function of the row's number each."""

    def make(columns, **options):
        version = make_version(**options)
        more = {name: [of(n) for n in range(40)] for name, of in columns.items()}
        version.__dict__["scores"] = version.scores.with_columns(
            pl.Series(name, values) for name, values in more.items()
        )
        return version

    return make


def screen(version, **options):
    file = io.StringIO()
    draw(version, Console(file=file, width=80, **options))
    return file.getvalue()


def test_numbers_are_those_of_all_rows_and_of_the_kept(make_version):
    version = make_version()  # row n has n / 100; of the first 32 the last 12 are kept
    math = found(version)["math"]
    every, kept = np.arange(40) / 100, np.arange(20, 32) / 100
    for side, values in ((math.all, every), (math.kept, kept)):
        assert side.rows == len(values)
        marks = (side.low, side.q1, side.median, side.q3, side.high)
        assert marks == pytest.approx(np.percentile(values, [0, 25, 50, 75, 100]), abs=1e-12)
    assert math.all.bins == tuple(np.histogram(every, BINS)[0])
    assert math.kept.bins == tuple(np.histogram(kept, BINS, range=(0.0, 0.39))[0])
    assert math.gathers == (False, False)


@pytest.mark.parametrize(("lowest", "cut"), [(False, (0.19 + 0.20) / 2), (True, (0.11 + 0.12) / 2)])
def test_the_cut_lies_between_what_was_kept_and_what_was_dropped(make_version, lowest, cut):
    math = found(make_version(lowest=lowest))["math"]
    assert math.cut == pytest.approx(cut, abs=1e-12)
    assert math.cut_by == "top"


def test_no_cut_where_no_filter_cut_by_the_column_or_none_parts_them(make_version, with_scores):
    assert found(make_version(by=None))["math"].cut is None
    mixed = with_scores({"parity": lambda n: float(n % 2)}, by="parity")
    assert found(mixed)["parity"].cut is None


def test_a_cut_is_of_the_rows_inside_where(make_version):
    """Kept rows outside it were not asked about, however low their score."""
    inside = {"top": {"where": "tokens >= 21"}}
    assert found(make_version(stages=inside))["math"].cut == pytest.approx((0.19 + 0.21) / 2)


@pytest.mark.parametrize("where", ["gone > 1", "tokens > ${LEAST}"])
def test_no_cut_where_what_it_asked_about_is_not_known(make_version, where):
    assert found(make_version(stages={"top": {"where": where}}))["math"].cut is None


def test_far_values_are_gathered_in_the_outer_bins(with_scores):
    version = with_scores({"far": lambda n: 1e6 if n == 0 else -1e6 if n == 1 else float(n)})
    far = found(version)["far"]
    assert far.gathers == (True, True)
    assert sum(far.all.bins) == 40
    assert (far.all.low, far.all.high) == (-1e6, 1e6)
    assert far.start > -100
    drawn = screen(version)
    assert f"≤ {far.start:.4g}" in drawn
    assert f"≥ {far.end:.4g}" in drawn


def test_whole_numbers_of_a_small_range_have_a_bin_each(with_scores):
    stars = found(with_scores({"stars": lambda n: n % 5}))["stars"]
    assert stars.all.bins == (8, 8, 8, 8, 8)


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=200)
)
def test_every_value_is_in_one_bin(values):
    array = np.array(values, dtype=np.float64)
    edges = _edges(array, whole=False)
    assert sum(_side(array, edges).bins) == len(values)
    assert len(edges) <= BINS + 1


def test_flags_texts_vectors_and_empty_columns(with_scores):
    version = with_scores(
        {
            "flag": lambda n: None if n >= 30 else n % 10 == 0,
            "word": lambda n: "x",
            "empty": lambda n: None,
            "vector": lambda n: [0.0, 1.0],
        }
    )
    of = found(version)
    assert of["flag"] == Flag("flag", rows=30, true=3, kept=10, kept_true=1)
    assert all(of[name] == name for name in ("word", "empty", "vector"))
    drawn = screen(version)
    assert "flag  true in 3 of 30 rows, 1 of 10 kept" in drawn
    assert "not drawn: word, empty, vector" in drawn


def test_the_picture(make_version):
    drawn = screen(make_version()).splitlines()
    at = drawn.index("math")
    assert drawn[at + 1] == (
        "all  " + "█" * BINS + "      40" + "   0.0975" + "    0.195" + "   0.2925"
    )
    kept = drawn[at + 2]
    assert kept.startswith("kept " + " " * 20 + "█" * 11)
    assert kept.endswith("      12   0.2275    0.255   0.2825")
    assert drawn[at + 3] == "     0" + " " * 19 + "▲ 0.195, cut of top"


def test_a_bin_that_is_not_empty_is_never_drawn_empty(with_scores):
    drawn = screen(with_scores({"spread": lambda n: 0.0 if n else 1.0}))
    (line,) = [
        line
        for head, line in zip(drawn.splitlines(), drawn.splitlines()[1:], strict=False)
        if head == "spread"
    ]
    assert line.startswith("all  █" + " " * (BINS - 2) + "▁")


def test_many_columns_fit_80_columns_and_the_rest_is_named(with_scores):
    columns = {f"score_{n}": lambda row, n=n: row * 10.0**n - 5e5 for n in range(20)}
    drawn = screen(with_scores(columns))
    assert max(map(cell_len, drawn.splitlines()[:-3])) <= 80
    assert drawn.index("math\n") < drawn.index("score_0\n")  # what was cut by comes first
    rest = drawn.partition("not drawn: ")[2].replace("\n", " ")
    assert rest.split(", ")[0] == f"score_{SHOWN - 2}"
    assert rest.split(", ")[-1].strip() == "score_19"


def test_a_terminal_without_unicode(make_version):
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding="ascii"), width=80)
    draw(make_version(), console)
    console.file.flush()
    drawn = raw.getvalue().decode("ascii")
    assert "all  " + "@" * BINS in drawn
    assert "^ 0.195, cut of top" in drawn


def test_names_are_text_whatever_they_hold(with_scores):
    drawn = screen(with_scores({"a[red]b\x1b[2J": float}))
    assert "a[red]b[2J" in drawn
    assert "\x1b" not in drawn


def test_json_has_the_same_numbers(make_version):
    from click.testing import CliRunner

    from curate.commands.show import command

    version = make_version()
    root = str(version.path.parent.parent)
    done = CliRunner().invoke(command, ["toy", "--out", root, "--json"], catch_exceptions=False)
    shown = {each["column"]: each for each in json.loads(done.output)["scores"]}
    math = found(version)["math"]
    assert isinstance(math, Distribution)
    assert shown["math"]["cut"] == math.cut
    assert shown["math"]["all"]["bins"] == list(math.all.bins)
    drawn = CliRunner().invoke(command, ["toy", "--out", root], catch_exceptions=False).output
    assert "cut of top" in drawn
