"""Tiny models with random weights and a tokenizer trained here."""

import pytest

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


@pytest.fixture(scope="session")
def tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    bert = Tokenizer.from_str(plain.to_str())
    bert.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"unk_token": "[UNK]", "model_max_length": 64}
    return {
        "bert": PreTrainedTokenizerFast(tokenizer_object=bert, pad_token="[PAD]", **names),
        "llama": PreTrainedTokenizerFast(tokenizer_object=plain, **names),
        "gpt2": PreTrainedTokenizerFast(tokenizer_object=plain, **names),
    }


@pytest.fixture(scope="session")
def tiny(tokenizer, tmp_path_factory):
    """Folders of a BERT, a Llama and a GPT-2, by name."""
    import torch
    from transformers import (
        BertConfig,
        BertModel,
        GPT2Config,
        GPT2Model,
        LlamaConfig,
        LlamaForCausalLM,
    )

    torch.manual_seed(0)
    sizes = {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 32, "max_position_embeddings": 64}
    models = {
        "bert": BertModel(BertConfig(**sizes, initializer_range=0.5)),
        "llama": LlamaForCausalLM(LlamaConfig(**sizes, initializer_range=0.5)),
        "gpt2": GPT2Model(
            GPT2Config(vocab_size=32, n_embd=16, n_layer=3, n_head=2, n_positions=64)
        ),
    }
    folders = {}
    for name, model in models.items():
        folders[name] = tmp_path_factory.mktemp(name)
        model.save_pretrained(folders[name])
        tokenizer[name].save_pretrained(folders[name])
    return folders
