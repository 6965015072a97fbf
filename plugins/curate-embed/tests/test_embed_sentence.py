"""embed.sentence: pooling, scaling, cutting, and a light declaration."""

import json
import shutil
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from curate.api import Context, CurateError, ModelFiles
from curate_embed.builtin import minilm
from curate_embed.forward import ForwardService
from curate_embed.stages import EmbedSentence, SentenceParams

TEXTS = ["the cat runs", "a dog sleeps under the blue tree", "red"]


def embed(folder, texts=TEXTS, wanted=("embedding", "truncated"), **params):
    service = ForwardService()
    files = ModelFiles(str(folder), folder, None, str(folder))
    context = Context(0, {"model": files}, {}, wanted, lambda name: service)
    given = {"dtype": "float32", **params}
    stage = EmbedSentence(SentenceParams(**given), "embed_sentence")
    rows = pl.DataFrame({"id": [str(i) for i in range(len(texts))], "@both": texts})
    found = pl.concat(stage.stream(rows, context)).sort("id")
    assert found.columns == ["id", *wanted]
    return found


def hidden(folder, text):
    batch = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.inference_mode():
        return AutoModel.from_pretrained(folder).eval()(**batch).last_hidden_state[0].numpy()


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_mean_of_the_last_hidden_state(tiny, kind):
    found = embed(tiny[kind], pooling="mean", normalize=False)
    assert found.schema["embedding"] == pl.Array(pl.Float32, 16)
    expected = [hidden(tiny[kind], text).mean(axis=0) for text in TEXTS]
    np.testing.assert_allclose(found["embedding"].to_numpy(), expected, atol=1e-5)


def test_first_token_and_unit_length(tiny):
    found = embed(tiny["bert"], pooling="cls")["embedding"].to_numpy()
    expected = np.array([hidden(tiny["bert"], text)[0] for text in TEXTS])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_folder_says_how_to_pool_and_where_to_cut(tiny, tmp_path):
    folder = shutil.copytree(tiny["bert"], tmp_path / "model")
    (folder / "modules.json").write_text(
        json.dumps([{"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}])
    )
    (folder / "1_Pooling").mkdir()
    config = folder / "1_Pooling" / "config.json"
    config.write_text('{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}')
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 8}')
    auto = embed(folder)
    assert auto["truncated"].to_list() == [False, True, False]
    by_hand = embed(tiny["bert"], pooling="cls", max_length=8)
    assert auto.equals(by_hand)
    config.write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(CurateError, match="pools by pooling_mode_max_tokens"):
        embed(folder)


def test_minilm_is_as_its_folder_says():
    found = embed(minilm(), ["A man is eating food.", "A man eats.", "Rockets fly to the moon."])
    vectors = found["embedding"].to_numpy()
    cosines = vectors @ vectors.T
    assert cosines[0, 1] > 0.8 > 0.3 > cosines[0, 2]
    long = embed(minilm(), ["word " * 300, "word " * 240])
    assert long["truncated"].to_list() == [True, False]


def test_bfloat16_is_near_to_float32_on_real_text(real_texts):
    texts, wanted = sorted(real_texts, key=len)[:40], ("embedding",)
    single = embed(minilm(), texts, wanted)["embedding"].to_numpy()
    half = embed(minilm(), texts, wanted, dtype="bfloat16")
    assert half.schema["embedding"] == pl.Array(pl.Float32, 384)
    cosines = (single * half["embedding"].to_numpy()).sum(axis=1)
    assert 0.999 < cosines.min() < 1 - 1e-7


def test_only_what_is_wanted_comes_back(tiny):
    assert embed(tiny["bert"], wanted=("truncated",)).width == 2


def test_declaring_the_stage_imports_nothing_heavy():
    script = (
        "import sys, curate_embed.stages, curate_embed.forward, curate_embed.builtin;"
        "curate_embed.builtin.minilm();"
        "print({'torch', 'polars', 'numpy', 'transformers', 'sentence_transformers'}"
        " & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
