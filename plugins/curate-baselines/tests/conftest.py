"""Tiny decoders with random weights and a tokenizer trained here, and what runs a stage on them."""

import os
import random
from pathlib import Path

import polars as pl
import pytest

from curate.api import Context, ModelFiles

# a busy machine crawls where threads wait for one another by spinning; bits are the same
os.environ.setdefault("OMP_NUM_THREADS", "1")

REACH = 128
WORDS = ["the", "a", "cat", "dog", "runs", "sleeps", "over", "red", "house", "tree", "why", "is"]
ALPACA = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{}\n\n### Response:\n"
)
CHAT = (
    "{% for turn in messages %}<|{{ turn.role }}|>\n{{ turn.content }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
KINDS = ("llama", "qwen2", "gpt2")


def _tokenizer(kind):
    """Byte pairs; Llama's texts begin with <s>."""
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
    if kind == "llama":
        made.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 0)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", model_max_length=REACH
    )


def _model(kind):
    import torch
    import transformers as hf

    torch.manual_seed(1)
    sizes = {"vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 2, "intermediate_size": 48, "max_position_embeddings": REACH}
    sizes |= {"initializer_range": 0.3, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    if kind == "llama":
        return hf.LlamaForCausalLM(hf.LlamaConfig(**sizes))
    if kind == "qwen2":
        return hf.Qwen2ForCausalLM(
            hf.Qwen2Config(**sizes, num_key_value_heads=1, tie_word_embeddings=True)
        )
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": REACH}
    sizes |= {"bos_token_id": 0, "eos_token_id": 1}
    return hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=400, initializer_range=0.3, **sizes))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Folders of a Llama, a Qwen2 (with a chat template) and a GPT-2, by name."""
    folders = {}
    for kind in KINDS:
        folders[kind] = tmp_path_factory.mktemp(kind)
        _model(kind).save_pretrained(folders[kind])
        tokenizer = _tokenizer(kind)
        if kind == "qwen2":
            tokenizer.chat_template = CHAT
        tokenizer.save_pretrained(folders[kind])
    return folders


class Lab:
    """Runs a stage as the runner would."""

    kinds = KINDS
    alpaca = ALPACA

    @staticmethod
    def stage(kind, folder, **params):
        """A stage in float32, unless said otherwise."""
        given = {"model": str(folder), "dtype": "float32", **params}
        return kind(kind.Params.model_validate(given), "it")

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
            }
        )

    @staticmethod
    def pairs(count, seed, longest=16):
        """Random words, two or more in the response."""
        draw = random.Random(seed)

        def words(least):
            return " ".join(draw.choices(WORDS, k=draw.randint(least, longest)))

        return [(words(1), words(2)) for _ in range(count)]

    @staticmethod
    def stream(stage, rows, wanted=None):
        """What the stage hands over."""
        from curate_embed.forward import ForwardService

        service, folder = ForwardService(), stage.params.model
        files = ModelFiles(folder, Path(folder), None, folder)
        names = tuple(wanted or stage.outputs())
        ctx = Context(0, {"model": files}, {}, names, lambda name: service)
        for frame in stage.stream(rows.select("id", *stage.inputs()), ctx):
            assert frame.columns == ["id", *names]
            yield frame

    def score(self, stage, rows, wanted=None):
        """The columns, by id."""
        return pl.concat(self.stream(stage, rows, wanted)).sort("id")


@pytest.fixture(scope="session")
def lab():
    """What runs a stage."""
    return Lab()
