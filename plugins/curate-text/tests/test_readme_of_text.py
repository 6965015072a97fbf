"""What the plugin's README says of stages that score: recipes run, tables are complete and true."""

import gzip
import json
import os
import re
import shutil
from pathlib import Path

import polars as pl
import pytest
import yaml

import curate
from curate_text import patternlists
from curate_text.language import Language
from curate_text.match import Match
from curate_text.patternlists import LISTS, read
from curate_text.stats import Stats
from curate_text.tokens import Tokens

HERE = Path(__file__).parents[1]
ROOT = HERE.parents[1]
README = (HERE / "README.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
STAGES = {"stats": Stats, "match": Match, "language": Language, "tokens": Tokens}
PARAMS = {name: stage.Params for name, stage in STAGES.items()}
NEEDED = {"match": {"patterns": {"a": "a"}}, "tokens": {"tokenizer": "x", "max_length": 1}}
DATA = Path(os.environ.get("CURATE_TEST_DATA", ROOT.parent / "shared" / "data"))
ANSWERS = {
    "alpaca_cleaned": "output",
    "dolly15k": "response",
    "flan_cot": "rationale",
    "alpaca_zh_machine": "output",
    "gpteacher_codegen": "response",
    "gpteacher_roleplay": "response",
    "gpteacher_toolformer": "response",
}


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
    kept = version.frame()["id"].to_list()
    dropped = version.scores.filter(~version.scores["id"].is_in(kept))
    assert dropped["m_patterns"].to_list() == ["refusal.as_an_ai"]


@pytest.mark.parametrize("word", STAGES)
def test_the_fragments_are_stages(word):
    (block,) = [b for b in BLOCKS if b in section(word) and f"score: text.{word}" in b]
    step = yaml.safe_load(block)[0]
    PARAMS[word].model_validate(step.get("with", {}))


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
        default = None if field.is_required() else field.default
        if field.default_factory is None:
            shown = rows[name].strip(" `").replace("none", "")
            assert shown == ("" if default is None else str(default))


@pytest.mark.parametrize("word", STAGES)
def test_every_column_is_in_its_table(word):
    params = PARAMS[word](**NEEDED.get(word, {}))
    assert list(first_cells(word, "column")) == [
        f"<id>_{n}" for n in STAGES[word](params, "x").outputs()
    ]


def told_of_patterns():
    """Hits of each pattern, as the README has them; 0 for those that found nothing."""
    text = section("match")
    rows = re.findall(
        r"^\| `(\w+\.\w+)` \| (\d+) \| (\d+) \| (\d+) \|([^|]*)\|$", text, re.MULTILINE
    )
    for _, hits, looked, right, wrong in rows:
        assert int(right) <= int(looked) == min(int(hits), 15)
        assert (right != looked) == bool(wrong.strip())
    (never,) = re.findall(
        r"^Of these the following found nothing.*?: (.*?)\. In ", text, re.MULTILINE
    )
    return {name: int(hits) for name, hits, *_ in rows} | dict.fromkeys(
        re.findall(r"`(.*?)`", never), 0
    )


def test_every_pattern_has_its_precision():
    shipped = [f"{of}.{placed.pattern.name}" for of in LISTS for placed in patternlists.shipped(of)]
    assert sorted(told_of_patterns()) == sorted(shipped)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data in {DATA}")
def test_the_hits_of_patterns_are_counted():
    texts: list[str] = []
    for name, field in ANSWERS.items():
        with gzip.open(DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            texts.extend(json.loads(line)[field] or "" for line in file)
    column = pl.Series(texts)
    assert f"({len(texts):,} answers)" in section("match")
    assert told_of_patterns() == {
        f"{of}.{placed.pattern.name}": column.str.contains(placed.pattern.pattern).sum()
        for of in LISTS
        for placed in patternlists.shipped(of)
    }
