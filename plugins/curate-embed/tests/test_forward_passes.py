"""Forward passes: real activations, and values that depend on the text alone, to the bit."""

import random
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from curate.api import CurateError
from curate_embed.builtin import minilm
from curate_embed.pooling import SentenceReader

NAMES = {
    "bert": ("encoder.layer.{}", "encoder.layer.{}.output.dense"),
    "llama": ("layers.{}", "layers.{}.mlp.down_proj"),
    "gpt2": ("h.{}", "h.{}.mlp.c_proj"),
}


class LastTokens:
    """The last real token's activations of the sites asked for, one after the other."""

    def __init__(self, *sites):
        self.sites = frozenset(sites)

    def start(self, mask):
        assert mask.dtype == torch.bool
        self.mask, self.found, self.order = mask, [], []

    def see(self, site, layer, values):
        assert values.shape[:2] == self.mask.shape
        rows, ends = torch.arange(len(self.mask)), self.mask.sum(dim=1) - 1
        self.order.append((site, layer))
        self.found.append(values[rows.to(values.device), ends].float())

    def finish(self):
        return torch.cat(self.found, dim=1)


def mean():
    return SentenceReader("mean", True)


@pytest.mark.parametrize("kind", NAMES)
def test_activations_are_those_of_the_model_on_one_text_alone(tiny, passing, collect, kind):
    texts = ["the cat runs over the red house", "dog", "a blue tree and a dog"]
    model = passing(tiny[kind])
    reader = LastTokens("blocks", "neurons", "final")
    (values,), _ = collect(model, texts, reader)
    assert (model.blocks, model.width) == (3, 16)
    assert model.neurons == (64 if kind == "gpt2" else 32)
    in_model = [(site, layer) for layer in range(3) for site in ("neurons", "blocks")]
    assert reader.order == [*in_model, ("final", 0)]
    reference = AutoModel.from_pretrained(tiny[kind]).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny[kind])
    for text, value in zip(texts, values, strict=True):
        kept: list[torch.Tensor] = []

        def after(_module, _inputs, output, kept=kept):
            kept.append(output[0] if isinstance(output, tuple) else output)

        def before(_module, inputs, kept=kept):
            kept.append(inputs[0])

        hooks = []
        for layer in range(3):
            block, projection = (
                reference.get_submodule(name.format(layer)) for name in NAMES[kind]
            )
            hooks.append(block.register_forward_hook(after))
            hooks.append(projection.register_forward_pre_hook(before))
        with torch.inference_mode():
            last = reference(**tokenizer(text, return_tensors="pt")).last_hidden_state
        for hook in hooks:
            hook.remove()
        expected = torch.cat([hidden[0, -1] for hidden in (*kept, last)])
        np.testing.assert_allclose(value, expected.numpy(), rtol=1e-5, atol=1e-5)
    norm_last = kind != "bert"  # a decoder's final norm stands after its last block
    assert np.allclose(values[:, -16:], values[:, -32:-16]) is not norm_last


@pytest.mark.parametrize("kind", NAMES)
def test_no_reader_is_left_behind(tiny, passing, collect, kind):
    class Breaking(LastTokens):
        def see(self, site, layer, values):
            raise ArithmeticError

    model = passing(tiny[kind])
    collect(model, ["the cat"], LastTokens("blocks", "neurons", "final"))
    assert not any(model._loaded.watch._readers.values())
    with pytest.raises(ArithmeticError):
        collect(model, ["the cat"], Breaking("blocks", "neurons", "final"))
    assert not any(model._loaded.watch._readers.values())


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_texts_are_cut_and_said_to_be(tiny, passing, collect, kind):
    model = passing(tiny[kind], max_length=10)
    long = "the cat " * 20
    (values,), cut = collect(model, [long, "the cat", long + "dog"], mean())
    assert cut == [True, False, True]
    assert np.array_equal(values[0], values[2])
    assert passing(tiny[kind], max_length=1000).max_length == 64


@pytest.mark.parametrize("kind", ["bert", "llama"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_batch_of_full_rows_gives_the_bits_of_a_mixed_one(tiny, passing, collect, kind, dtype):
    model = passing(tiny[kind], dtype=dtype)
    specials = 2 if kind == "bert" else 0
    full = " ".join(["cat"] * (64 - specials))
    near = [" ".join(["dog"] * (count - specials)) for count in (58, 60, 63)]
    short = " ".join(["cat"] * (16 - specials))
    (alone,), _ = collect(model, [full, short], mean())
    (mixed,), _ = collect(model, [*near, full, "dog", short, full], mean())
    assert np.array_equal(alone[0], mixed[3])
    assert np.array_equal(alone[0], mixed[6])
    assert np.array_equal(alone[1], mixed[5])


def test_texts_without_a_token_come_last_as_an_error(tiny, passing):
    import polars as pl

    rows = pl.DataFrame({"@both": ["the cat", "", "dog"]})
    found, run = [], passing(tiny["llama"]).run(rows, [mean()])
    with pytest.raises(ValueError, match="no token"):
        found.extend(at for positions, _, _ in run for at in positions.tolist())
    assert sorted(found) == [0, 2]


def test_no_rows_give_nothing(tiny, passing, collect):
    assert collect(passing(tiny["bert"]), [], mean())[1] == []


def test_thousands_of_texts_come_back_each_once_and_are_counted(tiny, passing, collect):
    draw = random.Random(5)
    lengths = [draw.randint(1, 40) for _ in range(2500)]  # several slices for the tokenizer
    counts = {}
    texts = ["cat " * length for length in lengths]
    (values,), _ = collect(passing(tiny["gpt2"], counts), texts, mean())
    by_length = {}
    for length, value in zip(lengths, values, strict=True):
        by_length.setdefault(length, value)
        assert np.array_equal(by_length[length], value)
    assert counts["pass.rows"] == 2500
    assert counts["pass.tokens"] == sum(lengths)
    assert set(counts) == {"pass.rows", "pass.tokens", "pass.padding"}
    assert counts["pass.padding"] < sum(lengths)


def test_two_readers_of_one_pass_have_the_bits_of_a_pass_alone(tiny, passing, collect):
    texts = ["the cat runs", "dog", *["a blue tree and then a dog"] * 9]
    for kind in NAMES:
        model, counts = passing(tiny[kind]), {}
        (pooled,), _ = collect(model, texts, mean())
        (blocks,), _ = collect(model, texts, LastTokens("blocks"))
        (neurons,), _ = collect(model, texts, LastTokens("neurons"))
        together = [mean(), LastTokens("blocks"), LastTokens("neurons")]
        every, _ = collect(passing(tiny[kind], counts), texts, *together)
        for found, alone in zip(every, (pooled, blocks, neurons), strict=True):
            assert np.array_equal(found, alone)
        assert counts["pass.rows"] == len(texts)


def test_a_model_is_loaded_once(tiny, passing):
    first, second = passing(tiny["bert"]), passing(tiny["bert"], max_length=12)
    assert first._loaded is second._loaded
    assert passing(tiny["bert"], dtype="bfloat16")._loaded is not first._loaded


def test_missing_weights_are_an_error(tiny, passing, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny["bert"], tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CurateError, match=r"lacks 1 weights .*encoder\.layer\.1"):
        passing(folder)


def test_a_missing_pooler_is_none(tiny, passing, collect, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny["bert"], tmp_path / "headless")
    weights = load_file(folder / "model.safetensors")
    kept = {name: each for name, each in weights.items() if not name.startswith("pooler.")}
    assert len(kept) == len(weights) - 2
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    (found,), _ = collect(passing(folder), ["the cat"], mean())
    (expected,), _ = collect(passing(tiny["bert"]), ["the cat"], mean())
    assert np.array_equal(found, expected)


def test_a_folder_that_is_no_model_is_refused(tmp_path, passing):
    (tmp_path / "config.json").write_text('{"model_type": "nothing-known"}')
    with pytest.raises(CurateError, match="cannot be loaded"):
        passing(tmp_path)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_real_rows_have_the_same_bits_in_every_company(real_texts, passing, collect, dtype):
    texts = real_texts[:40]

    def vectors(texts, batch_size=1):
        model = passing(minilm(), max_length=48, dtype=dtype, batch_size=batch_size)
        return collect(model, texts, mean(), LastTokens("neurons"))[0]

    whole = vectors(texts)
    order = random.Random(1).sample(range(len(texts)), len(texts))
    for found, expected in zip(vectors([texts[i] for i in order]), whole, strict=True):
        assert np.array_equal(found, expected[order])
    for found, expected in zip(vectors(texts[30:38], 5), whole, strict=True):
        assert np.array_equal(found, expected[30:38])
    for found, expected in zip(vectors(texts[7:8]), whole, strict=True):
        assert np.array_equal(found, expected[7:8])


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_real_rows_have_the_same_bits_in_every_company_on_a_gpu(
    real_texts, passing, collect, dtype
):
    model = passing(minilm(), max_length=256, dtype=dtype)
    assert model._loaded.device.type == "cuda"
    (whole, neurons), _ = collect(model, real_texts, mean(), LastTokens("neurons"))
    (part, some), _ = collect(model, real_texts[40:60], mean(), LastTokens("neurons"))
    assert np.array_equal(part, whole[40:60])
    assert np.array_equal(some, neurons[40:60])
