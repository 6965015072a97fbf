"""Tiny models with random weights and a tokenizer trained here."""

import gzip
import json
import os
from pathlib import Path

import pytest

# a busy machine crawls where threads wait for one another by spinning; bits are the same
os.environ.setdefault("OMP_NUM_THREADS", "1")

DATA = Path(os.environ.get("CURATE_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
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
CHAT = (
    "[CLS] {% for turn in messages %}"
    "{% if turn.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
    "{{ turn.role }} {{ turn.content }} [SEP] {% endfor %}"
    "{% if add_generation_prompt %}assistant{% endif %}"
)


@pytest.fixture(scope="session")
def tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {
        w: i
        for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, "user", "assistant"])
    }
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    plain.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    bert = Tokenizer.from_str(plain.to_str())
    bert.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"unk_token": "[UNK]", "model_max_length": 64}
    made = {
        "bert": PreTrainedTokenizerFast(tokenizer_object=bert, pad_token="[PAD]", **names),
        "llama": PreTrainedTokenizerFast(tokenizer_object=plain, **names),
        "gpt2": PreTrainedTokenizerFast(tokenizer_object=plain, **names),
    }
    made["bert"].chat_template = CHAT
    return made


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
            GPT2Config(
                vocab_size=32,
                n_embd=16,
                n_layer=3,
                n_head=2,
                n_positions=64,
                bos_token_id=None,
                eos_token_id=None,
            )
        ),
    }
    folders = {}
    for name, model in models.items():
        folders[name] = tmp_path_factory.mktemp(name)
        model.save_pretrained(folders[name])
        tokenizer[name].save_pretrained(folders[name])
    return folders


@pytest.fixture(scope="session")
def passing():
    """Opens a model for a pass of `@both`; more options as `Pass` has them."""
    from curate.api import ModelFiles, Pass
    from curate_embed.forward import ForwardService

    def opened(folder, counts=None, **wanted):
        files = ModelFiles(str(folder), folder, None, str(folder))

        def count(name, times):
            if counts is not None:
                counts[name] = counts.get(name, 0) + times

        return ForwardService().open(Pass(files, **wanted), count)

    return opened


@pytest.fixture(scope="session")
def collect():
    """Runs texts, or a frame of rows; gives each reader's values in their order, and the cuts."""
    import numpy as np
    import polars as pl

    def collected(model, rows, *readers):
        if not isinstance(rows, pl.DataFrame):
            rows = pl.DataFrame({"@both": rows}, schema={"@both": pl.String})
        found = {}
        for positions, values, cut in model.run(rows, readers):
            assert all(len(each) == len(positions) == len(cut) for each in values)
            for at, row in enumerate(positions.tolist()):
                assert row not in found
                found[row] = [each[at] for each in values], bool(cut[at])
        assert sorted(found) == list(range(len(rows)))
        every = [np.array([found[at][0][n] for at in sorted(found)]) for n in range(len(readers))]
        return every, [found[at][1] for at in sorted(found)]

    return collected


@pytest.fixture(scope="session")
def real_texts():
    """Sixty rows of Alpaca, as one text each."""
    path = DATA / "alpaca_cleaned.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"no real data: {path.name} is not in CURATE_TEST_DATA or ../shared/data")
    with gzip.open(path) as lines:
        rows = [json.loads(line) for _, line in zip(range(60), lines, strict=False)]
    return [f"{row['instruction']}\n{row['input']}\n{row['output']}" for row in rows]


@pytest.fixture(scope="session")
def embed():
    """Embeds texts with the stage, what is left to `auto` resolved as a run does it."""
    import polars as pl

    from curate.api import Auto, Context, ModelFiles
    from curate.contract.marks import marker
    from curate_embed.forward import ForwardService
    from curate_embed.stages import EmbedSentence, SentenceParams

    def embedded(folder, texts, wanted=("embedding", "truncated"), **params):
        service, model = ForwardService(), {"model": ModelFiles("m", folder, None, str(folder))}
        given = SentenceParams(**{"dtype": "float32", **params})
        automatic = {
            name: service.auto(name, given, model)
            for name in type(given).model_fields
            if marker(type(given), name, Auto) and getattr(given, name) == "auto"
        }
        stage = EmbedSentence(given.model_copy(update=automatic), "embed_sentence")
        stage.prepare(model, lambda _: service)
        context = Context(0, model, {}, wanted, lambda _: service)
        rows = pl.DataFrame({"id": [f"{at:06}" for at in range(len(texts))], "@both": texts})
        found = pl.concat(stage.stream(rows, context)).sort("id")
        assert found.columns == ["id", *wanted]
        return found

    return embedded
