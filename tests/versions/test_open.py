import shutil
import sys

import pytest

from curate.errors import CurateError, UsageError
from curate.versions.open import datasets_of, open_version
from curate.versions.store import publish, publish_preview


@pytest.fixture
def root(tmp_path, make_outcome):
    root = tmp_path / "curated"
    publish(make_outcome(["one"]), root)
    publish(make_outcome(["two"]), root)
    publish_preview(make_outcome(["first"], name="other"), root)
    return root


def test_a_version_is_opened_by_name_or_path(root):
    assert open_version("toy", root).version == "v2"
    assert open_version("toy@v1", root).frame()["output"].to_list() == ["one"]
    assert open_version("other@preview", root).version == "preview"
    assert open_version(root / "toy" / "v1").version == "v1"
    assert open_version(str(root / "toy" / "v1")).name == "toy"


@pytest.mark.parametrize(
    ("name", "message", "remedy"),
    [
        ("toi", "no dataset 'toi'", "Did you mean 'toy'?"),
        ("toy@v3", "no version 'v3'", "Known: v1, v2."),
        ("toy@", "no version ''", "Known: v1, v2."),
        ("toy@../toy", "no version", ""),
        ("../toy", "is no version", ""),
        ("other", "no version yet", "other@preview"),
        ("lone", "no dataset 'lone'", "Write ./lone for the folder of that name."),
        ("", "no dataset ''", "Known: other, toy."),
    ],
)
def test_an_unknown_version_is_an_error_with_the_nearest_name(
    root, monkeypatch, name, message, remedy
):
    monkeypatch.chdir(root.parent)
    shutil.copytree(root / "toy" / "v1", "lone")
    with pytest.raises(CurateError) as raised:
        open_version(name, root)
    assert message in raised.value.message
    assert remedy in raised.value.remedy


def test_where_there_is_nothing_the_remedy_says_how_to_begin(tmp_path):
    with pytest.raises(UsageError, match="Run a recipe"):
        open_version("toy", tmp_path / "none")
    assert datasets_of(tmp_path / "none") == []


def test_an_example_is_explained_by_its_ledger_row_and_scores(root):
    version = open_version("toy@v1", root)
    dropped = version.dropped["id"][0]
    life = version.explain(dropped)
    assert (life["fate"], life["stage"], life["reason"]) == ("dropped", "short", "condition")
    assert life["scores"] == {"length": 4.0}
    with pytest.raises(UsageError, match="no example with the id"):
        version.explain("nobody")


def test_the_repr_says_what_was_kept_and_the_notebook_shows_the_funnel(tmp_path, make_outcome):
    outcome = make_outcome(["x"])
    outcome.manifest["stages"][0]["reasons"] = {"<b>": 1}
    version = open_version(publish(outcome, tmp_path).path)
    assert repr(version) == f"<curate version toy@v1: 1 of 2 examples kept, {tmp_path}/toy/v1>"
    page = version._repr_html_()
    assert "<td>short</td><td>filter core.where</td><td>2</td><td>1</td>" in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page


def test_without_datasets_the_remedy_is_the_command_to_install_it(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(CurateError, match=r"pip install 'curate-data\[hub\]'"):
        open_version("toy", root).dataset()


def test_only_files_that_were_published_are_read(root):
    version = open_version("toy@v1", root)
    (shard,) = version.shards
    for name in ("train-evil.parquet", ".DS_Store"):
        shutil.copy(shard, shard.with_name(name))
        with pytest.raises(CurateError) as raised:
            version.frame()
        assert f"SHA256SUMS does not name data/{name}" in raised.value.message
        assert raised.value.remedy == f"curate verify {version.path} says what is wrong."
        with pytest.raises(CurateError, match="does not name"):
            version.dataset()
        shard.with_name(name).unlink()
    assert len(version.frame()) == 1


@pytest.mark.parametrize("name", ["ledger", "scores", "dropped"])
@pytest.mark.parametrize("content", [b"", b"PAR1 and no more PAR1"])
def test_a_damaged_table_is_an_error_with_a_remedy(root, name, content):
    version = open_version("toy@v1", root)
    file = version.path / f"{name}.parquet"
    file.unlink()
    file.write_bytes(content)
    with pytest.raises(CurateError) as raised:
        getattr(version, name)
    with pytest.raises(CurateError, match=f"{name}.parquet cannot be read: "):
        version.scan(*version.shards, file)
    assert f"{name}.parquet cannot be read: " in raised.value.message
    assert "curate verify" in raised.value.remedy


def test_damaged_and_missing_data_are_an_error_with_a_remedy(root):
    version = open_version("toy@v1", root)
    (shard,) = version.shards
    shard.unlink()
    shard.write_bytes(b"")
    with pytest.raises(CurateError, match=f"data/{shard.name} cannot be read"):
        version.frame()
    shutil.rmtree(version.path / "data")
    with pytest.raises(CurateError, match=f"data/{shard.name} is missing"):
        version.frame()
