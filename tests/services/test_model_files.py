"""Finding models: aliases, folders, and Hub repositories that are not there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from curate.errors import CurateError, PluginError
from curate.services.models import find_problem, resolve


class Aliases:
    """Stands in for the registry: one alias."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def model_alias(self, prefix: str, word: str) -> Path:
        if (prefix, word) != ("builtin", "tiny"):
            raise PluginError(f"There is no model '{prefix}:{word}'.", "Known: builtin:tiny.")
        return self.folder


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    folder = tmp_path / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "onnx").mkdir()
    for name in (
        "config.json",
        "tokenizer.json",
        "model.safetensors",
        "1_Pooling/config.json",
        "onnx/model.onnx",
        "onnx/config.json",
        "README.md",
        "consolidated.safetensors",
    ):
        (folder / name).write_text(name)
    return folder


def test_folder_and_alias_give_the_same_digest(model, tmp_path):
    by_path = resolve(str(model), Aliases(model), download=False)
    by_alias = resolve("builtin:tiny", Aliases(model), download=False)
    copy = shutil.copytree(model, tmp_path / "copy")
    by_copy = resolve(str(copy), Aliases(model), download=False)
    assert by_path.digest == by_alias.digest == by_copy.digest
    assert by_alias.path == model.resolve()
    assert (by_alias.name, by_alias.commit) == ("builtin:tiny", None)


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("config.json", True),
        ("tokenizer.json", True),
        ("model.safetensors", True),
        ("1_Pooling/config.json", True),
        ("README.md", False),
        ("onnx/model.onnx", False),
        ("onnx/config.json", False),
        ("consolidated.safetensors", False),
    ],
)
def test_digest_covers_what_the_model_is_made_of(model, file, counts):
    before = resolve(str(model), Aliases(model), download=False).digest
    (model / file).write_text("something else")
    after = resolve(str(model), Aliases(model), download=False).digest
    assert (before != after) is counts


def test_digest_covers_names(model):
    before = resolve(str(model), Aliases(model), download=False).digest
    (model / "tokenizer.json").rename(model / "vocab.json")
    assert resolve(str(model), Aliases(model), download=False).digest != before


def test_pickled_weights_are_refused_with_the_reason(model):
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    (model / "consolidated.safetensors").unlink()
    with pytest.raises(CurateError, match="pickles, which can run code"):
        resolve(str(model), Aliases(model), download=False)
    assert "pickles" in find_problem(str(model), Aliases(model))


def test_folder_without_configuration_is_refused(model):
    (model / "config.json").unlink()
    with pytest.raises(CurateError, match=r"no config\.json"):
        resolve(str(model), Aliases(model), download=False)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("builtin:nope", "There is no model 'builtin:nope'"),
        ("./nowhere/model", "There is no folder './nowhere/model'"),
        ("/nowhere/model", "There is no folder"),
        ("a/b/c", "There is no model 'a/b/c'"),
    ],
)
def test_problems_are_found_without_a_network(model, name, said):
    assert said in find_problem(name, Aliases(model))
    with pytest.raises(CurateError, match=said[:20]):
        resolve(name, Aliases(model), download=False)


def test_a_file_is_no_model(model):
    assert "is a file" in find_problem(str(model / "config.json"), Aliases(model))


@pytest.mark.parametrize("name", ["builtin:tiny", "owner/name", "owner/name@v1.0", "gpt2"])
def test_names_that_may_be_right_are_no_problem(model, name):
    assert find_problem(name, Aliases(model)) is None


def test_a_folder_comes_before_a_repository_of_that_name(model, monkeypatch, tmp_path):
    shutil.copytree(model, tmp_path / "owner" / "name")
    monkeypatch.chdir(tmp_path)
    assert resolve("owner/name", Aliases(model), download=True).commit is None


HUB = """
import sys
from curate.errors import CurateError
from curate.services.models import resolve
try:
    resolve(sys.argv[1], None, download=sys.argv[2] == "yes")
except CurateError as error:
    print(error)
"""


@pytest.mark.parametrize(("offline", "download"), [("1", "yes"), ("0", "no")])
def test_offline_names_the_missing_repository_and_the_remedy(tmp_path, offline, download):
    pytest.importorskip("huggingface_hub")
    env = os.environ | {"HF_HUB_OFFLINE": offline, "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-c", HUB, "owner/missing@v2", download]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert "'owner/missing@v2' is not on this machine" in done.stdout
    assert "hf download owner/missing" in done.stdout


def test_cached_repository_is_found_offline(tmp_path, model):
    pytest.importorskip("huggingface_hub")
    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / "hub" / "models--owner--cached"
    shutil.copytree(model, repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    script = HUB.replace("    resolve(", "    print(resolve(").replace('"yes")', '"yes").commit)')
    env = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-c", script, "owner/cached", "yes"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == commit
