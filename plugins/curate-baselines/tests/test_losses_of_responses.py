"""IFD, Superfiltering and perplexity against longhand float64, one row at a time."""

import itertools
import math
import random
from functools import partial

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM, AutoTokenizer

from curate.api import CurateError
from curate_baselines.difficulty import Ifd, Superfilter
from curate_baselines.perplexity import Perplexity

KINDS = ("llama", "qwen2", "gpt2")
STAGES = (Ifd, Superfilter, Perplexity)
HEADINGS = {"plain": "", "alpaca": "### Response:\n", "chat": "<|assistant|>\n"}


@pytest.fixture(scope="module")
def speaking(tiny):
    """Model in float64 and tokenizer, by name."""
    return {
        kind: (
            AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval(),
            AutoTokenizer.from_pretrained(folder),
        )
        for kind, folder in tiny.items()
    }


def losses(model, ids):
    """The loss in nats of each token but the first, in float64."""
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0].double()
    every = torch.log_softmax(logits[:-1], dim=-1)
    return [-float(every[at, token]) for at, token in enumerate(ids[1:])]


def longhand(speaker, pair, template, alpaca, most=10_000):
    """Mean losses of the response given its instruction and alone, as the papers say it."""
    model, tokenizer = speaker
    instruction, response = pair
    if template == "chat":
        prompt, response = f"<|user|>\n{instruction}</s>\n<|assistant|>\n", f"{response}</s>\n"
    else:
        prompt = f"{instruction}\n" if template == "plain" else alpaca.format(instruction)
    specials = {"add_special_tokens": template != "chat"}
    before = len(tokenizer.encode(prompt, **specials))
    whole = tokenizer.encode(prompt + response, **specials)
    cut = len(whole) > most
    given = losses(model, whole[:most])[before - 1 :]
    heading = len(tokenizer.encode(HEADINGS[template], **specials))
    bare = tokenizer.encode(HEADINGS[template] + response, **specials)[:most]
    alone = losses(model, bare)
    alone = alone[max(heading - 1, 0) :]
    alone = alone[: len(given)] if cut else alone
    return sum(given) / len(given), sum(alone) / len(alone), cut


@pytest.mark.parametrize(
    ("kind", "template"),
    [*((kind, template) for kind in KINDS for template in ("plain", "alpaca")), ("qwen2", "chat")],
)
def test_losses_and_ratios_are_those_of_longhand(tiny, lab, speaking, kind, template):
    pairs = [*lab.pairs(30, 1), ("why", "the"), ("the cat", "Ünï → the red\n\ntree ")]
    pairs += [("is a cat", "dog " * 200)]
    pairs = [pair for pair in pairs if template != "plain" or len(pair[1]) > 3]
    rows = lab.rows(pairs)
    ifd = lab.score(lab.stage(Ifd, tiny[kind], template=template), rows)
    small = lab.score(lab.stage(Superfilter, tiny[kind], template=template), rows)
    for pair, one, other in zip(pairs, ifd.to_dicts(), small.to_dicts(), strict=True):
        given, alone, cut = longhand(speaking[kind], pair, template, lab.alpaca, 128)
        assert one["truncated"] is other["truncated"] is cut
        for row in (one, other):
            assert row["conditioned"] == pytest.approx(given, rel=1e-5)
            assert row["alone"] == pytest.approx(alone, rel=1e-5)
        assert one["score"] == pytest.approx(given / alone, rel=1e-5)
        assert other["score"] == pytest.approx(math.exp(given) / math.exp(alone), rel=1e-5)
    assert ifd["truncated"].sum() == 1


def test_superfiltering_counts_what_its_authors_count(tiny, lab, speaking):
    """Their arithmetic: the response alone is cut at max_length - len(prompt) + 1 tokens."""
    most, (model, tokenizer) = 40, speaking["gpt2"]
    pairs = [*lab.pairs(20, 2), *lab.pairs(20, 3, longest=60)]
    kept = [pair for pair in pairs if len(tokenizer.encode(pair[0])) + 1 < most]
    found = lab.score(lab.stage(Superfilter, tiny["gpt2"], max_length=most), lab.rows(kept))
    for (instruction, response), row in zip(kept, found.to_dicts(), strict=True):
        prompt = tokenizer.encode(instruction + "\n")
        bare = tokenizer.encode(response)[: most - len(prompt) + 1]
        whole = tokenizer.encode(f"{instruction}\n{response}")[:most]
        direct = np.mean(losses(model, bare))
        conditioned = np.mean(losses(model, whole)[len(prompt) - 1 :])
        expected = math.exp(conditioned) / math.exp(direct)
        assert row["score"] == pytest.approx(expected, rel=1e-5)
    assert 5 < found["truncated"].sum() < len(found)


@pytest.mark.parametrize("text", ["instruction", "response", "both"])
@pytest.mark.parametrize("kind", KINDS)
def test_perplexity_is_that_of_longhand(tiny, lab, speaking, kind, text):
    rows = lab.rows([*lab.pairs(30, 4), ("cat " * 200, "dog runs"), ("why is", "dog " * 150)])
    rows = rows[:30] if text == "response" else rows
    rows = rows.filter(rows[f"@{text}"].str.contains(" "))
    found = lab.score(lab.stage(Perplexity, tiny[kind], text=text), rows)
    model, tokenizer = speaking[kind]
    for words, row in zip(rows[f"@{text}"], found.to_dicts(), strict=True):
        ids = tokenizer.encode(words)
        mean = np.mean(losses(model, ids[:128]))
        assert row["loss"] == pytest.approx(mean, rel=1e-5)
        assert row["perplexity"] == pytest.approx(math.exp(mean), rel=1e-4)
        assert row["truncated"] is (len(ids) > 128)


def test_perplexity_of_a_prompt_counts_its_tokens(tiny, lab, speaking):
    rows = lab.rows(lab.pairs(5, 6))
    stage = lab.stage(Perplexity, tiny["gpt2"], template="alpaca")
    model, tokenizer = speaking["gpt2"]
    for pair, row in zip(lab.pairs(5, 6), lab.score(stage, rows).to_dicts(), strict=True):
        ids = tokenizer.encode(lab.alpaca.format(pair[0]) + pair[1])
        assert row["loss"] == pytest.approx(np.mean(losses(model, ids)), rel=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_bits_depend_on_the_row_alone(tiny, lab, kind, stage, dtype):
    made = lab.stage(stage, tiny[kind], dtype=dtype, max_length=100)
    rows = lab.rows([*lab.pairs(150, 7), *lab.pairs(60, 8, longest=40), ("why", "the cat " * 80)])
    whole = lab.score(made, rows)
    assert 0 < whole["truncated"].sum() < 100
    assert whole[whole.columns[1]].n_unique() > 200
    shuffled = rows.sample(fraction=1, shuffle=True, seed=3)
    assert lab.score(made, shuffled).equals(whole)
    assert lab.score(made, rows[40:90]).equals(whole[40:90])
    for at in (0, 5, 180, len(rows) - 1):
        assert lab.score(made, rows[at : at + 1]).equals(whole[at : at + 1])


def test_batches_between_two_results_change_nothing(tiny, lab):
    rows = lab.rows(lab.pairs(100, 9))
    first, second = (lab.stage(Perplexity, tiny["llama"], batch_size=size) for size in (1, 50))
    assert lab.score(first, rows).equals(lab.score(second, rows))


@pytest.mark.parametrize("stage", STAGES)
def test_only_what_is_wanted_is_given(tiny, lab, stage):
    made, rows = lab.stage(stage, tiny["gpt2"]), lab.rows(lab.pairs(20, 10))
    whole = lab.score(made, rows)
    for name in made.outputs():
        assert lab.score(made, rows, [name]).equals(whole.select("id", name))


@pytest.mark.parametrize("stage", STAGES)
def test_other_threads_and_shapes_stay_within_the_tolerance(tiny, lab, monkeypatch, stage):
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from curate_embed import encoder, likelihoods, shapes

    made, rows = lab.stage(stage, tiny["llama"]), lab.rows(lab.pairs(80, 11))
    numbers = [name for name, output in made.outputs().items() if output.kind == "number"]
    usual, threads, tight, found = (
        lab.score(made, rows),
        torch.get_num_threads(),
        shapes.padded,
        [],
    )
    try:
        for count, tokens, more in ((1, 64, 8), (2, 512, 24)):
            torch.set_num_threads(count)
            with monkeypatch.context() as patch:
                patch.setitem(encoder.TOKENS, "cpu", tokens)
                patch.setitem(encoder.TOKENS, "cuda", tokens)
                patch.setattr(likelihoods, "TOKENS", tokens)
                wide = partial(lambda by, length, most: min(tight(length, most) + by, most), more)
                patch.setattr(shapes, "padded", wide)
                found.append(lab.score(made, rows))
    finally:
        torch.set_num_threads(threads)
    with sdpa_kernel(SDPBackend.MATH):
        found.append(lab.score(made, rows))
    moved = []
    for other, name in itertools.product(found, numbers):
        shift = (usual[name] - other[name]).abs()
        if name == "perplexity":  # declared up to 100
            shift = shift / (usual[name] / 100).clip(lower_bound=1)
        moved.append(shift.max())
        assert moved[-1] <= made.outputs()[name].tolerance
    assert max(moved) > 0
    assert made.outputs()["truncated"].tolerance == 0


BAD = [
    (Ifd, "llama", {}, ("the cat", ""), "the response is empty"),
    (Superfilter, "gpt2", {}, ("the cat", ""), "the response is empty"),
    (Ifd, "llama", {"max_length": 16}, ("the cat", "dog runs"), "was cut after 16 tokens"),
    (Superfilter, "gpt2", {}, ("the cat", "a"), "is one token"),
    (Perplexity, "gpt2", {"text": "response"}, ("the cat", "a"), "the text is one token"),
    (Perplexity, "gpt2", {"text": "instruction"}, ("", "a"), "the text is empty"),
]


@pytest.mark.parametrize(("stage", "kind", "options", "pair", "said"), BAD)
def test_a_row_that_cannot_be_scored_comes_last_as_an_error(
    tiny, lab, stage, kind, options, pair, said
):
    made, good = lab.stage(stage, tiny[kind], **options), [("why", "the cat runs")] * 3
    good = [] if options.get("max_length") else good
    if options.get("text") == "instruction":
        good = [pair[::-1] for pair in good]
    found = []
    with pytest.raises(ValueError, match=said):
        found.extend(lab.stream(made, lab.rows([pair, *good])))
    assert sorted(id for frame in found for id in frame["id"]) == ["001", "002", "003"][: len(good)]


def test_one_token_behind_a_heading_is_scored(tiny, lab):
    for kind in KINDS:
        found = lab.score(lab.stage(Ifd, tiny[kind]), lab.rows([("the cat", "a")]))
        assert found["score"][0] == found["conditioned"][0] / found["alone"][0]


@pytest.mark.parametrize("stage", STAGES)
def test_the_model_must_be_named(stage):
    with pytest.raises(ValidationError, match=r"model\n  Field required"):
        stage.Params.model_validate({})


def test_templates_and_texts_that_do_not_fit_are_refused(tiny, lab):
    from curate.api import ModelFiles
    from curate_embed.forward import ForwardService

    models = {"model": ModelFiles("tiny", tiny["gpt2"], None, "tiny")}
    for stage in STAGES:
        made = lab.stage(stage, tiny["gpt2"], template="chat")
        with pytest.raises(CurateError, match="has no chat template"):
            made.prepare(models, lambda name: ForwardService())
    with pytest.raises(ValidationError, match="has no response alone"):
        lab.stage(Perplexity, tiny["gpt2"], template="chat", text="response")


def test_truncation_depends_on_tokens_alone(tiny, lab):
    for stage in STAGES:
        made = lab.stage(stage, tiny["gpt2"])
        assert "dtype" not in made.depends("truncated").params
        for name in made.outputs():
            if name != "truncated":
                assert made.depends(name).params is None


def test_rows_come_in_any_order_of_lengths(tiny, lab):
    """Short and long responses pass in different batches of the two passes."""
    pairs = lab.pairs(300, 12, longest=24)
    pairs.sort(key=lambda pair: len(pair[1]) - 3 * len(pair[0]))
    random.Random(1).shuffle(pairs[100:])
    found = lab.score(lab.stage(Superfilter, tiny["qwen2"]), lab.rows(pairs))
    assert found["id"].to_list() == [f"{at:03}" for at in range(300)]


@pytest.mark.parametrize("kind", [Ifd, Superfilter])
def test_a_model_that_computes_nonsense_fails_the_row_and_is_not_left_out_of_the_mean(
    lab, tiny, tmp_path, kind
):
    model = AutoModelForCausalLM.from_pretrained(tiny["llama"])
    tokenizer = AutoTokenizer.from_pretrained(tiny["llama"])
    pairs = lab.pairs(5, 3)
    tokens = [set(tokenizer.encode(" ".join(pair))) for pair in pairs]
    own = max(tokens[0] - set().union(*tokens[1:]))
    with torch.no_grad():
        model.get_input_embeddings().weight[own] = torch.nan
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    stage, sound = lab.stage(kind, tmp_path), lab.stage(kind, tiny["llama"])
    found = lab.score(stage, lab.rows(pairs)).drop("id")
    known = lab.score(sound, lab.rows(pairs)).drop("id")
    assert found[1:].equals(known[1:])
    assert not math.isfinite(found["conditioned"][0])
