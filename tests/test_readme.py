"""What the README says is run, but for the installation, which `.ci/run` does."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import curate

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def folder(tmp_path):
    for part in ("recipes", "data"):
        shutil.copytree(ROOT / part, tmp_path / part)
    rows = [{"instruction": f"Say {n}.", "output": f"Of course: {n}, as asked."} for n in range(30)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def run(arguments, folder):
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_two_set_up_commands():
    commands = [
        line for block in blocks("") for line in block.splitlines() if "pip install" in line
    ]
    assert commands == [
        "pip install -r requirements.txt && curate run recipes/nait_alpaca.yaml",
        "pip install -r requirements-dev.txt && pytest",
    ]


def test_the_commands_for_ones_own_data(folder):
    (block,) = [block for block in blocks("") if "curate init" in block]
    for line in block.splitlines():
        command = line.split("#")[0].split()
        assert command[0] == "curate"
        run([sys.executable, "-m", *command], folder)
    assert (folder / "curated" / "mine" / "v1").is_dir()


def test_the_commands_in_the_text(folder):
    for command in re.findall(r"`curate ((?:plugins|schema|nait)[^`]*)`", README):
        assert run([sys.executable, "-m", "curate", *command.split()], folder)


def test_the_recipes(folder):
    recipes = [block for block in blocks("yaml") if "pipeline" in block]
    assert len(recipes) == 2
    for recipe in recipes:
        (folder / "shown.yaml").write_text(recipe)
        run([sys.executable, "-m", "curate", "check", "shown.yaml"], folder)


def test_sources_that_go_ways_of_their_own(folder):
    (recipe,) = [block for block in blocks("yaml") if "from:" in block]
    (folder / "shown.yaml").write_text(recipe)
    run([sys.executable, "-m", "curate", "run", "shown.yaml"], folder)
    frame = curate.open("two-ways", out=folder / "curated").frame()
    assert dict(frame["source"].value_counts().iter_rows())["gpt4"] == 60
    assert "human" in set(frame["source"])


def test_the_python(folder):
    (script,) = blocks("python")
    run([sys.executable, "-c", script], folder)
    again = run(
        [sys.executable, "-m", "curate", "run", "recipes/nait_alpaca.yaml", "--set", "seed=7"],
        folder,
    )
    assert "nait-alpaca@v1 is up to date" in again
