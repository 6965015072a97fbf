import hashlib
import json
import os
import stat
import subprocess
import time
from dataclasses import replace

import polars as pl
import pytest
import yaml

from curate.errors import CurateError
from curate.versions.marks import parted, text_sum
from curate.versions.open import Version, open_version
from curate.versions.runs import find_run, versions_of
from curate.versions.store import publish, publish_preview
from curate.versions.tables import GROUP, write


@pytest.fixture
def root(tmp_path):
    return tmp_path / "curated"


def texts(published):
    return Version(published.path).frame()["output"].to_list()


def listing(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_version_holds_what_the_run_handed_over(root, make_outcome):
    outcome = make_outcome()
    published = publish(outcome, root)
    assert (published.path, published.version, published.new) == (root / "toy" / "v1", "v1", True)
    assert listing(published.path) == [
        "README.md",
        "SHA256SUMS",
        "data/train-00000-of-00001.parquet",
        "dropped.parquet",
        "ledger.parquet",
        "manifest.json",
        "recipe.lock.yaml",
        "recipe.yaml",
        "scores.parquet",
    ]
    version = Version(published.path)
    assert version.frame().equals(outcome.data)
    assert version.dropped.equals(outcome.dropped)
    assert version.ledger.equals(outcome.ledger)
    assert version.scores.equals(outcome.scores)
    assert version.manifest == json.loads(json.dumps(outcome.manifest)) | {
        "name": "toy",
        "version": "v1",
        "digest": published.digest,
        "parent": None,
        "files": {
            name: hashlib.sha256((published.path / name).read_bytes()).hexdigest()
            for name in listing(published.path)
            if name not in ("README.md", "SHA256SUMS", "manifest.json")
        },
        "num_bytes": version.manifest["num_bytes"],
        "card": text_sum(parted((published.path / "README.md").read_text())[1]),
    }
    assert (published.path / "recipe.yaml").read_text() == outcome.recipe
    assert yaml.safe_load((published.path / "recipe.lock.yaml").read_text()) == outcome.lock
    assert find_run(root, "toy", "key").version == "v1"
    assert sorted(os.listdir(root / "toy")) == ["runs.jsonl", "v1"]


def test_the_sums_are_those_of_sha256sum(root, make_outcome):
    path = publish(make_outcome(), root).path
    done = subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=path, check=False)
    assert done.returncode == 0
    named = {line.split("  ", 1)[1] for line in (path / "SHA256SUMS").read_text().splitlines()}
    assert named == set(listing(path)) - {"SHA256SUMS"}


def test_a_version_is_read_only_and_its_owner_can_delete_it(root, make_outcome):
    path = publish(make_outcome(), root).path
    for name in listing(path):
        assert stat.S_IMODE((path / name).stat().st_mode) == 0o444
    subprocess.run(["rm", "-r", str(path)], check=True, stdin=subprocess.DEVNULL)
    assert not path.exists()


def test_the_same_digest_publishes_nothing(root, make_outcome):
    first = publish(make_outcome(), root)
    other = publish(make_outcome(["else"]), root)
    again = publish(make_outcome(run_key="another key"), root)
    assert (again.version, again.new, again.digest) == ("v1", False, first.digest)
    assert versions_of(root / "toy") == ["v1", "v2"]
    assert Version(other.path).manifest["parent"] == "v1"
    assert find_run(root, "toy", "another key").version == "v1"


def test_rows_are_spread_over_shards_in_their_order(root, make_outcome):
    published = publish(make_outcome(list("abcde"), shards=2), root)
    names = [name for name in listing(published.path) if name.startswith("data/")]
    assert names == ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]
    assert texts(published) == list("abcde")


def test_there_are_never_more_shards_than_rows(root, make_outcome):
    published = publish(make_outcome(["a", "b"], shards=5), root)
    assert [name[-14:] for name in listing(published.path) if name.startswith("data/")] == [
        "-00002.parquet"
    ] * 2


def test_dropped_rows_are_left_out_where_the_recipe_says_so(root, make_outcome):
    published = publish(make_outcome(dropped=None), root)
    assert "dropped.parquet" not in listing(published.path)
    assert Version(published.path).dropped is None


def test_nothing_kept_is_an_error_that_names_the_stage(root, make_outcome):
    for publishing in (publish, publish_preview):
        with pytest.raises(CurateError, match=r"stage 'short' \(core.where\) left none of its 1"):
            publishing(make_outcome([]), root)
    assert not root.exists()
    with pytest.raises(CurateError, match="no readable row"):
        publish(make_outcome([], dropped=[]), root)


def test_equal_rows_are_equal_bytes(tmp_path):
    rows = GROUP + 7
    frame = pl.DataFrame({"t": [f"text {n % 50}" for n in range(rows)]})
    cut = pl.concat([frame[:3], frame[3:900], frame[900:]], rechunk=False)
    write(frame, tmp_path / "a")
    write(cut, tmp_path / "b")
    write(cut.with_columns(pl.col("t").cast(pl.Categorical)), tmp_path / "c")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "c").read_bytes()
    assert pl.read_parquet(tmp_path / "a").equals(frame)


def test_a_publish_that_fails_leaves_nothing(root, make_outcome):
    broken = replace(make_outcome(), lock={"unknown": object()})
    with pytest.raises(yaml.YAMLError):
        publish(broken, root)
    assert os.listdir(root / "toy") == []


def test_what_a_crash_left_is_swept_after_a_day(root, make_outcome):
    old, young = (root / "toy" / f".partial-{name}" for name in ("old", "young"))
    for folder in (old, young):
        (folder / "data").mkdir(parents=True)
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    publish(make_outcome(), root)
    assert not old.exists()
    assert young.exists()


def test_a_preview_replaces_the_last_one_and_is_never_numbered(root, make_outcome):
    publish(make_outcome(), root)
    first = publish_preview(make_outcome(["x"], manifest={"limit": 2}), root)
    second = publish_preview(make_outcome(["y"], manifest={"limit": 2}, run_key="p"), root)
    assert first.path == second.path == root / "toy" / "preview"
    assert texts(second) == ["y"]
    assert Version(second.path).manifest["version"] == "preview"
    assert versions_of(root / "toy") == ["v1"]
    assert find_run(root, "toy", "p") is None
    assert sorted(os.listdir(root / "toy")) == ["preview", "runs.jsonl", "v1"]


def test_a_damaged_version_keeps_its_number_and_an_empty_folder_is_none(root, make_outcome):
    (root / "toy" / "v1").mkdir(parents=True)
    (root / "toy" / "v99").mkdir()
    assert publish(make_outcome(), root).version == "v1"
    (root / "toy" / "v1" / "manifest.json").unlink()
    assert publish(make_outcome(), root).version == "v2"
    with pytest.raises(CurateError, match=r"v1 is no version: .*\n  Name another version, or "):
        open_version("toy@v1", root)
    assert open_version("toy", root).version == "v2"
