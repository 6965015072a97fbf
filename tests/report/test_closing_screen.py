import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from curate.report.closing import render, show
from curate.report.headline import headline

HOSTILE = (
    "[bold]not bold[/bold] [link=http://x]\x1b]0;title\x07\x1b[2J\u202eback\r\nnext line "
    + "字" * 150
)


def screen(version, width=80, draw=render, **options):
    file = io.StringIO()
    draw(version, Console(file=file, width=width, **options))
    return file.getvalue()


def test_the_screen_says_what_happened_and_what_to_type_next(make_version, monkeypatch, tmp_path):
    version = make_version()
    monkeypatch.chdir(tmp_path)
    text = screen(type(version)(version.path.relative_to(tmp_path)))
    for line in (
        "toy@v1  12 of 40 examples kept",
        "read   sources  40   40  ████████████",
        "filter dedup    40   32  ██████████░░  8 duplicate          1.5 s",
        "score  nait     32   32  ██████████░░  30 of 32 remembered  1.5 s",
        "filter top      32   12  ████░░░░░░░░  20 below cut         1.5 s",
        "human          20  50.0 %      6  50.0 %",
        "around the cut of top, by math",
        "just kept      0.2  Question 20? → Answer 20.",
        "just dropped  0.19  Question 19? → Answer 19.",
        "version  curated/toy/v1",
        "next     curate show toy@v1",
        "         curate versions toy",
        "         datasets.load_dataset('curated/toy/v1', split='train')",
    ):
        assert line in text
    assert "--out" not in text
    assert "!" not in text


def test_what_was_computed_is_said_where_nothing_was_remembered(make_version):
    fresh = {"memo": {"distinct": 32, "hits": 0, "computed": 32}}
    assert "32 computed" in screen(make_version(stages={"nait": fresh}))


def compared(longest, random):
    """Baselines of a manifest: 12 rows of 32, and how many of them the picks share."""
    characters = dict.fromkeys(("min", "q1", "median", "q3", "p90", "max", "mean"), 1234.5)
    return {
        "pool": 32,
        "expected": {"share": 0.375, "rows": 4.5},
        "selection": {"size": 12, "overlap": 12, "characters": characters},
        "random": [
            {"pick": pick, "size": 12, "overlap": overlap, "characters": characters}
            for pick, overlap in enumerate(random, 1)
        ],
        "length": {"size": 12, "overlap": longest, "characters": characters},
    }


@pytest.mark.parametrize(("random", "drawn"), [([4, 6, 3, 5, 4], "3 to 6"), ([4] * 5, "4")])
def test_a_selection_is_held_against_random_picks_and_length(make_version, random, drawn):
    version = make_version(baselines=compared(7, random))
    said = (
        "7 of 12 rows are also among the 12 longest of 32 "
        f"(a random pick shares 4.5; 5 drawn share {drawn})"
    )
    assert f"baselines {said}\n" in screen(version, 120)
    card = (version.path / "README.md").read_text()
    assert f"## Baselines\n\n{said}." in card
    assert "| the selection | 12 | 1,234 | 1,234 | 1,234 | 1,234 |" in card
    assert f"| at random, 2 | {random[1]} |" in card
    assert "| the longest | 7 |" in card


@pytest.mark.parametrize("manifest", [{}, {"baselines": None}], ids=["earlier release", "none"])
def test_nothing_is_said_where_there_are_no_baselines(make_version, manifest):
    version = make_version(**manifest)
    assert "baselines" not in screen(version)
    assert "Baselines" not in (version.path / "README.md").read_text()


@pytest.mark.parametrize(
    ("pool", "chooser", "said"),
    [(13, "core.top", False), (14, "core.top", True), (32, "core.sample", False)],
)
def test_a_comparison_that_says_nothing_is_left_out(make_version, pool, chooser, said):
    found = compared(7, [4] * 5) | {"pool": pool}
    version = make_version(baselines=found, stages={"top": {"stage": chooser}})
    assert ("baselines" in screen(version)) == said
    assert ("longest rows" in " ".join(headline(version.manifest))) == said
    assert version.manifest["baselines"]["length"]["overlap"] == 7


def test_commands_name_where_the_version_lives(make_version):
    version = make_version()
    assert f"curate show toy@v1 --out {version.path.parent.parent}\n" in screen(version)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("row", [20, 19])
def test_text_from_data_is_shown_as_text_on_one_line_that_fits(make_version, width, row):
    text = screen(make_version(texts={row: HOSTILE}), width)
    (line,) = (line for line in text.splitlines() if "not bold" in line)
    assert "[bold]not bold[/bold] [link=http://x]" in line
    assert "␛]0;title␇␛[2J⟨U+202E⟩" in line
    assert line.rstrip().endswith("…")
    assert cell_len(line) <= width
    assert not set("\x1b\x07\r\u202e") & set(text)


def test_colours_are_for_terminals_only(make_version):
    version = make_version()
    assert "\x1b[" in screen(version, force_terminal=True, color_system="standard")
    assert "\x1b[" not in screen(version)


def test_a_terminal_without_unicode_gets_plain_marks(make_version):
    version = make_version(texts={20: "Größe 字"})
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding="ascii"), width=80)
    show(version, console)
    console.file.flush()
    shown = raw.getvalue().decode("ascii")
    assert "filter top      32   12  ####........" in shown
    assert "Gr??e ?" in shown


def test_every_warning_is_shown(make_version):
    margin = {"cut": "math 0.2", "distance": 1e-9, "tolerance": 1e-6, "close": True}
    version = make_version(
        stages={"top": {"margins": [margin]}, "nait": {"flags": {"truncated": 3}}},
        books={"sources": 42, "created": 0, "kept": 12, "dropped": 28, "failed": 2, "merged": 0},
    )
    text = screen(version, 120)
    assert "! 2 rows failed and were set aside" in text
    assert "! Stage nait: truncated in 3 rows." in text
    assert "! Stage top: the cut math 0.2 was close (1e-09 from the nearest row, where" in text


def test_what_no_kept_row_has_any_more_stands_where_it_was_found(make_version):
    version = make_version(
        stages={"nait": {"flags": {"truncated": 3}, "repeats": 5}},
        flags_by_fate={"nait": {"truncated": {"dropped": 2, "failed": 1}}},
    )
    text = screen(version, 200)
    assert "!" not in text
    assert "truncated in 3 rows, none kept, 30 of 32 remembered, 5 repeats" in text


def test_many_sources_fit_on_the_screen(make_version):
    sources = {f"source_with_a_long_name_{n}": n + 1 for n in range(20)} | {"mine": 40}
    text = screen(make_version(sources=sources))
    assert "13 others" in text
    assert max(map(cell_len, text.split("version  ")[0].splitlines())) <= 80


def test_a_preview_says_how_to_publish(make_version):
    text = screen(make_version(preview=True, limit=40))
    assert "run it without --limit" in text
    assert "! A preview: at most the first 40 rows" in text
    assert "curate versions" not in text
