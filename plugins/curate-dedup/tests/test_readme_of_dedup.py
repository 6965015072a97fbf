"""What the plugin's README says is run: its recipes, its tables of parameters."""

import json
import re
from pathlib import Path

import pytest
import yaml

import curate
from curate_dedup.exact import ExactParams
from curate_dedup.semantic import SemanticParams
from curate_dedup.words import MinHashParams

README = (Path(__file__).parents[1] / "README.md").read_text()
RECIPES = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)]
QUESTION = "Tom has {} apples and gives {} of them to each of his three friends. How many are left?"


@pytest.fixture
def pool(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    asked = [QUESTION.format(n, n % 7) for n in range(20, 32)]
    asked += [asked[0].upper(), asked[1].replace("friends", "sisters"), "Name a colour."]
    rows = [{"instruction": text, "output": f"Answer {at}."} for at, text in enumerate(asked)]
    tests = [{"question": text, "answer": "7"} for text in (asked[3], asked[5] + " Why?")]
    for name, table in {"pool": rows, "gsm8k_test": tests}.items():
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table))
    return {"pool": {"path": "pool.jsonl", "origin": "human"}}


def test_the_recipe_of_three_stages(pool):
    version = curate.run({"name": "three", "sources": pool, **RECIPES[0]})
    stages = {stage["id"]: stage["reasons"] for stage in version.manifest["stages"]}
    assert list(stages) == ["dedup_exact", "dedup_minhash", "embed_sentence", "dedup_semantic"]
    assert version.manifest["books"]["kept"] < 15


def test_the_recipe_that_keeps_benchmarks_out(pool):
    version = curate.run({"name": "clean", "sources": pool, **RECIPES[1]})
    found = version.ledger.filter(reason="in_reference")
    assert ("verbatim", "gsm8k#1") in found.select("stage", "ref").rows()
    assert "gsm8k#2" in found["ref"].to_list()
    for stage in version.manifest["stages"]:
        assert stage["notes"] == [
            f"{stage['facts']['against']['gsm8k']['dropped']} "
            f"{'in' if stage['id'] == 'verbatim' else 'near'} the 2 of gsm8k"
        ]
    assert len(RECIPES) == 2


@pytest.mark.parametrize("params", [ExactParams, MinHashParams, SemanticParams])
def test_every_parameter_is_in_a_table(params):
    named = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`[^|]*) \|", README, re.M))))
    assert set(params.model_fields) <= named
