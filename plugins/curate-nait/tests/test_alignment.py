"""nait.alignment against a longhand reference on tiny models, and to the bit against itself."""

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModel, AutoTokenizer

from curate.api import Context, CurateError, ModelFiles
from curate_embed.forward import ForwardService
from curate_nait.activations import directions_of
from curate_nait.stages import Alignment, AlignmentParams

WORDS = [
    "the",
    "a",
    "cat",
    "dog",
    "runs",
    "sleeps",
    "over",
    "under",
    "red",
    "blue",
    "house",
    "tree",
    "and",
    "then",
]
POOL = ["the cat runs over the red house", "dog", "a blue tree and then a dog", "red red cat"]
TARGET = ["the cat sleeps", "a cat runs", "the dog runs under a tree", "cat and dog", "blue cat"]
OTHER = ["house", "red house and blue house", "a house under the tree", "then the house"]
BLOCKS = {"bert": "encoder.layer", "llama": "layers"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import (
        BertConfig,
        BertModel,
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
    )

    vocabulary = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    sizes = {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 32, "max_position_embeddings": 64, "initializer_range": 0.5}
    torch.manual_seed(0)
    made = {"bert": BertModel(BertConfig(**sizes)), "llama": LlamaForCausalLM(LlamaConfig(**sizes))}
    folders = {}
    for name, model in made.items():
        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        if name == "bert":
            tokenizer.post_processor = processors.TemplateProcessing(
                single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
            )
        folders[name] = tmp_path_factory.mktemp(name)
        model.save_pretrained(folders[name])
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]").save_pretrained(
            folders[name]
        )
    return folders


def longhand(folder, kind, text, pool, baseline):
    """Pooled block outputs of one text by itself, float64 [layers, width]."""
    model = AutoModel.from_pretrained(folder).eval()
    ids = AutoTokenizer.from_pretrained(folder)(text)["input_ids"]
    kept = []
    for block in model.get_submodule(BLOCKS[kind]):
        block.register_forward_hook(
            lambda _m, _i, out: kept.append(out[0] if isinstance(out, tuple) else out)
        )
    with torch.inference_mode():
        model(input_ids=torch.tensor([ids]))
    layers = []
    for block in kept:
        hidden = block[0].double().numpy()
        value = hidden.mean(axis=0) if pool == "mean" else hidden[-1]
        layers.append(value - hidden[0] if baseline == "first" else value)
    return np.array(layers)


def longhand_scores(folder, kind, pool, baseline, center):
    target = np.array([longhand(folder, kind, text, pool, baseline) for text in TARGET])
    scores = np.zeros(len(POOL))
    for layer in range(target.shape[1]):
        samples = target[:, layer]
        mean = samples.mean(axis=0)
        shifted = samples - mean if center else samples
        strengths, vectors = np.linalg.eigh(shifted.T @ shifted)
        direction = vectors[:, strengths.argmax()]
        direction = direction if mean @ direction > 0 else -direction
        for at, text in enumerate(POOL):
            scores[at] += longhand(folder, kind, text, pool, baseline)[layer] @ direction
    return scores


def stage_of(**params):
    targets = params.pop("targets", {"pets": "pets.jsonl"})
    return Alignment(AlignmentParams.model_validate({"targets": targets, **params}), "nait")


def context(folder, fits=None, wanted=()):
    service = ForwardService()
    files = ModelFiles(str(folder), folder, None, str(folder))
    return Context(0, {"model": files}, fits or {}, wanted, lambda name: service)


def frame(texts, **columns):
    ids = [f"{i:02}" for i in range(len(texts))]
    return pl.DataFrame({"id": ids, "@both": texts, **columns}, schema_overrides={"id": pl.String})


def score(folder, stage, rows, fits, wanted):
    found = pl.concat(stage.stream(rows, context(folder, fits, wanted))).sort("id")
    assert found.columns == ["id", *wanted]
    return found


@pytest.mark.parametrize("kind", ["bert", "llama"])
@pytest.mark.parametrize(
    ("pool", "baseline", "center"),
    [
        ("mean", "none", False),
        ("mean", "none", True),
        ("last", "none", False),
        ("last", "first", False),
        ("mean", "first", True),
    ],
)
def test_agrees_with_the_formula(tiny, kind, pool, baseline, center):
    stage = stage_of(pool=pool, baseline=baseline, center=center)
    fitted = stage.fit("pets", frame(TARGET), context(tiny[kind]))
    assert fitted["directions"].shape == fitted["mean"].shape == (3, 16)
    assert fitted["directions"].dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(fitted["directions"], axis=1), 1, atol=1e-6)
    found = score(tiny[kind], stage, frame(POOL), {"pets": fitted}, ("pets",))["pets"]
    expected = longhand_scores(tiny[kind], kind, pool, baseline, center)
    np.testing.assert_allclose(found.to_numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_the_bits_of_a_score_depend_on_its_row_alone(tiny, kind):
    pool = [" ".join(WORDS[i % 14] for i in range(n, n * 2 + 1)) for n in range(40)]
    stage = stage_of()
    fits = {"pets": stage.fit("pets", frame(TARGET), context(tiny[kind]))}
    whole = score(tiny[kind], stage, frame(pool), fits, ("pets",))
    shuffled = frame(pool).sample(fraction=1, shuffle=True, seed=3)
    assert score(tiny[kind], stage, shuffled, fits, ("pets",)).equals(whole)
    assert score(tiny[kind], stage, frame(pool)[7:9], fits, ("pets",)).equals(whole[7:9])
    bigger = stage_of(batch_size=4)
    assert score(tiny[kind], bigger, frame(pool), fits, ("pets",)).equals(whole)


def test_one_target_knows_nothing_of_another(tiny):
    alone, both = stage_of(), stage_of(targets={"pets": "a", "houses": "b"})
    fits = {
        "pets": both.fit("pets", frame(TARGET), context(tiny["bert"])),
        "houses": both.fit("houses", frame(OTHER), context(tiny["bert"])),
    }
    first = score(tiny["bert"], alone, frame(POOL), {"pets": fits["pets"]}, ("pets",))
    second = score(tiny["bert"], both, frame(POOL), fits, ("houses", "pets", "truncated"))
    assert first["pets"].equals(second["pets"])
    assert not second["houses"].equals(second["pets"])
    assert both.depends("pets").fits == ("pets",)
    assert both.depends("truncated").fits == ()
    assert "targets" not in (both.depends("truncated").params or ())
    assert set(both.fits()) == {"pets", "houses"}


def test_long_texts_are_cut_and_said_to_be(tiny):
    stage = stage_of(max_length=8)
    found = score(tiny["bert"], stage, frame(["cat " * 9, "cat"]), {}, ("truncated",))
    assert found["truncated"].to_list() == [True, False]


def test_what_each_template_reads(tiny):
    assert stage_of().inputs() == ("@both",)
    assert stage_of(text="response").inputs() == ("@response",)
    assert stage_of(template="alpaca").inputs() == ("@instruction", "@response")
    assert stage_of(template="alpaca", text="instruction").inputs() == ("@instruction",)
    prompt = (
        "Below is an instruction that describes a task. Write a response that appropriately "
        "completes the request.\n\n### Instruction:\n{}\n\n### Response:\n{}"
    )
    plain, alpaca = stage_of(), stage_of(template="alpaca")
    fits = {"pets": plain.fit("pets", frame(TARGET), context(tiny["bert"]))}
    pairs = (
        frame(["", ""])
        .drop("@both")
        .with_columns(
            pl.Series("@instruction", ["the {cat}", "dog"]), pl.Series("@response", ["runs", ""])
        )
    )
    texts = [prompt.format("the {cat}", "runs"), prompt.format("dog", "")]
    expected = score(tiny["bert"], plain, frame(texts), fits, ("pets",))
    assert score(tiny["bert"], alpaca, pairs, fits, ("pets",)).equals(expected)


@pytest.mark.parametrize(
    "params",
    [
        {"targets": {}},
        {"targets": {"Math": "a"}},
        {"targets": {"truncated": "a"}},
        {"template": "alpaca", "text": "response"},
        {"max_length": 0},
    ],
)
def test_parameters_that_make_no_sense(params):
    with pytest.raises(ValidationError):
        stage_of(**params)


@pytest.mark.parametrize(
    ("texts", "center", "said"),
    [
        ([], False, "no examples"),
        (["cat"], True, "do not differ"),
        (["cat", ""], False, "no token"),
    ],
)
def test_a_target_without_direction_is_named(tiny, texts, center, said):
    stage = stage_of(center=center)
    with pytest.raises(CurateError, match=f"'pets' gives no direction.*{said}"):
        stage.fit("pets", frame(texts), context(tiny["llama"]))


def test_the_direction_is_what_samples_share_and_points_their_way():
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((2, 8))
    shared /= np.linalg.norm(shared, axis=1, keepdims=True)
    samples = (-5 * shared + 0.1 * rng.standard_normal((50, 2, 8))).astype(np.float32)
    found = directions_of(samples, center=False)
    assert ((found["directions"] * -shared).sum(axis=1) > 0.999).all()
    assert (found["explained"] > 0.98).all()
    centred = directions_of(samples, center=True)
    assert (np.abs((centred["directions"] * shared).sum(axis=1)) < 0.9).all()
    assert ((centred["directions"] * samples.mean(axis=0)).sum(axis=1) > 0).all()
