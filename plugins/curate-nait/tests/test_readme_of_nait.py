"""What the plugin's README says is run: its commands, its recipes and its table of parameters."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import curate
from curate.commands import call
from curate_nait.combining import CombineParams, CoreParams
from curate_nait.parameters import AlignmentParams

HERE = Path(__file__).parents[1]
ROOT = HERE.parents[1]
README = (HERE / "README.md").read_text()
DATA = ROOT.parent / "shared" / "data"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def place(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    return tmp_path


def test_the_commands_about_features(place):
    (block,) = [block for block in blocks("sh") if "curate nait" in block]
    for line in block.splitlines():
        assert call(shlex.split(line)[1:]) == 0
    assert (place / "transfer.png").stat().st_size > 10_000


def test_the_recipes(place):
    stages = [yaml.safe_load(block) for block in blocks("yaml")]
    pipeline, combined, core = (
        each["pipeline"] if isinstance(each, dict) else each for each in stages
    )
    targets = {name: f"data/targets/{name}.jsonl" for name in ("math", "code", "reasoning")}
    pipeline[0]["with"]["targets"] = targets
    for name, rest in (("one", pipeline[1:]), ("two", combined), ("three", core)):
        recipe = {
            "name": name,
            "sources": {"pool": {"path": "data/demo_gpt4.jsonl"}},
            "pipeline": [pipeline[0], *rest],
        }
        version = curate.run(recipe)
        assert 0 < version.manifest["books"]["kept"] < 105


def test_every_parameter_is_in_the_table():
    rows = re.findall(r"^\| ([^|]+) \|([^|]*)\|", README, flags=re.MULTILINE)
    named = {name: default for cell, default in rows for name in re.findall(r"`(\w+)`", cell)}
    for name, field in AlignmentParams.model_fields.items():
        assert name in named, f"`{name}` is not in the README"
        if isinstance(field.default, bool):
            assert named[name].strip() == f"`{str(field.default).lower()}`"
        elif isinstance(field.default, str):
            assert named[name].strip() == f"`{field.default}`"
    for params in (CombineParams, CoreParams):
        for name in params.model_fields:
            assert name in README


def benchmark(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["benchmarks/nait_overhead.py", "--rows", "600", "--plain", "64"],
        ["benchmarks/nait_retrieval.py", "--seeds", "1"],
    ],
)
def test_the_benchmarks_on_real_data(arguments):
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA}")
    done = benchmark(*arguments, "--data", str(DATA))
    assert done.returncode == 0, done.stderr
    assert "math" in done.stdout or "NAIT / bare" in done.stdout


def test_the_gpu_benchmark_says_what_it_needs():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU: run the benchmark itself")
    done = benchmark("benchmarks/nait_gpu.py")
    assert done.returncode == 2
    assert "CUDA" in done.stdout + done.stderr
