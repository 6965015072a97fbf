"""`curate init`: what it says of files, and that the recipe it writes is right."""

import json

import pytest
import yaml

from curate.commands import call
from curate.commands.starter import source_names, starter
from curate.commands.survey import look_at
from curate.errors import UsageError
from curate.plugins.registry import get_registry
from curate.run.check import check

ALPACA = [
    {"instruction": "Add 2 and 3.", "input": "", "output": "It is 5."},
    {"instruction": "Add 2 and 3.", "input": "", "output": "It is 5."},
    {"instruction": "Name a colour.", "input": "", "output": "Red"},
    {"instruction": "Say nothing.", "input": "", "output": ""},
]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def recipe_of(path):
    return yaml.safe_load(path.read_text())


def checked(path):
    return check(path, (), get_registry())


def test_it_says_what_it_saw_and_the_recipe_passes_check(tmp_path, capsys):
    write(tmp_path / "mine.jsonl", ALPACA)
    assert call(["init", "mine.jsonl"]) == 0
    said = capsys.readouterr()
    assert said.out == "curate run mine.yaml\n"
    assert "mine.jsonl: 4 rows in the shape alpaca" in said.err
    assert "1 repeat another row's text, 1 have no response" in said.err
    recipe = recipe_of(tmp_path / "mine.yaml")
    assert recipe["name"] == "mine"
    assert recipe["sources"] == {"mine": {"path": "mine.jsonl", "origin": "unknown"}}
    stages = [step.id for step in checked(tmp_path / "mine.yaml").steps]
    assert stages == [
        "dedup_exact", "response", "core_where", "embed_sentence", "dedup_semantic"
    ]  # fmt: skip


def test_it_never_writes_over_a_file(tmp_path, capsys):
    write(tmp_path / "mine.jsonl", ALPACA)
    (tmp_path / "mine.yaml").write_text("precious")
    assert call(["init", "mine.jsonl"]) == 2
    assert "mine.yaml is there already" in capsys.readouterr().err
    assert (tmp_path / "mine.yaml").read_text() == "precious"
    assert call(["init", "mine.jsonl", "--name", "other"]) == 0


def test_columns_under_other_names_are_mapped(tmp_path):
    rows = [{"question": "What?", "context": "Here.", "answer": "That.", "answer_words": 1}]
    write(tmp_path / "qa.jsonl", rows)
    assert call(["init", "qa.jsonl"]) == 0
    (source,) = recipe_of(tmp_path / "qa.yaml")["sources"].values()
    assert source["columns"] == {"instruction": "question", "input": "context", "output": "answer"}
    checked(tmp_path / "qa.yaml")


def test_several_files_hostile_names_and_a_name_of_ones_own(tmp_path):
    paths = ["a b.jsonl", "A-B.jsonl", "123.jsonl", "true.jsonl", 'q"${HOME}: #.jsonl', "é.jsonl"]
    for path in paths:
        write(tmp_path / path, ALPACA)
    assert call(["init", *paths, "--name", "007"]) == 0
    recipe = checked(tmp_path / "007.yaml").recipe
    assert recipe.name == "007"
    assert list(recipe.sources) == ["a_b", "a_b_2", "123", "true", "q_home", "data"]
    assert [source.path for source in recipe.sources.values()] == paths


def test_names_stay_apart():
    assert source_names(["a.jsonl", "x/a.jsonl", "a_2.json", "y/a.csv"]) == [
        "a", "a_2", "a_2_2", "a_3"
    ]  # fmt: skip


def test_bad_rows_are_counted_and_allowed_for(tmp_path, capsys):
    write(tmp_path / "mine.jsonl", ALPACA)
    with (tmp_path / "mine.jsonl").open("a") as file:
        file.write('{"instruction": \n')
    assert call(["init", "mine.jsonl"]) == 0
    assert "1 cannot be read and are set aside; mine.jsonl:5:" in capsys.readouterr().err
    checked(tmp_path / "mine.yaml")


def test_facts_that_rows_hold_are_left_to_them(tmp_path):
    rows = [row | {"origin": "human", "license": "cc0-1.0"} for row in ALPACA]
    write(tmp_path / "mine.jsonl", rows)
    assert call(["init", "mine.jsonl"]) == 0
    (source,) = recipe_of(tmp_path / "mine.yaml")["sources"].values()
    assert "origin" not in source
    checked(tmp_path / "mine.yaml")


def test_columns_of_the_file_are_not_written_twice(tmp_path):
    write(tmp_path / "mine.jsonl", [row | {"response_words": 3} for row in ALPACA])
    assert call(["init", "mine.jsonl"]) == 0
    assert "response_2" in [step.id for step in checked(tmp_path / "mine.yaml").steps]


def test_stages_of_missing_plugins_are_commented_out(tmp_path):
    write(tmp_path / "mine.jsonl", ALPACA)
    text = starter("mine", [look_at("mine.jsonl")], ["core"])
    stages = [next(iter(stage.values())) for stage in yaml.safe_load(text)["pipeline"]]
    assert stages == ["core.length", "core.where"]
    for name in ("dedup", "embed", "nait"):
        assert f"curate-{name}" in text


@pytest.mark.parametrize("data", ["https://example.org/x.jsonl", "hf://datasets/a/b/x.jsonl"])
def test_it_looks_at_local_files_only(data):
    with pytest.raises(UsageError, match="init looks at files on this machine"):
        look_at(data)


def test_what_cannot_be_used_is_said(tmp_path, capsys):
    (tmp_path / "empty.jsonl").write_text("")
    write(tmp_path / "odd.jsonl", [{"sentence": "x"}])
    for path in ("missing.jsonl", "empty.jsonl", "odd.jsonl", "."):
        assert call(["init", path]) in (1, 2)
        assert path in capsys.readouterr().err
    assert call(["init", "odd.jsonl", "--name", "Bad Name"]) == 2
    assert not list(tmp_path.glob("*.yaml"))


@pytest.mark.parametrize("name", ["dolly15k", "gsm8k_train", "alpaca_zh_machine"])
def test_real_files(shared_data, tmp_path, name):
    path = shared_data / f"{name}.jsonl.gz"
    assert call(["init", str(path)]) == 0
    checked(tmp_path / f"{name.replace('_', '-')}.yaml")


@pytest.mark.parametrize("rows", [[{"text": "One."}], [{"text": "One.", "i": 1}]])
def test_a_shape_that_is_not_found_by_itself_is_named(tmp_path, rows):
    write(tmp_path / "texts.jsonl", rows)
    assert call(["init", "texts.jsonl"]) == 0
    assert recipe_of(tmp_path / "texts.yaml")["sources"]["texts"]["format"] == "text"
    checked(tmp_path / "texts.yaml")
