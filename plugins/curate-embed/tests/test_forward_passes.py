"""Forward passes: real block outputs, and values that depend on the text alone, to the bit."""

import gzip
import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModel, AutoTokenizer

from curate.api import CurateError, ModelFiles
from curate_embed.builtin import minilm
from curate_embed.forward import ForwardService
from curate_embed.pooling import sentence_reader
from curate_embed.shapes import padded, plan, rows_of

DATA = Path(os.environ.get("CURATE_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))


def open_model(folder, max_length=None, batch_size=1):
    files = ModelFiles(str(folder), folder, None, str(folder))
    return ForwardService().open(files, max_length=max_length, batch_size=batch_size)


def collect(model, texts, read):
    found = {}
    for positions, values, cut in model.run(texts, read):
        assert len(positions) == len(values) == len(cut)
        found |= {int(p): (v, bool(c)) for p, v, c in zip(positions, values, cut, strict=True)}
    assert sorted(found) == list(range(len(texts)))
    values = np.array([found[at][0] for at in range(len(texts))])
    return values, [found[at][1] for at in range(len(texts))]


@given(st.lists(st.integers(1, 300), max_size=80), st.sampled_from([7, 64, 256, 300]))
def test_every_text_is_in_one_batch_of_a_shape_that_is_its_own(lengths, longest):
    lengths = np.minimum(np.array(lengths, dtype=np.int64), longest)
    shapes = list(plan(lengths, longest))
    positions = [p for shape in shapes for p in shape.positions.tolist()]
    assert sorted(positions) == list(range(len(lengths)))
    for shape in shapes:
        assert 0 < len(shape.positions) <= shape.rows == rows_of(shape.length)
        for p in shape.positions:
            alone = next(plan(lengths[p : p + 1], longest))
            assert (alone.length, alone.rows) == (shape.length, shape.rows)
        # Nothing masked in every row or in none: models look at that.
        assert len({int(lengths[p]) == shape.length for p in shape.positions}) == 1


def test_padding_stays_small_and_leaves_room():
    lengths = np.arange(1, 5000)
    widths = padded(lengths, 10_000)
    assert (widths > lengths).all()
    assert (widths - lengths <= np.maximum(8, lengths // 8)).all()
    assert len(set(widths.tolist())) < 70


@pytest.mark.parametrize("kind", ["bert", "llama", "gpt2"])
def test_blocks_are_what_the_blocks_put_out(tiny, kind):
    texts = ["the cat runs over the red house", "dog", "a blue tree and a dog"]
    model = open_model(tiny[kind])
    reference = AutoModel.from_pretrained(tiny[kind]).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny[kind])

    def read(states):
        assert all(block.shape[:2] == states.mask.shape for block in states.blocks)
        rows, ends = torch.arange(len(states.mask)), states.mask.sum(dim=1) - 1
        every = [block[rows, ends] for block in (*states.blocks, states.last)]
        return torch.cat(every, dim=1)

    values, _ = collect(model, texts, read)
    for text, value in zip(texts, values, strict=True):
        kept: list[torch.Tensor] = []

        def keep(_module, _inputs, output, kept=kept):
            kept.append(output[0] if isinstance(output, tuple) else output)

        names = {"bert": "encoder.layer", "llama": "layers", "gpt2": "h"}
        blocks = reference.get_submodule(names[kind])
        hooks = [block.register_forward_hook(keep) for block in blocks]
        with torch.inference_mode():
            last = reference(**tokenizer(text, return_tensors="pt")).last_hidden_state
        for hook in hooks:
            hook.remove()
        expected = torch.cat([hidden[0, -1] for hidden in (*kept, last)])
        np.testing.assert_allclose(value, expected.numpy(), rtol=1e-5, atol=1e-5)
    width = model.width
    norm_last = kind != "bert"  # a decoder's final norm stands after its last block
    assert np.allclose(values[:, -width:], values[:, -2 * width : -width]) is not norm_last


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_texts_are_cut_and_said_to_be(tiny, kind):
    model = open_model(tiny[kind], max_length=10)
    long = "the cat " * 20
    values, cut = collect(model, [long, "the cat", long + "dog"], sentence_reader("mean", True))
    assert cut == [True, False, True]
    assert np.array_equal(values[0], values[2])
    assert open_model(tiny[kind], max_length=1000).max_length == 64


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_batch_of_full_rows_gives_the_bits_of_a_mixed_one(tiny, kind):
    model = open_model(tiny[kind])
    specials = 2 if kind == "bert" else 0
    full = " ".join(["cat"] * (64 - specials))
    near = [" ".join(["dog"] * (count - specials)) for count in (58, 60, 63)]
    short = " ".join(["cat"] * (16 - specials))
    alone, _ = collect(model, [full, short], sentence_reader("mean", True))
    mixed, _ = collect(model, [*near, full, "dog", short, full], sentence_reader("mean", True))
    assert np.array_equal(alone[0], mixed[3])
    assert np.array_equal(alone[0], mixed[6])
    assert np.array_equal(alone[1], mixed[5])


def test_texts_without_a_token_come_last_as_an_error(tiny):
    model = open_model(tiny["llama"])
    run = model.run(["the cat", "", "dog"], sentence_reader("mean", True))
    found = []
    with pytest.raises(ValueError, match="no token"):
        found.extend(p for positions, _, _ in run for p in positions.tolist())
    assert sorted(found) == [0, 2]


def test_a_model_is_loaded_once(tiny):
    first, second = open_model(tiny["bert"]), open_model(tiny["bert"], max_length=12)
    assert first._loaded is second._loaded


def test_missing_weights_are_an_error(tiny, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny["bert"], tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CurateError, match=r"lacks 1 weights .*encoder\.layer\.1"):
        open_model(folder)


def test_a_model_whose_blocks_are_nowhere_is_refused(tokenizer, tmp_path):
    from transformers import T5Config, T5Model

    config = T5Config(
        vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2, pad_token_id=0
    )
    T5Model(config).save_pretrained(tmp_path)
    tokenizer["bert"].save_pretrained(tmp_path)
    with pytest.raises(CurateError, match=r"blocks of the model .* cannot be found"):
        open_model(tmp_path)


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "nothing-known"}')
    with pytest.raises(CurateError, match="cannot be loaded"):
        open_model(tmp_path)


@pytest.fixture(scope="module")
def real_texts():
    path = DATA / "alpaca_cleaned.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"no real data: {path.name} is not in CURATE_TEST_DATA or ../shared/data")
    with gzip.open(path) as lines:
        rows = [json.loads(line) for _, line in zip(range(60), lines, strict=False)]
    return [f"{row['instruction']}\n{row['input']}\n{row['output']}" for row in rows]


def test_real_rows_have_the_same_bits_in_every_company(real_texts):
    read = sentence_reader("mean", True)
    model = open_model(minilm(), max_length=256)
    whole, _ = collect(model, real_texts, read)
    order = random.Random(1).sample(range(len(real_texts)), len(real_texts))
    shuffled, _ = collect(model, [real_texts[i] for i in order], read)
    assert np.array_equal(shuffled, whole[order])
    part, _ = collect(model, real_texts[40:60], read)
    assert np.array_equal(part, whole[40:60])
    grown, _ = collect(model, real_texts[50:] + real_texts[:20], read)
    assert np.array_equal(grown[-20:], whole[:20])
    often = open_model(minilm(), max_length=256, batch_size=5)
    assert np.array_equal(collect(often, real_texts[20:40], read)[0], whole[20:40])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        single, _ = collect(model, real_texts[:20], read)
    finally:
        torch.set_num_threads(threads)
    assert np.abs(single - whole[:20]).max() <= 1e-6


@pytest.mark.gpu
def test_real_rows_have_the_same_bits_in_every_company_on_a_gpu(real_texts):
    model = open_model(minilm(), max_length=256)
    assert model._loaded.device.type == "cuda"
    whole, _ = collect(model, real_texts, sentence_reader("mean", True))
    part, _ = collect(model, real_texts[40:60], sentence_reader("mean", True))
    assert np.array_equal(part, whole[40:60])
