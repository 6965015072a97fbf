"""Blocks and down-projections of many kinds of models are found by structure, and are the ones."""

import pytest
import torch
import transformers as hf

from curate.api import CurateError
from curate_embed.builtin import minilm
from curate_embed.structure import find_blocks, find_projections, neurons_of, text_config

HIDDEN = 16
COMMON = {
    "vocab_size": 32,
    "hidden_size": HIDDEN,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GROUPED = {**COMMON, "num_key_value_heads": 1, "head_dim": 8}
LLAMA = ("layers.{}", "mlp.down_proj")
BERT = ("encoder.layer.{}", "output.dense")
GPT2 = {"vocab_size": 32, "n_embd": HIDDEN, "n_layer": 3, "n_head": 2}
ENDS = {"bos_token_id": 1, "eos_token_id": 2}
KINDS = {
    # kind: model, configuration, the name of the MLP's width, names of block and projection
    "llama": (hf.LlamaModel, hf.LlamaConfig, GROUPED, "intermediate_size", *LLAMA),
    "mistral": (hf.MistralModel, hf.MistralConfig, GROUPED, "intermediate_size", *LLAMA),
    "qwen2": (hf.Qwen2Model, hf.Qwen2Config, GROUPED, "intermediate_size", *LLAMA),
    "qwen3": (hf.Qwen3Model, hf.Qwen3Config, GROUPED, "intermediate_size", *LLAMA),
    "gemma": (hf.GemmaModel, hf.GemmaConfig, GROUPED, "intermediate_size", *LLAMA),
    "gemma2": (hf.Gemma2Model, hf.Gemma2Config, GROUPED, "intermediate_size", *LLAMA),
    "gemma3": (hf.Gemma3TextModel, hf.Gemma3TextConfig, GROUPED, "intermediate_size", *LLAMA),
    "gpt2": (hf.GPT2Model, hf.GPT2Config, {**GPT2, **ENDS}, "n_inner", "h.{}", "mlp.c_proj"),
    "gpt_neox": (
        hf.GPTNeoXModel,
        hf.GPTNeoXConfig,
        COMMON,
        "intermediate_size",
        "layers.{}",
        "mlp.dense_4h_to_h",
    ),
    "bert": (hf.BertModel, hf.BertConfig, COMMON, "intermediate_size", *BERT),
    "roberta": (hf.RobertaModel, hf.RobertaConfig, COMMON, "intermediate_size", *BERT),
    "mpnet": (hf.MPNetModel, hf.MPNetConfig, COMMON, "intermediate_size", *BERT),
    "distilbert": (
        hf.DistilBertModel,
        hf.DistilBertConfig,
        {"vocab_size": 32, "dim": HIDDEN, "n_layers": 3, "n_heads": 2, "pad_token_id": 0},
        "hidden_dim",
        "transformer.layer.{}",
        "ffn.lin2",
    ),
    "opt": (
        hf.OPTModel,
        hf.OPTConfig,
        {**COMMON, "word_embed_proj_dim": HIDDEN},
        "ffn_dim",
        "decoder.layers.{}",
        "fc2",
    ),
    "falcon": (
        hf.FalconModel,
        hf.FalconConfig,
        COMMON,
        "ffn_hidden_size",
        "h.{}",
        "mlp.dense_4h_to_h",
    ),
    "phi": (hf.PhiModel, hf.PhiConfig, COMMON, "intermediate_size", "layers.{}", "mlp.fc2"),
    "modernbert": (
        hf.ModernBertModel,
        hf.ModernBertConfig,
        {**COMMON, "cls_token_id": 1, "sep_token_id": 2},
        "intermediate_size",
        "layers.{}",
        "mlp.Wo",
    ),
}


def built(kind, neurons):
    made, config, sizes, width, block, projection = KINDS[kind]
    model = made(config(**{**sizes, width: neurons}))
    return model, block, f"{block}.{projection}"


@pytest.mark.parametrize("neurons", [HIDDEN // 2, HIDDEN, 24, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_found_are_the_modules_of_these_names(kind, neurons):
    model, block, projection = built(kind, neurons)
    blocks = find_blocks(model, kind)
    assert [id(each) for each in blocks] == [
        id(model.get_submodule(block.format(layer))) for layer in range(3)
    ]
    width = text_config(model).hidden_size
    assert width == HIDDEN
    found = find_projections(blocks, width, kind)
    names = {id(module): name for name, module in model.named_modules()}
    assert [names[id(each)] for each in found] == [projection.format(at) for at in range(3)]
    assert {neurons_of(each) for each in found} == {neurons}


def test_one_block_is_enough():
    model = hf.LlamaModel(hf.LlamaConfig(**{**GROUPED, "num_hidden_layers": 1}))
    assert find_blocks(model, "one") == (model.layers[0],)


def test_the_real_minilm():
    model = hf.AutoModel.from_pretrained(minilm())
    blocks = find_blocks(model, "minilm")
    assert blocks == tuple(model.encoder.layer)
    found = find_projections(blocks, 384, "minilm")
    assert found == tuple(layer.output.dense for layer in model.encoder.layer)
    assert neurons_of(found[0]) == 1536


def t5():
    config = hf.T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=3, num_heads=2)
    return hf.T5Model(config)


def albert():
    sizes = {**COMMON, "embedding_size": 8, "intermediate_size": 24}
    return hf.AlbertModel(hf.AlbertConfig(**sizes))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (t5, r"T5Model\) cannot be found: it has 2 stacks of 3 layers: encoder.block, decoder"),
        (albert, r"AlbertModel\) cannot be found: no list of modules holds its 3 layers"),
    ],
)
def test_models_without_one_stack_of_blocks_are_refused(made, said):
    with pytest.raises(CurateError, match=f"blocks of the model some-name .*{said}") as caught:
        find_blocks(made(), "some-name")
    assert "one stack of blocks" in caught.value.remedy


def test_a_model_without_one_stack_of_blocks_is_refused_when_it_is_opened(
    tokenizer, tmp_path, passing
):
    t5().save_pretrained(tmp_path)
    tokenizer["bert"].save_pretrained(tmp_path)
    with pytest.raises(CurateError, match=r"blocks of the model .* cannot be found"):
        passing(tmp_path)


@pytest.mark.parametrize(
    ("made", "config", "more"),
    [
        (hf.MixtralModel, hf.MixtralConfig, {"num_local_experts": 2}),
        (
            hf.Qwen2MoeModel,
            hf.Qwen2MoeConfig,
            {"num_experts": 2, "moe_intermediate_size": 8, "shared_expert_intermediate_size": 8},
        ),
    ],
)
def test_a_mixture_of_experts_is_refused(made, config, more):
    sizes = {**GROUPED, "intermediate_size": 24, **more}
    if config is hf.Qwen2MoeConfig:
        del sizes["head_dim"]
    with pytest.raises(CurateError, match="mixture of experts"):
        find_blocks(made(config(**sizes)), "experts")


def test_a_block_without_attention_has_no_neurons():
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "vocab_size": 32, "state_size": 4}
    model = hf.MambaModel(hf.MambaConfig(**sizes))
    blocks = find_blocks(model, "mamba")
    assert blocks == tuple(model.layers)
    with pytest.raises(CurateError, match="block 1 has no attention"):
        find_projections(blocks, 16, "mamba")


def test_a_block_without_linear_map_to_the_width_has_no_neurons():
    block = torch.nn.ModuleDict({"attn": torch.nn.Linear(16, 16), "mlp": torch.nn.Linear(16, 8)})
    with pytest.raises(CurateError, match="block 1 has no linear map to its width 16"):
        find_projections([block], 16, "odd")
