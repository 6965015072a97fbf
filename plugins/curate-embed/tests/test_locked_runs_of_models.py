"""A locked run takes the model of then, or stops before any model is loaded."""

import json
import shutil

import pytest

import curate
from curate.commands import call
from curate_embed.forward import ForwardService

TEXTS = ["the cat runs", "a dog sleeps under the blue tree", "red", "the cat runs over the house"]


@pytest.fixture
def version(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny["bert"], "model")
    rows = [{"instruction": text, "output": "dog"} for text in TEXTS]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {
        "name": "told",
        "sources": {"rows": {"path": "rows.jsonl"}},
        "pipeline": [{"score": "embed.sentence", "with": {"model": "./model"}}],
        "output": {"vectors": True},
    }
    return curate.run(recipe)


def test_the_same_model_makes_the_same_version(version, capsys):
    assert call(["run", "told@v1", "--locked"]) == 0
    assert "was made again with the same digest" in capsys.readouterr().out


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_another_model_is_named_and_none_is_loaded(version, tmp_path, capsys, monkeypatch, file):
    def loaded(*_):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(ForwardService, "open", loaded)
    with (tmp_path / "model" / file).open("ab") as content:
        content.write(b" ")
    assert call(["run", "told@v1", "--locked"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "model ./model: its files have the digest" in printed.err
    shutil.rmtree(tmp_path / "model")
    assert call(["run", "told@v1", "--locked"]) == 1
    assert "There is no folder './model'." in capsys.readouterr().err


def test_a_model_elsewhere_is_known_by_its_content(version, tmp_path, capsys, monkeypatch):
    shutil.move(tmp_path / "model", tmp_path / "moved")
    moved = ["run", "told@v1", "--locked", "--set", "embed_sentence.with.model=./moved"]
    assert call(moved) == 0
    with (tmp_path / "moved" / "config.json").open("ab") as content:
        content.write(b" ")
    assert call(moved) == 1
    printed = capsys.readouterr().err
    assert "model ./moved: its files are none that the lock names" in printed
    assert "stage 'embed_sentence': " in printed
