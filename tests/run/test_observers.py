"""Who watches a run: what they are told, and what becomes of a run whose watcher fails."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from chat_server import serving
from click.testing import CliRunner
from rich.progress import Progress

import curate
from curate.commands.run import command as run
from curate.errors import CurateError, PluginError, UsageError
from curate.run.observe import Watch, named_observers
from curate.run.progress import pace

COUNT = {"score": "toys.count"}
TOP = {"filter": "core.top", "with": {"by": "toys_count_number", "count": 5}}


@pytest.fixture
def recipe(bench):
    path = bench.folder / "bench.yaml"

    def write(*pipeline, **more):
        path.write_text(json.dumps(bench.recipe(*pipeline, **more)))
        return path

    return write


@pytest.fixture
def out(bench):
    return bench.folder / "curated"


@pytest.fixture
def log(tmp_path):
    return tmp_path / "events.jsonl"


def called(recipe, out, *options):
    return CliRunner().invoke(
        run, [str(recipe), "--out", str(out), "--json", *options], catch_exceptions=False
    )


def events(log):
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_the_log_says_what_happened_in_order_with_the_facts(recipe, out, log, bench):
    done = called(recipe(COUNT, TOP), out, "--observe", f"events={log}")
    result, found = json.loads(done.stdout), events(log)
    assert [each["event"] for each in found if each["event"] != "stage_advanced"] == [
        "source_advanced",
        "run_started",
        "stage_started",
        "stage_finished",
        "stage_started",
        "stage_finished",
        "run_finished",
    ]
    assert found == sorted(found, key=lambda each: each["time"])
    manifest = json.loads((out / "bench" / "v1" / "manifest.json").read_text())
    finished = [each for each in found if each["event"] == "stage_finished"]
    for told, entry in zip(finished, manifest["stages"], strict=True):
        assert {key: told[key] for key in entry} == entry
    started = next(each for each in found if each["event"] == "run_started")
    assert started["run_key"] == manifest["run_key"]
    assert started["stages"] == ["toys_count", "core_top"]
    last = found[-1]
    assert {key: last[key] for key in result if key != "observers_failed"} == {
        key: value for key, value in result.items() if key != "observers_failed"
    }
    advanced = [each for each in found if each["event"] == "stage_advanced"]
    assert advanced[0]["total"] == 20


def test_who_follows_rows_sees_those_that_splitting_drops(recipe, out, log, bench):
    bench.write([{"instruction": f"q {n}", "output": f"a {n}"} for n in range(20)])
    pair = {"expand": "toys.pairs"}
    divided = {"output": {"splits": {"train": 0.5, "validation": 0.5}}}
    called(recipe(pair, COUNT, **divided), out, "--observe", f"events={log}")
    told = [each for each in events(log) if each["event"].startswith("stage_")]
    started, finished = told[-2:]
    keys = ("event", "id", "verb", "stage")
    assert [started[key] for key in keys] == ["stage_started", "output", "split", "output"]
    manifest = json.loads((out / "bench" / "v1" / "manifest.json").read_text())
    assert {key: finished[key] for key in manifest["stages"][-1]} == manifest["stages"][-1]
    assert finished["reasons"] == {"bridges_splits": finished["dropped"]}
    assert finished["dropped"] > 0
    assert started["rows"] == finished["in"] == finished["out"] + finished["dropped"]
    assert finished["out"] == manifest["books"]["kept"]
    assert events(log)[1]["stages"] == ["toys_pairs", "toys_count", "output"]


def test_a_run_that_is_up_to_date_says_only_that(recipe, out, log):
    path = recipe(COUNT)
    called(path, out)
    done = called(path, out, "--observe", f"events={log}")
    assert json.loads(done.stdout)["up_to_date"]
    (only,) = events(log)
    assert (only["event"], only["version"], only["up_to_date"]) == ("run_finished", "v1", True)


def test_nobody_watches_unasked(recipe, out, tmp_path, monkeypatch):
    monkeypatch.setenv("BRITTLE_LOG", str(tmp_path / "heard"))
    called(recipe(COUNT), out)
    assert not (tmp_path / "heard").exists()


def test_a_run_that_fails_is_told_with_its_error(recipe, out, log, bench):
    path = recipe({**COUNT, "with": {"fail_on": "number 7."}})
    with pytest.raises(CurateError) as caught:
        called(path, out, "--observe", f"events={log}")
    last = events(log)[-1]
    assert last["event"] == "run_failed"
    assert last["error"] == str(caught.value)


@pytest.mark.parametrize("target", ["", "=", "=/nowhere/at/all/events.jsonl"])
def test_a_log_that_cannot_be_written_stops_before_any_work(recipe, out, target):
    with pytest.raises(UsageError, match=r"needs a file|cannot be written"):
        called(recipe(COUNT), out, "--observe", f"events{target}")
    assert not out.exists()


def test_an_unknown_observer_is_named(recipe, out):
    with pytest.raises(PluginError, match="no observer 'event'") as caught:
        called(recipe(COUNT), out, "--observe", "event=x")
    assert "events" in caught.value.remedy
    with pytest.raises(PluginError) as caught:
        called(recipe(COUNT), out, "--observe", "mlflow")
    assert "pip install curate-mlflow" in caught.value.remedy


def test_an_observer_that_refuses_at_the_start_stops_before_any_work(recipe, out):
    with pytest.raises(PluginError, match="'brittle=run_started' cannot watch this run: OSError"):
        called(recipe(COUNT), out, "--observe", "brittle=run_started")
    assert not list(Path(os.environ["CURATE_HOME"]).rglob("part-*"))
    assert not (out / "bench" / "v1").exists()


def test_where_one_refuses_the_others_are_told_that_the_run_failed(recipe, out, log):
    with pytest.raises(PluginError):
        called(recipe(COUNT), out, "--observe", f"events={log}", "--observe", "brittle=run_started")
    assert events(log)[-1]["event"] == "run_failed"


def test_a_file_that_is_no_log_of_events_is_not_written_to(recipe, out, bench):
    path, before = recipe(COUNT), bench.pool.read_bytes()
    for file in (bench.pool, path):
        with pytest.raises(UsageError, match="no log of events"):
            called(path, out, "--observe", f"events={file}")
    assert bench.pool.read_bytes() == before
    version = Path(json.loads(called(path, out).stdout)["path"])
    with pytest.raises(UsageError, match="would lie in a version"):
        called(path, out, "--observe", f"events={version / 'events.jsonl'}")


@pytest.mark.parametrize("event", ["stage_started", "stage_finished", "run_finished"])
def test_an_observer_that_fails_later_costs_no_version(
    recipe, out, log, event, tmp_path, monkeypatch
):
    heard = tmp_path / "heard"
    monkeypatch.setenv("BRITTLE_LOG", str(heard))
    observers = ["--observe", f"brittle={event}", "--observe", f"events={log}"]
    done = called(recipe(COUNT, TOP), out, *observers)
    result = json.loads(done.stdout)
    assert result["new"]
    assert (out / "bench" / "v1" / "manifest.json").exists()
    assert result["observers_failed"] == {f"brittle={event}": f"OSError: no {event} today"}
    assert f"the observer 'brittle={event}' failed" in done.stderr
    end = [event] if event == "run_finished" else [event, "run_failed"]  # told no more
    assert heard.read_text().splitlines()[-len(end) :] == end
    assert events(log)[-1]["event"] == "run_finished"  # the others are


def test_in_python_a_failed_observer_is_a_warning(recipe, out, log):
    with pytest.warns(RuntimeWarning, match="'brittle=stage_started' failed"):
        version = curate.run(recipe(COUNT), out=out, observe=["brittle=stage_started"])
    assert version.version == "v1"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        curate.run(recipe(COUNT, TOP), out=out, observe=[f"events={log}"])
    assert events(log)


def test_how_far_is_told_at_most_twice_a_second_and_at_the_end():
    heard = []

    class Ear:
        def stage_advanced(self, facts):
            heard.append(facts["done"])

    watch = Watch([Ear()])
    for done in range(1000):
        watch.advance("stage_advanced", {"id": "a", "done": done}, last=done == 999)
    assert heard[0] == 0
    assert heard[-1] == 999
    assert len(heard) < 20


def test_of_a_stage_that_asks_a_model_it_is_told_what_it_asked(bench, out, log, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    bench.write([{"instruction": f"Say {n}.", "output": f"{n}"} for n in range(12)])
    heard = []

    class Ear:
        def __getattr__(self, event):
            return lambda facts: heard.append((event, facts))

    with serving(seconds=0.3) as server:
        asks = {"base_url": server.url, "model": "parrot", "max_tokens": 40, "concurrency": 2}
        stage = {"score": "toys.echo", "with": {"llm": asks}}
        from curate.versions.make import run_recipe

        run_recipe(bench.recipe(stage), out=out, watch=Watch([Ear()]))
    told = [facts for event, facts in heard if event == "stage_advanced"]
    assert {facts["total"] for facts in told} == {12}
    between = [facts for facts in told if 0 < facts["done"] < 12]
    assert between, "answers come one by one, and are told while the stage waits"
    for facts in between:
        assert facts["services"]["llm"]["sent"] >= facts["done"]


def test_a_bar_says_how_fast_how_long_and_what_was_spent():
    progress = Progress()
    progress.add_task("x", total=None, began=time.monotonic() - 120)
    (task,) = progress.tasks
    assert pace(task) == "0:00"
    progress.update(task.id, completed=2_000)
    assert pace(task) == "2,000 rows, 0:00"
    asked = {
        "done": 0,
        "sent": 80,
        "journal": 20,
        "prompt_tokens": 1000,
        "completion_tokens": 500,
        "money": "0.25",
    }
    progress.update(task.id, completed=0, total=400, asked=asked)
    assert pace(task) == "0/400, 1,500 tokens = 0.2500"
    progress.update(task.id, completed=100, asked=asked | {"done": 100})
    assert pace(task) == "100/400, 50 answers/min, 1,500 tokens = 0.2500"


PACE = re.compile(r"toys_count .*?(\d+)/20, [\d.,]+/s, \d:\d\d left")


def at_a_terminal(command, environment):
    """What a process says on a terminal, and its exit code."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    said = b""
    while True:
        ready, _, _ = select.select([ours], [], [], 60)
        assert ready, said
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        said += part
    os.close(ours)
    return said.decode(), process.wait(timeout=60)


def test_a_terminal_sees_a_bar_and_a_pipe_sees_none(recipe, out):
    path = recipe({**COUNT, "with": {"wait": 0.2, "batch_size": 2}}, TOP)
    command = [sys.executable, "-m", "curate", "run", str(path), "--out", str(out)]
    environment = os.environ | {"COLUMNS": "100", "TERM": "xterm"}
    said, code = at_a_terminal(command, environment)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said)
    assert code == 0
    assert PACE.search(plain)
    assert "score toys_count  20 in, 20 out" in plain
    piped = subprocess.run(
        [*command, "--set", "seed=1"], env=environment, capture_output=True, text=True, check=True
    )
    assert piped.stderr == ""
    assert "\x1b" not in piped.stdout


def test_ctrl_c_says_what_is_left_and_the_next_run_goes_on(recipe, out, tmp_path, log):
    asked = tmp_path / "asked"
    path = recipe({**COUNT, "with": {"wait": 0.15, "batch_size": 2, "log": str(asked)}})
    command = [sys.executable, "-m", "curate", "run", str(path), "--out", str(out)]
    process = subprocess.Popen(
        [*command, "--observe", f"events={log}"], stderr=subprocess.PIPE, text=True
    )
    while not asked.exists() or len(asked.read_text().splitlines()) < 4:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    assert process.returncode == 130
    assert said.startswith("interrupted: no version was published\n")
    assert "goes on from there" in said
    assert not (out / "bench" / "v1").exists()
    assert events(log)[-1]["event"] == "run_failed"
    assert events(log)[-1]["error"] == "interrupted"
    subprocess.run(command, check=True, capture_output=True)
    ids = asked.read_text().splitlines()
    assert len(set(ids)) == 20
    assert len(ids) <= 20 + 2  # the batch at work when it was interrupted


def test_observers_are_looked_up_by_their_whole_word():
    from curate.plugins.registry import get_registry

    named = named_observers(["brittle=a=b"], get_registry())
    assert named["brittle=a=b"].fails == "a=b"
