"""What is remembered can be looked at and removed, and nothing else can."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from chat_server import serving
from click.testing import CliRunner

from curate.answers import Answer, Call
from curate.commands.gc import command as gc
from curate.commands.gc import size
from curate.errors import CurateError, UsageError
from curate.memo import gc as collecting
from curate.memo.answers import Journal
from curate.memo.holding import alone, hold

COUNT = {"score": "toys.count"}
VECTOR = {"score": "toys.vector"}
DAY = 86_400


@pytest.fixture
def home():
    return Path(os.environ["CURATE_HOME"])


def called(*options):
    return CliRunner().invoke(gc, options, catch_exceptions=False)


def facts(*options):
    return json.loads(called("--json", *options).output)


def like(bench):
    """A stage that is fitted on a reference."""
    return {"score": "toys.like", "with": {"targets": {"a": {"path": str(bench.pool)}}}}


def named(sums):
    return {each["name"]: each for each in sums}


def age(home, name, days):
    """Let all that is of a stage have been used so long ago."""
    at = time.time() - days * DAY
    for path in (home / "memo" / name).rglob("*"):
        os.utime(path, (at, at))


def memo_of(bench, result):
    return [stage["memo"] for stage in bench.manifest(result)["stages"]]


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_what_is_held_is_counted_by_stage(bench, home):
    bench.run(COUNT, VECTOR)
    held = named(facts()["held"])
    assert held["toys.count"] | {"made": "", "used": "", "bytes": 0} == {
        "name": "toys.count",
        "kinds": ["values"],
        "keys": 2,
        "rows": 40,
        "bytes": 0,
        "made": "",
        "used": "",
    }
    files = [path for path in (home / "memo" / "toys.count").rglob("*") if path.is_file()]
    assert held["toys.count"]["bytes"] == sum(path.stat().st_size for path in files)
    assert held["schemas"]["keys"] == len(list((home / "schemas").iterdir())) == 1
    screen = called().output
    assert "toys.vector" in screen
    assert str(home) in screen


def test_nothing_is_removed_without_being_told_to(bench, home):
    bench.run(COUNT)
    before = contents(home)
    shown = facts("--stage", "toys.count", "--older-than", "0d")
    assert named(shown["selected"])["toys.count"]["keys"] == 2
    assert shown["removed"] == []
    assert "--remove removes it" in called("--stage", "toys.count").output
    assert contents(home) == before


@pytest.mark.parametrize("options", [["--remove"], ["--remove", "--answers"]])
def test_what_to_remove_must_be_said(bench, options):
    bench.run(COUNT)
    with pytest.raises(UsageError, match="Say what to remove"):
        called(*options)


@pytest.mark.parametrize("text", ["30", "d", "-1d", "1.5d", "30 days"])
def test_ages_are_hours_days_and_weeks(text):
    done = called("--older-than", text)
    assert done.exit_code == 2
    assert "12h, 30d or 8w" in done.output


def test_an_unknown_stage_is_named_with_the_nearest(bench):
    bench.run(COUNT)
    with pytest.raises(UsageError, match=r"remembered of 'toys\.cuont'"):
        called("--stage", "toys.cuont")


def test_what_was_removed_is_computed_again_and_gives_the_same(bench):
    first = bench.run(COUNT, VECTOR, like(bench))
    removed = facts("--stage", "toys.count", "--stage", "toys.like", "--remove")
    assert sorted(named(removed["removed"])) == ["toys.count", "toys.like"]
    again = bench.run(COUNT, VECTOR, like(bench), seed=1)
    count, vector, _ = memo_of(bench, again)
    assert (count["computed"], vector["computed"]) == (20, 0)
    bench.run(COUNT, VECTOR, like(bench), out=bench.folder / "other")
    same = bench.run(COUNT, VECTOR, like(bench))
    assert same.digest == first.digest


def test_age_counts_from_the_last_use_not_from_the_making(bench, home):
    bench.run(COUNT, VECTOR)
    age(home, "toys.count", 40)
    age(home, "toys.vector", 40)
    bench.run(COUNT, seed=1)  # reads what it finds
    removed = facts("--older-than", "30d", "--remove")
    assert list(named(removed["removed"])) == ["toys.vector"]
    assert "toys.count" in named(facts()["held"])


def test_caches_of_files_can_go(bench, home):
    settled = time.time() - 60  # what was written just now is hashed again
    os.utime(bench.pool, (settled, settled))
    first = bench.run(COUNT)
    removed = named(facts("--stage", "hashes", "--stage", "schemas", "--remove")["removed"])
    assert {name: each["keys"] for name, each in removed.items()} == {"hashes": 1, "schemas": 1}
    assert not [path for cache in ("hashes", "schemas") for path in (home / cache).iterdir()]
    assert bench.run(COUNT).digest == first.digest


def test_answers_stay_unless_said(bench, home, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    bench.write([{"instruction": f"Say {n}.", "output": f"{n}"} for n in range(5)])
    with serving() as server:
        asks = {"base_url": server.url, "model": "parrot", "max_tokens": 40}
        bench.run({"score": "toys.echo", "with": {"llm": asks}})
    assert named(facts()["held"])["answers"]["rows"] == 5
    for options in (["--older-than", "0d"], ["--stage", "answers"]):
        facts(*options, "--remove")
        assert len(list((home / "memo" / "llm").rglob("log-*.jsonl"))) == 1
    removed = facts("--stage", "answers", "--answers", "--remove")
    assert named(removed["removed"])["answers"]["rows"] == 5
    assert not list((home / "memo" / "llm").rglob("log-*.jsonl"))


def test_what_is_not_the_memos_is_reported_and_stays(bench, home, tmp_path):
    bench.run(COUNT)
    (key,) = (home / "memo" / "toys.count").glob("number-*")
    (key / "notes.txt").write_text("mine")
    (home / "memo" / "toys.count" / "letters").mkdir()
    (home / "memo" / "todo.md").write_text("mine")
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "key.json").write_text("{}")
    (home / "memo" / "toys.count" / f"x-{'a' * 32}").symlink_to(linked)
    (home / "memo" / "toys.link").symlink_to(linked)
    even = next((home / "memo" / "toys.count").glob("even-*"))
    shown = facts("--older-than", "0d", "--answers", "--remove")
    assert len(shown["not_ours"]) == 5
    assert named(shown["removed"])["toys.count"]["keys"] == 1
    assert not even.exists()
    assert (key / "notes.txt").exists()
    assert list(key.glob("part-*"))
    assert (linked / "key.json").exists()
    assert "never touched" in called().output


def test_a_link_among_the_files_of_a_key_keeps_it(bench, home):
    result = bench.run(COUNT)
    (key,) = (home / "memo" / "toys.count").glob("number-*")
    part = next(key.glob("part-*"))
    part.unlink()
    part.symlink_to(result.path / "scores.parquet")
    facts("--older-than", "0d", "--remove")
    assert part.is_symlink()
    assert (result.path / "scores.parquet").exists()


@pytest.mark.parametrize("place", ["v1", "dataset", "versions"])
def test_nothing_is_removed_where_versions_lie(bench, monkeypatch, place):
    """CURATE_HOME in a version, in the folder of a dataset, or where the versions live."""
    result = bench.run(COUNT)
    version = result.path
    inside = {"v1": version, "dataset": version.parent, "versions": version.parent.parent}[place]
    if place == "v1":
        for path in (version, *version.rglob("*")):
            path.chmod(path.stat().st_mode | 0o200)
    monkeypatch.setenv("CURATE_HOME", str(inside))
    bench.run(COUNT, VECTOR, out=bench.folder / "other")
    before = contents(bench.folder / "curated")
    with pytest.raises(UsageError, match=r"versions?\b"):
        called("--older-than", "0d", "--remove")
    assert contents(bench.folder / "curated") == before


def test_a_memo_behind_a_link_is_left_alone(bench, home, tmp_path):
    bench.run(COUNT)
    (home / "memo").rename(tmp_path / "elsewhere")
    (home / "memo").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="symbolic link"):
        called("--older-than", "0d", "--remove")
    assert list((tmp_path / "elsewhere").rglob("part-*"))


def test_versions_are_the_same_after_everything_is_removed(bench):
    bench.run(COUNT, VECTOR, like(bench))
    before = contents(bench.folder / "curated")
    facts("--older-than", "0d", "--answers", "--remove")
    assert facts()["held"] == []
    assert contents(bench.folder / "curated") == before


def test_a_removal_that_ends_in_between_leaves_what_can_be_used(bench, home, monkeypatch):
    first = bench.run(VECTOR)
    unlink = Path.unlink
    done = []

    def once(path, missing_ok=False):
        if done:
            raise KeyboardInterrupt
        done.append(path)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", once)
    with pytest.raises(KeyboardInterrupt):
        collecting.remove(home, collecting.select(collecting.held(home)[0], names=["toys.vector"]))
    monkeypatch.setattr(Path, "unlink", unlink)
    assert done[0].name.startswith("part-")
    again = bench.run(VECTOR, out=bench.folder / "other")
    assert again.digest == first.digest
    assert memo_of(bench, again)[0]["computed"] == 20


def started(bench, recipe, *options):
    path = bench.folder / "slow.yaml"
    path.write_text(json.dumps(recipe))
    return subprocess.Popen(
        [sys.executable, "-m", "curate", "run", str(path), "--out", str(bench.folder / "slow")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_while_a_run_goes_on_what_it_uses_stays(bench, home, tmp_path):
    bench.run(VECTOR)
    log = tmp_path / "asked"
    slow = {**COUNT, "with": {"wait": 0.08, "batch_size": 1, "log": str(log)}}
    process = started(bench, bench.recipe(slow, VECTOR))
    while not log.exists():
        assert process.poll() is None
        time.sleep(0.01)
    version = bench.folder / "slow" / "bench" / "v1"
    left = 0
    while process.poll() is None and not version.exists():
        done = facts("--older-than", "0d", "--remove")
        left += bool(done["in_use"])
        assert "toys.count" not in named(done["removed"]) or version.exists()
        time.sleep(0.05)
    process.wait()
    assert left > 0
    assert process.returncode == 0, process.communicate()[0]
    process.communicate()
    assert len(log.read_text().splitlines()) == 20  # nothing was computed twice
    manifest = json.loads((version / "manifest.json").read_text())
    # what the run had not come to was removed, and computed again
    assert manifest["stages"][1]["memo"]["computed"] == 20


def test_what_a_killed_run_used_can_be_removed(bench, home, tmp_path):
    log = tmp_path / "asked"
    slow = {**COUNT, "with": {"wait": 0.2, "batch_size": 1, "log": str(log)}}
    process = started(bench, bench.recipe(VECTOR, slow))
    while not log.exists():
        assert process.poll() is None
        time.sleep(0.01)
    assert named(facts("--stage", "toys.vector", "--remove")["in_use"])["toys.vector"]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert named(facts("--stage", "toys.vector", "--remove")["removed"])["toys.vector"]


def test_what_was_used_since_it_was_looked_at_stays(bench, home):
    bench.run(COUNT)
    found, _ = collecting.held(home)
    chosen = collecting.select(found, names=["toys.count"])
    later = time.time() + 5
    (number,) = (home / "memo" / "toys.count").glob("number-*")
    os.utime(number / "key.json", (later, later))
    done = collecting.remove(home, chosen)
    assert [entry.part for entry in done.in_use] == ["number"]
    assert [entry.part for entry in done.entries] == ["even"]


def test_journals_are_in_use_while_one_is_open(home):
    journal = Journal(home / "memo", "http://there", "parrot")
    call = Call(body={"model": "parrot"}, sample=0, reask=0)
    journal.add("a" * 64, call, Answer("yes", "stop", None, "parrot"))
    assert named(facts("--stage", "answers", "--answers", "--remove")["in_use"])["answers"]
    assert journal.find("a" * 64).text == "yes"
    journal.close()
    assert named(facts("--stage", "answers", "--answers", "--remove")["removed"])["answers"]


def test_what_cannot_be_removed_is_said(bench, home, monkeypatch):
    def denied(path, missing_ok=False):
        raise PermissionError(13, "Permission denied")

    bench.run(COUNT)
    monkeypatch.setattr(Path, "unlink", denied)
    with pytest.raises(CurateError, match=r"cannot be removed: Permission denied"):
        called("--stage", "toys.count", "--remove")


def test_without_locks_nothing_is_removed(bench, home, monkeypatch):
    def unknown(*_):
        raise OSError("no locks available")

    monkeypatch.setattr("fcntl.flock", unknown)
    bench.run(COUNT)  # goes on
    with pytest.raises(CurateError, match="cannot be known"):
        called("--older-than", "0d", "--remove")
    assert list((home / "memo").rglob("part-*"))


def test_a_lock_keeps_out_who_removes_and_who_removes_keeps_others_waiting(tmp_path):
    file = hold(tmp_path)
    with alone(tmp_path) as free:
        assert not free
    os.close(file)
    with alone(tmp_path) as free:
        assert free
        waiting = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"from pathlib import Path\nfrom curate.memo.holding import hold\nhold(Path({str(tmp_path)!r}))",
            ]
        )
        time.sleep(1)
        assert waiting.poll() is None
    assert waiting.wait(20) == 0


def test_sizes_are_short():
    sizes = (0, 999, 1000, 12_345, 10**9, 2.5e15)
    assert [size(n) for n in sizes] == ["0 B", "999 B", "1.0 kB", "12.3 kB", "1.0 GB", "2500.0 TB"]
