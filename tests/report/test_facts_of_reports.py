"""Numbers of a report against the same ones counted by hand."""

import base64
import gzip
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import curate
from curate.printing import marked, marked_line, printable
from curate.report import rows as rows_module
from curate.report.agreement import agreements
from curate.report.charts import charts, pngs
from curate.report.clusters import duplicates
from curate.report.cuts import Line, lines
from curate.report.headline import headline
from curate.report.near import near
from curate.report.rows import table
from curate.report.spreads import BINS, _histogram, of_lengths, of_scores
from curate.versions.open import Version

RECIPE = """
name: sizes
seed: 5
sources:
  people: {path: people.jsonl, origin: human}
  model: {path: model.jsonl, origin: synthetic, generator: gpt-4}
pipeline:
  - filter: dedup.exact
  - score: core.length
    id: answer
    with: {text: response}
  - filter: core.where
    id: answered
    with: {keep: "answer_words >= 2 and answer_characters < 2000"}
  - filter: core.top
    id: best
    where: "origin = 'synthetic'"
    with: {by: answer_characters, fraction: 0.25}
"""


def _answer(number):
    return " ".join(["word"] * (1 + number * 7 % 40)) + f" {number}"


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """60 rows of a model, of which three copy row 5 and two row 6, and 20 of people."""
    folder = tmp_path_factory.mktemp("sizes")
    copies = {57: 5, 58: 5, 59: 5, 55: 6, 56: 6}
    for name, count in (("people", 20), ("model", 60)):
        with (folder / f"{name}.jsonl").open("w") as file:
            for number in range(count):
                copied = copies.get(number, number) if name == "model" else number
                row = {
                    "instruction": f"{name} asks {copied}",
                    "output": "one" if copied == 11 else _answer(copied),
                }
                file.write(json.dumps(row) + "\n")
    (folder / "recipe.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CURATE_HOME", str(folder / "home"))
        return curate.run("recipe.yaml", out=folder / "curated")


def unpacked(packed):
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def by_hand(version):
    """All rows with their fate and scores, joined by dictionaries."""
    scores = {row["id"]: row for row in version.scores.to_dicts()}
    return [{**scores.get(row["id"], {}), **row} for row in version.ledger.to_dicts()]


def test_cut_stands_between_the_last_passed_and_the_first_dropped(version):
    model = [r for r in by_hand(version) if r["source"] == "model"]
    dropped = max(r["answer_characters"] for r in model if r["stage"] == "best")
    kept = min(r["answer_characters"] for r in model if r["fate"] == "kept")
    assert dropped < kept
    cut = lines(version)[-1]
    assert (cut.stage, cut.column, cut.where) == (
        "best",
        "answer_characters",
        "origin = 'synthetic'",
    )
    assert cut.at == (dropped + kept) / 2
    # people's answers are shorter than the cut, and kept: they are outside its `where:`
    people = [r for r in by_hand(version) if r["source"] == "people" and r["fate"] == "kept"]
    assert min(r["answer_characters"] for r in people) < cut.at


def test_a_condition_from_the_environment_is_not_guessed(version):
    changed = json.loads(json.dumps(version.manifest))
    best = next(stage for stage in changed["stages"] if stage["id"] == "best")
    best["where"] = "${CHOSEN}"
    other = Version(version.path)
    other.manifest = changed
    cut = lines(other)[-1]
    # people's rows can not be told from those that the filter judged
    assert (cut.stage, cut.at) == ("best", None)
    assert near(other) is None or near(other).line.stage != "best"


def test_conditions_are_cuts_of_their_own(version):
    found = [(line.column, line.at) for line in lines(version) if line.stage == "answered"]
    assert found == [("answer_words", 2.0), ("answer_characters", 2000.0)]


def test_histograms_count_every_row_on_its_side(version):
    rows = by_hand(version)
    for one in of_scores(version):
        values = [(r[one.column], r["fate"]) for r in rows if r.get(one.column) is not None]
        assert sum(one.before) == len(values)
        assert sum(one.after) == sum(fate == "kept" for _, fate in values)
        assert one.without == len(version.scores) - len(values)
        ((_, cut),) = one.drawn
        low = [n for n, edge in zip(one.before, one.edges[1:], strict=True) if edge <= cut]
        assert sum(low) == sum(value < cut for value, _ in values)
    longer, words = of_scores(version)
    assert (longer.column, words.column) == ("answer_characters", "answer_words")
    # a cut at 2,000 is far from answers of 200 characters: it does not squeeze them into a corner
    assert [line.stage for line in longer.lines] == ["answered", "best"]
    assert [stage for stage, _ in longer.drawn] == ["best"]


@given(
    values=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60),
    cuts=st.lists(st.floats(-1e9, 1e9), max_size=3),
    whole=st.booleans(),
    data=st.data(),
)
def test_no_histogram_loses_a_row_or_mixes_the_sides_of_a_cut(values, cuts, whole, data):
    column = pl.Series([round(v) for v in values] if whole else values)
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))))
    through = tuple(Line(f"s{at}", "c", cut, "") for at, cut in enumerate(cuts))
    one = _histogram("c", column, kept, through)
    assert sum(one.before) == len(values)
    assert len(one.before) <= BINS
    assert sum(one.after) == kept.sum()
    assert all(after <= before for after, before in zip(one.after, one.before, strict=True))
    assert np.all(np.diff(one.edges) > 0)
    if one.drawn:
        last = one.drawn[-1][1]
        # the ends of bins are computed: nearer than this to one, a row may stand on either side
        blur = 1e-6 * max(map(abs, [*values, last, 1]))
        if min(abs(value - last) for value in column) > blur:
            ends = np.array(one.edges[1:])
            # bins of whole numbers end between two of them
            end = np.ceil(last) - 0.5 if whole else last + blur
            below = sum(np.array(one.before)[ends <= end])
            assert below == sum(value < last for value in column)


def test_bins_of_lengths_hold_all_rows(version):
    found = of_lengths(version)
    lengths = [
        sum(len(turn["content"]) for turn in row) + len(row) - 1
        for frame in (version.frame(), version.dropped)
        for row in frame["messages"].to_list()
    ]
    assert sum(found.before) == len(lengths)
    assert sum(found.after) == len(version.frame())
    assert (found.low, found.high) == (min(lengths), max(lengths))
    assert np.allclose(np.diff(np.log(found.edges)), np.log(1.25))


def test_near_the_cut_are_the_nearest_rows_that_it_decided(version):
    found = near(version, count=3)
    model = [r for r in by_hand(version) if r["source"] == "model"]
    for side, fate, sign in ((found.kept, "kept", 1), (found.dropped, "dropped", -1)):
        decided = [r for r in model if r["fate"] == fate and r["stage"] in (None, "best")]
        ordered = sorted(decided, key=lambda r: (sign * r["answer_characters"], r["id"]))
        assert [row.id for row in side] == [r["id"] for r in ordered[:3]]
        assert all("model asks" in row.text for row in side)


def test_clusters_follow_the_ledger(version):
    (found,) = duplicates(version)
    assert (found.stage, found.rows, found.clusters) == ("dedup_exact", 5, 2)
    assert found.sizes == ((4, 1), (3, 1))
    first = found.largest[0]
    assert first.size == 4
    assert len(first.members) == 3
    assert first.text == first.members[0].text
    refs = dict(version.ledger.select("id", "ref").iter_rows())
    assert {refs[member.id] for member in first.members} == {first.survivor}


def test_rows_are_all_of_the_ledger(version):
    found = table(version)
    content = unpacked(found.packed)
    assert (found.shown, found.total, found.drawn, found.shortened) == (80, 80, None, 0)
    rows = content["rows"]
    assert rows["id"] == version.ledger["id"].to_list()
    assert rows["fate"] == version.ledger["fate"].to_list()
    assert content["scores"] == ["dedup_exact_cluster", "answer_characters", "answer_words"]
    for at, row in enumerate(by_hand(version)):
        expected = [row.get(name) for name in content["scores"]]
        assert rows["numbers"][at] == expected
        assert rows["turns"][at][0][0] == "user"
        # the columns of the file stand in the conversation already
        assert rows["more"][at] == []


def test_a_sample_is_seeded_and_holds_the_named_rows(version, monkeypatch):
    monkeypatch.setattr(rows_module, "MOST", 10)
    ids = version.ledger["id"].to_list()
    first = unpacked(table(version).packed)["rows"]["id"]
    assert len(first) == 10
    assert first == [id for id in ids if id in first]
    left_out = next(id for id in ids if id not in first)
    found = table(version, [left_out])
    again = unpacked(found.packed)["rows"]["id"]
    assert set(again) == {*first, left_out}
    assert (found.shown, found.drawn, found.total) == (11, 10, 80)


def test_long_texts_are_cut_and_what_is_left_out_is_counted(version, monkeypatch):
    monkeypatch.setattr(rows_module, "TEXT", 40)
    found = table(version)
    rows = unpacked(found.packed)["rows"]
    full = dict(pl.concat([version.frame(), version.dropped]).select("id", "messages").iter_rows())
    for id, turns, left in zip(rows["id"], rows["turns"], rows["left"], strict=True):
        size = sum(len(turn["content"]) for turn in full[id])
        shown = [text for _, text in turns if text is not None]
        assert sum(len(text.removesuffix("…")) for text in shown) == min(size, 40)
        assert sum(text.endswith("…") for text in shown) <= 1
        assert left == max(size - 40, 0)
    assert found.shortened == sum(left > 0 for left in rows["left"])


def test_all_texts_together_are_bounded(version, monkeypatch):
    monkeypatch.setattr(rows_module, "TOTAL", 80 * 30)
    found = table(version)
    rows = unpacked(found.packed)["rows"]
    shown = [text for turns in rows["turns"] for _, text in turns if text is not None]
    assert sum(len(text.removesuffix("…")) for text in shown) <= 80 * 30
    assert found.characters < 40


def test_headline_is_true(version):
    said = " ".join(headline(version.manifest))
    kept = len(version.frame())
    assert f"{kept} of 80 examples kept." in said
    gone = version.ledger.filter(stage="best")
    assert f"Most fell at best: {len(gone)} of" in said
    compared = version.manifest["baselines"]
    assert (
        f"the longest rows {compared['length']['overlap'] / compared['selection']['size']:.1%}"
        in said
    )


def test_marks_show_what_hides():
    assert marked("a\x00b\x1b[1m\u202ec\u200bd\r\ne\rf\tg\n") == (
        "a␀b␛[1m⟨U+202E⟩c⟨U+200B⟩d\ne\nf\tg\n"
    )
    assert marked_line(" a\n\n b\u2066 ") == "a b⟨U+2066⟩"
    assert marked("naïve עברית 漢字 👍🏽") == "naïve עברית 漢字 👍🏽"


HIDING = "\u180e\u206a\u206f\u034f\ufe00\ufe0f\u200d\U000e0100\U000e01ef\u3164\uffa0\u115f"
HIDING += "\u17b5\ufff0\U0001d173\ufeff\u00ad"


@pytest.mark.parametrize("mark", HIDING)
def test_nothing_of_no_width_is_left(mark):
    assert printable(f"a{mark}b{mark}") == "ab"
    assert marked(f"a{mark}b") == f"a⟨U+{ord(mark):04X}⟩b"


def test_emoji_stay_whole():
    emoji = "❤\ufe0f ☎\ufe0e 1\ufe0f\u20e3 👩\u200d👩\u200d👧 🏳\ufe0f\u200d🌈 🧑🏽\u200d⚕\ufe0f"
    assert printable(emoji) == marked(emoji) == emoji
    for hiding in ("a\u200d👩", "👩\u200da", "❤\ufe0f\ufe0f", "👩\u200d\u200d👩", "a\ufe0f\u200d❤"):
        assert len(printable(hiding)) < len(hiding)
        assert "\u200d" not in printable(hiding)


def test_pictures_are_named_and_drawn(version):
    found = pngs(version)
    assert set(found) == {
        "funnel.png", "shares-source.png", "shares-origin.png", "shares-generator.png",
        "scores-answer_characters.png", "scores-answer_words.png", "length.png",
        "baselines-shared.png", "baselines-length.png",
    }  # fmt: skip
    assert all(data.startswith(b"\x89PNG") for data in found.values())


def test_figures_beside_the_funnel_are_the_books(version):
    drawn = charts(version).funnel
    stages = {stage["id"]: stage for stage in version.manifest["stages"]}
    for _, id, entered, out, gone, replaced, _ in drawn.rows[1:]:
        assert (entered, out, gone, replaced) == (
            stages[id]["in"],
            stages[id]["out"],
            stages[id]["dropped"],
            0,
        )


def test_agreement_is_the_rank_correlation(make_version):
    columns = [
        {"name": name, "kind": "number", "stage": "nait", "published": True}
        for name in ("math", "dedup_value")
    ]
    version = make_version(columns=columns)
    noisy = [(7 * n) % 40 + n / 100 for n in range(40)]
    version.__dict__["scores"] = version.scores.with_columns(dedup_value=pl.Series(noisy))
    (found,) = agreements(version)
    ranks = [np.argsort(np.argsort(version.scores[name].to_numpy())) for name in found.columns]
    first, second = (r - r.mean() for r in ranks)
    expected = (first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum())
    assert found.correlation[0][1] == pytest.approx(expected)
    assert found.correlation[0][0] == pytest.approx(1)
    assert found.rows == 40
