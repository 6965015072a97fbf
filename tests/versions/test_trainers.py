"""What trainers document, checked field by field, and what they load and train on.

The rules of LLaMA-Factory and axolotl stand here as data; neither installs beside the libraries
that curate is tested with.
"""

import json
from copy import deepcopy

import pytest
import yaml

from curate.commands import call
from curate.errors import UsageError
from curate.versions.export import export
from curate.versions.make import run_recipe
from curate.versions.open import Version
from curate.versions.snippets import INFO, Beside
from curate.versions.trainers import axolotl, llama_factory, trl

LLAMA_FACTORY = {
    # data/README.md of hiyouga/LLaMA-Factory, the description of dataset_info.json
    "keys": {"file_name", "formatting", "columns", "tags"},
    "formatting": {"alpaca", "sharegpt"},
    "columns": {
        "alpaca": {"prompt", "query", "response", "history", "system", "tools"},
        "sharegpt": {"messages", "system", "tools"},
    },
    "tags": {
        "role_tag", "content_tag", "user_tag", "assistant_tag", "observation_tag", "function_tag",
        "system_tag",
    },
    "suffixes": {".json", ".jsonl", ".csv", ".parquet"},
}  # fmt: skip
AXOLOTL = {
    # docs/dataset-formats and src/axolotl/utils/schemas/datasets.py of axolotl-ai-cloud/axolotl
    "keys": {"path", "ds_type", "type", "field_messages", "message_property_mappings", "roles"},
    "ds_type": {"json", "parquet", "csv", "arrow", "text"},
    "type": {"alpaca", "chat_template"},
    "custom": {"field_instruction", "field_output", "format", "no_input_format"},
    # docs/rlhf.qmd, DPO; what the types read: src/axolotl/prompt_strategies/dpo/
    "preference": {
        "chat_template.default": {"field_messages", "field_chosen", "field_rejected"},
        "chat_template.argilla_chat": set(),
        "user_defined": {
            "field_prompt", "field_chosen", "field_rejected", "prompt_format", "chosen_format",
            "rejected_format",
        },
    },
    "roles": {"user": ["human", "user"], "assistant": ["gpt", "assistant"], "system": ["system"], "tool": ["tool"]},
}  # fmt: skip
ALPACA = {"instruction": "i", "input": "x", "output": "o"}
TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
SPOKEN = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
TOOLED = [
    {"from": "human", "value": "q"},
    {"from": "function_call", "value": '{"name": "f", "arguments": {}}'},
    {"from": "observation", "value": "3"},
    {"from": "gpt", "value": "a"},
]
CALLING = [
    TURNS[0],
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "{}"}}],
    },
    {"role": "tool", "content": "3"},
    TURNS[1],
]


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """Publishes rows, equal ones once."""
    known = {}

    def publish(rows):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        if lines not in known:
            folder = tmp_path_factory.mktemp("rows")
            (folder / "in.jsonl").write_text(lines)
            source = {"path": str(folder / "in.jsonl")}
            recipe = {
                "name": "toy",
                "sources": {"in": source},
                "pipeline": [{"score": "core.length"}],
            }
            known[lines] = Version(run_recipe(recipe, out=folder / "curated").path)
        return known[lines]

    return publish


@pytest.fixture
def exported(tmp_path, versions):
    """Publishes rows and exports them."""

    def run(shape, *rows, suffix=".jsonl"):
        out = tmp_path / f"train{suffix}"
        out.unlink(missing_ok=True)
        return export(versions(rows), out, shape)

    return run


CASES = [
    ("alpaca", [ALPACA]),
    ("alpaca", [ALPACA, {**ALPACA, "system": "s", "history": [["q", "a"]]}]),
    ("messages", [{"messages": TURNS}]),
    ("messages", [{"messages": CALLING, "tools": [{"name": "f"}]}]),
    ("sharegpt", [{"conversations": SPOKEN}]),
    ("sharegpt", [{"conversations": TOOLED, "system": "s", "tools": "[]"}]),
    ("prompt-completion", [{"prompt": "p", "completion": "c"}]),
    ("prompt-completion", [{"prompt": TURNS[:1], "completion": TURNS[1:]}]),
]


def said(exported):
    """The rows as LLaMA-Factory's converters read them, by the rules of its documentation."""
    entry = llama_factory(exported).entry
    columns, tags = entry["columns"], entry.get("tags", {})
    read = []
    for row in exported.data:
        system = row[columns["system"]] or "" if "system" in columns else ""
        if entry["formatting"] == "alpaca":
            texts = [row[columns[name]] for name in ("prompt", "query") if name in columns]
            turns = [turn for pair in (row.get(columns.get("history")) or []) for turn in pair]
            turns += ["\n".join(filter(None, texts)), row[columns["response"]]]
        else:
            known = {tags[name]: name for name in LLAMA_FACTORY["tags"] & tags.keys()}
            found = [
                (known[turn[tags["role_tag"]]], turn[tags["content_tag"]])
                for turn in row[columns["messages"]]
            ]
            if found[0][0] == "system_tag":
                system = found.pop(0)[1]
            turns = [text for _, text in found]
        read.append((system, turns))
    return read


@pytest.mark.parametrize(("shape", "rows"), CASES)
def test_the_entry_keeps_the_rules_of_llama_factory(exported, shape, rows):
    made = exported(shape, *rows)
    entry = llama_factory(made).entry
    if entry is None:
        assert rows == CASES[-1][1]
        assert "--format messages" in llama_factory(made).notes[0]
        return
    assert entry.keys() <= LLAMA_FACTORY["keys"]
    assert entry["file_name"] == "train.jsonl"
    assert entry["formatting"] in LLAMA_FACTORY["formatting"]
    assert entry["columns"].keys() <= LLAMA_FACTORY["columns"][entry["formatting"]]
    assert set(entry["columns"].values()) <= set(made.fields)
    assert entry.get("tags", {}).keys() <= LLAMA_FACTORY["tags"]
    assert all(set(entry["columns"].values()) <= row.keys() for row in made.data)


def test_the_rules_give_back_the_conversations(exported):
    assert said(exported("alpaca", *CASES[1][1])) == [
        ("", ["i\nx", "o"]),
        ("s", ["q", "a", "i\nx", "o"]),
    ]
    assert said(exported("alpaca", {"instruction": "i", "output": "o"})) == [("", ["i", "o"])]
    system = {"role": "system", "content": "s"}
    assert said(exported("messages", {"messages": [system, *TURNS]})) == [("s", ["q", "a"])]
    assert said(exported("sharegpt", {"conversations": SPOKEN, "system": "s"})) == [
        ("s", ["q", "a"])
    ]
    assert said(exported("sharegpt", {"messages": [system, *TURNS]})) == [("s", ["q", "a"])]
    assert said(exported("sharegpt", {"conversations": TOOLED}))[0][1][1:3] == [
        TOOLED[1]["value"],
        "3",
    ]
    assert said(exported("prompt-completion", {"prompt": "p", "completion": "c"})) == [
        ("", ["p", "c"])
    ]


def test_the_documented_entry_for_openai_messages(exported):
    assert llama_factory(exported("messages", {"messages": TURNS})).entry == {
        "file_name": "train.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "system_tag": "system",
        },
    }


def test_words_for_roles_become_tags(exported):
    words = [{"from": "user", "value": "q"}, {"from": "assistant", "value": "a"}]
    tags = llama_factory(exported("sharegpt", {"conversations": words})).entry["tags"]
    assert (tags["user_tag"], tags["assistant_tag"]) == ("user", "assistant")
    both = exported("sharegpt", {"conversations": words}, {"conversations": SPOKEN})
    assert llama_factory(both).entry is None
    assert "one word for a role, not human and user" in " ".join(
        note.replace("assistant and gpt", "human and user") for note in llama_factory(both).notes
    )


def test_what_llama_factory_would_leave_out_is_said(exported):
    good, ended = {"messages": TURNS}, {"messages": TURNS[:1]}
    twice = {"messages": [TURNS[0], *TURNS]}
    assert llama_factory(exported("messages", good, ended, twice)).notes == (
        "turns that do not alternate between user and assistant are left out (2 rows)",
    )
    calls = llama_factory(exported("messages", good, {"messages": CALLING})).notes
    assert calls == ("tool calls are not read in this shape (1 row): export --format sharegpt",)
    assert llama_factory(exported("sharegpt", {"conversations": TOOLED})).notes == ()
    packed = llama_factory(exported("alpaca", ALPACA, suffix=".jsonl.gz"))
    assert packed.entry is None
    assert "does not unpack" in packed.notes[0]


@pytest.mark.parametrize(("shape", "rows"), CASES)
def test_the_snippet_keeps_the_rules_of_axolotl(exported, shape, rows):
    made = exported(shape, *rows)
    entry = axolotl(made).entry
    if entry is None:
        assert rows == CASES[-1][1]
        return
    assert entry.keys() <= AXOLOTL["keys"]
    assert entry["ds_type"] == "json"
    if shape == "prompt-completion":
        assert entry["type"].keys() <= AXOLOTL["custom"]
        assert entry["type"]["format"] == "{instruction}"
        assert {entry["type"]["field_instruction"], entry["type"]["field_output"]} <= set(
            made.fields
        )
    elif shape == "alpaca":
        assert entry["type"] == "alpaca"
        assert {"instruction", "output"} <= set(made.fields)
    else:
        assert entry["type"] == "chat_template"
        role, content = (entry["message_property_mappings"][name] for name in ("role", "content"))
        known = {
            word: to for to, words in entry.get("roles", AXOLOTL["roles"]).items() for word in words
        }
        for row in made.data:
            for turn in row[entry["field_messages"]]:
                assert turn[role] in known
                assert content in turn
    assert yaml.safe_load(yaml.safe_dump(dict(entry))) == entry


def test_what_axolotl_would_not_read_is_said(exported):
    assert axolotl(exported("alpaca", *CASES[1][1])).notes == (
        "system and history are not read (1 row): export --format messages",
    )
    assert axolotl(exported("sharegpt", *CASES[5][1])).notes == (
        "tool calls are read as text (1 row): export --format messages",
        "the field `system` is not read (1 row): export --format messages",
    )
    assert axolotl(exported("sharegpt", *CASES[5][1])).entry["roles"] == {
        "user": ["human", "user"],
        "assistant": ["assistant", "function_call", "gpt"],
        "system": ["system"],
        "tool": ["observation", "tool"],
    }
    assert "roles" not in axolotl(exported("sharegpt", *CASES[4][1])).entry
    assert axolotl(exported("alpaca", ALPACA, suffix=".parquet")).entry["ds_type"] == "parquet"


def test_a_shape_of_a_plugin_has_no_rules(exported):
    from dataclasses import replace

    other = replace(exported("alpaca", ALPACA), format="poem")
    assert (llama_factory(other).entry, axolotl(other).entry, trl(other)) == (None, None, None)


def test_other_entries_stay(versions, tmp_path, capsys):
    out = ["--out", str(versions([ALPACA]).path.parents[1])]
    info = tmp_path / "data" / INFO
    info.parent.mkdir()
    mine = {"identity": {"file_name": "identity.json"}, "größe": {"file_name": "g.json"}}
    info.write_text(json.dumps(mine))
    info.chmod(0o640)
    file = str(tmp_path / "data" / "mine.jsonl")
    assert call(["export", "toy", "--format", "alpaca", "--to", file, *out]) == 0
    entries = json.loads(info.read_text())
    assert {name: entries[name] for name in mine} == mine
    assert entries["mine"]["columns"]["prompt"] == "instruction"
    assert list(entries) == ["identity", "größe", "mine"]
    assert info.stat().st_mode & 0o777 == 0o640
    assert not (tmp_path / "data" / "mine.axolotl.yaml").exists()
    before = info.read_bytes()
    assert call(["export", "toy", "--format", "alpaca", "--to", file[:-1] + "l.gz", *out]) == 2
    assert "has an entry 'mine' already" in capsys.readouterr().err
    assert info.read_bytes() == before
    assert not (tmp_path / "data" / "mine.jsonl.gz").exists()


@pytest.mark.parametrize(("content", "what"), [("{", "is no JSON"), ("[]", "no data sets by name")])
def test_an_info_file_that_is_none(tmp_path, content, what):
    (tmp_path / INFO).write_text(content)
    with pytest.raises(UsageError, match=what):
        Beside.look(tmp_path / "x.jsonl", folder=False)


def test_a_folder_gets_both(versions, tmp_path):
    out = ["--out", str(versions([ALPACA]).path.parents[1])]
    folder = tmp_path / "new"
    assert call(["export", "toy", "--format", "sharegpt", "--to", str(folder), *out]) == 0
    recipe = yaml.safe_load((folder / "toy-v1.axolotl.yaml").read_text())
    assert recipe["datasets"][0]["path"] == (folder / "toy-v1.jsonl").as_posix()
    assert json.loads((folder / INFO).read_text())["toy-v1"]["file_name"] == "toy-v1.jsonl"
    (folder / "toy-v1.jsonl").unlink()
    (folder / INFO).unlink()
    assert call(["export", "toy", "--format", "sharegpt", "--to", str(folder), *out]) == 2


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return datasets


@pytest.mark.parametrize(
    ("shape", "rows", "suffix"),
    [
        *((shape, rows, ".jsonl") for shape, rows in CASES),
        *((*CASES[at], ".parquet") for at in (1, 3, 5)),
        (*CASES[0], ".jsonl.gz"),
    ],
)
def test_datasets_load_what_was_exported(exported, datasets, shape, rows, suffix):
    made = exported(shape, *rows, suffix=suffix)
    kind = "parquet" if suffix == ".parquet" else "json"
    loaded = datasets.load_dataset(kind, data_files=str(made.path), split="train")
    assert loaded.column_names == list(made.fields)
    from curate.sources.formats.base import stated

    assert stated(loaded.to_list()) == stated(list(made.data))


TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture
def model():
    """A tiny random Llama and a tokenizer of bytes with a chat template."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {"<pad>": 0, "</s>": 1} | {letter: at for at, letter in enumerate(alphabet, 2)}
    bytes_ = Tokenizer(models.BPE(vocab=words, merges=[]))
    bytes_.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_.decoder = decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=bytes_, pad_token="<pad>", eos_token="</s>", chat_template=TEMPLATE
    )
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config), tokenizer


# trl sets an argument by a name that transformers is about to drop
@pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("shape", ["messages", "prompt-completion"])
def test_trl_trains_three_steps(exported, datasets, model, tmp_path, shape):
    pytest.importorskip("trl")
    from trl import SFTConfig, SFTTrainer

    made = exported(shape, ALPACA, {**ALPACA, "system": "s", "history": [["q", "a"]]})
    loaded = eval(trl(made), {"load_dataset": datasets.load_dataset})
    assert len(loaded) == 2
    config = SFTConfig(
        output_dir=str(tmp_path / "model"), max_steps=3, per_device_train_batch_size=2,
        report_to=[], save_strategy="no", use_cpu=True, logging_steps=1, disable_tqdm=True,
        bf16=False, learning_rate=1e-2,
    )  # fmt: skip
    trainer = SFTTrainer(model[0], args=config, train_dataset=loaded, processing_class=model[1])
    assert trainer.train().global_step == 3
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 3
    assert losses[-1] < losses[0]


# trl sets an argument by a name that transformers is about to drop
@pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning")
def test_trl_trains_on_one_split_and_evaluates_on_the_other(tmp_path, datasets, model):
    pytest.importorskip("trl")
    from trl import SFTConfig, SFTTrainer

    rows = [{**ALPACA, "output": f"o {at}"} for at in range(12)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {
        "name": "toy",
        "sources": {"in": {"path": str(tmp_path / "in.jsonl")}},
        "pipeline": [{"score": "core.length"}],
        "output": {"splits": {"train": 0.7, "validation": 0.3}},
    }
    version = Version(run_recipe(recipe, out=tmp_path / "curated").path)
    loaded = datasets.load_dataset(str(version.path)).select_columns("messages")
    assert {name: len(rows) for name, rows in loaded.items()} == version.splits
    assert version.dataset()["validation"].num_rows == version.splits["validation"]
    config = SFTConfig(
        output_dir=str(tmp_path / "model"), max_steps=3, per_device_train_batch_size=2,
        report_to=[], save_strategy="no", use_cpu=True, disable_tqdm=True, bf16=False,
    )  # fmt: skip
    trainer = SFTTrainer(
        model[0],
        args=config,
        train_dataset=loaded["train"],
        eval_dataset=loaded["validation"],
        processing_class=model[1],
    )
    assert trainer.train().global_step == 3
    assert trainer.evaluate()["eval_loss"] > 0


def turns(*said):
    return [{"role": role, "content": text} for role, text in said]


PREFERENCES = {
    "explicit": {"prompt": "p", "chosen": "good", "rejected": "bad"},
    "implicit": {"chosen": "p: good", "rejected": "p: bad"},
    "explicit turns": {
        "prompt": turns(("user", "p")),
        "chosen": turns(("assistant", "good")),
        "rejected": turns(("assistant", "bad")),
    },
    "implicit turns": {
        "chosen": turns(("user", "p"), ("assistant", "good")),
        "rejected": turns(("user", "p"), ("assistant", "bad")),
    },
}


@pytest.mark.filterwarnings("ignore:`.*gradient_checkpointing.*` is deprecated:FutureWarning")
@pytest.mark.parametrize("form", PREFERENCES)
def test_trl_trains_three_steps_on_preferences(exported, datasets, model, tmp_path, form):
    pytest.importorskip("trl")
    from trl import DPOConfig, DPOTrainer

    made = exported("preference", PREFERENCES[form])
    assert made.unchanged == 1
    loaded = eval(trl(made), {"load_dataset": datasets.load_dataset})
    assert loaded.to_list() == [PREFERENCES[form]]
    config = DPOConfig(
        output_dir=str(tmp_path / "model"), max_steps=3, per_device_train_batch_size=1,
        report_to=[], save_strategy="no", use_cpu=True, logging_steps=1, disable_tqdm=True,
        bf16=False, learning_rate=1e-2,
    )  # fmt: skip
    trainer = DPOTrainer(
        model[0],
        ref_model=deepcopy(model[0]),
        args=config,
        train_dataset=loaded,
        processing_class=model[1],
    )
    assert trainer.train().global_step == 3
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0]


def test_preferences_that_trainers_read(exported):
    made = exported("preference", PREFERENCES["explicit"])
    columns = {name: name for name in ("prompt", "chosen", "rejected")}
    assert llama_factory(made).entry == {
        "file_name": "train.jsonl",
        "ranking": True,
        "formatting": "alpaca",
        "columns": columns,
    }
    for form in ("implicit", "explicit turns", "implicit turns"):
        assert llama_factory(exported("preference", PREFERENCES[form])).entry is None
    unpaired = exported("unpaired-preference", PREFERENCES["implicit"])
    assert llama_factory(unpaired).entry["columns"]["kto_tag"] == "label"
    assert unpaired.fields == ("prompt", "completion", "label")
    assert axolotl(unpaired).entry is None


def read_by_axolotl(entry, row):
    """Prompt, chosen and rejected as the types of axolotl take them, before any chat template."""
    kind = entry["type"]
    if isinstance(kind, dict):
        return tuple(
            kind[f"{name}_format"].format(**{name: row[kind[f"field_{name}"]]})
            for name in ("prompt", "chosen", "rejected")
        )
    if kind == "chat_template.argilla_chat":
        return row["chosen"][:-1], row["chosen"][-1], row["rejected"][-1]
    prompt = row[entry["field_messages"]]
    if isinstance(prompt, str):
        prompt = turns(("user", prompt))
    answers = [row[entry[f"field_{name}"]] for name in ("chosen", "rejected")]
    return prompt, *(
        answer[-1] if isinstance(answer, list) else turns(("assistant", answer))[0]
        for answer in answers
    )


@pytest.mark.parametrize("form", PREFERENCES)
def test_the_entry_of_preferences_keeps_the_rules_of_axolotl(exported, form):
    made = exported("preference", PREFERENCES[form])
    advice = axolotl(made)
    if form == "implicit":
        assert advice.entry is None
        assert advice.notes == ("of texts it reads no pairs without a field for the prompt",)
        return
    entry, kind = advice.entry, advice.entry["type"]
    assert (entry["path"], entry["ds_type"]) == (made.path.as_posix(), "json")
    assert entry["split"] == "train"
    rules = AXOLOTL["preference"]
    keys = entry.keys() - {"path", "ds_type", "split", "type"}
    if isinstance(kind, dict):
        assert kind.keys() == rules["user_defined"]
        assert keys == set()
    else:
        assert keys == rules[kind]
    assert advice.settings == {"rl": "dpo"}
    assert advice.notes == ()
    if form == "explicit":
        assert read_by_axolotl(entry, made.data[0]) == ("p", "good", "bad")
    else:
        assert read_by_axolotl(entry, made.data[0]) == (
            turns(("user", "p")),
            *turns(("assistant", "good"), ("assistant", "bad")),
        )


def test_what_axolotl_would_not_read_of_preferences_is_said(exported):
    row = PREFERENCES["explicit turns"]
    longer = row | {"chosen": turns(("assistant", "a"), ("user", "b"), ("assistant", "c"))}
    said = "of answers of several turns only the last turns are compared (1 row)"
    assert axolotl(exported("preference", row, longer)).notes == (said,)
    implicit = PREFERENCES["implicit turns"]
    begun = implicit["chosen"][:1]
    longer = implicit | {"chosen": [*begun, *longer["chosen"]]}
    assert axolotl(exported("preference", implicit, longer)).notes == (said,)
    calling = row | {"chosen": CALLING[1:2]}
    assert axolotl(exported("preference", calling)).notes == (
        "tool calls are not read in this shape (1 row)",
    )


def test_what_preferences_need_beside_their_entry_is_written(versions, tmp_path):
    folder = tmp_path / "new"
    out = ["--out", str(versions([PREFERENCES["implicit turns"]]).path.parents[1])]
    assert call(["export", "toy", "--format", "preference", "--to", f"{folder}/", *out]) == 0
    assert yaml.safe_load((folder / "toy-v1.axolotl.yaml").read_text()) == {
        "rl": "dpo",
        "datasets": [
            {
                "path": (folder / "toy-v1.jsonl").as_posix(),
                "ds_type": "json",
                "split": "train",
                "type": "chat_template.argilla_chat",
            }
        ],
    }
