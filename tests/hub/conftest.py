import json
import shutil

import pytest
from fake_hub import WRITER, serving

from curate.commands import call

RECIPE = {
    "name": "tales",
    "sources": {"mine": {"path": "rows.jsonl", "origin": "human", "license": "cc-by-4.0"}},
    "pipeline": [
        {"score": "core.length", "id": "length", "with": {"text": "response"}},
        {"filter": "core.where", "id": "long", "with": {"keep": "length_words >= 3"}},
    ],
}


@pytest.fixture
def hub(monkeypatch):
    """A fake Hub that the client in this process, and in those that it starts, takes for the Hub."""
    from huggingface_hub import constants

    with serving() as server:
        settings = {
            "HF_ENDPOINT": server.url,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_TOKEN": WRITER,
            "NO_PROXY": "127.0.0.1",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.split("/{repo_id}")[1]
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{server.url}/{{repo_id}}{template}"
        )
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield server


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where commands are typed: a folder with a recipe, and nothing of the user's in reach."""
    from huggingface_hub import constants

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    return tmp_path


@pytest.fixture(scope="session")
def first_versions(tmp_path_factory):
    """First versions that were published already, by their rows: the folder to copy."""
    return {}


@pytest.fixture
def make(folder, capsys, first_versions, tmp_path_factory):
    """Publishes versions of `tales`: each of the rows that it is given."""

    def make(*texts):
        rows = [{"instruction": f"Tell {at}", "output": text} for at, text in enumerate(texts)]
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "recipe.yaml").write_text(json.dumps(RECIPE))
        first = not (folder / "curated").exists()
        if first and texts in first_versions:
            shutil.copytree(first_versions[texts], folder / "curated")
            return
        assert call(["run", "recipe.yaml"]) == 0
        if first:
            first_versions[texts] = tmp_path_factory.mktemp("first") / "curated"
            shutil.copytree(folder / "curated", first_versions[texts])
        capsys.readouterr()

    return make


@pytest.fixture
def typed(capsys):
    """Runs a command in this process: exit code, output and errors."""

    def typed(*words):
        code = call([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return typed
