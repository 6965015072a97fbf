"""The stages of the plugin are registered, and their columns know what they depend on."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import curate
from curate.plugins.registry import get_registry
from curate_text import patternlists, wordlists
from curate_text.language import Language
from curate_text.match import Match
from curate_text.stages import STAGES
from curate_text.stats import NAMES, Stats
from curate_text.tokens import Tokens

DECLARE = """
import sys
from curate_text.stages import STAGES
for stage in STAGES:
    if not stage.Params.model_json_schema().get("required"):
        made = stage(stage.Params(), "x")
        made.inputs(), made.fingerprints(), made.check_files()
        if stage.verb == "score":
            [made.depends(name) for name in made.outputs()]
print(*{"polars", "numpy", "torch"} & set(sys.modules))
"""


def test_the_stages_are_found():
    found = get_registry().stages_of("text")
    assert set(found) == {stage.name for stage in STAGES}
    assert all(name.startswith("text.") for name in found)


def test_declaring_them_imports_nothing_heavy():
    command = [sys.executable, "-c", DECLARE]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "\n"


OWN = "- {name: mine, pattern: cat}\n"
LENGTHS = ("prompt", "response", "total", "over")
LANGUAGES = ("language", "probability", "undetermined")
LISTED = ("refusal", "leftover", "broken")
CHANGES = [
    ("stats", {}, {"char_n": 3}, ("char_repetition",)),
    ("stats", {}, {"word_n": 2}, ("word_repetition",)),
    ("stats", {}, {"language": "de"}, ("stopwords", "flagged")),
    ("stats", {}, {"stopwords": "words.txt"}, ("stopwords",)),
    ("stats", {}, {"flagged": "words.txt"}, ("flagged",)),
    ("stats", {}, {"text": "response"}, NAMES),
    ("stats", {"outputs": ["words"]}, {"outputs": ["words", "lines"]}, ("lines",)),
    ("match", {}, {"text": "instruction"}, (*LISTED, "matched", "patterns")),
    ("match", {}, {"lists": ["broken"]}, ("matched", "patterns")),
    ("match", {}, {"patterns": {"a": "b"}}, ("own", "matched", "patterns")),
    ("match", {"patterns": {"a": "b"}}, {"patterns": {"a": "c"}}, ("own", "matched", "patterns")),
    ("match", {"file": "one.yaml"}, {"file": "two.yaml"}, ("own", "matched", "patterns")),
    ("language", {}, {"text": "response"}, LANGUAGES),
    ("language", {}, {"min_letters": 5}, LANGUAGES),
    ("language", {}, {"min_probability": 0.9}, ("language", "undetermined")),
    ("tokens", {"template": "plain"}, {"template": "chat"}, LENGTHS[:3]),
    ("tokens", {"max_length": 5}, {"max_length": 7}, ("over",)),
    ("tokens", {}, {"tokenizer": "other"}, LENGTHS[:3]),
]


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Runs one stage over some rows; gives the columns that it was asked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    Path("words.txt").write_text("cat\n")
    Path("one.yaml").write_text(OWN)
    Path("two.yaml").write_text(OWN + OWN.replace("mine", "yours"))
    rows = [{"instruction": f"Name {at} of them.", "output": "A cat. " * at} for at in range(4)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked: set[str] = set()
    for stage in (Stats, Match, Language, Tokens):

        def seen(self, rows, ctx, score=stage.score):
            asked.update(ctx.wanted)
            return score(self, rows, ctx)

        monkeypatch.setattr(stage, "score", seen)

    def run(word, params):
        if word == "tokens":
            params = {"tokenizer": "one"} | params
            for name in ("one", "other"):
                tokenizer(Path(name), name)
        asked.clear()
        stage = {"score": f"text.{word}", "id": "x", "with": params}
        sources = {"s": {"path": "rows.jsonl"}}
        curate.run({"name": "t", "sources": sources, "pipeline": [stage]})
        return set(asked)

    return run


def tokenizer(folder, word):
    """A tokenizer of which `word` is one token, with a chat template."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel({"[UNK]": 0, word: 1}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]")
    fast.chat_template = (
        "{% for turn in messages %}{{ turn.role }}: {{ turn.content }} {% endfor %}"
    )
    fast.save_pretrained(folder)


@pytest.mark.parametrize(("word", "before", "after", "columns"), CHANGES)
def test_a_parameter_computes_anew_what_depends_on_it(recipe, word, before, after, columns):
    every = recipe(word, before)
    assert every
    assert recipe(word, before) == set()
    assert recipe(word, before | after) == set(columns)


@pytest.mark.parametrize(
    ("word", "module", "folder", "file"),
    [
        ("stats", wordlists, "LISTS", "flagged/fr.txt"),
        ("match", patternlists, "FOLDER", "broken.yaml"),
    ],
)
def test_another_list_of_the_plugin_computes_anew(
    recipe, monkeypatch, tmp_path, word, module, folder, file
):
    assert recipe(word, {})
    shutil.copytree(getattr(module, folder), tmp_path / "lists")
    with (tmp_path / "lists" / file).open("a") as opened:
        opened.write("# another line\n")
    monkeypatch.setattr(module, folder, tmp_path / "lists")
    module.fingerprints.cache_clear()
    try:
        assert recipe(word, {})
    finally:
        module.fingerprints.cache_clear()


def test_the_readme_names_every_parameter():
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    sections = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])
    for stage in STAGES:
        for name in stage.Params.model_fields:
            assert f"`{name}`" in sections[stage.name], (stage.name, name)
