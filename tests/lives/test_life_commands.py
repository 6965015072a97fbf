"""The commands: what they print is inert, and their JSON is what the facts say."""

import json
import re

import polars as pl
import pytest
from click.testing import CliRunner
from rich.console import Console

from curate.commands import call as run
from curate.commands.diff import command as diff
from curate.commands.explain import command as explain
from curate.errors import UsageError
from curate.report.lives import LONG, _Drawing
from curate.versions.diff import Diff
from curate.versions.open import open_version
from curate.versions.wording import GONE, NEW, SAME

LENGTH = {"score": "core.length", "id": "length"}
SAMPLE = {"filter": "core.sample", "id": "sample", "with": {"count": 8}}
HOSTILE = "[red]x[/red] \x1b[31m\x00 \u202egnp.exe \u2028 {+no+} </script>"


def call(command, *args):
    return CliRunner().invoke(command, [str(arg) for arg in args], catch_exceptions=False)


@pytest.fixture
def two(bench):
    bench.run(LENGTH, SAMPLE)
    bench.run({**SAMPLE, "with": {"count": 5}}, source={"license": "mit"})
    return bench.out


def test_diff_prints_rows_parameters_and_shares(two):
    done = call(diff, "bench@v1", "bench@v2", "--out", two)
    assert done.exit_code == 0
    assert "bench@v1  >  bench@v2" in done.output
    assert re.search(r"removed +\d  sample +not sampled", done.output)
    assert re.search(r"recipe +sample.with.count +8 +5\n", re.sub(" +\n", "\n", done.output))
    assert re.search(r"unknown +8 +100.0 +0 +0.0 +-100.0 points", done.output)
    assert "Only bench@v1 has the columns length_characters, length_words." in done.output


def test_diff_as_json_is_what_the_versions_say(two):
    for args in (["bench@v1", "bench@v2"], ["bench"], ["bench@v1"]):
        shown = json.loads(call(diff, *args, "--out", two, "--json").output)
        versions = (open_version(f"bench@{v}", two) for v in ("v1", "v2"))
        assert shown == json.loads(json.dumps(Diff(*versions).facts())) | {
            side: shown[side] for side in ("before", "after")
        }
        assert shown["before"]["version"] == "v1"


def test_diff_writes_every_row_that_changed(two, tmp_path):
    file = tmp_path / "rows.parquet"
    done = call(diff, "bench@v1", "bench@v2", "--out", two, "--rows", file)
    assert done.output.rstrip().endswith(str(file))
    rows = pl.read_parquet(file)
    one, other = (open_version(f"bench@{v}", two) for v in ("v1", "v2"))
    assert len(rows) == sum(count.rows for count in Diff(one, other).reasons)
    before = dict(one.frame().select("id", "messages").iter_rows())
    after = dict(other.frame().select("id", "messages").iter_rows())
    for row in rows.to_dicts():
        assert row["before"] == before.get(row["id"])
        assert row["after"] == after.get(row["id"])
    for wrong in (file, tmp_path / "rows.csv", tmp_path / "none" / "rows.parquet"):
        with pytest.raises(UsageError, match="--rows"):
            call(diff, "bench@v1", "bench@v2", "--out", two, "--rows", wrong)


def test_shares_that_did_not_move_are_left_out(bench):
    for ability, name in (("a", "one"), ("b", "two")):
        bench.write(
            [{"instruction": f"{name} {n}", "output": "x", "ability": ability} for n in range(9)],
            bench.folder / f"{name}.jsonl",
        )
    sources = {n: {"path": str(bench.folder / f"{n}.jsonl")} for n in ("one", "two")}
    bench.run(LENGTH, sources=sources)
    done = call(diff, "bench@v1", "bench@v1", "--out", bench.out)
    assert "points" not in done.output


def test_the_rows_are_never_written_into_a_version(two):
    with pytest.raises(UsageError, match="would lie in a version"):
        call(diff, "bench@v1", "bench@v2", "--out", two, "--rows", two / "bench/v1/rows.parquet")


def test_diff_of_versions_without_a_common_row_says_so(bench):
    bench.run(LENGTH)
    sources = {"other": {"path": str(bench.pool)}}
    bench.run(LENGTH, sources=sources, name="again")
    done = call(diff, "bench", "again", "--out", bench.out)
    assert "No kept row is in both" in done.output
    assert "20 removed, 20 added" in done.output


@pytest.fixture
def hostile(bench):
    """A row of hostile text, one of the same, and a long one."""
    row = {"instruction": HOSTILE, "input": "", "output": "same " * 100, "note": HOSTILE}
    bench.write(
        [
            row,
            row | {"output": "same " * 100 + "not"},
            row | {"instruction": "x", "output": "y" * 5000},
        ]
    )
    return bench.run(
        LENGTH,
        {"filter": "dedup.exact", "id": "exact", "with": {"columns": ["note"]}},
        {"expand": "toys.double", "id": "double", "with": {"every": 1, "in_place": True}},
    )


def test_hostile_text_is_inert_and_shown(hostile, bench):
    for id in hostile.ledger["id"]:
        for more in ([], ["--full"]):
            printed = call(explain, "bench", id, "--out", bench.out, *more).output
            assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028]", printed)
            asserted = "⟨U+202E⟩gnp.exe" in printed and "[red]x[/red]" in printed
            assert asserted or "user       x" in printed
        plain = call(explain, "bench", id, "--out", bench.out, "--json").output
        assert plain.isascii()
        assert json.loads(plain)["life"]["id"] == id
    listed = call(explain, "bench", "gnp.exe", "--out", bench.out).output
    assert "[red]x[/red]" in listed
    assert "\x1b" not in listed


def test_explain_shows_both_texts_side_by_side(hostile, bench):
    fallen = hostile.ledger.filter(stage="exact")
    assert len(fallen) == 2
    printed = call(explain, "bench", fallen["id"][0], "--out", bench.out, "--full").output
    assert "dropped at exact" in printed
    assert fallen["ref"][0][:12] in printed
    assert "this row" in printed
    assert "[-not-]" in printed or "{+not+}" in printed or "{+x+}" in printed
    survivor = call(explain, "bench", fallen["ref"][0], "--out", bench.out).output
    assert "rows that fell for this one: 2" in survivor
    assert "before" in survivor
    assert "(again 0)" in survivor


def test_listed_rows_name_those_that_stand_for_them(bench):
    says = ["It is 0.5\u00a0per cent.", "It is 1 per cent.", "It is 1 per cent."]
    bench.write([{"instruction": f"x {n // 3}", "output": o} for n, o in enumerate(says)])
    version = bench.run(
        {"expand": "text.clean", "id": "clean", "with": {"rules": ["whitespace"]}},
        {"filter": "dedup.exact", "id": "exact"},
    )
    lines = version.ledger
    ((old, new),) = [(p, id) for id, ps in lines.select("id", "parents").iter_rows() for p in ps]
    (gone,) = lines.filter(fate="dropped").select("id", "ref").iter_rows()
    many = "fate = 'merged' OR fate = 'dropped'"
    listed = call(explain, "bench", "--where", many, "--out", bench.out).output
    rows = {line[:12]: line for line in listed.splitlines()[1:]}
    assert rows[gone[0][:12]].split("duplicate")[1].strip().startswith(f"> {gone[1][:12]}  x 0 →")
    assert f"> {new[:12]}  " in rows[old[:12]]
    assert "It is 0.5[-⍽-]{+·+}per cent." in rows[old[:12]]
    facts = json.loads(call(explain, "bench", "--where", many, "--out", bench.out, "--json").output)
    told = {row["id"]: row for row in facts["rows"]}
    assert (told[old]["replaced_by"], told[gone[0]]["replaced_by"]) == ([new], [])
    assert told[old]["change"][1:3] == [["-", "\u00a0"], ["+", " "]]
    assert told[gone[0]]["change"] is None


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (" ", "·"),
        ("\u00a0", "⍽"),
        ("\u2009\t", "⟨U+2009⟩→"),
        (" \n\n", "·↵\n↵\n"),
        (" and its museums", "·and its museums"),
        ("one  two \nthree", "one··two·\nthree"),
        ("one\u00a0two", "one⍽two"),
        ("one two", "one two"),
    ],
)
def test_white_space_that_differs_is_seen(text, seen):
    parts = [(SAME, "a b \u00a0"), (GONE, text), (NEW, "x"), (SAME, " c")]
    draw = _Drawing(Console(width=80), {}, full=True)
    assert draw.side(parts, GONE).plain == f"a b \u00a0[-{seen}-] c"


def test_a_long_text_is_cut_and_the_screen_says_by_how_much(hostile, bench):
    id = hostile.ledger.filter(line=3)["id"][0]
    cut = call(explain, "bench", id, "--out", bench.out).output
    assert f"{5000 - LONG:,} more characters" in cut
    whole = call(explain, "bench", id, "--out", bench.out, "--full").output
    assert "more characters" not in whole
    assert whole.count("y") >= 5000 > cut.count("y")


def test_a_large_family_and_many_duplicates_are_cut_and_counted(bench):
    bench.write([{"instruction": "Say it.", "output": f"{n}", "key": "x"} for n in range(40)])
    many = {"expand": "toys.double", "id": "double", "with": {"every": 1, "children": 35}}
    version = bench.run({"filter": "dedup.exact", "with": {"columns": ["key"]}}, many)
    (root,) = version.ledger.filter(fate="kept").filter(pl.col("parents").list.len() == 0)["id"]
    cut = call(explain, "bench", root, "--out", bench.out).output
    assert "rows that fell for this one: 39" in cut
    # 39 duplicates and 35 children: 3 side by side, 30 named; the family names 30 rows of 36
    assert re.findall(r"and (\d+) more", cut) == ["6", "6", "32"]
    whole = call(explain, "bench", root, "--out", bench.out, "--full").output
    assert not re.search(r"and \d+ more", whole)


def test_a_score_that_is_a_text_is_shown(bench):
    rules = [{"where": "instruction LIKE '%7%'", "ability": "seven"}]
    bench.run({"score": "sources.ability", "id": "topic", "with": {"rules": rules}})
    printed = call(explain, "bench", "It is 7,", "--out", bench.out).output
    assert re.search(r"topic_ability +seven\n", re.sub(" +\n", "\n", printed))


def test_scores_that_are_texts_are_compared_where_they_are_others(bench):
    def topic(text):
        rules = [{"where": f"instruction LIKE '%{text}%'", "ability": "mine"}]
        return {"score": "sources.ability", "id": "topic", "with": {"rules": rules}}

    bench.run(topic(7))
    bench.run(topic(7), SAMPLE)
    assert "topic_ability" not in call(diff, "bench", "--out", bench.out).output
    bench.run(topic(8))
    assert "topic_ability" in call(diff, "bench@v1", "bench@v3", "--out", bench.out).output


def test_texts_with_little_in_common_are_shown_without_marks(bench):
    rows = [
        {"instruction": "Say it.", "output": " ".join(words), "key": "same"}
        for words in (["one"] * 40, ["two"] * 41)
    ]
    bench.write(rows)
    version = bench.run({"filter": "dedup.exact", "with": {"columns": ["key"]}})
    id = version.ledger.filter(fate="dropped")["id"][0]
    printed = call(explain, "bench", id, "--out", bench.out).output
    assert "little in common" in printed
    assert "[-" not in printed
    assert printed.count("one") >= 40 <= printed.count("two")


def test_several_rows_are_listed_up_to_the_limit(bench):
    version = bench.run(LENGTH)
    args = ("bench", "--where", "length_words > 3", "--out", bench.out)
    printed = call(explain, *args, "--limit", 3).output
    assert printed.startswith("20 rows for which the condition holds\n")
    assert "and 17 more" in printed
    shown = json.loads(call(explain, *args, "--limit", 3, "--json").output)
    assert (shown["found"], shown["life"], len(shown["rows"])) == (20, None, 3)
    assert [row["id"] for row in shown["rows"]] == version.ledger["id"][:3].to_list()
    assert shown["rows"][0]["text"].startswith("Say the number 0.")


def test_one_row_found_by_its_text_is_told(bench):
    version = bench.run(LENGTH)
    shown = json.loads(call(explain, "bench@v1", "IT IS 7,", "--out", bench.out, "--json").output)
    assert shown["found"] == 1
    assert shown["life"] == json.loads(json.dumps(version.explain(version.ledger["id"][7])))


def test_what_was_not_searched_is_said(bench):
    bench.run(SAMPLE, output={"dropped": False})
    done = call(explain, "bench", "say the number", "--out", bench.out)
    assert "The text of 12 rows is not published and was not searched." in done.stderr


def test_data_cannot_look_like_a_mark(bench):
    text = "Name the capital of France, please, and say why. "
    bench.write(
        [
            {"instruction": text * 3, "output": f"{{+fake+}} [-gone-] Paris{end}", "key": "x"}
            for end in (".", "!")
        ]
    )
    version = bench.run({"filter": "dedup.exact", "id": "exact", "with": {"columns": ["key"]}})
    (id,) = version.ledger.filter(fate="dropped")["id"]
    printed = call(explain, "bench", id, "--out", bench.out).output
    beside = printed[printed.index("in its place") :]
    assert set(re.findall(r"\{\+[^{]*?\+\}|\[-[^[]*?-\]", beside)) <= {
        "[-.-]",
        "{+!+}",
        "[-!-]",
        "{+.+}",
    }
    assert "⟨U+007B⟩+fake⟨U+002B⟩}" in beside


def test_what_has_no_width_is_named_and_errors_drop_it(bench, capsys):
    hidden = "a\u200bb\u2062c\U000e0041d\u202ee"
    bench.write([{"instruction": hidden, "output": "x"}])
    version = bench.run({"score": "core.length", "id": "length"})
    printed = call(explain, "bench", version.ledger["id"][0], "--out", bench.out).output
    assert "a⟨U+200B⟩b⟨U+2062⟩c⟨U+E0041⟩d⟨U+202E⟩e" in printed
    assert run(["show", hidden, "--out", str(bench.out)]) != 0
    said = capsys.readouterr().err
    assert "abcde" in said
    assert set("\u200b\u2062\U000e0041\u202e").isdisjoint(said)


def test_a_row_that_failed_at_once_has_no_empty_tables(bench):
    bench.write([{"instruction": f"Say {n}.", "input": "", "output": f"{n}"} for n in range(4)])
    with bench.pool.open("a") as file:
        file.write("{broken\n")
    bench.run(
        {"score": "toys.count", "id": "count", "with": {"fail_on": "2"}}
        | {"on_failure": {"set_aside": 1}},
        source={"on_failure": {"set_aside": 1}},
    )

    def told(where):
        return call(explain, "bench", "--where", where, "--out", str(bench.out)).output

    unread = told("reason = 'unreadable'")
    assert unread.rstrip().endswith("no text: it could not be read")
    failed = told("reason = 'error'")
    assert "percentile" not in failed
    assert failed.splitlines()[-1].split()[:3] == ["score", "count", "failed"]
    kept = [line.split() for line in told("line = 1").splitlines()]
    (flag,) = (words for words in kept if words[:1] == ["count_even"])
    same = int(flag[4])
    assert flag[1:] == [flag[1], flag[1], "in", str(same), "of", "3", "rows", "with", "a", "value"]
