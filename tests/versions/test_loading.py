"""Versions as `datasets` reads them."""

import shutil
from dataclasses import replace

import pytest

from curate.versions.open import Version
from curate.versions.store import publish, publish_preview

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def test_load_dataset_takes_the_folder_as_it_is(tmp_path, make_outcome):
    outcome = make_outcome(["a", "b\u0000\r\n", "c 😀"], shards=2)
    published = publish(outcome, tmp_path)
    loaded = datasets.load_dataset(str(published.path))
    assert list(loaded) == ["train"]
    assert loaded["train"].to_list() == outcome.data.to_dicts()
    assert published.digest in loaded["train"].info.description
    assert loaded["train"].features["messages"] == datasets.List(
        {"role": datasets.Value("string"), "content": datasets.Value("string")}
    )


def test_a_column_of_nulls_loads(tmp_path, make_outcome):
    outcome = make_outcome()
    outcome = replace(outcome, data=outcome.data.with_columns(output=None))
    loaded = Version(publish(outcome, tmp_path).path).dataset()
    assert loaded["output"][:] == [None] * 3


def test_a_folder_made_anew_at_the_same_path_is_not_served_from_the_cache(tmp_path, make_outcome):
    for text in ("old", "new"):
        path = publish(make_outcome([text]), tmp_path).path
        assert path.name == "v1"
        assert Version(path).dataset()["output"][:] == [text]
        shutil.rmtree(path)


def test_a_new_preview_is_not_served_from_the_cache(tmp_path, make_outcome):
    for text in ("old", "new"):
        path = publish_preview(make_outcome([text]), tmp_path).path
        assert Version(path).dataset()["output"][:] == [text]
