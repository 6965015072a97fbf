"""Several worker processes: the same values, errors on their rows, and a worker that dies."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from curate.commands import call
from curate.engines.local import LocalEngine
from curate.versions.make import run_recipe
from curate.versions.open import Version


def run(bench, *pipeline, workers, **more):
    out = bench.folder / f"out{workers}"
    return run_recipe(bench.recipe(*pipeline, **more), out=out, workers=workers)


@pytest.fixture
def many(bench):
    bench.write(
        [{"instruction": f"Say {n}.", "output": f"It is {n}, a number."} for n in range(400)]
    )
    return bench


def test_workers_give_the_values_of_one_process(many, monkeypatch):
    stages = [{"score": "toys.count"}, {"score": "core.length"}, {"score": "toys.vector"}]
    monkeypatch.setenv("CURATE_HOME", str(many.folder / "one"))
    one = run(many, *stages, workers=1)
    monkeypatch.setenv("CURATE_HOME", str(many.folder / "three"))
    three = run(many, *stages, workers=3)
    assert Version(one.path).scores.equals(Version(three.path).scores)
    assert one.digest == three.digest
    first = many.manifest(three)["stages"][0]
    assert first["memo"] == {"distinct": 400, "hits": 0, "computed": 400}


def test_a_bad_row_costs_itself_among_workers(many):
    rows = [json.loads(line) for line in many.pool.read_text().splitlines()]
    rows[250]["output"] = "boom"
    many.write(rows)
    stage = {"score": "toys.count", "with": {"raise_on": "boom"}, "on_failure": {"set_aside": 1}}
    result = run(many, stage, workers=2)
    manifest = many.manifest(result)
    assert manifest["books"]["failed"] == 1
    ledger = Version(result.path).ledger
    (failed,) = ledger.filter(ledger["fate"] == "failed").to_dicts()
    assert failed["line"] == 251
    assert "boom" in failed["detail"]


def test_few_rows_stay_in_this_process():
    engine = LocalEngine(4)
    made = list(engine.run(lambda rows: iter([rows]), pl.DataFrame({"id": ["a", "b"]})))
    assert len(made) == 1
    assert engine._workers is None
    engine.close()


def second_worker(parent):
    """The process id of the second worker of a run, once there is one."""
    children = Path(f"/proc/{parent}/task/{parent}/children")
    if not children.is_file():
        pytest.skip("children of a process are found through /proc")
    ids = children.read_text().split()
    workers = [id for id in ids if b"spawn_main" in Path(f"/proc/{id}/cmdline").read_bytes()]
    return int(workers[1]) if len(workers) == 2 else None


def test_a_worker_that_dies_is_an_error_and_what_was_computed_stays(many):
    recipe = many.recipe({"score": "toys.count", "with": {"wait": 0.3, "batch_size": 5}})
    path = many.folder / "recipe.yaml"
    path.write_text(json.dumps(recipe))
    home = str(many.folder / "home")
    process = subprocess.Popen(
        [sys.executable, "-m", "curate", "run", str(path), "--workers", "2"],
        cwd=many.folder,
        env={**os.environ, "CURATE_HOME": home},
        stderr=subprocess.PIPE,
        text=True,
    )
    child = None
    while process.poll() is None and child is None:
        time.sleep(0.2)
        child = second_worker(process.pid)
    time.sleep(1)
    os.kill(child, signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "worker process was killed" in said


def test_workers_end_when_their_runner_is_killed(many):
    recipe = many.recipe({"score": "toys.count", "with": {"wait": 0.5, "batch_size": 5}})
    path = many.folder / "recipe.yaml"
    path.write_text(json.dumps(recipe))
    process = subprocess.Popen(
        [sys.executable, "-m", "curate", "run", str(path), "--workers", "2"],
        cwd=many.folder,
        env={**os.environ, "CURATE_HOME": str(many.folder / "home")},
        stderr=subprocess.DEVNULL,
    )
    child = None
    while process.poll() is None and child is None:
        time.sleep(0.2)
        child = second_worker(process.pid)
    time.sleep(1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for _ in range(150):
        if not Path(f"/proc/{child}").exists():
            return
        time.sleep(0.2)
    raise AssertionError("a worker outlived its runner by 30 seconds")


def test_a_script_without_a_guard_is_told_so(many):
    stage = {"score": "toys.count", "with": {"log": str(many.folder / "log")}}
    recipe = json.dumps(many.recipe(stage))
    script = many.folder / "script.py"
    script.write_text(f"import curate\ncurate.run({recipe}, workers=2)\n")
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=many.folder,
        env={**os.environ, "CURATE_HOME": str(many.folder / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "__main__" in done.stderr
    assert not (many.folder / "log").exists()  # nothing was computed, let alone three times


def test_the_command_takes_workers(bench, monkeypatch):
    monkeypatch.chdir(bench.folder)
    (bench.folder / "r.yaml").write_text(json.dumps(bench.recipe({"score": "core.length"})))
    assert call(["run", "r.yaml", "--workers", "2"]) == 0
    assert call(["run", "r.yaml", "--workers", "0"]) == 2
