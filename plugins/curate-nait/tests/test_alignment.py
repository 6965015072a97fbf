"""nait.alignment equals the equations of arXiv 2603.13201 written out by hand, in every option.

The reference passes one text at a time, without padding, through a model in float64, finds the
modules by their names, and takes principal components from a singular value decomposition.
"""

import random
from functools import cache

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BertModel

KINDS = ("llama", "qwen2", "gpt2", "bert")
MODULES = {
    "llama": ("model.layers.{}", "model.layers.{}.mlp.down_proj"),
    "qwen2": ("model.layers.{}", "model.layers.{}.mlp.down_proj"),
    "gpt2": ("transformer.h.{}", "transformer.h.{}.mlp.c_proj"),
    "bert": ("encoder.layer.{}", "encoder.layer.{}.output.dense"),
}
FIRST = {"llama": "<s>", "bert": "[CLS]", "qwen2": "", "gpt2": ""}
POOL = [
    ("the cat runs over the red house", "why"),
    ("dog", "then a tree sleeps under the blue cat and the red dog runs"),
    ("a blue tree and then a dog", ""),
    ("red red cat : the dog", "it is a house"),
    ("why is the house blue", "the house is under a tree . and then it is red . then blue"),
]
TARGET = [
    ("the cat sleeps", "under a tree"),
    ("a cat runs", "over it"),
    ("the dog runs under a tree", "why"),
    ("cat and dog", "the red house and then a blue one . it sleeps"),
    ("blue cat", "is it a dog"),
    ("is the tree red", "it is blue and the dog is under it"),
]
PAPER = {"hook": "block_output", "pool": "last", "baseline": "first", "similarity": "dot"}
PAPER |= {"sign": "mean_drift", "layers": "all", "layer_scale": "none", "components": 1}
PRESETS = {
    "paper": {**PAPER, "center": False},
    "paper-centred": {**PAPER, "center": True},
    "encoder": {
        **PAPER,
        "hook": "mlp_neurons",
        "similarity": "cosine",
        "layer_scale": "zscore",
        "center": False,
    },
}
OPTIONS = {
    "hook": ["block_output", "mlp_neurons"],
    "pool": ["last", "mean"],
    "baseline": ["first", "none"],
    "similarity": ["dot", "cosine"],
    "center": [False, True],
    "sign": ["mean_drift", "mean_activation"],
    "components": [1, 2],
    "layers": ["all", "2..3", [1, -1]],
    "layer_scale": ["none", "zscore"],
    "template": ["plain", "alpaca", "chat"],
    "text": ["both", "instruction", "response"],
    "max_length": [None, 9, 14],
}
ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately "
    "completes the request.\n\n### Instruction:\n{}\n\n### Response:\n{}"
)


@cache
def reference(folder, kind):
    if kind == "bert":
        model = BertModel.from_pretrained(folder, dtype=torch.float64)
    else:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def written(pair, template, text, kind):
    """What the model reads, before the tokenizer's own special tokens."""
    instruction, response = pair
    if template == "alpaca":
        return ALPACA.format(instruction, response if text == "both" else "")
    if template == "chat":
        answer = f" {response}\n" if text == "both" else " "
        return f"{FIRST[kind]}<|user|> {instruction}\n<|assistant|>{answer}"
    both = f"{instruction}\n{response}" if response else instruction
    return {"instruction": instruction, "response": response, "both": both}[text]


def token_ids(tokenizer, kind, text, template, max_length):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    before, after = [], []
    if template != "chat":
        before = tokenizer.convert_tokens_to_ids([FIRST[kind]] if FIRST[kind] else [])
        after = tokenizer.convert_tokens_to_ids(["[SEP]"] if kind == "bert" else [])
    room = (max_length or 96) - len(before) - len(after)
    return [*before, *ids[:room], *after]


def activations(folder, kind, hook, ids, mask=None):
    """Float64 [rows, layers, tokens, width], by hooks on modules found by name."""
    model, _ = reference(folder, kind)
    kept, handles = [], []
    for layer in range(3):
        module = model.get_submodule(MODULES[kind][hook == "mlp_neurons"].format(layer))
        if hook == "mlp_neurons":
            take = module.register_forward_pre_hook(lambda _m, given: kept.append(given[0]))
        else:
            take = module.register_forward_hook(
                lambda _m, _i, out: kept.append(out[0] if isinstance(out, tuple) else out)
            )
        handles.append(take)
    more = {}
    if mask is not None:
        more = {"attention_mask": mask, "position_ids": (mask.cumsum(dim=1) - 1).clamp(min=0)}
    with torch.inference_mode():
        out = model(input_ids=torch.tensor(ids), output_hidden_states=True, **more)
    for handle in handles:
        handle.remove()
    return torch.stack(kept, dim=1).numpy(), out.hidden_states


@cache
def tokens_of(folder, kind, hook, pair, template, text, max_length):
    """Float64 [layers, tokens, width] of one example by itself."""
    _, tokenizer = reference(folder, kind)
    ids = token_ids(tokenizer, kind, written(pair, template, text, kind), template, max_length)
    assert len(ids) >= 1
    return activations(folder, kind, hook, [ids])[0][0]


def pooled(tokens, pool, baseline):
    value = tokens.mean(axis=1) if pool == "mean" else tokens[:, -1]
    return value - tokens[:, 0] if baseline == "first" else value


def equations(targets, pool, given):
    """From activations by token: scores, explained variance [layers, components], and the gap.

    The gap is the smallest one between the last component that is taken and the next, as a share
    of the first: where it is nothing, directions are no more than rounding.
    """
    samples = np.array([pooled(each, given["pool"], given["baseline"]) for each in targets])
    drift = np.array([each[:, -1] - each[:, 0] for each in targets])
    rows = np.array([pooled(each, given["pool"], given["baseline"]) for each in pool])
    layers = {"all": [0, 1, 2], "2..3": [1, 2]}.get(str(given["layers"]), [0, 2])
    scores, explained, gap = np.zeros(len(rows)), [], 1.0
    for layer in range(3):
        own = samples[:, layer]
        mean = own.mean(axis=0)
        _, sizes, vectors = np.linalg.svd(own - mean if given["center"] else own)
        energy, count = sizes**2, given["components"]
        explained.append(energy[:count] / energy.sum())
        gap = min(gap, (energy[count - 1] - energy[count]) / energy[0])
        if layer not in layers:
            continue
        toward = drift[:, layer].mean(axis=0) if given["sign"] == "mean_drift" else mean
        found, base = np.zeros(len(rows)), np.zeros(len(own))
        for vector in vectors[: given["components"]]:
            sign = np.sign(vector @ toward)
            found += rows[:, layer] @ vector * sign
            base += own @ vector * sign
        if given["similarity"] == "cosine":
            # a text of one token does not drift: it has no angle, and the projection 0
            lengths = np.linalg.norm(rows[:, layer], axis=1)
            found = np.divide(found, lengths, out=np.zeros_like(found), where=lengths > 0)
            lengths = np.linalg.norm(own, axis=1)
            base = np.divide(base, lengths, out=np.zeros_like(base), where=lengths > 0)
        if given["layer_scale"] == "zscore":
            found = (found - base.mean()) / base.std()
        scores += found
    return scores, np.array(explained), gap


def expected(folder, kind, given):
    """The reference's scores of the pool, with texts that have no token left out."""
    what = given["template"], given["text"], given["max_length"]

    def every(pairs):
        return [tokens_of(folder, kind, given["hook"], pair, *what) for pair in pairs]

    return equations(every(TARGET), every(pool_of(given)), given)


def pool_of(given):
    """Without the row that has no response where the response alone is read."""
    return [pair for pair in POOL if pair[1] or given["text"] != "response"]


def agree(lab, folder, kind, given, **written):
    stage = lab.stage(**(written or given))
    fit = lab.fit(folder, stage, lab.rows(TARGET))
    found = lab.score(folder, stage, lab.rows(pool_of(given)), {"pets": fit})["pets"].to_numpy()
    scores, explained, gap = expected(folder, kind, given)
    if gap < 0.03:
        return False
    np.testing.assert_allclose(fit["explained"], explained, atol=1e-5)
    assert np.linalg.norm(fit["directions"], axis=2) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(found, scores, rtol=1e-5, atol=1e-5 * max(1, np.ptp(scores)))
    assert np.ptp(found) > 1e-2
    return True


def base(preset="paper", **changes):
    return {**PRESETS[preset], "template": "plain", "text": "both", "max_length": None, **changes}


SINGLES = [(name, value) for name, values in OPTIONS.items() for value in values]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_option_by_itself_is_the_equation(tiny, lab, kind, preset):
    for name, value in SINGLES:
        given = base(preset, **{name: value})
        assert agree(lab, tiny[kind], kind, given) or name == "components"


@pytest.mark.parametrize("kind", KINDS)
def test_options_together_are_the_equations(tiny, lab, kind):
    draw, compared = random.Random(3), 0
    for _ in range(60):
        given = {name: draw.choice(values) for name, values in OPTIONS.items()}
        if given["template"] != "plain" and given["text"] == "response":
            given["text"] = "both"
        if given["template"] == "alpaca" and given["max_length"]:
            given["max_length"] += 24  # the prompt comes first: what is cut must not be all
        compared += agree(lab, tiny[kind], kind, given)
    assert compared >= 40


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_the_readings_they_name(tiny, lab, kind, preset):
    assert agree(lab, tiny[kind], kind, base(preset), preset=preset)
    changed = base(preset, similarity="dot")
    assert agree(lab, tiny[kind], kind, changed, preset=preset, similarity="dot")


def test_the_encoder_preset_is_the_default(lab):
    assert lab.stage().params == lab.stage(preset="encoder").params


def test_the_last_block_is_read_before_the_final_norm(tiny, lab):
    pair, given = POOL[0], base(layers=[-1], baseline="none")
    blocks = tokens_of(tiny["llama"], "llama", "block_output", pair, "plain", "both", None)
    _, tokenizer = reference(tiny["llama"], "llama")
    ids = token_ids(tokenizer, "llama", written(pair, "plain", "both", "llama"), "plain", None)
    hidden = activations(tiny["llama"], "llama", "block_output", [ids])[1]
    np.testing.assert_allclose(blocks[1], hidden[2][0].numpy())
    assert np.abs(blocks[2] - hidden[-1][0].numpy()).max() > 0.1
    stage = lab.stage(**given)
    fit = lab.fit(tiny["llama"], stage, lab.rows(TARGET))
    found = lab.score(tiny["llama"], stage, lab.rows(POOL[:1]), {"pets": fit})["pets"][0]
    direction = fit["directions"][2, 0].astype(np.float64)
    assert found == pytest.approx(blocks[2, -1] @ direction, abs=1e-5)
    assert abs(found - hidden[-1][0, -1].numpy() @ direction) > 1e-2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hook", ["block_output", "mlp_neurons"])
def test_the_other_padding_side_makes_the_same_scores(tiny, lab, kind, hook):
    given = base(hook=hook, pool="mean", layer_scale="zscore")
    _, tokenizer = reference(tiny[kind], kind)

    def left_padded(pairs):
        texts = [written(pair, "plain", "both", kind) for pair in pairs]
        ids = [token_ids(tokenizer, kind, text, "plain", None) for text in texts]
        longest = max(map(len, ids)) + 3
        full = [[0] * (longest - len(each)) + each for each in ids]
        mask = torch.tensor([[0] * (longest - len(each)) + [1] * len(each) for each in ids])
        values, _ = activations(tiny[kind], kind, hook, full, mask)
        return [row[:, longest - len(each) :] for row, each in zip(values, ids, strict=True)]

    scores, _, _ = equations(left_padded(TARGET), left_padded(POOL), given)
    stage = lab.stage(**given)
    fits = {"pets": lab.fit(tiny[kind], stage, lab.rows(TARGET))}
    found = lab.score(tiny[kind], stage, lab.rows(POOL), fits)["pets"].to_numpy()
    np.testing.assert_allclose(found, scores, rtol=1e-5, atol=1e-5)


def drift_and_last(lab, folder, template):
    """Scores and directions with the drift, and with the last token as it is."""
    for baseline in ("first", "none"):
        stage = lab.stage(**base(center=True, baseline=baseline, template=template))
        fit = lab.fit(folder, stage, lab.rows(TARGET))
        scores = lab.score(folder, stage, lab.rows(POOL), {"pets": fit})["pets"]
        yield scores.to_numpy(), fit["directions"]


@pytest.mark.parametrize(("kind", "template"), [("llama", "plain"), ("qwen2", "alpaca")])
def test_drift_and_last_token_rank_alike_where_all_texts_begin_alike(tiny, lab, kind, template):
    (drift, ways), (last, same) = drift_and_last(lab, tiny[kind], template)
    np.testing.assert_allclose(ways, same, atol=1e-5)
    np.testing.assert_allclose(drift - last, (drift - last).mean(), atol=1e-5)
    assert abs((drift - last).mean()) > 1e-2
    assert drift.argsort().tolist() == last.argsort().tolist()


def test_drift_and_last_token_differ_where_texts_begin_otherwise(tiny, lab):
    (drift, _), (last, _) = drift_and_last(lab, tiny["qwen2"], "plain")
    assert np.ptp(drift - last) > 1e-2
