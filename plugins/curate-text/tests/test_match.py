"""`text.match`: each pattern on its own rows, a user's own lists, hostile texts and patterns."""

import json
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import SchemaError, SchemaValidator, core_schema

import curate
from curate.api import Context, CurateError
from curate.commands import call
from curate_text import patternlists
from curate_text.match import Match, MatchParams
from curate_text.patternlists import LISTS, Pattern, Placed

SHIPPED = [
    pytest.param(name, placed.pattern, id=f"{name}.{placed.pattern.name}")
    for name in LISTS
    for placed in patternlists.shipped(name)
]


def matched(texts, wanted=None, **given):
    """What the stage says of texts."""
    stage = Match(MatchParams(**given), "m")
    rows = pl.DataFrame(
        {"id": [str(at) for at in range(len(texts))], f"@{stage.params.text}": texts},
        schema={"id": pl.String, f"@{stage.params.text}": pl.String},
    )
    ctx = Context(0, {}, {}, tuple(wanted or stage.outputs()), None)
    found = stage.score(rows, ctx)
    assert found["id"].to_list() == rows["id"].to_list()
    return found.drop("id").to_dicts()


@pytest.mark.parametrize(("name", "pattern"), SHIPPED)
def test_each_pattern_finds_its_row_and_leaves_the_other(name, pattern):
    assert pattern.reason
    assert pattern.holds
    assert pattern.spares
    full = f"{name}.{pattern.name}"
    for_, against = matched([pattern.holds, pattern.spares], text="both")
    assert full in for_["patterns"].split()
    assert for_[name] is True
    assert full not in against["patterns"].split()


@pytest.mark.parametrize("name", LISTS)
def test_lists_are_of_some_size_and_speak_chinese(name):
    patterns = [placed.pattern for placed in patternlists.shipped(name)]
    assert len(patterns) >= 12
    han = [each for each in patterns if re.search("[\u4e00-\u9fff]", each.holds or "")]
    assert len(han) >= 2
    assert len({each.name for each in patterns}) == len(patterns)


def test_plain_text_holds_none():
    texts = [
        "",
        "The Amazon is a river in South America.",
        "亚马逊河位于南美洲。",
        "def add(a: int, b: int) -> int:\n    return a + b  # & not &amp or a<b\n",
        "Dear Anna,\n\nI am sorry that I could not come. Sure, we can meet soon.\n\nYours,\nBen",
    ]
    for found in matched(texts):
        assert found == {
            "refusal": False, "leftover": False, "broken": False, "matched": 0, "patterns": ""
        }  # fmt: skip


def test_columns():
    (found,) = matched(["As an AI language model, I cannot help. caf\ufffd"], text="both")
    assert found["refusal"]
    assert not found["leftover"]
    assert found["broken"]
    assert found["patterns"] == "refusal.as_an_ai broken.replacement_character"
    assert found["matched"] == 2
    flags = Match(MatchParams(lists=["broken"], patterns={"x": "y"}), "m").outputs()
    assert list(flags) == ["broken", "own", "matched", "patterns"]
    assert [output.flag for output in flags.values()] == [True, True, False, False]


@given(st.lists(st.text(max_size=8), min_size=1, max_size=5))
def test_own_patterns_are_found_wherever_they_stand(texts):
    found = matched(texts, lists=[], patterns={"a": "a", "digits": r"\d\d"})
    for text, row in zip(texts, found, strict=True):
        names = ["own.a"] * ("a" in text)
        names += ["own.digits"] * bool(re.search(r"\d\d", text))
        expected = {"own": bool(names), "matched": len(names), "patterns": " ".join(names)}
        assert row == expected


def test_only_what_is_wanted_comes():
    assert matched(["As an AI model, I"], wanted=["broken"]) == [{"broken": False}]
    assert matched(["As an AI model, I"], wanted=["patterns"]) == [{"patterns": "refusal.as_an_ai"}]


OWN = """\
- name: shouting
  pattern: '[A-Z]{8}'
  reason: capitals
  for: "PLEASEHELP"
  against: "Please help"
- {name: smile, pattern: ':-?\\)'}
"""


def test_a_file_of_ones_own(tmp_path):
    (tmp_path / "own.yaml").write_text(OWN)
    given = {"lists": [], "file": str(tmp_path / "own.yaml"), "patterns": {"a": "^a"}}
    found = matched(["abc :)", "ABCDEFGHI", "none"], **given)
    assert [row["patterns"] for row in found] == ["own.a own.smile", "own.shouting", ""]
    Match(MatchParams(**given), "m").check_files()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("- {name: a}", "own.yaml, entry 0.pattern: Field required"),
        ("- {name: A b, pattern: x}", "own.yaml, entry 0.name: String should match pattern"),
        ("- {name: a, patern: x, pattern: y}", "own.yaml, entry 0.patern: Extra inputs"),
        ("a: b", "Input should be a valid list"),
        ("[]", "holds no pattern"),
        ("- {name: a, pattern: x}\n- {name: a, pattern: y}", "names the pattern 'a' twice"),
        ("- [", "cannot be read as a list of patterns"),
        ("- {name: a, pattern: '(?<!x)y'}", r"own.yaml:1: the pattern 'a' looks around or back"),
    ],
)
def test_a_file_that_is_no_list_is_refused_when_a_recipe_is_checked(tmp_path, content, says):
    (tmp_path / "own.yaml").write_text(content)
    stage = Match(MatchParams(file=str(tmp_path / "own.yaml")), "m")
    with pytest.raises(CurateError, match=says):
        stage.check_files()


LOOKING = [r"(?=a)", r"x(?!a)", r"(?<=a)b", r"(?<!a)b", r"(a)\1", r"(?>a+)b", r"(?P<x>a)(?P=x)"]
NOT_LOOKING = [r"\\1", r"[(?=]", r"\(?=", r"[](?!x]", r"(?i)a", r"(?:a|b)", r"(?P<x>a)", r"\d\D"]


@pytest.mark.parametrize("pattern", LOOKING)
def test_patterns_that_look_around_are_refused(pattern):
    with pytest.raises(ValidationError, match="the pattern looks around or back with"):
        MatchParams(patterns={"mine": pattern})


@pytest.mark.parametrize("pattern", NOT_LOOKING)
def test_patterns_that_only_seem_to_look_around_are_taken(pattern):
    MatchParams(patterns={"mine": pattern})


WRONG = {
    "(": "unclosed group, character 1",
    "4: a{2,1}": "invalid repetition count range, .*, character 5",
    "x\ny\n  \\p{Nowhere}": "Unicode property not found, line 3, character 3",
    r"é[z-a]": "invalid character class range, .*, character 3",
    r"(\w{1000}){1000}": "Compiled regex exceeds size limit of 10485760 bytes$",
}


@pytest.mark.parametrize("pattern", WRONG)
def test_what_cannot_be_searched_for_is_refused_when_a_recipe_is_checked(tmp_path, pattern):
    file = tmp_path / "own.yaml"
    file.write_text(
        json.dumps([{"name": "good", "pattern": "a"}, {"name": "b", "pattern": pattern}])
    )
    says = f"is no regular expression that can be searched for in linear time: {WRONG[pattern]}"
    with pytest.raises(CurateError) as caught:
        Match(MatchParams(file=str(file)), "m").check_files()
    assert re.match(f"{re.escape(str(file))}:1: the pattern 'b' {says}", caught.value.message)
    with pytest.raises(ValidationError) as refused:
        MatchParams(patterns={"b": pattern})
    assert re.match(f"the pattern {says}", str(refused.value.errors()[0]["ctx"]["error"]), re.M)


@given(st.text(st.sampled_from("ab()[]{}|*+?.^$\\dpL-&,1 \n:<=!"), max_size=8), st.text("ab1 \n"))
@settings(deadline=None)
def test_what_is_tried_is_what_will_search(pattern, text):
    """The engine that tries patterns and the one that searches agree on each, and on each text."""
    placed = Placed(Pattern.model_construct(name="p", pattern=pattern, holds=text), "own.yaml")
    try:
        found = pl.Series([text]).str.contains(pattern)[0]
    except pl.exceptions.ComputeError:
        with pytest.raises(CurateError, match=r"is no regular expression|looks around or back"):
            patternlists.tried(placed)
        return
    if found:
        assert patternlists.tried(placed) == pattern
    else:
        with pytest.raises(CurateError, match="does not find its row"):
            patternlists.tried(placed)


@pytest.mark.parametrize(
    ("rows", "says"),
    [({"for": "b"}, "does not find its row `for`"), ({"against": "a"}, "finds its row `against`")],
)
def test_rows_that_contradict_their_pattern(rows, says):
    pattern = Pattern.model_validate({"name": "mine", "pattern": "a", **rows})
    with pytest.raises(CurateError, match=says):
        patternlists.tried(Placed(pattern, "own.yaml"))


def test_a_name_in_the_recipe_and_in_the_file_is_refused(tmp_path):
    (tmp_path / "own.yaml").write_text(OWN)
    params = MatchParams(patterns={"a": "a", "smile": "b"}, file=str(tmp_path / "own.yaml"))
    with pytest.raises(
        CurateError, match=r"own\.yaml:6: the pattern 'smile' stands in the recipe's"
    ):
        Match(params, "m").check_files()


def test_nothing_to_search_for():
    with pytest.raises(ValidationError, match="nothing is searched for"):
        MatchParams(lists=[])
    with pytest.raises(ValidationError, match="a list is named twice"):
        MatchParams(lists=["broken", "broken"])


HOSTILE = {
    "a" * 1_000_000: "own.nested own.many",
    "a" * 1_000_000 + "!": "",
    "I am sorry, " * 90_000: "leftover.mid_sentence",
    "[insert " * 125_000: "",
    "&#" * 500_000: "",
    "<p " * 300_000: "",
    " " * 1_000_000: "",
    "as of my " * 110_000: "",
    "Sure, " * 150_000 + "x": "own.stars",
    "\u00c3" * 1_000_000: "",
}
EXPONENTIAL = {
    "nested": "(a+)+$", "either": "(a|aa)*b", "stars": "(.*)*x$", "many": "(a?){500}a{500}$"
}  # fmt: skip


def test_hostile_texts_and_patterns():
    """An engine that backtracks would need longer than the universe is old."""
    found = matched(list(HOSTILE), text="both", patterns=EXPONENTIAL)
    assert [row["patterns"] for row in found] == list(HOSTILE.values())


@pytest.mark.parametrize("pattern", LOOKING)
def test_the_engine_has_nothing_that_takes_more_than_linear_time(pattern):
    with pytest.raises(pl.exceptions.ComputeError, match="regex parse error"):
        pl.Series(["ab"]).str.contains(pattern)


@pytest.mark.parametrize(("name", "pattern"), SHIPPED)
def test_programs_are_small(name, pattern):
    """Time is that of the text times that of the program: the latter is at most 80 KiB.

    The engine refuses programs of more than 10 MiB, of which a pattern is to fit in 128 times.
    """
    many = "|".join([f"(?:{pattern.pattern})"] * 128)
    SchemaValidator(core_schema.str_schema(pattern=many))


def test_a_program_that_is_not_small_does_not_fit_in():
    """So were the answers that stop in mid-sentence told once, in more time than all else."""
    slow = r"(?:(?is).{40}\b(?:and|or|but|the|an|because|such as|for example)\s*\z|[^\n]{40},\s*\z)"
    with pytest.raises(SchemaError, match="exceeds size limit"):
        SchemaValidator(core_schema.str_schema(pattern="|".join([slow] * 128)))


ROWS = [
    {"instruction": "Sing.", "output": "La la la."},
    {"instruction": "Draw.", "output": "As an AI language model, I cannot draw."},
    {"instruction": "As an AI model, say hello.", "output": "Sure! Here is a greeting: hello"},
]


def test_in_a_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    pl.DataFrame(ROWS).write_ndjson("rows.jsonl")
    Path("own.yaml").write_text(OWN)

    def run(keep, **given):
        version = curate.run(
            {
                "name": "match",
                "sources": {"rows": {"path": "rows.jsonl"}},
                "pipeline": [
                    {"score": "text.match", "id": "m", "with": given},
                    {"filter": "core.where", "with": {"keep": keep}},
                ],
            }
        )
        return version, version.manifest["stages"][0]

    version, stage = run("NOT m_refusal")
    assert version.frame()["instruction"].to_list() == ["Sing.", "As an AI model, say hello."]
    assert stage["flags"] == {"refusal": 1, "leftover": 1, "broken": 0}
    version, stage = run("NOT m_patterns LIKE '%leftover.sure_here%'")
    assert version.frame()["instruction"].to_list() == ["Sing.", "Draw."]
    assert stage["memo"]["computed"] == 0
    version, _ = run("m_own", lists=[], patterns={"la": "(?i)la la"}, file="own.yaml")
    assert version.frame()["instruction"].to_list() == ["Sing."]


def test_a_wrong_pattern_is_a_mistake_in_the_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pl.DataFrame(ROWS).write_ndjson("rows.jsonl")
    recipe = {
        "name": "match",
        "sources": {"rows": {"path": "rows.jsonl"}},
        "pipeline": [{"score": "text.match", "with": {"patterns": {"x": "(?=a)"}}}],
    }
    with pytest.raises(CurateError, match="looks around or back with `\\(\\?=`"):
        curate.check(recipe)


def test_every_wrong_pattern_is_told_at_its_place_whatever_else_is_wrong(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    pl.DataFrame(ROWS).write_ndjson("rows.jsonl")
    Path("own.yaml").write_text(
        "- name: one\n  pattern: a\n  for: b\n- {name: fine, pattern: a}\n"
        "- name: two\n  pattern: '('\n"
    )
    Path("recipe.yaml").write_text(
        "name: match\nsources: {rows: {path: rows.jsonl}}\npipeline:\n  - score: text.match\n"
        "    with:\n      lists: [refusals]\n      file: own.yaml\n      patterns:\n"
        "        fine: a\n        x: '(?=a)'\n        y: '[z'\n        z: 'a{2,1}'\n"
    )
    assert call(["check", "recipe.yaml"]) == 2
    said = capsys.readouterr().err
    for place in ("6:15: expected", "10:12: the pattern looks", "11:12: the", "12:12: the pattern"):
        assert f"recipe.yaml:{place}" in said
    assert "recipe.yaml:4:12: 2 patterns of own.yaml cannot be used" in said
    assert "\n  own.yaml:1: the pattern 'one' does not find its row" in said
    assert "\n  own.yaml:5: the pattern 'two' is no regular expression" in said
    assert said.count("recipe.yaml:") == 5


def test_a_check_tries_patterns_of_ones_own_and_imports_nothing_heavy_for_it(tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    (tmp_path / "recipe.yaml").write_text(
        "name: match\nsources: {rows: {path: rows.jsonl}}\n"
        "pipeline: [{score: text.match, with: {file: own.yaml}}]\n"
    )
    code = (
        "import sys; from curate.commands import call; print(call(['check', 'recipe.yaml']))\n"
        "print('heavy:', [name for name in ('polars', 'numpy', 'torch') if name in sys.modules])"
    )

    def check(pattern):
        (tmp_path / "own.yaml").write_text(json.dumps([{"name": "mine", "pattern": pattern}]))
        command = [sys.executable, "-c", code]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)

    wrong = check("ab(")
    assert "own.yaml:1: the pattern 'mine' is no regular expression" in wrong.stderr
    assert "unclosed group, character 3" in wrong.stderr
    assert wrong.stdout.startswith("2\n")
    assert check("ab").stdout.endswith("0\nheavy: []\n")  # what the file of rows holds is known
