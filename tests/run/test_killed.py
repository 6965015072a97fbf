"""Real processes, killed for real."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl

ROOT = Path(__file__).parent.parent.parent
CURATE = [sys.executable, "-m", "curate"]


def environment(home):
    return os.environ | {"CURATE_HOME": str(home), "HF_HUB_OFFLINE": "1"}


def version(folder):
    (path,) = (folder / "curated").glob("*/v1")
    return path, json.loads((path / "manifest.json").read_text())


def stored(home):
    """Content hashes that the memo holds, by output; none of them twice."""
    found = {}
    for folder in (home / "memo").glob("*/*-*"):
        parts = [pl.read_parquet(part)["id"] for part in folder.glob("part-*.parquet")]
        if parts:
            ids = pl.concat(parts)
            assert ids.n_unique() == len(ids), "an example was scored twice"
            found[f"{folder.parent.name}:{folder.name.partition('-')[0]}"] = len(ids)
    return found


def same_bytes(one, two):
    files = sorted(path.relative_to(one) for path in (one / "data").rglob("*.parquet"))
    assert files
    return all((one / file).read_bytes() == (two / file).read_bytes() for file in files)


def test_the_main_job_killed_at_three_random_moments_equals_an_uninterrupted_one(tmp_path):
    recipe = [*CURATE, "run", "recipes/nait_alpaca.yaml"]
    folders = {name: tmp_path / name for name in ("whole", "killed")}
    for folder in folders.values():
        for part in ("recipes", "data"):
            shutil.copytree(ROOT / part, folder / part)
    started = time.monotonic()
    subprocess.run(
        recipe,
        cwd=folders["whole"],
        env=environment(tmp_path / "h1"),
        check=True,
        capture_output=True,
    )
    seconds = time.monotonic() - started
    home = tmp_path / "h2"
    for _ in range(3):
        process = subprocess.Popen(
            recipe,
            cwd=folders["killed"],
            env=environment(home),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(random.uniform(0.3, 0.9) * seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = stored(home)
    shutil.rmtree(folders["killed"] / "curated", ignore_errors=True)  # one may have come to its end
    subprocess.run(
        recipe, cwd=folders["killed"], env=environment(home), check=True, capture_output=True
    )
    (one, first), (two, last) = version(folders["whole"]), version(folders["killed"])
    assert same_bytes(one, two)
    assert first["digest"] == last["digest"]
    assert stored(home) == stored(tmp_path / "h1")
    for stage in (stage for stage in last["stages"] if stage["memo"]):
        name, memo = stage["stage"], stage["memo"]
        known = min([n for key, n in before.items() if key.startswith(f"{name}:")], default=0)
        if stage["shares_pass_of"]:  # what was not known came with the pass of another stage
            assert memo["hits"] == memo["distinct"]
        else:
            assert memo["hits"] == min(known, memo["distinct"])


def test_what_was_scored_before_a_kill_is_not_scored_again(tmp_path):
    log = tmp_path / "log"
    rows = [{"instruction": f"Say {n}.", "output": str(n)} for n in range(400)]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "slow.yaml").write_text(
        "name: slow\nsources: {pool: {path: pool.jsonl}}\npipeline:\n"
        f"- {{score: toys.count, with: {{wait: 0.15, batch_size: 5, log: '{log}'}}}}\n"
    )
    process = subprocess.Popen(
        [*CURATE, "run", "slow.yaml"],
        cwd=tmp_path,
        env=environment(tmp_path / "home"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not stored(tmp_path / "home"):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = stored(tmp_path / "home")["toys.count:number"]
    assert 0 < before < 400
    log.unlink()
    subprocess.run(
        [*CURATE, "run", "slow.yaml", "--set", "toys_count.with.wait=0"],
        cwd=tmp_path,
        env=environment(tmp_path / "home"),
        check=True,
        capture_output=True,
    )
    assert len(log.read_text().splitlines()) == 400 - before
    _, manifest = version(tmp_path)
    memo = manifest["stages"][0]["memo"]
    assert memo == {"distinct": 400, "hits": before, "computed": 400 - before}


def test_two_runs_at_once_make_one_version(tmp_path):
    rows = [{"instruction": f"Say {n}.", "output": str(n)} for n in range(50)]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "both.yaml").write_text(
        "name: both\nsources: {pool: {path: pool.jsonl}}\npipeline:\n"
        "- {score: toys.count, with: {wait: 0.05, batch_size: 5}}\n"
    )
    running = [
        subprocess.Popen(
            [*CURATE, "run", "both.yaml", "--json"],
            cwd=tmp_path,
            env=environment(tmp_path / "home"),
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    results = [json.loads(process.communicate()[0]) for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert {result["version"] for result in results} == {"v1"}
    assert sum(result["new"] for result in results) == 1
    assert [path.name for path in (tmp_path / "curated" / "both").glob("v*")] == ["v1"]
    assert not list((tmp_path / "curated" / "both").glob(".partial-*"))
