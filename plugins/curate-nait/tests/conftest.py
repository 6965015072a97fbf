"""Tiny models with random weights, and what runs nait.alignment on them."""

import os
import shutil

import polars as pl
import pytest

from curate.api import Context, ModelFiles
from curate_nait.alignment import Alignment
from curate_nait.parameters import AlignmentParams

# a busy machine crawls where threads wait for one another by spinning; bits are the same
os.environ.setdefault("OMP_NUM_THREADS", "1")

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "<s>", "<|user|>", "<|assistant|>"]
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
    "Below",
    "an",
    "instruction",
    "that",
    "describes",
    "task",
    "Write",
    "response",
    "appropriately",
    "completes",
    "request",
    "Instruction",
    "Response",
    "###",
    ".",
    ":",
]
CHAT = (
    "{{ bos }}{% for turn in messages %}<|{{ turn.role }}|> {{ turn.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|> {% endif %}"
)
STARTS = {"llama": ("<s>",), "qwen2": (), "gpt2": (), "bert": ("[CLS]",)}
SIZES = {
    "vocab_size": 48,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 96,
    "initializer_range": 0.5,
}


def _bytes_tokenizer():
    """Byte pairs as Qwen has them, merged up to whole words of the tests."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<|endoftext|>", *SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(WORDS)] * 4, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def _words_tokenizer(kind):
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = {word: at for at, word in enumerate([*SPECIAL, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(
        Regex(r"<\|\w+\|>|<s>|\w+|#+|[^\w\s]|\s+"), "isolated"
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), tokenizer.pre_tokenizer]
    )
    tokenizer.add_special_tokens(SPECIAL)
    forms = {"llama": "<s> $A", "bert": "[CLS] $A [SEP]"}
    if kind in forms:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=forms[kind],
            special_tokens=[(each, words[each]) for each in ("<s>", "[CLS]", "[SEP]")],
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")


def _tokenizer(kind):
    made = _bytes_tokenizer() if kind == "qwen2" else _words_tokenizer(kind)
    made.chat_template = CHAT.replace("{{ bos }}", "".join(STARTS[kind]))
    return made


def _model(kind):
    import torch
    import transformers as hf

    torch.manual_seed(0)
    if kind == "llama":
        return hf.LlamaForCausalLM(hf.LlamaConfig(**SIZES))
    if kind == "qwen2":
        return hf.Qwen2ForCausalLM(
            hf.Qwen2Config(**{**SIZES, "vocab_size": 512}, num_key_value_heads=1)
        )
    if kind == "bert":
        return hf.BertModel(hf.BertConfig(**SIZES))
    sizes = {"n_embd": 16, "n_layer": 3, "n_head": 2, "n_inner": 24, "n_positions": 96}
    sizes |= {"bos_token_id": None, "eos_token_id": None}
    return hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=48, initializer_range=0.5, **sizes))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Folders of a Llama, a Qwen2, a GPT-2 and a BERT, by name; Llama's texts begin with <s>."""
    folders = {}
    for kind in STARTS:
        folders[kind] = tmp_path_factory.mktemp(kind)
        _model(kind).save_pretrained(folders[kind])
        _tokenizer(kind).save_pretrained(folders[kind])
    return folders


@pytest.fixture(scope="session")
def without_chat(tiny, tmp_path_factory):
    """A folder of the GPT-2 whose tokenizer has no chat template."""
    folder = shutil.copytree(tiny["gpt2"], tmp_path_factory.mktemp("bare") / "model")
    (folder / "chat_template.jinja").unlink()
    return folder


class Lab:
    """Runs the stage as the runner would."""

    @staticmethod
    def stage(**params):
        """A stage in float32 with one target, `pets`, unless said otherwise."""
        given = {"targets": {"pets": "pets.jsonl"}, "dtype": "float32", **params}
        return Alignment(AlignmentParams.model_validate(given), "nait")

    @staticmethod
    def context(folder, fits=None, wanted=()):
        """A context of one model, with the real service."""
        from curate_embed.forward import ForwardService

        service = ForwardService()
        files = ModelFiles(str(folder), folder, None, str(folder))
        return Context(0, {"model": files}, fits or {}, wanted, lambda name: service)

    @staticmethod
    def rows(pairs):
        """All columns that templates read, from pairs of an instruction and a response."""
        return pl.DataFrame(
            {
                "id": [f"{at:03}" for at in range(len(pairs))],
                "@instruction": [each[0] for each in pairs],
                "@response": [each[1] for each in pairs],
                "@both": ["\n".join(each) if each[1] else each[0] for each in pairs],
                "messages": [
                    [
                        {"role": "user", "content": each[0]},
                        {"role": "assistant", "content": each[1]},
                    ]
                    for each in pairs
                ],
            },
            schema_overrides={
                "id": pl.String,
                "@both": pl.String,
                "messages": pl.List(pl.Struct({"role": pl.String, "content": pl.String})),
            },
        )

    def fit(self, folder, stage, rows, part="pets"):
        """The arrays of one part."""
        return stage.fit(part, rows, self.context(folder))

    def score(self, folder, stage, rows, fits, wanted=("pets",)):
        """The wanted columns, by id."""
        found = pl.concat(stage.stream(rows, self.context(folder, fits, wanted))).sort("id")
        assert found.columns == ["id", *wanted]
        return found


@pytest.fixture(scope="session")
def lab():
    """What runs the stage."""
    return Lab()
