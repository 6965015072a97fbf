"""Graphs of ONNX Runtime and OpenVINO: torch's vectors, and bits that the text alone decides."""

import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from curate.api import CurateError
from curate_embed import backends, hardware
from curate_embed.builtin import minilm
from curate_embed.pooling import SentenceReader

TEXTS = ["the cat runs over the red house", "dog", "a blue tree and then a dog", "red " * 40]
WORST = {("onnx", "float32"): 1e-6, ("openvino", "float32"): 1e-6, ("openvino", "bfloat16"): 1e-3}
"""How far from 1 a cosine to float32 in torch may be."""


@pytest.fixture(params=["onnx", "openvino"])
def backend(request):
    for name in hardware.LIBRARIES[request.param]:
        pytest.importorskip(name, reason=f"{name} is not installed")
    return request.param


def best(backend):
    return hardware.best_dtype(backend)


@pytest.mark.parametrize("kind", ["bert", "llama", "gpt2"])
def test_vectors_are_those_of_torch(tiny, embed, backend, kind):
    for pooling in ("mean", "last", "cls"):
        options = {"pooling": pooling, "normalize": False}
        found = embed(tiny[kind], TEXTS, backend=backend, **options)
        expected = embed(tiny[kind], TEXTS, **options)
        np.testing.assert_allclose(
            found["embedding"].to_numpy(), expected["embedding"].to_numpy(), atol=1e-4
        )
        assert found["truncated"].equals(expected["truncated"])


@pytest.mark.parametrize("backend_dtype", WORST, ids=" ".join)
def test_real_rows_are_near_to_torch_and_have_the_same_bits_in_every_company(
    real_texts, passing, collect, backend_dtype
):
    backend, dtype = backend_dtype
    for name in hardware.LIBRARIES[backend]:
        pytest.importorskip(name, reason=f"{name} is not installed")
    if dtype == "bfloat16" and best(backend) != dtype:
        pytest.skip("this processor does not compute in bfloat16")
    texts = real_texts[:40]

    def vectors(texts, backend=backend, dtype=dtype, **options):
        model = passing(minilm(), max_length=64, dtype=dtype, backend=backend, **options)
        return collect(model, texts, SentenceReader("mean", True))[0][0]

    whole = vectors(texts)
    assert whole.dtype == np.float32
    cosines = (whole.astype(float) * vectors(texts, "torch", "float32")).sum(axis=1)
    assert cosines.min() > 1 - WORST[backend_dtype]
    draw = random.Random(1)
    for order in (draw.sample(range(40), 40), range(30, 38), [7], draw.sample(range(40), 13)):
        found = vectors([texts[at] for at in order], batch_size=draw.choice([1, 5]))
        assert np.array_equal(found, whole[list(order)])


def test_rows_without_padding_have_their_bits_too(tiny, passing, collect, backend):
    model = passing(tiny["bert"], backend=backend)
    full, short = " ".join(["cat"] * 62), " ".join(["cat"] * 14)
    reader = SentenceReader("mean", True)
    (alone,), _ = collect(model, [full, short], reader)
    (mixed,), _ = collect(model, ["dog " * 57, full, "dog", short, full], reader)
    assert np.array_equal(alone, mixed[[1, 3]])
    assert np.array_equal(alone[0], mixed[4])


def test_a_new_process_gives_the_same_bits(tiny, embed, backend):
    script = (
        "import sys, hashlib, pathlib, polars as pl;"
        "from curate.api import ModelFiles, Pass;"
        "from curate_embed.forward import ForwardService;"
        "from curate_embed.pooling import SentenceReader;"
        "folder = pathlib.Path(sys.argv[1]);"
        "wanted = Pass(ModelFiles('m', folder, None, ''), backend=sys.argv[2]);"
        "model = ForwardService().open(wanted, lambda *_: None);"
        "run = model.run(pl.DataFrame({'@both': sys.argv[3:]}), [SentenceReader('mean', True)]);"
        "found = {at: row for p, (v,), _ in run for at, row in zip(p.tolist(), v, strict=True)};"
        "print(b''.join(found[at].tobytes() for at in sorted(found)).hex())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny["bert"]), backend, *TEXTS],
        capture_output=True,
        text=True,
        check=True,
    )
    here = embed(tiny["bert"], TEXTS, backend=backend)["embedding"].to_numpy()
    assert done.stdout.split()[-1] == np.ascontiguousarray(here).tobytes().hex()


def test_blocks_cannot_be_read(tiny, passing, collect, backend):
    class Blocks(SentenceReader):
        sites = frozenset({"blocks"})

    with pytest.raises(CurateError, match=f"`backend: {backend}` shows the final hidden state"):
        collect(passing(tiny["bert"], backend=backend), TEXTS, Blocks("mean", True))


def test_the_module_is_not_kept_beside_its_graph(tiny, passing, backend):
    model = passing(tiny["bert"], backend=backend)
    assert isinstance(model._loaded.model, backends.Graph)
    assert model.neurons == 32  # what is known of it stays


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_a_missing_extra_is_one_error_before_any_work(tiny, embed, monkeypatch, backend):
    monkeypatch.setattr(hardware, "find_spec", lambda name: None)
    with pytest.raises(CurateError, match=f"`backend: {backend}` needs") as caught:
        embed(tiny["bert"], TEXTS, backend=backend)
    assert caught.value.remedy == f"pip install 'curate-embed[{backend}]'"


@pytest.fixture
def small():
    from transformers import BertConfig, BertModel

    sizes = {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    return BertModel(BertConfig(**sizes, intermediate_size=32, initializer_range=0.5)).eval()


def test_a_model_that_cannot_be_exported_is_refused(small, monkeypatch, backend):
    def fails(*_):
        raise RuntimeError("no such operator")

    monkeypatch.setattr(backends, f"_{backend}", fails)
    with pytest.raises(CurateError, match="cannot take the model tiny: no such operator"):
        backends.graph_of(small, backend, "float32", "tiny")


def test_a_graph_that_computes_something_else_is_refused(small, monkeypatch, backend):
    def other(module, _dtype):
        return lambda ids, mask: module(ids, torch.ones_like(mask))  # as if nothing were padding

    monkeypatch.setattr(backends, f"_{backend}", other)
    with pytest.raises(CurateError, match="computes something else of the model tiny"):
        backends.graph_of(small, backend, "float32", "tiny")


def test_openvino_says_where_a_processor_has_no_bfloat16(tiny, passing, monkeypatch):
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    compile_model = openvino.Core.compile_model

    def without(self, model, device, config):
        return compile_model(self, model, device, {**config, "INFERENCE_PRECISION_HINT": "f32"})

    monkeypatch.setattr(openvino.Core, "compile_model", without)
    with pytest.raises(CurateError, match="does not compute in bfloat16"):
        passing(tiny["gpt2"], backend="openvino", dtype="bfloat16")
