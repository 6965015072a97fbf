"""What the plugin's README says: the recipe is run, fragments are read, tables are complete."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import curate
from curate_llm.judge import JudgeParams
from curate_llm.rewrite import RewriteParams

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
STAGES = {"judge": JudgeParams, "rewrite": RewriteParams}


def test_the_recipe_runs_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = re.findall(r"`([\w.]+)`:\n\n```\w+\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    for name, text in named:
        Path(name).write_text(text)
    (line,) = next(text for language, text in BLOCKS if language == "sh").splitlines()
    command = [sys.executable, "-m", *line.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    version = curate.open("judged")
    rows = version.frame().select("output", "origin", "generator").rows()
    assert sorted(rows, key=str) == [
        ("17 + 25 = 42", "mixed", "demonstration"),
        ("Strawberry.", "human", None),
    ]
    assert sorted(version.scores["judge_rating"].drop_nulls()) == [1, 5]
    assert version.manifest["books"]["merged"] == 1


def test_the_fragments_are_stages():
    seen = set()
    for language, block in BLOCKS:
        if language == "yaml" and not block.startswith("name:"):
            for step in yaml.safe_load(block):
                name = step.get("score") or step.get("expand") or ""
                prefix, _, word = name.partition(".")
                if prefix == "llm":
                    STAGES[word].model_validate(step["with"])
                    seen.add(word)
    assert seen == set(STAGES)


@pytest.mark.parametrize("word", STAGES)
def test_every_parameter_and_default_is_in_its_table(word):
    (section,) = re.findall(rf"^## llm\.{word}\n(.*?)^## ", README, re.DOTALL | re.MULTILINE)
    (table, *_) = re.findall(r"^\| parameter .*?\n\n", section, re.DOTALL | re.MULTILINE)
    rows = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", table, re.MULTILINE))
    fields = STAGES[word].model_fields
    assert set(rows) == set(fields)
    for name, field in fields.items():
        if not field.is_required() and field.default not in (None, ...):
            said = "" if field.default_factory else str(field.default).lower()
            assert rows[name].strip(" `") == said


def test_every_preset_is_in_its_table_with_its_source():
    for name, preset in JudgeParams.presets.items():
        (row,) = re.findall(rf"^\| `{name}` \|.*$", README, re.MULTILINE)
        (paper,) = re.findall(r"arXiv ([\d.]+\d)", preset.source)[:1]
        assert paper in row
        for field in preset.values["fields"]:
            assert f"`{field}`" in row


def test_every_option_of_the_command_is_in_its_table():
    from curate_llm.commands import command

    options = {name for each in command.params for name in each.opts if name.startswith("--")}
    table = README.split("## curate judge")[1]
    assert options == set(re.findall(r"(--[a-z][a-z-]*)", table.split("| option")[1]))


def test_the_stages_are_shown():
    for word, params in STAGES.items():
        shown = subprocess.run(
            [sys.executable, "-m", "curate", "plugins", "show", f"llm.{word}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name in params.model_fields:
            assert f" {name} " in shown
