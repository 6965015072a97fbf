"""What the plugin's README says of `text.stats` and `text.match`: recipes run, tables complete."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

import curate
from curate_text.match import Match, MatchParams
from curate_text.patternlists import read
from curate_text.stats import Stats, StatsParams

HERE = Path(__file__).parents[1]
ROOT = HERE.parents[1]
README = (HERE / "README.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
STAGES = {"stats": Stats, "match": Match}
PARAMS = {"stats": StatsParams, "match": MatchParams}


def section(word):
    return re.search(rf"^## text\.{word}\n(.*?)^## ", README, re.DOTALL | re.MULTILINE)[1]


def first_cells(word, head):
    (table,) = re.findall(rf"^\| {head} .*?\n\n", section(word), re.DOTALL | re.MULTILINE)
    return dict(re.findall(r"^\| `([^`]+)` \|([^|]*)\|", table, re.MULTILINE))


def test_the_recipe_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    shutil.copytree(ROOT / "data", tmp_path / "data")
    (block,) = [block for block in BLOCKS if block.startswith("name: first-cut")]
    Path("first.yaml").write_text(block)
    version = curate.run("first.yaml")
    dropped = version.scores.filter(~version.scores["id"].is_in(version.frame()["id"].to_list()))
    assert 0 < len(version.frame()) < 1000
    assert dropped["t_char_repetition"].len() == len(dropped)


@pytest.mark.parametrize("word", STAGES)
def test_the_fragments_are_stages(word):
    (block,) = [b for b in BLOCKS if b in section(word) and f"score: text.{word}" in b]
    step = yaml.safe_load(block)[0]
    PARAMS[word].model_validate(step["with"])


def test_the_file_is_a_list(tmp_path):
    (block,) = [block for block in BLOCKS if block.startswith("# file: own.yaml")]
    (tmp_path / "own.yaml").write_text(block)
    (placed,) = read(tmp_path / "own.yaml")
    assert placed.pattern.name == "shouting"


@pytest.mark.parametrize("word", STAGES)
def test_every_parameter_and_default_is_in_its_table(word):
    rows, fields = first_cells(word, "parameter"), PARAMS[word].model_fields
    assert list(rows) == list(fields)
    for name, field in fields.items():
        if field.default_factory is None:
            default = "" if field.default is None else str(field.default)
            assert rows[name].strip(" `") == default


@pytest.mark.parametrize("word", STAGES)
def test_every_column_is_in_its_table(word):
    params = PARAMS[word](**({"patterns": {"a": "a"}} if word == "match" else {}))
    assert list(first_cells(word, "column")) == [
        f"<id>_{n}" for n in STAGES[word](params, "x").outputs()
    ]
