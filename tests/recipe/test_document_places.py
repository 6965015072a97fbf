"""Reading YAML with places: scalars, refusals, environment, sets."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from curate.errors import Problem
from curate.recipe.document import Document, dump, read_document
from curate.recipe.scalars import resolve, substitute

KNOWN = ("name", "seed", "sources", "pipeline", "output")


def read(tmp_path: Path, text: str, *sets: str) -> tuple[Document, list[Problem]]:
    file = tmp_path / "r.yaml"
    file.write_text(text, encoding="utf-8")
    return read_document(str(file), sets, KNOWN)


def only(problems: list[Problem]) -> tuple[int, int, str]:
    assert len(problems) == 1, [str(p) for p in problems]
    place = problems[0].place
    assert place is not None
    return place.line, place.column, problems[0].message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("0", 0),
        ("-12", -12),
        ("0.10", 0.1),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("yes", "yes"),
        ("on", "on"),
        ("012", "012"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"),
        ("1e999", "1e999"),
        (".nan", ".nan"),
        ("9" * 5000, "9" * 5000),
        ("1.2.3", "1.2.3"),
        ("e5", "e5"),
        (".", "."),
    ],
)
def test_plain_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)


def test_quoted_scalars_are_text(tmp_path: Path) -> None:
    document, problems = read(tmp_path, "name: '12'\nseed: \"true\"\n")
    assert problems == []
    assert document.data == {"name": "12", "seed": "true"}


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("name: a\nname: b\n", 2, 1, "'name' stands twice, first in line 1"),
        ("a: &x 1\nb: *x\n", 1, 4, "anchors and aliases"),
        ("a: !!python/name:os.system x\n", 1, 4, "tags are not allowed"),
        ("a: !mine x\n", 1, 4, "tags are not allowed"),
        ("a:\n  <<: {b: 1}\n", 2, 3, "merge keys"),
        ("a: 1\n---\nb: 2\n", 2, 1, "a second document"),
        ("? [a]\n: 1\n", 1, 3, "a key must be text"),
        ("a:\n\tb: 1\n", 2, 1, "a tab"),
        ("a: [1, 2\nb: 3\n", 1, 4, "this '[' is not closed"),
        ("a: {b: 1\n", 1, 4, "this '{' is not closed"),
        ("a: 'x\n", 1, 4, "this quote is not closed"),
        ("a: @x\n", 1, 4, "cannot begin with '@'"),
        ("a: b: c\n", 1, 5, "no key can stand here"),
        ("a:\n  - x: 1\n   y: 2\n", 3, 4, "does not belong"),
        ("a: \x01\n", 1, 4, "U+0001"),
        ("a: [${X}]\n", 1, 4, "not closed"),
        ("", 1, 1, "the recipe is empty"),
        ("# only a comment\n", 1, 1, "the recipe is empty"),
        ("[" * 60 + "]" * 60, 1, 42, "nested more than 40 deep"),
    ],
)
def test_what_yaml_allows_and_a_recipe_does_not(
    tmp_path: Path, text: str, line: int, column: int, message: str
) -> None:
    _, problems = read(tmp_path, text)
    found = only(problems)
    assert found[:2] == (line, column)
    assert message in found[2]


def test_a_billion_laughs_are_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40))]
    _, problems = read(tmp_path, "\n".join(lines))
    assert only(problems)[:2] == (1, 5)


def test_a_file_that_cannot_be_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_bytes(b"#" * 1_000_001)
    (tmp_path / "latin.yaml").write_bytes("name: a\nx: é".encode("latin-1"))
    assert "1 MB" in only(read_document(tmp_path / "big.yaml", (), KNOWN)[1])[2]
    assert "line 2 is not UTF-8" in only(read_document(tmp_path / "latin.yaml", (), KNOWN)[1])[2]
    _, problems = read_document(tmp_path / "bog.yaml", (), KNOWN)
    assert "cannot read the recipe" in problems[0].message
    assert problems[0].remedy == "Did you mean 'big.yaml'?"
    assert "directory" in only(read_document(tmp_path, (), KNOWN)[1])[2]


def test_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_bytes(b"\xef\xbb\xbfname: a\r\nseed: x\r\n")
    document, problems = read_document(file, (), KNOWN)
    assert problems == []
    assert document.data == {"name": "a", "seed": "x"}
    place = document.problem(("seed",), "wrong").place
    assert place is not None
    assert (place.line, place.column, place.snippet) == (2, 7, "seed: x")


def test_places_of_keys_values_and_missing_ones(tmp_path: Path) -> None:
    document, _ = read(tmp_path, "pipeline:\n  - filter: a.b\n    with: {x: [1, 2]}\n")

    def at(*path: str | int, key: bool = False) -> tuple[int, int]:
        place = document.problem(path, "m", key=key).place
        assert place is not None
        return place.line, place.column

    assert at("pipeline", 0, "filter") == (2, 13)
    assert at("pipeline", 0, "filter", key=True) == (2, 5)
    assert at("pipeline", 0, "with", "x", 1) == (3, 19)
    assert at("pipeline", 0, "with", "y", "z") == (3, 11)
    assert at("pipeline", 7) == (2, 3)
    assert at("nowhere") == (1, 1)


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_offsets_into_a_value(tmp_path: Path, quote: str) -> None:
    document, _ = read(tmp_path, f"a: {quote}one two{quote}\n")
    place = document.problem(("a",), "m", offset=4).place
    assert place is not None
    assert place.snippet[place.column - 1 :].startswith("two")


def test_offsets_fall_back_to_the_start_where_the_text_is_not_as_written(tmp_path: Path) -> None:
    document, _ = read(tmp_path, 'a: "one\\ttwo"\nb: |\n  one\n  two\n')
    for path, start in ((("a",), (1, 4)), (("b",), (2, 4))):
        place = document.problem(path, "m", offset=4).place
        assert place is not None
        assert (place.line, place.column) == start


def test_the_caret_stands_under_the_place_whatever_the_line_holds(tmp_path: Path) -> None:
    document, problems = read(tmp_path, "a: ['\u4f60\u597d\u202e', b]\n")
    assert problems == []
    lines = str(document.problem(("a", 1), "m")).splitlines()
    assert lines[1] == "    a: ['\u4f60\u597d', b]"
    assert lines[2].index("^") == 4 + len("a: ['....', ")
    long = "a: ['" + "x" * 5000 + "', b]\n"
    document, _ = read(tmp_path, long)
    lines = str(document.problem(("a", 1), "m")).splitlines()
    assert len(lines[1]) < 200
    assert lines[1][lines[2].index("^")] == "b"


def test_environment_in_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEED", "7")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("UNSET", raising=False)
    text = (
        "seed: ${SEED}\nname: '${SEED}'\na: x${SEED}y\nb: ${UNSET:-de fault}\nc: $${SEED}\n"
        "d: ${EMPTY:-x}\ne: '${EMPTY}'\n${SEED}: key\n"
    )
    document, problems = read(tmp_path, text)
    assert problems == []
    assert document.data == {
        "seed": 7,
        "name": "7",
        "a": "x7y",
        "b": "de fault",
        "c": "${SEED}",
        "d": "x",
        "e": "",
        "${SEED}": "key",
    }
    assert document.shown()["seed"] == "${SEED}"
    assert document.shown_at(("a",)) == "x${SEED}y"
    assert document.raw(("a",)) == "x${SEED}y"
    assert document.raw(("${SEED}",)) is None
    assert document.raw(("a", "b")) is None


def test_environment_cannot_bring_in_structure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVIL", "{a: 1}\npipeline: []")
    document, _ = read(tmp_path, "name: ${EVIL}\n")
    assert document.data == {"name": "{a: 1}\npipeline: []"}


def test_unset_and_malformed_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNSET", raising=False)
    document, problems = read(tmp_path, "name: a\nseed: ${UNSET}\nb: ${9x}\nc: ${open\n")
    assert [(p.place.line, p.place.column) for p in problems if p.place] == [(2, 7), (3, 4), (4, 4)]
    assert "UNSET is not set" in problems[0].message
    assert document.broken(("seed",))
    assert not document.broken(("name",))


def test_substitute_leaves_other_dollars_alone() -> None:
    assert substitute("$A $$ {b} 5$", {}) == "$A $$ {b} 5$"


RECIPE = """\
name: a
sources: {gpt4: {path: x}}
pipeline:
  - score: core.length
  - filter: core.top
    id: cut
    with: {by: n}
"""


def test_sets_address_stages_by_id_and_everything_else_from_the_top(tmp_path: Path) -> None:
    document, problems = read(
        tmp_path,
        RECIPE,
        "cut.with.fraction=0.2",
        "core_length.with.text=response",
        "sources.gpt4.path=hf://datasets/a/b/*.parquet",
        "seed=7",
        "output.shards=2",
        "cut.where=origin = 'x'",
        "cut.with.list=[1, two]",
        "core_length.with.llm.budget.money=1",
        "pipeline.0.id=len",
        "len.missing=keep",
    )
    assert problems == []
    data = document.data
    assert data["pipeline"] == [
        {
            "score": "core.length",
            "with": {"text": "response", "llm": {"budget": {"money": 1}}},
            "id": "len",
            "missing": "keep",
        },
        {
            "filter": "core.top",
            "id": "cut",
            "with": {"by": "n", "fraction": 0.2, "list": [1, "two"]},
            "where": "origin = 'x'",
        },
    ]
    assert data["sources"] == {"gpt4": {"path": "hf://datasets/a/b/*.parquet"}}
    assert (data["seed"], data["output"]) == (7, {"shards": 2})


@pytest.mark.parametrize(
    ("item", "message", "remedy"),
    [
        ("cot.with.by=n", "'cot' is neither", "'cut'"),
        ("sources.gpt5.path=x", "no 'sources.gpt5'", "'gpt4'"),
        ("cut.wth.by=n", "no 'cut.wth'", "'with'"),
        ("cut.with.by.x=n", "'cut.with.by' holds no further values", ""),
        ("cut=n", "'cut' is a stage", "cut.with"),
        ("pipeline.9=n", "no item '9'", "numbered"),
        ("seed", "'seed' is no assignment", "--set"),
        ("a..b=1", "no assignment", "--set"),
        ("seed=[1", "not closed", ""),
        ("seed=${CURATE_UNSET_VARIABLE}", "is not set", ""),
        ("seed=*x", "anchors and aliases", ""),
    ],
)
def test_sets_that_cannot_be(tmp_path: Path, item: str, message: str, remedy: str) -> None:
    _, problems = read(tmp_path, RECIPE, item)
    assert len(problems) == 1
    place = problems[0].place
    assert place is not None
    assert (place.file, place.line, place.column) == (f"--set {item}", 1, 1)
    assert message in problems[0].message
    assert remedy in problems[0].remedy


def test_problems_with_a_set_value_point_at_the_set(tmp_path: Path) -> None:
    document, _ = read(tmp_path, RECIPE, "cut.with={by: [1, 2]}")
    place = document.problem(("pipeline", 1, "with", "by", 1), "m").place
    assert place is not None
    assert place.file == "--set cut.with={by: [1, 2]}"
    other = document.problem(("pipeline", 1, "id"), "m").place
    assert other is not None
    assert other.line == 6


def test_a_mapping_has_no_places_but_addresses() -> None:
    source = {"name": "a", "sources": {"x": {"path": Path("data/x.jsonl")}}}
    document, problems = read_document(source, {"seed": "12"}, KNOWN)
    assert problems == []
    assert document.data == {
        "name": "a",
        "sources": {"x": {"path": "data/x.jsonl"}},
        "seed": "12",
    }
    problem = document.problem(("sources", "x", "path"), "wrong")
    assert (problem.place, problem.message) == (None, "sources.x.path: wrong")
    assert yaml.safe_load(document.text) == source | {"sources": {"x": {"path": "data/x.jsonl"}}}


@pytest.mark.parametrize("value", [object(), {1, 2}, b"x"])
def test_what_yaml_has_no_word_for_is_refused(value: object) -> None:
    _, problems = read_document({"name": value}, (), KNOWN)
    assert len(problems) == 1
    assert problems[0].place is None


def test_a_mapping_that_holds_itself_is_refused() -> None:
    source: dict = {"name": "a"}
    source["x"] = source
    _, problems = read_document(source, (), KNOWN)
    assert "cannot be written as YAML" in problems[0].message


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="$")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc <-:#'", min_size=1), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["name", "seed", "output"]), VALUES, min_size=1))
@example({"name": "\x85", "seed": "a\u2028b"})
def test_a_mapping_is_read_back_as_it_was(source: dict) -> None:
    document, problems = read_document(source, (), KNOWN)
    assert problems == []
    assert document.data == source
    assert read_document({"name": 1}, source, KNOWN)[0].data == {"name": 1} | source


@pytest.mark.parametrize("mark", ["\x85", "\u2028", "\u2029", "\ufeff", "\r", "\n"])
def test_rare_line_ends_are_read_back(mark: str) -> None:
    source = {"name": mark, "output": f"a{mark}b {mark} c"}
    assert read_document(source, (), KNOWN)[0].data == source


def test_dump_quotes_text_that_would_be_read_as_something_else() -> None:
    assert yaml.safe_load(dump({"a": "1e3"})) == {"a": "1e3"}
    assert "'1e3'" in dump({"a": "1e3"})
