"""nait.alignment: what cannot be is refused, with a reason and before anything is made up."""

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from curate.api import CurateError
from curate_nait.directions import chosen, directions_of

PAIRS = [("the cat runs", "why"), ("a dog sleeps under it", ""), ("red house", "a blue tree")]


def test_what_each_template_reads(lab):
    assert lab.stage().inputs() == ("@both",)
    assert lab.stage(text="response").inputs() == ("@response",)
    assert lab.stage(template="alpaca").inputs() == ("@instruction", "@response")
    assert lab.stage(template="alpaca", text="instruction").inputs() == ("@instruction",)
    assert lab.stage(template="chat").inputs() == ("messages",)


def test_long_texts_are_cut_and_said_to_be(tiny, lab):
    rows = lab.rows([("cat " * 9, "dog"), ("cat", "dog")])
    found = lab.score(tiny["bert"], lab.stage(max_length=8), rows, {}, ("truncated",))
    assert found["truncated"].to_list() == [True, False]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"targets": {}}, "must name a capability"),
        ({"targets": {"Math": "a"}}, "'Math' cannot name a capability"),
        ({"targets": {"1st": "a"}}, "'1st' cannot name a capability"),
        ({"targets": {"truncated": "a"}}, "and not 'truncated'"),
        ({"targets": {"pets_layers": "a"}}, "it ends in _layers"),
        ({"features": {"pets": "a"}}, "'pets' stands under `targets` and `features`"),
        ({"features": {"a_layers": "a"}}, "it ends in _layers"),
        ({"preset": "papers"}, "preset"),
        ({"template": "alpaca", "text": "response"}, "has no response alone"),
        ({"template": "chat", "text": "response"}, "has no response alone"),
        ({"max_length": 0}, "max_length"),
        ({"components": 0}, "components"),
        ({"layers": "first"}, "layers"),
        ({"layers": "1.."}, "layers"),
        ({"hook": "attention"}, "hook"),
        ({"dtype": "float16"}, "dtype"),
        ({"centre": True}, "centre"),
    ],
)
def test_parameters_that_make_no_sense(lab, params, said):
    with pytest.raises(ValidationError, match=said):
        lab.stage(**params)


def test_what_is_written_comes_before_the_preset(lab):
    made = lab.stage(preset="paper", pool="mean").params
    assert (made.pool, made.similarity, made.preset) == ("mean", "dot", None)


@pytest.mark.parametrize(
    ("pairs", "options", "said"),
    [
        ([], {}, "no examples"),
        (PAIRS[:1], {"components": 2}, "1 examples for 2 components"),
        (PAIRS[:2], {"components": 2, "center": True}, "layer 1 do not differ enough"),
        (PAIRS[:1], {"center": True}, "layer 1 do not differ enough"),
        ([PAIRS[0]] * 5, {"center": True}, "layer 1 do not differ enough"),
        ([("cat", "")] * 3, {}, "layer 1 do not differ enough"),  # one token does not drift
        ([PAIRS[0], ("", "")], {}, "no token"),
    ],
)
def test_a_target_without_direction_is_named(tiny, lab, pairs, options, said):
    stage = lab.stage(**options)
    with pytest.raises(CurateError, match=f"target 'pets' gives no direction: .*{said}"):
        lab.fit(tiny["gpt2"], stage, lab.rows(pairs))


def test_samples_that_do_not_differ_cannot_scale(tiny, lab):
    stage = lab.stage()
    fits = {"pets": lab.fit(tiny["gpt2"], stage, lab.rows(PAIRS[:1]))}
    with pytest.raises(CurateError, match="samples do not differ in layer 1"):
        lab.score(tiny["gpt2"], stage, lab.rows(PAIRS), fits)


def test_a_row_without_a_token_comes_last_as_an_error(tiny, lab):
    stage = lab.stage(layer_scale="none")
    fits = {"pets": lab.fit(tiny["gpt2"], stage, lab.rows(PAIRS))}
    rows = lab.rows([("", ""), *PAIRS])
    found = []
    with pytest.raises(ValueError, match="no token"):
        found.extend(stage.stream(rows, lab.context(tiny["gpt2"], fits, ("pets",))))
    assert sorted(pl.concat(found)["id"]) == ["001", "002", "003"]


@pytest.mark.parametrize("layers", ["0..2", "3..2", "abc", [0], [1, 1], [], -1, [1, "2"]])
def test_layers_that_make_no_sense_are_refused_at_check(lab, layers):
    with pytest.raises(ValidationError, match="chooses no layers"):
        lab.stage(layers=layers)


@pytest.mark.parametrize("layers", ["2..4", [4], [-4], [3, -1]])
def test_layers_outside_the_model_are_refused(tiny, lab, layers):
    stage = lab.stage(layers=layers)
    fits = {"pets": lab.fit(tiny["gpt2"], stage, lab.rows(PAIRS))}
    with pytest.raises(CurateError, match="does not choose among the model's 3 blocks"):
        lab.score(tiny["gpt2"], stage, lab.rows(PAIRS), fits)


def test_layers_count_from_one_and_from_the_end():
    assert chosen("all", 4) == [0, 1, 2, 3]
    assert chosen("2..3", 4) == [1, 2]
    assert chosen([-1, 1], 4) == [0, 3]


def test_a_model_without_chat_template_is_refused_before_any_work(without_chat, lab, tiny):
    stage = lab.stage(template="chat")
    context = lab.context(without_chat)
    with pytest.raises(CurateError, match="has no chat template"):
        stage.prepare(context.models, context.service)
    context = lab.context(tiny["gpt2"])
    stage.prepare(context.models, context.service)


def test_neurons_that_cannot_be_found_are_refused_but_blocks_are_read(tmp_path, tiny, lab):
    from transformers import AutoTokenizer, MambaConfig, MambaForCausalLM

    config = MambaConfig(vocab_size=48, hidden_size=16, num_hidden_layers=2, state_size=4)
    MambaForCausalLM(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny["gpt2"]).save_pretrained(tmp_path)
    with pytest.raises(CurateError, match=r"neurons .* cannot be found.*no attention"):
        lab.fit(tmp_path, lab.stage(), lab.rows(PAIRS))
    found = lab.fit(tmp_path, lab.stage(hook="block_output"), lab.rows(PAIRS))
    assert found["directions"].shape == (2, 1, 16)


def test_the_direction_is_what_samples_share_and_points_their_way():
    draw = np.random.default_rng(0)
    shared = draw.standard_normal((2, 8))
    shared /= np.linalg.norm(shared, axis=1, keepdims=True)
    samples = (-5 * shared + 0.1 * draw.standard_normal((50, 2, 8))).astype(np.float32)
    found = directions_of(samples, center=False)
    assert found["directions"].shape == (2, 1, 8)
    assert found["directions"].dtype == np.float32
    assert ((found["directions"][:, 0] * -shared).sum(axis=1) > 0.999).all()
    assert (found["explained"] > 0.98).all()
    centred = directions_of(samples, center=True)
    assert (np.abs((centred["directions"][:, 0] * shared).sum(axis=1)) < 0.9).all()
    assert ((centred["directions"][:, 0] * samples.mean(axis=0)).sum(axis=1) > 0).all()
    drifting = directions_of(samples, -samples, center=False)
    np.testing.assert_array_equal(drifting["directions"], -found["directions"])


@pytest.mark.parametrize("count", [5, 40])
def test_more_samples_than_width_or_fewer_give_the_same_components(count):
    """The two Gram matrices, against a singular value decomposition."""
    samples = np.random.default_rng(1).standard_normal((count, 1, 12)).astype(np.float32)
    found = directions_of(samples, center=True, components=3)
    own = samples[:, 0].astype(np.float64)
    _, sizes, vectors = np.linalg.svd(own - own.mean(axis=0))
    cosines = (found["directions"][0] * vectors[:3]).sum(axis=1)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-6)
    np.testing.assert_allclose(found["explained"][0], sizes[:3] ** 2 / (sizes**2).sum())
