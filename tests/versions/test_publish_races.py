import pickle
import subprocess
import sys
import time

import pytest

from curate.versions.open import Version
from curate.versions.runs import versions_of
from curate.versions.store import publish

START = """
import pickle, sys, time
from pathlib import Path
from curate.versions.store import publish, publish_preview
from curate.versions import card, digest, tables
outcomes, root, go = pickle.loads(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2]), Path(sys.argv[3])
Path(sys.argv[1]).with_suffix(".ready").touch()
while not go.exists():
    time.sleep(0.001)
"""

DIE = """
import os, pickle, signal, sys
from pathlib import Path
from curate.versions.store import publish
left, sync = int(sys.argv[3]), os.fsync
def last(handle):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    sync(handle)
os.fsync = last
publish(pickle.loads(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2]))
"""


def at_once(tmp_path, code, batches):
    """Run `code` in a process for each batch of outcomes, all let go at the same moment."""
    root, go = tmp_path / "curated", tmp_path / "go"
    processes = []
    for at, outcomes in enumerate(batches):
        file = tmp_path / f"{at}.pickle"
        file.write_bytes(pickle.dumps(outcomes))
        command = [sys.executable, "-c", START + code, str(file), str(root), str(go)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    deadline = time.monotonic() + 60
    while not all((tmp_path / f"{at}.ready").exists() for at in range(len(batches))):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    go.touch()
    printed = [process.communicate(timeout=60)[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(batches)
    return root, printed


def check_whole(path):
    done = subprocess.run(
        ["sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS"], cwd=path, check=False
    )
    assert done.returncode == 0
    assert Version(path).version == path.name


def test_two_processes_with_the_same_rows_publish_one_version(tmp_path, make_outcome):
    batch = [make_outcome([f"round {n}"]) for n in range(6)]
    code = "for o in outcomes: print(publish(o, root).version)"
    root, printed = at_once(tmp_path, code, [batch, batch])
    assert printed[0] == printed[1]
    assert versions_of(root / "toy") == [f"v{n + 1}" for n in range(6)]
    for version in versions_of(root / "toy"):
        check_whole(root / "toy" / version)


def test_two_processes_with_different_rows_publish_all_of_them(tmp_path, make_outcome):
    batches = [
        [make_outcome([f"{who} {n}"], run_key=f"{who}{n}") for n in range(6)] for who in "ab"
    ]
    code = "for o in outcomes: print(publish(o, root).version)"
    root, printed = at_once(tmp_path, code, batches)
    assert not set(printed[0]) & set(printed[1])
    names = versions_of(root / "toy")
    assert names == [f"v{n + 1}" for n in range(12)]
    found = set()
    for before, name in zip([None, *names], names, strict=False):
        check_whole(root / "toy" / name)
        version = Version(root / "toy" / name)
        assert version.manifest["parent"] == before
        found.update(version.frame()["output"])
    assert found == {f"{who} {n}" for who in "ab" for n in range(6)}
    assert len((root / "toy" / "runs.jsonl").read_text().splitlines()) == 12


def test_two_processes_can_write_previews(tmp_path, make_outcome):
    batches = [[make_outcome([f"{who} {n}"]) for n in range(6)] for who in "ab"]
    code = "for o in outcomes: publish_preview(o, root)"
    root, _ = at_once(tmp_path, code, batches)
    check_whole(root / "toy" / "preview")
    assert Version(root / "toy" / "preview").frame()["output"][0] in {"a 5", "b 5"}
    assert [path.name for path in (root / "toy").iterdir()] == ["preview"]


@pytest.mark.parametrize("syncs", [0, 4, 9, 10, 11, 12])
def test_a_kill_at_any_moment_leaves_no_part_of_a_version(tmp_path, make_outcome, syncs):
    root, file = tmp_path / "curated", tmp_path / "outcome.pickle"
    file.write_bytes(pickle.dumps(make_outcome()))
    command = [sys.executable, "-c", DIE, str(file), str(root), str(syncs)]
    assert subprocess.run(command, check=False).returncode == -9
    left = versions_of(root / "toy")
    assert left == (["v1"] if syncs >= 11 else [])
    for version in left:
        check_whole(root / "toy" / version)
    again = publish(make_outcome(), root)
    assert (again.version, again.new) == ("v1", not left)
    check_whole(again.path)
