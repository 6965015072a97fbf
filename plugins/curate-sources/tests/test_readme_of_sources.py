"""What the plugin's README says is run, from top to bottom in one folder with the demo data.

A yaml block is a recipe with a `name`; it is kept in NAME.yaml, as the README says, and checked.
The csv block is kept in curves.csv.
Lines of sh blocks that begin with `curate` are run, python blocks are executed.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import curate
from curate_sources.ability import AbilityParams, MappingParams, NearestParams
from curate_sources.weight import Weight, WeightParams

HERE = Path(__file__).parents[1]
ROOT = HERE.parents[1]
README = (HERE / "README.md").read_text()
BLOCKS = re.findall(r"^```(yaml|csv|sh|python)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which every block was run; with what the python blocks made."""
    made = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "data", made / "data")
    names = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        patch.setenv("CURATE_HOME", str(made / "home"))
        for language, block in BLOCKS:
            if language == "yaml":
                path = Path(f"{yaml.safe_load(block)['name']}.yaml")
                path.write_text(block)
                curate.check(path)
            elif language == "csv":
                Path("curves.csv").write_text(block)
            elif language == "sh":
                for line in block.splitlines():
                    if line.startswith("curate "):
                        command = line.split("#")[0].split()
                        done = subprocess.run(
                            [sys.executable, "-m", *command],
                            capture_output=True,
                            text=True,
                            check=False,
                        )
                        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            else:
                exec(compile(block, "README.md", "exec"), names)
    return made, names


def test_every_recipe_was_run(folder):
    made, _ = folder
    recipes = sorted(path.stem for path in made.glob("*.yaml"))
    assert recipes == sorted(path.name for path in (made / "curated").iterdir())
    assert recipes == ["grown", "labelled", "mixed", "weighted"]


def test_the_output_shown_is_that_of_the_curves_above_it(folder):
    made, _ = folder
    command = [sys.executable, "-m", "curate", "growth", str(made / "curves.csv")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    shown = README.partition("```sh\ncurate growth curves.csv")[2]
    assert re.findall(r"^```\n(writing: .*?)^```", shown, re.DOTALL | re.MULTILINE) == [said]
    table = yaml.safe_load(said[said.index("\ngrowth:") :])["growth"]
    assert {pace.split()[0] for pace in table.values()} == {"saturates", "token", "responsive"}


def test_the_weights_reach_the_trainer(folder):
    import torch

    _, names = folder
    rows, loader = names["rows"], names["loader"]
    weights = {row["origin"]: row["sampling_weight"] for row in rows}
    # 80 rows of 184 are to be 0.6 of all draws
    assert weights == {
        "human": pytest.approx(0.6 * 184 / 80),
        "synthetic": pytest.approx(0.4 * 184 / 104),
    }
    drawn = [row["origin"] for _ in range(40) for batch in loader for row in batch]
    assert len(drawn) == 40 * 184
    assert drawn.count("human") / len(drawn) == pytest.approx(0.6, abs=0.02)
    batch = [rows[0], rows[-1]]
    loss = names["weighted_loss"](torch.tensor([2.0, 3.0]), batch)
    expected = (2 * weights[rows[0]["origin"]] + 3 * weights[rows[-1]["origin"]]) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_the_abilities_of_the_example(folder):
    made, _ = folder
    version = curate.open("labelled", out=made / "curated")
    found = version.frame().join(version.scores, on="id")
    assert set(found["topic_how"]) == {"mapping", "rule", "nearest"}
    mapped = found.filter(topic_how="mapping")
    assert set(mapped["ability"]) == {"math", "ethics"}
    assert mapped["ability"].to_list() == mapped["topic_ability"].to_list()
    kept = len(found)
    assert 50 < kept < 104
    assert (found["ability"] == found["topic_ability"]).mean() > 0.8


def test_the_table_of_temperatures():
    sizes = {"a": 8000, "b": 1500, "c": 500}
    lines = re.findall(r"^\| `(temperature: [^`]*)` \| ([\d., ]+) \| ([\d., ]+) \|", README, re.M)
    assert len(lines) == 4
    for given, weights, shares in lines:
        params = WeightParams.model_validate({"by": "source", **yaml.safe_load(f"{{{given}}}")})
        found = Weight(params, "w")._weights(sizes)
        assert weights == ", ".join(f"{found[name]:.2f}" for name in sizes)
        drawn = (found[name] * rows / 10_000 for name, rows in sizes.items())
        assert shares == ", ".join(f"{share:.2f}" for share in drawn)


def test_every_parameter_and_default_is_in_a_table():
    cells = re.findall(r"^\|([^|]*)\|([^|]*)\|", README, re.M)
    named = {name: default for cell, default in cells for name in re.findall(r"`([\w.]+)`", cell)}
    assert set(WeightParams.model_fields) <= set(named)
    assert {"rules", "overwrite"} <= set(named)
    for outer, params in (("mapping", MappingParams), ("nearest", NearestParams)):
        for name, field in params.model_fields.items():
            assert f"{outer}.{name}" in named
            if not field.is_required() and field.default is not None:
                assert named[f"{outer}.{name}"].strip(" `") == str(field.default)
    assert set(AbilityParams.model_fields) == {"mapping", "rules", "nearest", "overwrite"}


def test_the_stage_shows_what_its_parameters_hold():
    command = [sys.executable, "-m", "curate", "plugins", "show", "sources.ability"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name in ("mapping.column", "rules.where", "nearest.examples", "nearest.margin"):
        assert name in shown
    assert "nearest.examples.path" not in shown
