"""embed.sentence: pooling, scaling, cutting, and a light declaration."""

import shutil
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModel, AutoTokenizer

from curate_embed.builtin import minilm
from curate_embed.pooling import SentenceReader
from curate_embed.stages import SentenceParams

TEXTS = ["the cat runs", "a dog sleeps under the blue tree", "red"]


def hidden(folder, text):
    batch = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.inference_mode():
        found = AutoModel.from_pretrained(folder).eval()(**batch).last_hidden_state
    return found[0].double().numpy()


LONGHAND = {
    "mean": lambda states: sum(states) / len(states),
    "cls": lambda states: states[0],
    "last": lambda states: states[-1],
    "max": lambda states: np.array([max(column) for column in states.T]),
    "mean_sqrt_len": lambda states: sum(states) / len(states) ** 0.5,
    # SGPT (arXiv 2202.08904): v = sum_i w_i h_i, w_i = i / sum_j j
    "weighted": lambda states: sum(
        i / sum(range(1, len(states) + 1)) * state for i, state in enumerate(states, 1)
    ),
}


@pytest.mark.parametrize("kind", ["bert", "llama"])
@pytest.mark.parametrize("pooling", LONGHAND)
def test_poolings_are_their_formulas(tiny, embed, kind, pooling):
    found = embed(tiny[kind], TEXTS, pooling=pooling, normalize=False)
    assert found.schema["embedding"] == pl.Array(pl.Float32, 16)
    expected = [LONGHAND[pooling](hidden(tiny[kind], text)) for text in TEXTS]
    np.testing.assert_allclose(found["embedding"].to_numpy(), expected, atol=1e-5)


def test_unit_length_is_the_default(tiny, embed):
    found = embed(tiny["bert"], TEXTS, pooling="cls")["embedding"].to_numpy()
    expected = np.array([hidden(tiny["bert"], text)[0] for text in TEXTS])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_text_that_is_no_longer_than_the_prompt_keeps_its_last_token():
    states = torch.arange(24.0).reshape(2, 4, 3)
    mask = torch.tensor([[True, True, False, False], [True, True, True, True]])
    for pooling in ("mean", "cls", "last", "max", "weighted", "mean_sqrt_len"):
        reader = SentenceReader(pooling, False, skip=3)
        reader.start(mask)
        reader.see("final", 0, states)
        assert reader.finish().tolist() == [states[0, 1].tolist(), states[1, 3].tolist()]


def test_minilm_is_as_its_folder_says(embed):
    texts = ["A man is eating food.", "A man eats.", "Rockets fly to the moon."]
    vectors = embed(minilm(), texts)["embedding"].to_numpy()
    cosines = vectors @ vectors.T
    assert cosines[0, 1] > 0.8 > 0.3 > cosines[0, 2]
    long = embed(minilm(), ["word " * 300, "word " * 240])
    assert long["truncated"].to_list() == [True, False]


def test_bfloat16_is_near_to_float32_on_real_text(real_texts, embed):
    texts, wanted = sorted(real_texts, key=len)[:40], ("embedding",)
    single = embed(minilm(), texts, wanted)["embedding"].to_numpy()
    half = embed(minilm(), texts, wanted, dtype="bfloat16")
    assert half.schema["embedding"] == pl.Array(pl.Float32, 384)
    cosines = (single * half["embedding"].to_numpy()).sum(axis=1)
    assert 0.999 < cosines.min() < 1 - 1e-7


def test_only_what_is_wanted_comes_back(tiny, embed):
    assert embed(tiny["bert"], TEXTS, wanted=("truncated",)).width == 2


def test_lower_case_where_the_folder_says_so(tiny, embed, tmp_path):
    folder = shutil.copytree(tiny["bert"], tmp_path / "model")
    upper = [text.upper() for text in TEXTS]
    assert not embed(folder, upper).equals(embed(folder, TEXTS))
    (folder / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    lower = shutil.copytree(folder, tmp_path / "lower")
    assert embed(lower, upper).equals(embed(tiny["bert"], TEXTS))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"prompt": "query: ", "template": "alpaca"}, "takes no prompt"),
        ({"backend": "onnx", "compile": True}, "`compile` is for `backend: torch`"),
        ({"backend": "onnx", "dtype": "bfloat16"}, "computes in float32"),
        ({"backend": "tensorrt"}, "backend"),
        ({"pooling": "median"}, "pooling"),
    ],
)
def test_what_does_not_go_together_is_refused(params, message):
    with pytest.raises(ValidationError, match=message):
        SentenceParams(**params)


def test_declaring_the_stage_imports_nothing_heavy():
    script = (
        "import sys, curate_embed.stages, curate_embed.forward, curate_embed.builtin;"
        "from curate.api import ModelFiles;"
        "given, path = curate_embed.stages.SentenceParams(), curate_embed.builtin.minilm();"
        "models = {'model': ModelFiles('m', path, None, '')};"
        "auto = curate_embed.forward.ForwardService().auto;"
        "[auto(name, given, models) for name in ('dtype', 'pooling', 'prompt', 'normalize')];"
        "print({'torch', 'polars', 'numpy', 'transformers', 'sentence_transformers'}"
        " & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
