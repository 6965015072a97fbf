"""Log-probabilities of tokens: against float64 one row at a time, and to the bit in any company."""

import random
import shutil
from copy import deepcopy

import numpy as np
import polars as pl
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from curate.api import CurateError
from curate_embed import likelihoods
from curate_embed.likelihoods import _parts

REACH = 96
KINDS = ("llama", "qwen2", "gpt2", "gemma2")
TURNS = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))
CHAT = (
    "<s>{% for turn in messages %}<|{{ turn.role }}|>\n{{ turn.content }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
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
    "why",
    "is",
    "it",
]
ALPACA = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{}\n\n### Response:\n"
)


def trained_tokenizer(kind):
    """Byte pairs; Llama's and Gemma's texts begin with <s>."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>", "<|user|>", "<|assistant|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator([" ".join(WORDS), ALPACA] * 4, trainer)
    if kind in ("llama", "gemma2"):
        made.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 0)]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", model_max_length=REACH
    )
    tokenizer.chat_template = CHAT
    return tokenizer


def random_model(kind):
    import transformers as hf

    torch.manual_seed(1)
    sizes = {"vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 2, "intermediate_size": 48, "max_position_embeddings": REACH}
    sizes |= {"initializer_range": 0.3, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    if kind == "llama":
        return hf.LlamaForCausalLM(hf.LlamaConfig(**sizes))
    if kind == "qwen2":  # head and embeddings are one
        return hf.Qwen2ForCausalLM(
            hf.Qwen2Config(**sizes, num_key_value_heads=1, tie_word_embeddings=True)
        )
    if kind == "gemma2":  # caps its logits behind the head
        more = {"num_key_value_heads": 1, "head_dim": 16, "final_logit_softcapping": 2.0}
        return hf.Gemma2ForCausalLM(hf.Gemma2Config(**sizes, **more))
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": REACH}
    sizes |= {"bos_token_id": 0, "eos_token_id": 1}
    return hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=400, initializer_range=0.3, **sizes))


@pytest.fixture(scope="module")
def speakers(tmp_path_factory):
    """Folders of tiny decoders, by name."""
    folders = {}
    for kind in KINDS:
        folders[kind] = tmp_path_factory.mktemp(kind)
        random_model(kind).save_pretrained(folders[kind])
        trained_tokenizer(kind).save_pretrained(folders[kind])
    return folders


class Kept:
    """The log-probabilities as they come, in rows of one width."""

    sites = frozenset({"likelihoods"})

    def start(self, mask):
        self.mask, self.found = mask, []

    def see(self, site, layer, values):
        assert (site, layer) == ("likelihoods", 0)
        assert values.dtype == torch.float32
        assert values.shape == self.mask.shape
        assert not (~values.isnan() & ~self.mask).any()
        self.found.append(values)

    def finish(self):
        (values,) = self.found
        missing = REACH - values.shape[1]
        return torch.nn.functional.pad(values, (0, missing), value=torch.nan)


class Ends(Kept):
    """The final hidden state of the first token."""

    sites = frozenset({"final"})

    def see(self, site, layer, values):
        self.found.append(values[:, 0].float())

    def finish(self):
        return self.found[0]


def frame(pairs):
    return pl.DataFrame(
        {
            "@instruction": [each[0] for each in pairs],
            "@response": [each[1] for each in pairs],
            "@both": ["\n".join(each) if each[1] else each[0] for each in pairs],
            "messages": [
                [
                    {"role": "user", "content": one},
                    *([{"role": "assistant", "content": other}] if other is not None else []),
                ]
                for one, other in pairs
            ],
        },
        schema_overrides={"messages": TURNS},
    )


def drawn(count, seed, longest=20):
    draw = random.Random(seed)

    def words(most):
        return " ".join(draw.choices(WORDS, k=draw.randint(1, most)))

    return [(words(longest), f"{words(longest)} {words(1)}") for _ in range(count)]


PAIRS = [("why is it", "the cat runs"), ("the dog", "a red house. Ünï→ the tree"), *drawn(6, 1)]


def longhand(folder, ids):
    """float64 [tokens]: what a model says of each token but the first."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0].double()
    every = torch.log_softmax(logits[:-1], dim=-1)
    return every[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].numpy()


def prompts(kind, template, pair):
    """Prompt and response of a pair, as a chat tokenizer or a reader of the docs writes them."""
    if template == "chat":
        return f"<s><|user|>\n{pair[0]}</s>\n<|assistant|>\n", f"{pair[1]}</s>\n"
    begin = "<s>" if kind in ("llama", "gemma2") else ""
    return begin + (f"{pair[0]}\n" if template == "plain" else ALPACA.format(pair[0])), pair[1]


@pytest.mark.parametrize("template", ["plain", "alpaca", "chat"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_response_is_predicted_as_longhand_says(speakers, passing, collect, kind, template):
    model = passing(speakers[kind], predicts="response", template=template, dtype="float32")
    (found,), cut = collect(model, frame(PAIRS), Kept())
    assert not any(cut)
    tokenizer = AutoTokenizer.from_pretrained(speakers[kind])
    for pair, values in zip(PAIRS, found, strict=True):
        prompt, response = prompts(kind, template, pair)
        # apart: here no token joins prompt and response
        first = tokenizer.encode(prompt, add_special_tokens=False)
        second = tokenizer.encode(response, add_special_tokens=False)
        assert tokenizer.encode(prompt + response, add_special_tokens=False) == first + second
        expected = longhand(speakers[kind], first + second)[-len(second) :]
        place = slice(len(first), len(first) + len(second))
        np.testing.assert_allclose(values[place], expected, rtol=1e-5, atol=1e-5)
        assert np.isnan(values[: len(first)]).all()
        assert np.isnan(values[len(first) + len(second) :]).all()


HEADINGS = {"plain": "", "alpaca": "### Response:\n", "chat": "<|assistant|>\n"}


@pytest.mark.parametrize("template", HEADINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_response_alone_has_the_heading_of_its_template(
    speakers, passing, collect, kind, template
):
    options = {"predicts": "response", "text": "response", "template": template}
    (found,), _ = collect(passing(speakers[kind], **options), frame(PAIRS), Kept())
    tokenizer = AutoTokenizer.from_pretrained(speakers[kind])
    begins = "<s>" if template == "chat" or kind in ("llama", "gemma2") else ""
    for (_, response), values in zip(PAIRS, found, strict=True):
        heading = tokenizer.encode(begins + HEADINGS[template], add_special_tokens=False)
        answer = response + ("</s>\n" if template == "chat" else "")
        second = tokenizer.encode(answer, add_special_tokens=False)
        expected = longhand(speakers[kind], heading + second)
        known = values[~np.isnan(values)]
        # the first token of all is predicted by none
        assert len(known) == len(second) - (not heading)
        np.testing.assert_allclose(known, expected[-len(known) :], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("text", ["instruction", "response", "both"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_text_is_predicted_but_for_its_first_token(speakers, passing, collect, kind, text):
    model = passing(speakers[kind], predicts="text", text=text)
    rows = frame(PAIRS)
    (found,), _ = collect(model, rows, Kept())
    tokenizer = AutoTokenizer.from_pretrained(speakers[kind])
    for each, values in zip(rows[f"@{text}"], found, strict=True):
        ids = tokenizer.encode(each)
        np.testing.assert_allclose(
            values[1 : len(ids)], longhand(speakers[kind], ids), rtol=1e-5, atol=1e-5
        )
        assert np.isnan(values[0])
        assert np.isnan(values[len(ids) :]).all()


@pytest.mark.parametrize("predicts", ["text", "response"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_bits_depend_on_the_row_alone(speakers, passing, collect, kind, dtype, predicts):
    pairs = [*drawn(150, 2), *drawn(150, 3, longest=3), ("cat " * 120, "dog"), ("a", "dog " * 99)]
    pairs = [pair for pair in pairs if predicts == "text" or len(pair[0]) < 200]
    rows = frame(pairs)

    def values(rows, **options):
        model = passing(speakers[kind], predicts=predicts, dtype=dtype, **options)
        return collect(model, rows, Kept())[0][0]

    whole = values(rows)
    assert (~np.isnan(whole)).any(axis=1).all()
    order = random.Random(4).sample(range(len(rows)), len(rows))
    assert np.array_equal(values(rows[order]), whole[order], equal_nan=True)
    assert np.array_equal(values(rows[40:75], batch_size=3), whole[40:75], equal_nan=True)
    for at in (0, 7, 200, len(rows) - 1):
        assert np.array_equal(values(rows[at : at + 1]), whole[at : at + 1], equal_nan=True)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("tokens", [8, 100, 100_000])
def test_parts_of_another_size_differ_by_rounding_only(
    speakers, passing, collect, monkeypatch, tokens, dtype
):
    model, rows = passing(speakers["qwen2"], predicts="text", dtype=dtype), frame(drawn(40, 5))
    (usual,), _ = collect(model, rows, Kept())
    monkeypatch.setattr(likelihoods, "TOKENS", tokens)
    (other,), _ = collect(model, rows, Kept())
    near = 1e-5 if dtype == "float32" else 0.05
    np.testing.assert_allclose(other, usual, rtol=near, atol=near)


@pytest.mark.parametrize(("rows", "length"), [(256, 8), (16, 120), (8, 256), (8, 600), (12, 90)])
def test_parts_cover_a_batch_once_and_stay_small(rows, length):
    seen = np.zeros((rows, length), dtype=int)
    shapes = set()
    for place in _parts(rows, length):
        seen[place] += 1
        shapes.add(seen[place].shape)
        assert seen[place].size <= 256
    assert (seen == 1).all()
    assert len(shapes) == 1 + (length > 256 and length % 256 > 0)


def test_a_guest_that_reads_no_likelihoods_shares_the_pass(speakers, passing, collect):
    rows = frame(PAIRS)
    model = passing(speakers["llama"], predicts="text")
    (alone,), _ = collect(model, rows, Kept())
    (likely, first), _ = collect(model, rows, Kept(), Ends())
    assert np.array_equal(likely, alone, equal_nan=True)
    (headless,), _ = collect(passing(speakers["llama"]), rows, Ends())
    assert np.array_equal(first, headless)


def test_the_head_is_not_computed_for_those_who_do_not_ask(speakers, passing, collect, monkeypatch):
    model = passing(speakers["llama"], predicts="text")
    monkeypatch.setattr(likelihoods.Head, "likelihoods", None)
    (found,), _ = collect(model, frame(PAIRS), Ends())
    assert len(found) == len(PAIRS)


def test_asking_a_pass_that_predicts_nothing_is_an_error(speakers, passing):
    with pytest.raises(CurateError, match="predicts nothing"):
        next(passing(speakers["llama"]).run(frame(PAIRS), [Kept()]))


def test_a_cut_text_keeps_the_tokens_that_remain(speakers, passing, collect):
    options = {"predicts": "response", "max_length": 24}
    pairs = [("the cat", "dog " * 40), ("the cat", "a dog")]
    (found,), cut = collect(passing(speakers["llama"], **options), frame(pairs), Kept())
    assert cut == [True, False]
    (whole,), _ = collect(passing(speakers["llama"], predicts="response"), frame(pairs), Kept())
    assert np.isnan(found[0, 24:]).all()
    np.testing.assert_allclose(found[0, :24], whole[0, :24], rtol=1e-5, atol=1e-5)
    assert (~np.isnan(found[0])).sum() < (~np.isnan(whole[0])).sum()


@pytest.mark.parametrize(
    ("kind", "options", "pair", "said"),
    [
        ("llama", {"predicts": "response"}, ("the cat", ""), "the response is empty"),
        ("llama", {"predicts": "text"}, ("", ""), "the text is empty"),
        ("llama", {"predicts": "response"}, ("cat " * 120, "dog"), "was cut after 96 tokens"),
        ("gpt2", {"predicts": "text"}, ("a", ""), "the text is one token"),
        ("gpt2", {"predicts": "response", "text": "response"}, ("b", "a"), "is one token"),
        ("gpt2", {"predicts": "response", "template": "chat"}, ("a", None), "response is empty"),
        ("gpt2", {"predicts": "response", "template": "chat"}, ("a", ""), "response is empty"),
    ],
)
def test_a_row_of_which_nothing_can_be_predicted_fails(
    speakers, passing, kind, options, pair, said
):
    rows = frame([("the cat", "a dog runs"), pair, ("why", "it sleeps then")])
    found, run = [], passing(speakers[kind], **options).run(rows, [Kept()])
    with pytest.raises(ValueError, match=said):
        found.extend(at for positions, _, _ in run for at in positions.tolist())
    assert sorted(found) == [0, 2]


@pytest.mark.parametrize("answer", ["the cat", "\nthe cat", "  the cat"])
def test_a_token_that_begins_in_the_prompt_is_no_part_of_the_response(
    speakers, passing, collect, answer
):
    model = passing(speakers["gpt2"], predicts="response")
    (found,), _ = collect(model, frame([("why\n", answer)]), Kept())
    tokenizer = AutoTokenizer.from_pretrained(speakers["gpt2"])
    given = tokenizer(f"why\n\n{answer}", return_offsets_mapping=True)
    begins = [start >= len("why\n\n") for start, _ in given["offset_mapping"]]
    assert (~np.isnan(found[0]))[: len(begins)].tolist() == begins


def test_an_answer_that_its_template_hides_in_the_prompt_fails(speakers, passing, tmp_path):
    folder = shutil.copytree(speakers["gpt2"], tmp_path / "model")
    (folder / "chat_template.jinja").write_text(
        "{{ messages | length }}{% for turn in messages %}{{ turn.content }}{% endfor %}"
    )
    run = passing(folder, predicts="response", template="chat").run(frame(PAIRS[:1]), [Kept()])
    with pytest.raises(ValueError, match="not the beginning of what it makes of the conversation"):
        next(run)


def test_models_saved_without_a_head_are_refused(tiny, passing):
    for kind in ("bert", "gpt2"):
        with pytest.raises(CurateError, match=r"no language-model head: it was saved as \w+Model"):
            passing(tiny[kind], predicts="text")
    passing(tiny["llama"], predicts="text")


def test_missing_weights_of_the_head_are_an_error(speakers, passing, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(speakers["llama"], tmp_path / "headless")
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    passing(folder)
    with pytest.raises(CurateError, match=r"lacks 1 weights .*lm_head\.weight"):
        passing(folder, predicts="text")


def test_a_model_that_looks_ahead_is_refused(tiny, passing, tokenizer, tmp_path):
    from transformers import BertConfig, BertLMHeadModel

    sizes = {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 32, "max_position_embeddings": 64, "initializer_range": 0.5}
    for causal in (True, False):
        folder = tmp_path / str(causal)
        BertLMHeadModel(BertConfig(**sizes, is_decoder=causal)).save_pretrained(folder)
        tokenizer["bert"].save_pretrained(folder)
    passing(tmp_path / "True", predicts="text")
    with pytest.raises(CurateError, match="is an encoder: it reads what comes after"):
        passing(tmp_path / "False", predicts="text")


def test_a_head_that_cannot_be_told_from_its_transformer_is_refused(
    speakers, passing, monkeypatch, tmp_path
):
    from transformers import LlamaForCausalLM

    folder = shutil.copytree(speakers["llama"], tmp_path / "other")
    monkeypatch.setattr(LlamaForCausalLM, "get_decoder", lambda self: deepcopy(self.model))
    with pytest.raises(CurateError, match="cannot be told from its transformer"):
        passing(folder, predicts="text")
