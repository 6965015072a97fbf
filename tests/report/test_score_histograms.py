"""Distributions of scores against longhand numbers, and how they are drawn."""

import io
import json

import numpy as np
import polars as pl
import pytest
from rich.cells import cell_len
from rich.console import Console

from curate.printing import figure
from curate.report.histograms import SHOWN, _axis, draw
from curate.report.page import write
from curate.report.spread_charts import score_chart
from curate.report.spreads import BINS, Flag, _histogram, flags, of_scores


def found(version):
    return {each.column: each for each in (*of_scores(version), *flags(version))}


@pytest.fixture
def with_scores(make_version):
    """A version whose scores are these columns besides; a function of the row's number each."""

    def make(columns, **options):
        return make_version(scores=columns, **options)

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
        marks = (side.q1, side.median, side.q3)
        assert marks == pytest.approx(np.percentile(values, [25, 50, 75]), abs=1e-12)
    assert (math.low, math.high) == (0, 0.39)
    assert math.before == tuple(np.histogram(every, math.edges)[0])
    assert math.after == tuple(np.histogram(kept, math.edges)[0])
    assert math.gathers == (False, False)


@pytest.mark.parametrize(("lowest", "cut"), [(False, (0.19 + 0.20) / 2), (True, (0.11 + 0.12) / 2)])
def test_the_cut_lies_between_what_was_kept_and_what_was_dropped(make_version, lowest, cut):
    math = found(make_version(lowest=lowest))["math"]
    assert math.drawn == (("top", pytest.approx(cut, abs=1e-12)),)


def test_no_cut_where_no_filter_cut_by_the_column(make_version):
    assert found(make_version(by=None))["math"].lines == ()


def test_no_cut_where_no_number_parts_the_rows(with_scores):
    mixed = with_scores({"parity": lambda n: float(n % 2)}, by="parity")
    (line,) = found(mixed)["parity"].lines
    assert line.at is None
    assert "cut of top: rows on both its sides overlap" in screen(mixed)


def test_a_cut_is_of_the_rows_inside_where(make_version):
    """Kept rows outside it were not asked about, however low their score."""
    inside = {"top": {"where": "tokens >= 21"}}
    ((_, cut),) = found(make_version(stages=inside))["math"].drawn
    assert cut == pytest.approx((0.19 + 0.21) / 2)


@pytest.mark.parametrize("where", ["gone > 1", "tokens > ${LEAST}"])
def test_no_cut_where_what_it_asked_about_is_not_known(make_version, where):
    assert found(make_version(stages={"top": {"where": where}}))["math"].drawn == ()


def test_far_values_are_gathered_in_the_outer_bins():
    values = pl.Series([1e6, -1e6, *map(float, range(2, 1000))])
    far = _histogram("far", values, np.ones(1000, dtype=bool), ())
    assert far.gathers == (True, True)
    assert sum(far.before) == 1000
    assert (far.low, far.high, far.beyond) == (-1e6, 1e6, 2)
    assert far.edges[0] > -300
    (axis,) = _axis(far, ascii_only=False)
    assert f"≤ {far.edges[0]:.4g}" in axis.plain
    assert f"≥ {far.edges[-1]:,.0f}" in axis.plain


def test_whole_numbers_of_a_small_range_have_a_bin_each(with_scores):
    stars = found(with_scores({"stars": lambda n: n % 5}))["stars"]
    assert stars.before == (8, 8, 8, 8, 8)


def test_ends_of_whole_numbers_are_whole_numbers():
    values = pl.Series([10**6, -(10**6), *range(2, 2000)])
    far = _histogram("far", values, np.ones(2000, dtype=bool), ())
    first, last = far.edges[0], far.edges[-1]
    assert (first % 1, last % 1) == (0.5, 0.5)
    (axis,) = _axis(far, ascii_only=False)
    assert axis.plain.split("≥")[0].split("≤")[1].strip() == f"{first - 0.5:.0f}"
    assert axis.plain.split("≥")[1].strip() == f"{last + 0.5:,.0f}"
    drawn = score_chart(far)
    assert drawn.rows[0][:2] == (f"{first + 0.5:.0f}", f"{far.edges[1] - 0.5:.0f}")
    assert "from -1,000,000 to 1,000,000" in drawn.says


@pytest.mark.parametrize(
    ("number", "shown"),
    [(27310.0, "27,310"), (0.12345, "0.1235"), (999.96, "1000"), (-1234.5, "-1,234"), (2e20, "2e+20"),
     (9, "9"), (0, "0"), (1000, "1,000")],
)  # fmt: skip
def test_figures_can_be_read(number, shown):
    assert figure(number) == shown


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
    assert not {"word", "empty", "vector"} & set(of)
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
    assert kept == "kept " + " " * 20 + "█" * 12 + " " * 8 + "      12   0.2275    0.255   0.2825"
    assert drawn[at + 3] == "     0" + " " * 19 + "▲ 0.195, cut of top"


def test_every_cut_through_a_column_is_named(make_version):
    also = {"dedup": {"params": {"keep": "math < 0.305 and math < 9"}}}
    drawn = screen(make_version(stages=also)).splitlines()
    at = drawn.index("math")
    assert "▲ 0.195, cut of top" in drawn[at + 3]
    assert drawn[at + 4].endswith("▲ 0.305, cut of dedup")
    assert drawn[at + 5] == "     cut of dedup: 9, beyond the picture, passed where < 9"


def test_a_cut_by_more_than_one_column_is_named_with_the_reason(make_version):
    keep = "math < 0.9 AND 1 - math > 0.305 AND math / tokens < 9 AND source <> 'x'"
    version = make_version(stages={"dedup": {"params": {"keep": keep}}})
    said = "no cut of dedup is drawn for 1 - math > 0.305, math / tokens < 9: not one column"
    assert said in " ".join(screen(version).split())
    assert f"N{said[1:]}" in write(version).path.read_text().replace("&lt;", "<").replace(
        "&gt;", ">"
    )
    one = make_version(preview=True, stages={"dedup": {"params": {"keep": "math < 0.9"}}})
    assert "no cut of" not in screen(one)


def test_a_column_of_the_source_that_a_filter_cut_by_is_drawn(make_version):
    version = make_version(by="tokens")
    assert next(iter(found(version))) == "tokens"
    assert found(version)["tokens"].drawn == (("top", 19.5),)
    assert "▲ 19.5, cut of top" in screen(version)


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
    rest = drawn.partition(f"not drawn, after the first {SHOWN}: ")[2].replace("\n", " ")
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
    assert shown["math"]["lines"][0]["at"] == math.lines[0].at
    assert shown["math"]["before"] == list(math.before)
    drawn = CliRunner().invoke(command, ["toy", "--out", root], catch_exceptions=False).output
    assert "cut of top" in drawn
