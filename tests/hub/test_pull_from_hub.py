"""Pulling from a fake of the Hub: what was pushed, whole and verified, or nothing."""

import errno
import hashlib
import json
import os

import pytest
from fake_hub import READER

from curate.versions.verify import verify

# the client uploads by a call that its HTTP library has deprecated
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPO = "me/tales"
TEXTS = ("Once upon a time", "a", "The end of it", "There was a fox")


@pytest.fixture(autouse=True)
def quick_charts(monkeypatch):
    monkeypatch.setattr("curate.report.charts.pngs", lambda version: {"funnel.png": b"PNG"})


@pytest.fixture
def pushed(hub, make, typed, folder):
    """A version that was pushed: the repository, and the version here."""
    make(*TEXTS)
    assert typed("push", "tales", REPO)[0] == 0
    return hub.repositories[REPO], folder / "curated/tales/v1"


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_is_pulled_is_what_was_pushed(pushed, typed, folder):
    _, here = pushed
    sums = hashlib.sha256((here / "SHA256SUMS").read_bytes()).hexdigest()
    code, out, _ = typed("pull", REPO, "--sha256", sums, "--out", "there")
    assert code == 0
    there = folder / "there/tales/v1"
    expected = files_of(here)
    del expected["dropped.parquet"]
    assert files_of(there) == expected, "the card too is the version's own again"
    assert [path.name for path in (folder / "there/tales").iterdir()] == ["v1"]
    assert not any(os.access(file, os.W_OK) and os.geteuid() for file in there.rglob("*.parquet"))
    assert "dropped.parquet was left out" in out
    assert sums in out
    code, out, _ = typed("verify", "tales", "--out", "there", "--pushed", "--sha256", sums)
    assert code == 0, out
    code, out, _ = typed("verify", "tales", "--out", "there")
    assert (code, "dropped.parquet: is missing" in out) == (1, True)


def test_with_dropped_rows_nothing_is_missing(hub, make, typed, folder):
    make(*TEXTS)
    typed("push", "tales", REPO, "--dropped")
    assert typed("pull", REPO, "--out", "there")[0] == 0
    assert verify(folder / "there/tales/v1").ok
    assert files_of(folder / "there/tales/v1") == files_of(folder / "curated/tales/v1")


def test_a_readme_of_people_does_not_hide_the_card(hub, make, typed, folder):
    hub.repository(REPO, {"README.md": b"---\ntags: [folklore]\nextra: 1\n---\n# Mine\n"})
    make(*TEXTS)
    typed("push", "tales", REPO)
    there = hub.repositories[REPO]
    there.files["README.md"] += b"\nThanks to all.\n"
    assert typed("pull", REPO, "--out", "there")[0] == 0
    own = (folder / "curated/tales/v1/README.md").read_bytes()
    assert (folder / "there/tales/v1/README.md").read_bytes() == own


def test_a_downloaded_repository_verifies_and_loads_as_it_is(pushed, folder, monkeypatch):
    there, _ = pushed
    there.files["README.md"] += b"\nThanks to all.\n"
    for file, content in there.files.items():
        path = folder / "snapshot" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert verify(folder / "snapshot", pushed=True).findings == ()
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
    loaded = datasets.load_dataset(str(folder / "snapshot"))
    assert {name: len(split) for name, split in loaded.items()} == {"train": 3}, (
        "no chart, no score"
    )
    (folder / "snapshot/data/train-00001-of-00002.parquet").write_bytes(b"x")
    found = {finding.file for finding in verify(folder / "snapshot", pushed=True).findings}
    assert "data/train-00001-of-00002.parquet" in found


def test_a_version_of_old_is_at_its_tag(pushed, make, typed, folder):
    make(*TEXTS, "And a hen besides")
    typed("push", "tales", REPO)
    assert typed("pull", REPO, "--out", "there")[0] == 0
    assert typed("pull", REPO, "--revision", "v1", "--out", "there")[0] == 0
    assert sorted(p.name for p in (folder / "there/tales").iterdir()) == ["v1", "v2"]
    code, _, err = typed("pull", REPO, "--revision", "v9", "--out", "there")
    assert (code, "no such revision" in err) == (1, True)


def test_what_is_here_is_never_replaced(pushed, make, typed, folder):
    before = files_of(folder / "curated/tales/v1")
    code, out, _ = typed("pull", REPO)
    assert code == 0
    assert "tales@v1 was here already, whole:" in out
    assert json.loads(typed("pull", REPO, "--json")[1])["new"] is False
    make("Quite another tale", "and one more")
    (folder / "other/tales").mkdir(parents=True)
    (folder / "curated/tales/v2").rename(folder / "other/tales/v1")
    other = files_of(folder / "other/tales/v1")
    code, _, err = typed("pull", REPO, "--out", "other")
    assert code == 1
    assert "is another version: it has the digest" in err
    assert files_of(folder / "other/tales/v1") == other
    assert files_of(folder / "curated/tales/v1") == before


def test_what_is_here_is_compared_with_what_is_there(pushed, typed, folder):
    _, here = pushed
    manifest, sums = here / "manifest.json", here / "SHA256SUMS"
    for file in (manifest, sums):
        file.chmod(0o644)
    before = manifest.read_bytes()
    manifest.write_bytes(before + b"\n")
    code, _, err = typed("pull", REPO)
    assert (code, "curated/tales/v1 is not what was published: manifest.json" in err) == (1, True)
    known, now = (hashlib.sha256(each).hexdigest() for each in (before, before + b"\n"))
    sums.write_text(sums.read_text().replace(known, now))
    code, _, err = typed("pull", REPO)
    assert (code, "has the digest of me/tales, but other files" in err) == (1, True)
    sums.unlink()
    assert typed("pull", REPO)[0] == 1


def test_a_strangers_version_does_not_join_a_series_unasked(pushed, make, typed, folder):
    make(*TEXTS, "And a hen besides")
    (folder / "curated/tales/v2").rename(folder / "v2")
    assert typed("push", folder / "v2", "stranger/poems")[0] == 0
    code, _, err = typed("pull", "stranger/poems")
    assert code == 1
    assert "curated/tales holds versions of which stranger/poems has none (v1)" in err
    assert "--join" in err
    assert not (folder / "curated/tales/v2").exists()
    assert typed("push", folder / "v2", REPO)[0] == 0
    assert typed("pull", REPO)[0] == 0, "v1 is there too"
    (folder / "curated/tales/v2").rename(folder / "again")
    assert typed("pull", "stranger/poems", "--join")[0] == 0


def test_each_file_is_fetched_once(pushed, hub, typed):
    hub.log.clear()
    assert typed("pull", REPO, "--out", "there")[0] == 0
    fetched = [path for what, path in hub.log if what == "resolve"]
    assert {"README.md", "SHA256SUMS", "manifest.json", "ledger.parquet"} <= {*fetched}
    assert all(fetched.count(path) <= 2 for path in fetched), "a HEAD and a GET each"


def test_tags_that_people_add_do_not_hide_the_card(pushed, typed, folder):
    there, here = pushed
    readme = there.files["README.md"]
    there.files["README.md"] = readme.replace(b"- curate\n", b"- curate\n- synthetic\n", 1)
    assert there.files["README.md"] != readme
    assert typed("pull", REPO, "--out", "there")[0] == 0
    pulled = folder / "there/tales/v1"
    assert (pulled / "README.md").read_bytes() == (here / "README.md").read_bytes()
    assert verify(pulled, pushed=True).findings == ()


@pytest.mark.parametrize("version", [None, "9.9"])
def test_metadata_are_compared_whichever_curate_wrote_them(pushed, typed, monkeypatch, version):
    if version:
        monkeypatch.setattr(
            "curate.versions.agreement.card.installed_version", lambda name: version
        )
    assert typed("pull", REPO, "--out", "there")[0] == 0
    there, _ = pushed
    for before, after in ((b"license: cc-by-4.0", b"license: mit"), (b"- curate\n", b"- mine\n")):
        readme = there.files["README.md"]
        there.files["README.md"] = readme.replace(before, after, 1)
        code, _, err = typed("pull", REPO, "--out", "other")
        assert (code, "README.md: what curate wrote of it has the sha256" in err) == (1, True)
        there.files["README.md"] = readme


def test_only_what_the_hub_puts_there_stands_beside_a_copy(pushed, folder):
    _, here = pushed
    for name, fine in {
        ".gitattributes": True,
        "charts/a.png": True,
        ".cache/huggingface/.gitignore": True,
        ".cache/huggingface/download/data/x.parquet.metadata": True,
        ".gitattributes.evil": False,
        "charts/evil.html": False,
        "charts/a/b.png": False,
        ".cache/huggingface/x": False,
    }.items():
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        assert (not verify(here, pushed=True).findings) is fine, name
        path.unlink()


def test_a_repository_does_not_write_on_the_terminal(pushed, typed):
    there, _ = pushed
    there.files["a\x1b[31m\nError: b.txt"] = b"x"
    _, out, _ = typed("pull", REPO, "--out", "there")
    assert "left there: a[31m Error: b.txt\n" in out
    manifest = json.loads(there.files["manifest.json"])
    for key in ("name", "version", "digest"):
        there.files["manifest.json"] = json.dumps({**manifest, key: "v1\x1b[31m\n"}).encode()
        for words in (["pull", REPO, "--out", "other"], ["push", "tales", REPO]):
            code, out, err = typed(*words)
            assert (code, "\x1b" in out + err) == (1, False)
            assert "no version of curate's" in err


def test_what_fails_here_is_not_blamed_on_the_network(pushed, typed, monkeypatch):
    def full(*args, **more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.HfApi.hf_hub_download", full)
    code, _, err = typed("pull", REPO, "--out", "there")
    assert (code, "on this machine" in err, "network" in err) == (1, True, False)

    def refused(*args, **more):
        raise ValueError("no such thing")

    monkeypatch.setattr("huggingface_hub.HfApi.hf_hub_download", refused)
    code, _, err = typed("pull", REPO, "--out", "there")
    assert (code, "refuses: no such thing" in err, "network" in err) == (1, True, False)


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "file",
    [
        "data/train-00000-of-00001.parquet",
        "ledger.parquet",
        "scores.parquet",
        "recipe.yaml",
        "recipe.lock.yaml",
        "README.md",
    ],
)
def test_a_flipped_byte_is_caught(pushed, typed, folder, file):
    there, _ = pushed
    there.files[file] = flipped(there.files[file])
    code, _, err = typed("pull", REPO, "--out", "there")
    assert code == 1
    assert "is not what was pushed" in err
    assert file in err
    assert not list((folder / "there/tales").iterdir()), "nothing is kept"


def test_a_missing_shard_is_caught(pushed, typed, folder):
    there, _ = pushed
    del there.files["data/train-00000-of-00001.parquet"]
    code, _, err = typed("pull", REPO, "--out", "there")
    assert (code, "data/train-00000-of-00001.parquet: is missing" in err) == (1, True)


def test_another_hash_is_said_before_anything_is_fetched(pushed, typed, folder, hub):
    hub.log.clear()
    code, _, err = typed("pull", REPO, "--sha256", "ab" * 32, "--out", "there")
    assert code == 1
    assert f"not {'ab' * 32}; nothing was fetched" in err
    assert ("resolve", "ledger.parquet") not in hub.log
    assert not (folder / "there").exists()


def test_a_repository_cannot_write_elsewhere(pushed, typed, folder):
    there, _ = pushed
    there.files["SHA256SUMS"] += f"{'ab' * 32}  ../../../evil.txt\n".encode()
    there.files["../../../evil.txt"] = b"x"
    code, _, err = typed("pull", REPO, "--out", "a/b/c")
    assert (code, "names a file elsewhere" in err) == (1, True)
    assert not list(folder.rglob("evil.txt"))
    del there.files["../../../evil.txt"]
    for name in ("README.md/x", "data"):
        there.files["SHA256SUMS"] += f"{'ab' * 32}  {name}\n".encode()
        there.files[name] = b"x"
        code, _, err = typed("pull", REPO, "--out", "there")
        assert (code, "on this machine" in err) == (1, True), "no traceback"
        del there.files[name]
    for name in ("../../evil", "v1/..", "", 3):
        manifest = {"name": name, "version": "v1", "digest": "x"}
        there.files["manifest.json"] = json.dumps(manifest).encode()
        code, _, err = typed("pull", REPO, "--out", "there")
        assert (code, "holds no version of curate's" in err) == (1, True)


def test_files_of_others_are_named_and_left_there(pushed, typed, folder):
    there, _ = pushed
    there.files["notes/mine.txt"] = b"x"
    _, out, _ = typed("pull", REPO, "--out", "there")
    assert "Not of the version, and left there: notes/mine.txt\n" in out
    assert not (folder / "there/tales/v1/notes").exists()


def test_what_cannot_be_read_is_named(hub, typed, monkeypatch):
    assert "There is no data set me/tales" in typed("pull", REPO)[2]
    hub.repository(REPO)
    assert "me/tales holds no version of curate's" in typed("pull", REPO)[2]
    hub.repository("me/secret", private=True)
    monkeypatch.setenv("HF_TOKEN", READER)
    assert "holds no version" in typed("pull", "me/secret")[2]
    monkeypatch.delenv("HF_TOKEN")
    code, _, err = typed("pull", "me/secret")
    assert (code, "hf auth login" in err) == (1, True)
