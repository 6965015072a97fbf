"""The recipes of DoIT's compositions run as they are, and the README says what is there."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

import curate
from curate.commands import call
from curate_sources.growth.saturation import FitParams
from curate_sources.growth.stage import GrowthParams

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
