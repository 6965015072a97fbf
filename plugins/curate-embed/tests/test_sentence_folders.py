"""Folders of sentence-transformers: read as that library reads them, or refused by name."""

import json
import shutil

import numpy as np
import pytest

from curate.api import CurateError
from curate_embed.builtin import minilm
from curate_embed.sentence_folder import max_length_of, prompt_text, sentence_folder

TEXTS = [
    "the cat runs",
    "a dog sleeps under the blue tree and then the red cat runs over the house",
    "red",
    "The Cat AND the dog",
]
MODES = {
    "mean": "mean",
    "cls": "cls",
    "max": "max",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
    "lasttoken": "last",
    "weightedmean": "weighted",
}


@pytest.fixture
def made(tiny, tmp_path):
    """Makes a folder out of one of a model, with further files by their path."""

    def make(kind="bert", modules=("Transformer", "Pooling"), **files):
        folder = shutil.copytree(tiny[kind], tmp_path / f"{kind}{len(list(tmp_path.iterdir()))}")
        entries = [
            {
                "idx": at,
                "name": str(at),
                "path": "" if at == 0 else f"{at}_{name}",
                "type": f"sentence_transformers.models.{name}",
            }
            for at, name in enumerate(modules)
        ]
        (folder / "modules.json").write_text(json.dumps(entries))
        names = {
            "pooling": "1_Pooling/config.json",
            "settings": "sentence_bert_config.json",
            "sentences": "config_sentence_transformers.json",
        }
        for name, content in files.items():
            path = folder / names[name]
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(content))
        return folder

    return make


@pytest.fixture(scope="module")
def theirs():
    """The vectors that sentence-transformers gives."""
    from sentence_transformers import SentenceTransformer

    def encode(folder, texts, **options):
        model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        return model.encode(texts, batch_size=1, **options)

    return encode


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("kind", ["bert", "llama"])
@pytest.mark.parametrize("mode", MODES)
def test_each_pooling_is_that_of_sentence_transformers(made, embed, theirs, kind, mode):
    if kind == "llama":  # that library fills rows up and wants a token for it
        folder = made(kind, pooling={"embedding_dimension": 16, "pooling_mode": mode})
        config = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "tokenizer_config.json").write_text(json.dumps({**config, "pad_token": "[PAD]"}))
    else:
        modules = ("Transformer", "Pooling", "Normalize")
        folder = made(kind, modules, pooling={"embedding_dimension": 16, "pooling_mode": mode})
    assert sentence_folder(folder).pooling == MODES[mode]
    found = embed(folder, TEXTS, normalize="auto")["embedding"].to_numpy()
    np.testing.assert_allclose(found, theirs(folder, TEXTS), atol=1e-5)
    assert np.allclose(np.linalg.norm(found, axis=1), 1) is (kind == "bert")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_minilm_has_the_vectors_of_sentence_transformers(real_texts, embed, theirs):
    texts = real_texts[:24]
    found = embed(minilm(), texts)["embedding"].to_numpy()
    np.testing.assert_allclose(found, theirs(minilm(), texts), atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_prompts_are_those_of_sentence_transformers(made, embed, theirs, mode, include):
    folder = made(
        pooling={"embedding_dimension": 16, "pooling_mode": mode, "include_prompt": include},
        sentences={"prompts": {"query": "the red house ", "none": ""}},
    )
    plain = embed(folder, TEXTS, normalize=False)
    named = embed(folder, TEXTS, normalize=False, prompt="query")
    written = embed(folder, TEXTS, normalize=False, prompt="the red house ")
    assert named.equals(written)
    assert not named.equals(plain)
    assert plain.equals(embed(folder, TEXTS, normalize=False, prompt=""))
    assert plain.equals(embed(folder, TEXTS, normalize=False, prompt="none"))
    expected = theirs(folder, TEXTS, prompt_name="query")
    np.testing.assert_allclose(named["embedding"].to_numpy(), expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_default_prompt_is_used_where_the_folder_names_one(made, embed, theirs):
    pooling = {"embedding_dimension": 16, "pooling_mode": "mean"}
    prompts = {"prompts": {"doc": "the red house "}, "default_prompt_name": "doc"}
    folder = made(pooling=pooling, sentences=prompts)
    found = embed(folder, TEXTS, normalize=False)
    assert found.equals(embed(folder, TEXTS, normalize=False, prompt="doc"))
    np.testing.assert_allclose(found["embedding"].to_numpy(), theirs(folder, TEXTS), atol=1e-5)
    without = made(pooling=pooling, sentences={"prompts": prompts["prompts"]})
    assert embed(without, TEXTS).equals(embed(folder, TEXTS, prompt=""))
    broken = made(pooling=pooling, sentences={"default_prompt_name": "query"})
    with pytest.raises(CurateError, match="names 'query' as its default prompt"):
        embed(broken, TEXTS)


def test_a_prompt_cuts_texts_earlier(tiny, embed):
    texts = ["cat " * 61, "cat " * 62]
    assert embed(tiny["bert"], texts)["truncated"].to_list() == [False, False]
    cut = embed(tiny["bert"], texts, prompt="red ")
    assert cut["truncated"].to_list() == [False, True]


def test_a_word_that_names_no_prompt_is_an_error(made):
    folder = made(sentences={"prompts": {"query": "Q: ", "document": "D: "}})
    assert prompt_text(folder, "query") == "Q: "
    assert prompt_text(folder, "quest: ") == "quest: "
    assert prompt_text(folder, "") == ""
    with pytest.raises(CurateError, match="no prompt named 'qury'") as caught:
        prompt_text(folder, "qury")
    assert "Did you mean 'query'?" in caught.value.remedy


@pytest.mark.parametrize("mode", MODES)
def test_older_folders_say_it_in_flags(made, mode):
    keys = {
        "cls": "pooling_mode_cls_token",
        "lasttoken": "pooling_mode_lasttoken",
        "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    }
    flags = {keys.get(each, f"pooling_mode_{each}_tokens"): each == mode for each in MODES}
    folder = made(pooling={"word_embedding_dimension": 16, **flags})
    assert sentence_folder(folder).pooling == MODES[mode]


def test_a_folder_without_modules_says_nothing(tiny):
    said = sentence_folder(tiny["bert"])
    assert (said.pooling, said.normalize, said.default_prompt) == ("mean", False, None)
    assert max_length_of(tiny["bert"]) is None


def test_its_settings_say_where_to_cut(made, embed):
    folder = made(settings={"max_seq_length": 8})
    assert embed(folder, TEXTS[:3])["truncated"].to_list() == [False, True, False]


POOL = {"pooling_mode": "mean"}


@pytest.mark.parametrize(
    ("modules", "files", "message"),
    [
        (("Transformer", "Pooling", "Dense"), {}, "has a module Dense"),
        (("Transformer", "Pooling", "Dense", "Normalize"), {}, "has a module Dense"),
        (("CLIPModel",), {}, "has a module CLIPModel"),
        (("Transformer", "Normalize", "Pooling"), {}, "is made of Transformer, Normalize"),
        (("Transformer",), {}, "is made of Transformer,"),
        (("Transformer", "Pooling"), {"pooling": {"pooling_mode": "lse"}}, "pools by lse"),
        (
            ("Transformer", "Pooling"),
            {"pooling": {"pooling_mode": ["cls", "mean"]}},
            "pools by cls and mean",
        ),
        (
            ("Transformer", "Pooling"),
            {"pooling": {"pooling_mode_lse_tokens": True, "pooling_mode_mean_tokens": False}},
            "pools by pooling_mode_lse_tokens",
        ),
        (("Transformer", "Pooling"), {"sentences": {"truncate_dim": 8}}, "shortens .* to 8 values"),
        (
            ("Transformer", "Pooling"),
            {"settings": {"transformer_task": "fill-mask"}},
            "does not pool its final hidden state",
        ),
    ],
)
def test_what_is_not_done_is_refused_by_name_unless_a_pooling_is_chosen(
    made, embed, modules, files, message
):
    folder = made("bert", modules, **files)
    with pytest.raises(CurateError, match=message) as caught:
        embed(folder, TEXTS)
    assert "`pooling: mean`" in caught.value.remedy
    assert len(embed(folder, TEXTS, pooling="mean")) == len(TEXTS)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("modules.json", "{", "is not JSON"),
        ("modules.json", "{}", "does not hold what it should"),
        ("modules.json", '[{"path": "../x", "type": "a.Pooling"}]', "does not hold what it should"),
        ("sentence_bert_config.json", "[]", "does not hold what it should"),
    ],
)
def test_files_that_are_broken_are_named(made, name, content, message):
    folder = made()
    (folder / name).write_text(content)
    with pytest.raises(CurateError, match=message):
        sentence_folder(folder)


def test_what_auto_came_to_stands_in_manifest_and_lock_and_keys_know_the_prompt(
    made, tmp_path, monkeypatch
):
    import yaml

    import curate

    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    prompts = {"prompts": {"doc": "the red house ", "query": "a tree "}}
    folder = made(
        pooling={"embedding_dimension": 16, "pooling_mode": "lasttoken"},
        sentences={**prompts, "default_prompt_name": "doc"},
    )
    rows = [{"instruction": text, "output": "dog"} for text in TEXTS]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run(**params):
        stage = {"score": "embed.sentence", "with": {"model": str(folder), **params}}
        recipe = {
            "name": "told",
            "sources": {"rows": {"path": str(tmp_path / "rows.jsonl"), "format": "alpaca"}},
            "pipeline": [stage],
            "output": {"vectors": True},
        }
        return curate.run(recipe, out=tmp_path / "curated")

    def computed(version):
        (stage,) = version.manifest["stages"]
        return stage["memo"]["computed"]

    told = run(dtype="float32", normalize="auto")
    expected = {"prompt": "doc", "pooling": "last", "normalize": False}
    assert told.manifest["stages"][0]["auto"] == expected
    lock = yaml.safe_load((told.path / "recipe.lock.yaml").read_text())
    assert lock["stages"]["embed_sentence"]["auto"] == expected
    assert computed(told) == len(TEXTS)
    named = run(dtype="float32", normalize=False, prompt="doc", pooling="last")
    assert named.path == told.path or computed(named) == 0
    assert computed(run(dtype="float32", prompt="query")) == len(TEXTS)
    assert computed(run(dtype="float32", prompt="")) == len(TEXTS)
