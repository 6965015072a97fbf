"""What the plugin's README says: recipes are run, fragments are read, tables are complete."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import curate
from curate_lift.fuse import FuseParams
from curate_lift.score import ScoreParams
from curate_lift.variety import VarietyParams

HERE = Path(__file__).parents[1]
ROOT = HERE.parents[1]
README = (HERE / "README.md").read_text()
BLOCKS = re.findall(r"^```(yaml|sh)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
STAGES = {"variety": VarietyParams, "score": ScoreParams, "fuse": FuseParams}


def recipes():
    """Name > the block that is a recipe of this name."""
    blocks = [block for language, block in BLOCKS if language == "yaml"]
    return {yaml.safe_load(block)["name"]: block for block in blocks if block.startswith("name:")}


def test_the_recipes_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    shutil.copytree(ROOT / "data", tmp_path / "data")
    for name, block in recipes().items():
        Path(f"{name}.yaml").write_text(block)
        curate.check(f"{name}.yaml")
    lines = [line for language, block in BLOCKS if language == "sh" for line in block.splitlines()]
    for line in lines:
        if line.startswith("curate "):
            command = [sys.executable, "-m", *line.split()]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    assert {path.name for path in Path("curated").iterdir()} == set(recipes()) == {"varied"}
    entry = curate.open("varied").manifest["stages"][-1]
    assert entry["out"] == entry["in"] - entry["reasons"]["low_variance"]
    assert abs(entry["out"] - entry["in"] / 5) < 1


def test_the_fragments_are_stages():
    seen = set()
    for language, block in BLOCKS:
        if language == "yaml" and not block.startswith("name:"):
            for step in yaml.safe_load(block):
                name = step.get("score") or step.get("fuse") or step.get("filter")
                prefix, _, word = name.partition(".")
                if prefix == "lift":
                    STAGES[word].model_validate(step["with"])
                    seen.add(word)
    assert seen == {"score", "fuse"}


@pytest.mark.parametrize("word", STAGES)
def test_every_parameter_and_default_is_in_its_table(word):
    (section,) = re.findall(rf"^## lift\.{word}\n(.*?)^## ", README, re.DOTALL | re.MULTILINE)
    (table, *_) = re.findall(r"^\| parameter .*?\n\n", section, re.DOTALL | re.MULTILINE)
    rows = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", table, re.MULTILINE))
    assert set(rows) == set(STAGES[word].model_fields)
    for name, field in STAGES[word].model_fields.items():
        if not field.is_required() and field.default is not None:
            assert rows[name].strip(" `") == str(field.default).lower()


def test_the_stages_are_shown():
    for word, params in STAGES.items():
        command = [sys.executable, "-m", "curate", "plugins", "show", f"lift.{word}"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert all(name in shown for name in params.model_fields)
