"""The recipes of DoIT's compositions run as they are, and the README says what is there."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

import curate
from curate.commands import call
from curate_sources.growth import GrowthParams
from curate_sources.saturation import FitParams

HERE = Path(__file__).parents[1]
ROOT = HERE.parents[1]
SECTION = (HERE / "README.md").read_text().partition("\n## sources.growth\n")[2].split("\n## ")[0]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", SECTION, flags=re.DOTALL)


@pytest.fixture
def place(tmp_path, monkeypatch):
    for part in ("recipes", "data"):
        shutil.copytree(ROOT / part, tmp_path / part)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.parametrize("name", ["baseline", "reconstruct", "maximum"])
def test_recipes_pass_check_and_run(place, name):
    path = f"recipes/doit_{name}.yaml"
    assert call(["check", path]) == 0
    assert call(["plan", path]) == 0
    version = curate.run(path)
    asked = yaml.safe_load((place / path).read_text())["pipeline"][-1]["with"]
    found = dict(version.frame()["ability"].value_counts().iter_rows())
    assert set(found) == set(asked["growth"])
    assert "size" not in asked or sum(found.values()) == asked["size"]
    for ability, pace in asked["growth"].items():
        if pace == "token":
            assert found[ability] == asked["token"]
        elif pace != "responsive":
            assert found[ability] == int(pace.split()[-1])


def test_the_recipe_of_the_readme(place):
    (step,) = yaml.safe_load(blocks("yaml")[0])["pipeline"]
    sources = {
        name: {"path": f"data/demo_{name}.jsonl", "origin": "human"} for name in ("human", "gpt4")
    }
    version = curate.run({"name": "shown", "sources": sources, "pipeline": [step]})
    assert version.manifest["books"]["kept"] == 90


def test_the_command_of_the_readme(place):
    header = blocks("csv")[0].splitlines()[0]
    lines = [f"writing,{n},{75 - 45 / n**0.5}" for n in (1, 4, 16, 64, 256, 1000)]
    (place / "curves.csv").write_text("\n".join([header, *lines]))
    (command,) = blocks("sh")
    assert call(command.split()[1:]) == 0
    assert (place / "curves.png").stat().st_size > 5_000


def test_every_parameter_is_in_the_tables():
    rows = re.findall(r"^\| ([^|]+) \|(.*)\|", SECTION, flags=re.MULTILINE)
    named = {name: rest for cell, rest in rows for name in re.findall(r"`(\w+)`", cell)}
    for name in GrowthParams.model_fields:
        assert name in named, f"`{name}` is not in the README"
    for name, field in FitParams.model_fields.items():
        assert f"`--{name.replace('_', '-')}`" in named[name]
        assert str(field.default) in named[name]
    for preset in GrowthParams.presets:
        assert f"`{preset}`" in SECTION
