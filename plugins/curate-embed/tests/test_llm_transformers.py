"""Answers of a tiny model with random weights: in this process, and from `transformers serve`."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from curate.api import AnswerError, Call, CurateError, LlmSettings, ModelFiles

TOYS = Path(__file__).parents[3] / "tests" / "toys"
CHAT = (
    "{% for turn in messages %}<|{{ turn.role }}|>{{ turn.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
TEXTS = [
    "Name three things that are red.",
    "Why is the sky blue?",
    "Write a line about the sea, the wind, and a house under a tree.",
    "Add 17 and 25.",
    "What does a cat do all day, when nobody looks at it? " * 3,
    "Translate 'dog' into French.",
]


def untaught(texts, length, **more):
    """A Llama with two layers and random weights, and a byte-level tokenizer of these texts."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    plain.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="<|pad|>", eos_token="<|end|>", model_max_length=length
    )
    tokenizer.chat_template = CHAT
    torch.manual_seed(7)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=length,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=1,
            **more,
        )
    )
    return model, tokenizer


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    """The folder of a tiny Llama that was taught nothing."""
    folder = tmp_path_factory.mktemp("tiny-llama")
    for part in untaught(TEXTS, 512, initializer_range=0.3):
        part.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def partial(tmp_path_factory):
    """The folder of a tiny Llama that was taught one thing: whatever stands first is better."""
    import torch

    verdict = '{"winner": "first"}'
    model, tokenizer = untaught([verdict] * 3, 4096)
    answer = tokenizer.encode(f"<|assistant|>{verdict}<|end|>", add_special_tokens=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(150):
        length = int(torch.randint(1, 200, ()))
        said = torch.randint(len(SPECIAL), len(tokenizer), (8, length))
        ids = torch.cat([said, torch.tensor([answer] * 8)], dim=1)
        labels = ids.clone()
        labels[:, : length + 1] = -100  # the answer alone is learnt
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("partial-llama")
    for part in (model, tokenizer):
        part.save_pretrained(folder)
    return folder


def backend(folder, **more):
    from curate_embed.local import Local

    settings = LlmSettings(model=str(folder), max_tokens=24, backend="transformers", **more)
    return Local(settings, ModelFiles(str(folder), folder, None, "d" * 64))


def call(text, sample=0, **more):
    turns = [{"role": "user", "content": text}]
    body = {"model": "m", "messages": turns, "max_tokens": 24, "temperature": 0.0}
    return Call(body | more, sample)


def together(local, calls):
    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(local.send, calls))


def test_answers_do_not_depend_on_their_company(llama):
    calls = [call(text) for text in TEXTS]
    calls += [call(text, temperature=1.3, top_p=0.9, seed=5) for text in TEXTS]
    calls += [call(text, sample=1, temperature=1.3, top_p=0.9, seed=6) for text in TEXTS]
    local = backend(llama)
    alone = [local.send(each) for each in calls]
    assert together(local, calls) == alone
    assert together(local, calls[::-1]) == alone[::-1]
    assert together(local, calls[::2]) == alone[::2]
    texts = [answer.text for answer in alone]
    assert len(set(texts)) > 12  # questions, temperatures and samples differ


def test_the_likeliest_answer_is_that_of_a_longhand_decoding(llama, monkeypatch):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from curate_embed import local as module

    monkeypatch.setattr(module, "best_dtype", lambda backend: "float32")
    tokenizer = AutoTokenizer.from_pretrained(llama)
    model = AutoModelForCausalLM.from_pretrained(llama, dtype=torch.float64).eval()
    local = backend(llama)
    for text in TEXTS:
        prompt = f"<|user|>{text}<|end|><|assistant|>"
        ids = tokenizer.encode(prompt, add_special_tokens=False)
        made = []
        while len(made) < 24 and (not made or made[-1] != 1):
            with torch.inference_mode():
                logits = model(torch.tensor([ids + made])).logits[0, -1]
            made.append(int(logits.argmax()))
        answer = local.send(call(text))
        ended = made[-1] == 1
        assert answer.text == tokenizer.decode(made[: len(made) - ended], skip_special_tokens=True)
        assert answer.finish == ("stop" if ended else "length")
        assert (answer.usage.prompt, answer.usage.completion) == (len(ids), len(made))


def test_draws_have_the_probabilities_of_the_softmax():
    import numpy as np
    import torch

    from curate_embed.generating import _Drawn

    logits = torch.tensor([1.0, 0.0, -1.0, 2.0, -torch.inf])
    draws = _Drawn(range(4000))(None, logits.expand(4000, -1)).argmax(dim=-1)
    counts = np.bincount(draws.numpy(), minlength=5)
    expected = 4000 * torch.softmax(logits.double(), dim=0).numpy()
    assert counts[4] == 0
    # chi squared with three degrees of freedom; 16.3 is exceeded once in a thousand
    assert (((counts - expected) ** 2)[:4] / expected[:4]).sum() < 16.3


def test_a_stop_text_ends_an_answer(llama):
    local = backend(llama)
    whole = local.send(call(TEXTS[0], max_tokens=60))
    middle = whole.text[5:8]
    cut = local.send(call(TEXTS[0], max_tokens=60, stop=[middle]))
    assert cut.text == whole.text[: whole.text.index(middle)]
    assert cut.finish == "stop"


def test_what_the_model_cannot_take(llama):
    local = backend(llama)
    with pytest.raises(AnswerError, match=r"has \d+ tokens and its answer may have 24, more than"):
        local.send(call("word " * 600))
    with pytest.raises(CurateError, match="structured"):
        backend(llama, structured="json_schema")
    with pytest.raises(CurateError, match="effort"):
        backend(llama, body={"effort": 1})


def run(folder, llm):
    """Run a recipe of core's toy stage in a process; gives the stage's entry of the manifest."""
    rows = [{"instruction": text, "output": "yes"} for text in TEXTS]
    (folder / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stage = {"expand": "toys.rewrite", "with": {"cut": True, "llm": {"max_tokens": 24, **llm}}}
    recipe = {
        "name": "asks",
        "sources": {"pool": {"path": "pool.jsonl"}},
        "pipeline": [stage | {"on_failure": {"set_aside": "100%"}}],
    }
    (folder / "asks.yaml").write_text(json.dumps(recipe))
    path = os.pathsep.join(filter(None, [str(TOYS), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "curate", "run", "asks.yaml", "--json"],
        check=False,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path, "CURATE_HOME": str(folder / "home")},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    version = folder / json.loads(done.stdout)["path"]
    return json.loads((version / "manifest.json").read_text())["stages"][0]


def test_a_run_with_the_model_in_a_process_of_its_own(llama, tmp_path):
    llm = {"backend": "transformers", "model": str(llama)}
    entry = run(tmp_path, llm)
    account = entry["services"]["llm"]
    assert account["address"].startswith("transformers:")
    assert account["sent"] == 2 * len(TEXTS)
    assert (entry["created"], entry["failed"]) == (len(TEXTS), 0)
    again = run(tmp_path, llm | {"reasks": 1})["services"]["llm"]
    assert (again["sent"], again["journal"]) == (0, account["sent"])


@contextmanager
def serving(model, tmp_path):
    """The address of `transformers serve` with a model."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    hub = tmp_path / "hub"
    hub.mkdir()
    log = (tmp_path / "serve.log").open("wb")
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "from transformers.cli.transformers import main; main()"),
            *("serve", str(model), "--host", "127.0.0.1", "--port", str(port)),
            *("--device", "cpu"),
        ],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(hub), "HF_HOME": str(hub)},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    log.close()
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert process.poll() is None, (tmp_path / "serve.log").read_text()
            try:
                with urllib.request.urlopen(f"{address}/health"):
                    break
            except OSError:
                time.sleep(0.1)
        else:
            pytest.fail((tmp_path / "serve.log").read_text())
        yield f"{address}/v1"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def served(llama, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(llama, tmp_path) as address:
        yield address


def test_a_run_against_transformers_serve(served, llama, tmp_path):
    llm = {"base_url": served, "model": str(llama), "timeout": 60.0, "concurrency": 2}
    entry = run(tmp_path, llm)
    account = entry["services"]["llm"]
    assert account["address"] == served
    assert account["sent"] == 2 * len(TEXTS)
    assert account["prompt_tokens"] > 0
    assert (entry["created"], entry["failed"]) == (len(TEXTS), 0)


def test_stages_with_prompts_against_transformers_serve(served, llama, tmp_path, monkeypatch):
    """What a model of random weights says has no form: every question is put again and counted."""
    pytest.importorskip("curate_llm")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    rows = [{"instruction": text, "output": "yes"} for text in TEXTS[:2]]
    rows.append({"instruction": "Stay.", "output": "no"})
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    llm = {"base_url": served, "model": str(llama), "timeout": 60.0, "concurrency": 2}
    llm |= {"max_tokens": 8, "reasks": 1}
    prompt = {"llm": llm, "prompt": "A rating? {{ instruction }}"}
    judge = {"score": "llm.judge", "with": {**prompt, "fields": {"rating": "integer"}}}
    rewrite = {"expand": "llm.rewrite", "with": {**prompt, "writes": "instruction"}}

    def account(step):
        import curate

        version = curate.run(
            {
                "name": "prompted",
                "sources": {"pool": {"path": "pool.jsonl"}},
                "pipeline": [
                    step | {"where": "output = 'yes'", "on_failure": {"set_aside": "100%"}}
                ],
            }
        )
        entry = version.manifest["stages"][0]
        return version, entry, entry["services"]["llm"]

    version, entry, asked = account(judge)
    assert (entry["failed"], entry["out"]) == (2, 1)
    assert (asked["sent"], asked["reasked"], asked["address"]) == (4, 2, served)
    details = version.ledger["detail"].drop_nulls().to_list()
    assert all("none of 2 answers had the form Judgement: " in each for each in details)
    # a rewrite by the same prompt asks what the judge asked
    _, entry, asked = account(rewrite)
    assert (entry["created"], asked["sent"], asked["journal"]) == (2, 0, 2)
    llm["max_tokens"] = 9
    _, entry, asked = account(rewrite)
    assert (entry["created"], asked["sent"]) == (2, 2)


def judged_by_a_recipe(address, model):
    """The version of a recipe in which `llm.judge` compares three pairs, one of equal answers."""
    import curate

    rows = [
        {"prompt": f"Say {n}.", "chosen": f" {n}", "rejected": f" {n // 2 * 2}"} for n in (1, 2, 3)
    ]
    Path("pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    llm = {"base_url": address, "model": str(model), "max_tokens": 16, "timeout": 60.0}
    given = {
        "preset": "preference",
        "pair": ["chosen", "rejected"],
        "llm": llm | {"concurrency": 2},
    }
    return curate.run(
        {
            "name": "compared",
            "sources": {"pool": {"path": "pairs.jsonl", "format": "preference"}},
            "pipeline": [{"score": "llm.judge", "id": "better", "with": given}],
        }
    )


def test_pairs_of_experts_judged_by_one_command_against_transformers_serve(
    partial, tmp_path, monkeypatch
):
    """A judge that takes whichever stands first changes every verdict with the order."""
    pytest.importorskip("curate_llm")
    root = Path(__file__).parents[3]
    data = Path(os.environ.get("CURATE_TEST_DATA", root.parent / "shared" / "data"))
    file = data / "coachlm_expert_revision.jsonl.gz"
    if not file.is_file():
        pytest.skip(f"no real data at {data}; set CURATE_TEST_DATA")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with serving(partial, tmp_path) as address:
        version = judged_by_a_recipe(address, partial)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "curate", "judge", str(file), "--json"),
                *("--a", "Raw Response", "--b", "Revised Response"),
                *("--instruction", "Raw Instruction", "--input", "Raw Input"),
                *("--model", str(partial), "--max-tokens", "16", "--sample", "12"),
                *("--llm", "timeout=60", "--llm", "concurrency=2"),
            ],
            check=False,
            env=os.environ | {"OPENAI_BASE_URL": address, "OPENAI_API_KEY": "none"},
            capture_output=True,
        )
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    judged = 12 - report["equal"]
    assert report["failed"] == 0
    assert report["straight"] == {"a": judged, "b": 0, "tie": 0}
    assert report["swapped"] == {"a": 0, "b": judged, "tie": 0}
    assert report["changed"] == report["reversed"] == report["stands_first"] == judged > 8
    assert report["llm"]["sent"] == 2 * judged
    scores = version.scores.sort("better_winner", "better_straight")
    assert scores["better_straight"].to_list() == ["a", "a", "tie"]
    assert scores["better_swapped"].to_list() == ["b", "b", "tie"]
    assert scores["better_winner"].to_list() == ["tie"] * 3
    assert scores["better_consistent"].to_list() == [False, False, True]
    account = version.manifest["stages"][0]["services"]["llm"]
    assert (account["address"], account["sent"], account["reasked"]) == (address, 4, 0)
