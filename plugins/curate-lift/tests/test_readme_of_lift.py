"""What the plugin's README says: recipes are run, fragments are read, tables are complete."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml

import curate
from curate_lift.expand import ExpandParams
from curate_lift.fuse import FuseParams
from curate_lift.fusion import FusionParams
from curate_lift.quality import Quality, QualityParams
from curate_lift.score import ScoreParams
from curate_lift.variety import VarietyParams

HERE = Path(__file__).parents[1]
ROOT = HERE.parents[1]
README = (HERE / "README.md").read_text()
BLOCKS = re.findall(r"^```(yaml|sh)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
STAGES = {
    "expand": ExpandParams,
    "fusion": FusionParams,
    "variety": VarietyParams,
    "quality": QualityParams,
    "score": ScoreParams,
    "fuse": FuseParams,
}


def recipes():
    """Name > the block that is a recipe of this name."""
    blocks = [block for language, block in BLOCKS if language == "yaml"]
    return {yaml.safe_load(block)["name"]: block for block in blocks if block.startswith("name:")}


def test_the_recipes_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    for part in ("data", "recipes"):
        shutil.copytree(ROOT / part, tmp_path / part)
    for name, block in recipes().items():
        Path(f"{name}.yaml").write_text(block)
        curate.check(f"{name}.yaml")
    lines = [line for language, block in BLOCKS if language == "sh" for line in block.splitlines()]
    for line in lines:
        if line.startswith("curate "):
            command = [sys.executable, "-m", *line.split("#")[0].split()]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    assert set(recipes()) == {"varied"}
    made = {path.name for path in Path("curated").iterdir()}
    assert made == {"varied", "lift-fusion", "lift-nait-mix"}
    for name in ("lift-fusion", "lift-nait-mix"):
        check_of_the_demonstration(curate.open(name))
    entry = curate.open("varied").manifest["stages"][-1]
    assert entry["out"] == entry["in"] - entry["reasons"]["low_variance"]
    assert abs(entry["out"] - entry["in"] / 5) < 1


def check_of_the_demonstration(version):
    """Rows that a model wrote are there, and the card says so of each, with its parents."""
    card = (version.path / "README.md").read_text().split("## Who wrote the rows")[1]
    children = version.frame().filter(pl.col("parents").list.len() > 0)
    assert len(children)
    assert set(children["generator"]) == {"demonstration-answers"}
    assert set(children["origin"]) <= {"synthetic", "mixed"}
    for id, parents in children.select("id", "parents").iter_rows():
        assert f"| {id} | demonstration-answers | {', '.join(parents)} |" in card
    assert set(children["parents"].explode()) <= set(version.ledger["id"])
    books = version.manifest["books"]
    assert books["failed"] == 0
    assert books["created"] >= 8


def test_every_answer_of_the_demonstration_is_asked_for(tmp_path, monkeypatch):
    """And no other: both recipes together use the whole recording."""
    from curate.services.llm.replay import Replay

    send, asked = Replay.send, set()

    def noted(self, call):
        asked.add(call.body["messages"][-1]["content"])
        return send(self, call)

    monkeypatch.setattr(Replay, "send", noted)
    monkeypatch.chdir(ROOT)
    for name in ("lift_fusion", "lift_nait_mix"):
        curate.run(f"recipes/{name}.yaml", out=tmp_path / "curated")
    lines = (ROOT / "data" / "answers" / "lift_demo.jsonl").read_text().splitlines()
    assert asked == {json.loads(line)["prompt"] for line in lines}


def test_the_columns_of_the_rubric():
    stage = Quality(QualityParams(llm={"model": "m", "max_tokens": 9}), "q")
    for part, field in stage.judge.params.fields.items():
        points = f"0 to {field.maximum:g}" if field.numeric else ""
        assert f"| `<id>_{part}` | {points} |".replace("  ", " ") in README


def test_the_fragments_are_stages():
    seen = set()
    for language, block in BLOCKS:
        if language == "yaml" and not block.startswith("name:"):
            for step in yaml.safe_load(block):
                name = next(
                    step[verb] for verb in ("expand", "score", "filter", "fuse") if verb in step
                )
                prefix, _, word = name.partition(".")
                if prefix == "lift":
                    STAGES[word].model_validate(step["with"])
                    seen.add(word)
    assert seen == set(STAGES) - {"variety"}


@pytest.mark.parametrize("word", STAGES)
def test_every_parameter_and_default_is_in_its_table(word):
    (section,) = re.findall(rf"^## lift\.{word}\n(.*?)^## ", README, re.DOTALL | re.MULTILINE)
    (table, *_) = re.findall(r"^\| parameter .*?\n\n", section, re.DOTALL | re.MULTILINE)
    rows = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", table, re.MULTILINE))
    fields = {field.alias or name: field for name, field in STAGES[word].model_fields.items()}
    assert set(rows) == set(fields)
    for name, field in fields.items():
        if not field.is_required() and field.default is not None:
            assert rows[name].strip(" `") == str(field.default).lower()


def test_the_stages_are_shown():
    for word, params in STAGES.items():
        command = [sys.executable, "-m", "curate", "plugins", "show", f"lift.{word}"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for name, field in params.model_fields.items():
            assert f" {field.alias or name} " in shown
