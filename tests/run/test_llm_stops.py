"""Runs that ask a model and end before their time: killed, out of budget, interrupted."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
import xxhash
from chat_server import serving

from curate.errors import CurateError
from curate.services.llm import sending

CURATE = [sys.executable, "-m", "curate"]
KEY = "sk-test-0123456789abcdef"


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setattr(sending, "_FIRST", 0.05)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def pool(bench, count):
    bench.write([{"instruction": f"Say {n}.", "output": f"{n}"} for n in range(count)])


def asking(server, **more):
    return {"base_url": server.url, "model": "parrot", "max_tokens": 40} | more


def recipe(bench, **llm):
    path = bench.folder / "asks.yaml"
    stage = {"expand": "toys.rewrite", "with": {"llm": llm}}
    path.write_text(json.dumps(bench.recipe(stage)))
    return path


def journalled(home):
    logs = (home / "memo" / "llm").glob("answer-*/log-*.jsonl")
    lines = [line for log in logs for line in log.read_bytes().splitlines(keepends=True)]
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def started(path):
    return subprocess.Popen(
        [*CURATE, "run", str(path), "--out", str(path.parent / "curated")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_a_run_killed_twice_repeats_at_most_what_was_open(bench, home):
    pool(bench, 500)
    concurrency, kept = 8, []

    def behave(body, times):
        drawn = xxhash.xxh3_64_intdigest(body["messages"][-1]["content"].encode())
        odd = ("busy", "broken", "dropped", "silent", "half", "malformed", "empty", "nothing")
        return odd[drawn // 20 % len(odd)] if drawn % 20 == 0 and times == 1 else "fine"

    with serving(behave, seconds=0.02) as server:
        path = recipe(bench, **asking(server, concurrency=concurrency, timeout=1.5))
        for least in (150, 550):
            process = started(path)
            while len(server.answered) < least:
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            time.sleep(0.2)  # the server ends what it was about to say
            held = keys_of(server, journalled(home))
            assert len(set(server.answered) - held) <= concurrency
            kept.append({key: server.seen[key] for key in held})
        process = started(path)
        said, _ = process.communicate()
    assert process.returncode == 0, said
    assert len(server.kinds) >= 7
    # what the journal held at a kill never came again; of the rest at most what was open then
    for seen in kept:
        assert len(seen) > 100
        assert all(server.seen[key] == times for key, times in seen.items())
    assert sum(server.answered.values()) - len(server.answered) <= 2 * concurrency
    lines = journalled(home)
    assert len(server.answered) == len(lines) == len({line["key"] for line in lines}) == 1000
    version = bench.folder / "curated" / "bench" / "v1"
    books = json.loads((version / "manifest.json").read_text())["books"]
    assert (books["created"], books["kept"], books["failed"]) == (500, 1000, 0)


def keys_of(server, lines):
    """The keys by which the server knows the requests of journalled answers."""
    keys = {json.dumps(body, sort_keys=True): key for key, body in server.bodies.items()}
    return {keys[json.dumps(line["body"], sort_keys=True)] for line in lines}


def test_two_runs_at_once_use_each_others_answers(bench, home):
    pool(bench, 60)
    with serving(seconds=0.02) as server:
        path = recipe(bench, **asking(server, concurrency=2))
        running = [started(path) for _ in range(2)]
        said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert len(server.answered) == 120
    assert set(server.answered.values()) == {1}
    data = pl.read_parquet(bench.folder / "curated" / "bench" / "v1" / "ledger.parquet")
    assert len(data) == 120


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ({"requests": 30}, "30 of 30 requests"),
        ({"tokens": 1000}, r"[\d,]+ of 1,000 tokens"),
        ({"money": 0.05}, r"0\.0\d+ of 0.05 in money"),
    ],
)
def test_a_budget_stops_the_run_before_it_is_exceeded_and_more_goes_on(bench, home, budget, words):
    pool(bench, 100)
    with serving(reply=lambda body: "many words " * 15) as server:
        llm = asking(server, prices={"prompt": 10, "completion": 100}, concurrency=4)
        stage = {"score": "toys.echo"}
        with pytest.raises(CurateError, match=words) as stopped:
            bench.run({**stage, "with": {"llm": llm | {"budget": budget}}})
        spent, requests = dict(server.usage), sum(server.seen.values())
        tokens = sum(spent.values())
        money = Decimal(spent["prompt_tokens"] * 10 + spent["completion_tokens"] * 100) / 10**6
        limits = {"requests": requests, "tokens": tokens, "money": float(money)}
        ((name, most),) = budget.items()
        assert 0.7 * most <= limits[name] <= most
        held = len(journalled(home))
        assert held == requests < 100
        assert stopped.value.exit_code == 1
        assert f"{100 - held} of 100 rows are left to do." in str(stopped.value)
        assert not list((bench.folder / "curated").glob("*/v*"))
        assert not list((bench.folder / "curated").rglob("ledger.parquet"))
        result = bench.run({**stage, "with": {"llm": llm | {"budget": {"requests": 100}}}})
    manifest = bench.manifest(result)
    assert (manifest["books"]["kept"], manifest["books"]["failed"]) == (100, 0)
    assert set(server.seen.values()) == {1}
    assert manifest["stages"][0]["services"]["llm"]["sent"] == 100 - held


def test_the_budget_stop_of_the_command_line(bench, home):
    pool(bench, 40)
    with serving() as server:
        path = recipe(bench, **asking(server, budget={"requests": 7}))
        process = started(path)
        said = process.communicate()[0].decode()
    assert process.returncode == 1
    assert "Stage 'toys_rewrite' stopped before its budget was exceeded" in said
    assert "40 of 40 rows are left to do" in said
    assert "Traceback" not in said
    assert sum(server.seen.values()) == 7


def test_what_is_not_known_to_be_free_counts_as_spent(bench, home):
    pool(bench, 10)
    with serving(lambda body, times: "half") as server:
        llm = asking(server, budget={"tokens": 500}, concurrency=1, attempts=2)
        with pytest.raises(CurateError, match=r"spent [34]\d\d of 500 tokens"):
            bench.run(
                {
                    "score": "toys.echo",
                    "with": {"llm": llm},
                    "on_failure": {"set_aside": "100%"},
                }
            )
    # each may have taken 6 bytes of text and 4 of role, 2 x 16 around, and 40 of the answer
    assert sum(server.seen.values()) == 500 // (10 + 32 + 40)


def test_an_interrupted_run_writes_down_what_was_open(bench, home):
    pool(bench, 100)
    with serving(seconds=0.4) as server:
        process = started(recipe(bench, **asking(server, concurrency=4)))
        while not server.seen:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said = process.communicate()[0].decode()
        assert process.returncode == 130, said
        assert len(journalled(home)) == sum(server.seen.values()) <= 4


def files_below(*folders):
    return [path for folder in folders for path in Path(folder).rglob("*") if path.is_file()]


@pytest.mark.parametrize("where", ["", "in the address"])
def test_secrets_are_nowhere(bench, home, tmp_path, where):
    """The server says them in errors and in answers; they are in no file and on no screen."""
    pool(bench, 60)
    secret = "pw-9876543210fedcba"
    basic = base64.b64encode(f"user:{secret}".encode()).decode()

    def behave(body, times):
        number = int(body["messages"][-1]["content"].removeprefix("Say ").removesuffix("."))
        return {0: "echoed", 1: "told", 2: "spoken", 3: "garbled"}.get(number, "fine")

    def run(server, **llm):
        path = tmp_path / "asks.yaml"
        stage = {
            "score": "toys.echo",
            "with": {
                "llm": {
                    "model": "parrot",
                    "max_tokens": 40,
                    "api_key_env": "MY_KEY",
                    "attempts": 1,
                    **llm,
                }
            },
            "on_failure": {"set_aside": 2},
        }
        path.write_text(json.dumps(bench.recipe(stage)))
        address = server.url
        if where:
            address = address.replace("http://", f"http://user:{secret}@") + f"?code={secret}x"
        return subprocess.run(
            [*CURATE, "run", str(path), "--out", str(bench.folder / "curated")],
            check=False,
            capture_output=True,
            env=os.environ | {"OPENAI_BASE_URL": address, "MY_KEY": KEY},
        )

    with serving(behave) as server:
        done = run(server)
        assert done.returncode == 0, done.stderr
        assert server.keys == {f"Basic {basic}" if where else f"Bearer {KEY}"}
        manifest = json.loads((bench.folder / "curated/bench/v1/manifest.json").read_text())
        account = manifest["stages"][0]["services"]["llm"]
        assert account["address"] == server.url
    with serving(lambda body, times: "unauthorised") as server:
        refused = run(server, temperature=0.1)
        assert refused.returncode == 1
        assert b"401, wrong key: B" in refused.stderr
    files = files_below(home, bench.folder)
    assert any(path.suffix == ".jsonl" and "llm" in path.parts for path in files)
    contents = [path.read_bytes() for path in files]
    contents += [
        str(pl.read_parquet(path).to_dicts()).encode()
        for path in files
        if path.suffix == ".parquet"
    ]
    assert sum(b"***" in content for content in contents) >= 3  # journal, ledger, scores
    contents += [done.stdout, done.stderr, refused.stdout, refused.stderr]
    for content in contents:
        # parts of them are cut from what is said
        for word in (KEY[:10], secret[:10], basic[:10]):
            assert word.encode() not in content


def test_an_address_with_a_secret_is_no_part_of_a_recipe(bench):
    llm = {"model": "m", "max_tokens": 5, "base_url": "http://user:pw-secret@127.0.0.1/v1"}
    with pytest.raises(CurateError, match="OPENAI_BASE_URL") as refused:
        bench.run({"score": "toys.echo", "with": {"llm": llm}})
    assert "pw-secret" not in str(refused.value)


def test_a_key_in_the_settings_is_refused_before_anything_is_written(bench, home, monkeypatch):
    monkeypatch.setenv("OTHER_TOKEN", "tok-9876543210-fedcba")
    pool(bench, 3)
    with serving() as server:
        for wrong, variable in [
            ({"body": {"user": f"me, {KEY}"}}, "OPENAI_API_KEY"),
            ({"body": {"tools": [{"tok-9876543210-fedcba": 1}]}}, "OTHER_TOKEN"),
            ({"base_url": f"{server.url}/tok-9876543210-fedcba"}, "OTHER_TOKEN"),
        ]:
            with pytest.raises(CurateError, match=f"holds the value of {variable}") as refused:
                bench.run({"score": "toys.echo", "with": {"llm": asking(server, **wrong)}})
            assert KEY not in str(refused.value)
            assert "tok-" not in str(refused.value)
        assert not server.seen
    assert not list((bench.folder / "curated").glob("*/v*"))
    assert not journalled(home)


def test_a_recipe_does_not_say_where_keys_go(bench, home):
    pool(bench, 3)
    llm = {"model": "m", "max_tokens": 5, "base_url": "https://stranger.example/v1"}
    with pytest.raises(CurateError, match="OPENAI_API_KEY is not sent to https://stranger") as e:
        bench.run({"score": "toys.echo", "with": {"llm": llm}})
    assert "CURATE_KEYS_TO=stranger.example" in str(e.value)
    assert KEY not in str(e.value)
    assert not journalled(home)


def test_open_requests_never_exceed_the_limit_while_many_stop(bench):
    """Threads that wait for the budget are woken by those that settle, and no one is forgotten."""
    pool(bench, 200)
    with serving(reply=lambda body: "many words " * 15, seconds=0.005) as server:
        llm = asking(server, concurrency=16, budget={"tokens": 2000})
        before = threading.active_count()
        with pytest.raises(CurateError, match="budget"):
            bench.run({"score": "toys.echo", "with": {"llm": llm}})
        assert server.most_open <= 16
        assert sum(server.usage.values()) <= 2000
        names = [thread.name for thread in threading.enumerate() if thread.name.startswith("llm")]
    assert not names
    assert threading.active_count() <= before


def test_a_row_that_may_not_fail_ends_all_that_is_under_way(bench, home):
    pool(bench, 400)

    def behave(body, times):
        return "bad" if body["messages"][0]["content"] == "Say 3." else "fine"

    with serving(behave, seconds=0.05) as server:
        stage = {
            "score": "toys.echo",
            "with": {"llm": asking(server, concurrency=4)},
            "on_failure": {"set_aside": 0},
        }
        with pytest.raises(CurateError, match="failed on") as stopped:
            bench.run(stage)
        seen = sum(server.seen.values())
        names = [thread.name for thread in threading.enumerate() if thread.name.startswith("llm")]
        assert not names
        time.sleep(0.2)
        assert sum(server.seen.values()) == seen < 40
        assert len(journalled(home)) == seen - 1
    assert stopped.value.__traceback__  # it holds on to what was under way
