"""What a plan says of stages that ask a model, and what a run says afterwards."""

import json
import subprocess
import sys

import pytest
from chat_server import serving

import curate
from curate.errors import RecipeError
from curate.services.llm import sending
from curate.versions.funnel import funnel


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(sending, "_FIRST", 0.05)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def pool(bench, count):
    bench.write([{"instruction": f"Say {n}.", "output": f"{n}"} for n in range(count)])


def asking(server, **more):
    prices = {"prompt": 1.5, "completion": 6}
    return {"base_url": server.url, "model": "parrot", "max_tokens": 40, "prices": prices} | more


def bound(text):
    return len(text.encode()) + len("user") + 32


def planned(bench, *stages):
    return [step.llm for step in curate.plan(bench.recipe(*stages)).steps]


def test_the_estimate_is_an_upper_bound_that_knows_the_journal(bench):
    pool(bench, 10)
    with serving(lambda body, times: "bad" if "7" in str(body["messages"]) else "fine") as server:
        stage = {"score": "toys.echo", "with": {"llm": asking(server)}}
        (llm,) = planned(bench, stage)
        assert not server.seen  # a plan asks nobody
        prompt = 10 * bound("Say 0.")
        assert llm == {
            "calls": 10,
            "reasks": 0,
            "journal": 0,
            "prompt_tokens": prompt,
            "completion_tokens": 400,
            "money": str((prompt * 15 + 400 * 60) / 10**7).rstrip("0"),
        }
        bench.run(stage | {"on_failure": {"set_aside": 1}})
        assert server.usage["prompt_tokens"] <= prompt
        (llm,) = planned(bench, stage)
        assert (llm["calls"], llm["journal"]) == (1, 0)  # the memo knows the nine rows
        again = {"score": "toys.echo", "with": {"llm": asking(server, reasks=0)}}
        (llm,) = planned(bench, again)
        assert (llm["calls"], llm["journal"]) == (1, 9)  # other rows' values, the same answers


def test_answers_that_depend_on_answers_are_bounded_too(bench):
    pool(bench, 10)
    with serving() as server:
        stage = {"expand": "toys.rewrite", "with": {"llm": asking(server)}}
        (before,) = planned(bench, stage)
        bench.run(stage)
        (after,) = planned(bench, stage)
    first = bound("Write anew: Say 0.")
    assert before["calls"] == 20 == sum(server.seen.values())
    assert before["prompt_tokens"] == 10 * (first + first + 40)
    assert before["completion_tokens"] == 800
    assert server.usage["prompt_tokens"] <= before["prompt_tokens"]
    assert after["calls"] == 0


def test_reasks_are_counted_apart(bench):
    pool(bench, 10)
    with serving(reply=lambda body: '{"mark": 3}' if "Say 3" in str(body) else "x") as server:
        stage = {"score": "toys.mark", "with": {"llm": asking(server)}}
        (before,) = planned(bench, stage)
        assert (before["calls"], before["reasks"]) == (10, 20)
        bench.run(stage | {"on_failure": {"set_aside": 9}})
        (after,) = planned(bench, stage)
        assert (after["calls"], after["journal"]) == (0, 27)


def test_what_the_screens_say(bench, tmp_path):
    pool(bench, 10)
    path = tmp_path / "asks.yaml"

    def curated(*arguments):
        command = [sys.executable, "-m", "curate", *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return " ".join(done.stdout.split())

    with serving(lambda body, times: "busy" if times == 1 else "fine") as server:
        stage = {"score": "toys.echo", "with": {"llm": asking(server)}}
        path.write_text(json.dumps(bench.recipe(stage)))
        said = curated("plan", str(path))
        assert "toys_echo asks: 10 calls at most, 0 answers in the journal" in said
        assert "in money" in said
        said = curated("run", str(path), "--workers", "2")
        assert "20 requests sent" in said
        assert "10 sent again" in said
        assert "0.000 in money" not in said
    assert server.most_open <= 8


def test_mistakes_are_found_by_the_check(bench):
    for llm, words in [
        ({"backend": "opnai"}, "Did you mean 'openai'"),
        ({"backend": "replay"}, "needs the file of recorded answers"),
        ({"backend": "replay", "answers": "nowhere.jsonl"}, "'nowhere.jsonl' cannot be read"),
        ({"backend": "transformers", "model": "nowhere/"}, "no model 'nowhere/'"),
    ]:
        stage = {"score": "toys.echo", "with": {"llm": {"model": "m", "max_tokens": 5} | llm}}
        with pytest.raises(RecipeError, match=words):
            curate.check(bench.recipe(stage))


def test_one_process_asks_however_many_work(bench, tmp_path):
    pool(bench, 200)
    path = tmp_path / "asks.yaml"
    with serving(seconds=0.01) as server:
        stage = {"score": "toys.echo", "with": {"llm": asking(server, concurrency=3)}}
        path.write_text(json.dumps(bench.recipe({"score": "toys.count"}, stage)))
        command = [sys.executable, "-m", "curate", "run", str(path), "--workers", "2"]
        subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    assert server.most_open <= 3
    assert sum(server.seen.values()) == 200


def test_what_references_take_is_told_of_the_stage_that_asked(bench, tmp_path):
    pool(bench, 10)
    targets = bench.write(
        [{"instruction": f"Tell {n}.", "output": "x"} for n in range(4)], tmp_path / "targets.jsonl"
    )
    with serving() as server:
        result = bench.run(
            {
                "expand": "toys.rewrite",
                "with": {"llm": asking(server, budget={"requests": 28}), "in_place": True},
            },
            {"score": "toys.like", "with": {"targets": {"t": str(targets)}}},
        )
    account = bench.manifest(result)["stages"][0]["services"]["llm"]
    assert account["sent"] == 28 == sum(server.seen.values())


def test_an_up_to_date_run_loads_no_client_and_no_table(bench, tmp_path):
    pool(bench, 5)
    answers = [{"prompt": f"Say {n}.", "answer": "x"} for n in range(5)]
    recorded = bench.write(answers, tmp_path / "answers.jsonl")
    script = (
        "import sys\n"
        "from curate.services.llm import LlmService\n"
        "from curate.asking import LlmSettings\n"
        "for more in [{}, {'backend': 'replay', 'answers': sys.argv[1]}]:\n"
        "    given = LlmSettings(model='m', max_tokens=5, **more)\n"
        "    LlmService().check(given)\n"
        "    print(LlmService().identity(given, None)['address'])\n"
        "heavy = {'polars', 'numpy', 'openai', 'tenacity', 'torch', 'httpx2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script, str(recorded)], check=True)


def test_what_all_runs_together_took_is_told(bench):
    """A run that asks little says what the answers took that others had paid for."""
    pool(bench, 10)
    with serving() as server:
        stage = {"score": "toys.echo", "with": {"llm": asking(server)}}
        first = bench.manifest(bench.run(stage))
        pool(bench, 12)
        entry = bench.manifest(bench.run(stage))["stages"][0]
        usage = dict(server.usage)
        account = entry["services"]["llm"]
        assert (entry["memo"]["hits"], account["sent"]) == (10, 2)
        assert account["used"] == {
            "answers": 12,
            "prompt_tokens": usage["prompt_tokens"],
            "completion_tokens": usage["completion_tokens"],
            "unmetered": 0,
            "money": f"{usage['prompt_tokens'] * 1.5 / 1e6 + usage['completion_tokens'] * 6 / 1e6:f}",
        }
        said = funnel({"stages": [entry]})[0].why()
        assert "2 requests sent" in said
        assert "its 12 answers, those of earlier runs included: 24 + 48 tokens and 0.0003" in said
        # where this run paid for all, there is nothing to add
        assert "earlier" not in funnel(first)[0].why()
        # other rows' values, and nothing but remembered children
        grown = {"expand": "toys.rewrite", "with": {"llm": asking(server)}}
        bench.run(grown)
        (before,) = bench.manifest(bench.run(grown, {"score": "toys.count"}))["stages"][:1]
    assert before["services"]["llm"]["sent"] == 0
    assert before["services"]["llm"]["used"]["answers"] == 24


def test_a_recording_sends_nothing(bench):
    pool(bench, 3)
    lines = [{"prompt": f"Say {n}.", "answer": f"{n}"} for n in range(3)]
    path = bench.folder / "answers.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    llm = {"backend": "replay", "model": "parrot", "max_tokens": 50, "answers": str(path)}
    entry = bench.manifest(bench.run({"score": "toys.echo", "with": {"llm": llm}}))["stages"][0]
    (step,) = funnel({"stages": [entry]})
    assert step.notes == ("3 recorded answers",)


def test_stages_after_an_expand_ask_so_often_at_most(bench, monkeypatch):
    from curate_toys import Rewrite

    pool(bench, 10)
    with serving() as server:
        rewrite = {"expand": "toys.rewrite", "with": {"llm": asking(server)}}
        echo = {"score": "toys.echo", "with": {"llm": asking(server)}}
        first, second = curate.plan(bench.recipe(rewrite, echo)).steps
        assert (first.llm["calls"], first.calls) == (20, None)
        assert (second.unknown, second.calls) == (True, None)
        monkeypatch.setattr(Rewrite, "makes", 1)
        (*_, third, last) = curate.plan(bench.recipe(rewrite, rewrite | {"id": "b"}, echo)).steps
        assert (third.unknown, third.calls) == (True, 2 * 20)
        assert (last.unknown, last.llm, last.calls) == (True, None, 40)
        entry = bench.manifest(bench.run(rewrite, rewrite | {"id": "b"}, echo))["stages"][-1]
        assert entry["in"] == 40
