from __future__ import annotations

import gzip
import hashlib
import os
import socketserver
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import fsspec
import pytest

from curate.contract.parameters import Reference
from curate.errors import CurateError
from curate.recipe.model import OnFailure, Source
from curate.sources.files import resolve_files
from curate.sources.hashes import file_sha256, home, write_atomic
from curate.sources.kinds import batch
from curate.sources.load import load, load_reference
from curate.sources.schema import inspect

GOOD = '{"instruction": "a", "output": "b"}\n'


def message_of(path: str | list[str], beside: Path | None = None) -> str:
    with pytest.raises(CurateError) as caught:
        resolve_files(Source(path=path), beside)
    return str(caught.value)


def test_globs_are_sorted_and_shown_as_written(written):
    for name in ("d/b.jsonl", "d/a.jsonl", "d/e/c.jsonl"):
        written(name, GOOD)
    assert [file.shown for file in resolve_files(Source(path="d/*.jsonl"))] == [
        "d/a.jsonl",
        "d/b.jsonl",
    ]
    assert [file.shown for file in resolve_files(Source(path="d/**/*.jsonl"))] == [
        "d/a.jsonl",
        "d/b.jsonl",
        "d/e/c.jsonl",
    ]


def test_lists_keep_their_order_and_rows_follow_it(written):
    for name in ("b.jsonl", "a.jsonl"):
        written(name, GOOD)
    made = load("s", Source(path=["b.jsonl", "a.jsonl"]))
    assert made.rows.select("@file", "@line").rows() == [("b.jsonl", 1), ("a.jsonl", 1)]
    assert made.rows["id"].n_unique() == 2


def test_name_with_brackets_is_a_file_before_it_is_a_glob(written):
    written("a[1].jsonl", GOOD)
    assert [file.shown for file in resolve_files(Source(path="a[1].jsonl"))] == ["a[1].jsonl"]


def test_files_carry_size_and_hash(written):
    (file,) = resolve_files(Source(path=written("a.jsonl", GOOD)))
    assert (file.bytes, file.sha256) == (len(GOOD), hashlib.sha256(GOOD.encode()).hexdigest())
    assert not file.remote


def test_missing_file_names_its_neighbour(written):
    written("data/train.jsonl", GOOD)
    assert "Did you mean 'data/train.jsonl'?" in message_of("data/trian.jsonl")
    assert "There is no folder dta" in message_of("dta/train.jsonl")


@pytest.mark.parametrize("path", ["train.jsonl", "tr*.jsonl"])
def test_file_beside_the_recipe(written, folder, path):
    written("recipes/train.jsonl", GOOD)
    message = message_of(path, folder / "recipes")
    assert "It stands beside the recipe" in message
    assert f"write recipes/{path}." in message


def test_directory_names_the_glob(written):
    for name in ("d/a.jsonl.gz", "d/b.jsonl.gz", "d/c.csv", "d/d.txt"):
        written(name, b"")
    message = message_of("d")
    assert "d: is a directory" in message
    assert "d/*.jsonl.gz (2), d/*.csv (1)" in message


def test_other_paths_that_name_no_file(written):
    assert "no file matches" in message_of("*.jsonl")
    written("a.xlsx", b"")
    assert "type '.xlsx' cannot be read" in message_of("a.xlsx")
    assert ".jsonl" in message_of("a.xlsx")
    written("a.parquet.gz", b"")
    assert "type '.parquet.gz' cannot be read" in message_of("a.parquet.gz")


def test_file_named_twice(written):
    written("a.jsonl", GOOD)
    assert "a.jsonl: named 2 times" in message_of(["a.jsonl", "*.jsonl"])


@pytest.mark.parametrize("content", ["", "\n\n", b"\xef\xbb\xbf"])
def test_empty_file_is_named(refused, content):
    assert refused("a.jsonl", content).startswith("a.jsonl: holds no rows")


def test_unreachable_urls():
    assert "Protocol not known" in message_of("nosuch://x/a.jsonl")
    assert "hf://datasets/owner/name/file" in message_of("hf://owner/name/a.jsonl")


def test_files_of_other_file_systems(folder):
    memory = fsspec.filesystem("memory")
    for name in ("b", "a"):
        memory.pipe(f"/data/{name}.jsonl.gz", gzip.compress(GOOD.encode()))
    made = load("s", Source(path="memory://data/*.jsonl.gz"))
    assert made.rows["@file"].to_list() == [
        "memory:///data/a.jsonl.gz",
        "memory:///data/b.jsonl.gz",
    ]
    assert "memory://data/c.jsonl: no such file" in message_of("memory://data/c.jsonl")
    message = message_of("memory://data/c.jsonl?token=hunter2")  # from the environment, perhaps
    assert "memory://data/c.jsonl?...: no such file" in message
    assert "hunter2" not in message
    assert "no file matches" in message_of("memory://data/*.csv")


@pytest.fixture
def server(folder):
    """An HTTP server on the working directory; gives its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Quiet) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()
        thread.join()


def test_files_by_url(written, server):
    pytest.importorskip("aiohttp")
    written("a.jsonl", GOOD)
    url = f"{server}/a.jsonl"
    made = load("s", Source(path=url))
    assert made.rows["@file"].to_list() == [url]
    assert made.files[0].remote
    assert made.files[0].sha256 == hashlib.sha256(GOOD.encode()).hexdigest()
    assert not inspect(Source(path=url)).complete
    assert f"{server}/b.jsonl: no such file" in message_of(f"{server}/b.jsonl")


def run_offline(code: str) -> str:
    env = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, text=True, capture_output=True, check=False
    )
    return done.stderr


@pytest.mark.parametrize(
    "source", ["path='hf://datasets/owner/name/a.jsonl'", "dataset='owner/name'"]
)
def test_offline_names_the_missing_repository(source):
    code = f"from curate.recipe.model import Source as S; from curate.sources.load import load; load('s', S({source}))"
    message = run_offline(code)
    assert "CurateError: the data set owner/name cannot be read" in message
    assert "HF_HUB_OFFLINE is set" in message


def test_file_from_the_cache_of_the_hub(written, folder, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    commit = "0123456789" * 4
    cache = "cache/datasets--owner--name"
    written(f"{cache}/refs/main", commit)
    written(f"{cache}/snapshots/{commit}/d/a.jsonl", GOOD)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (file,) = resolve_files(Source(path="hf://datasets/owner/name/d/*.jsonl"))
    assert (file.shown, file.commit, file.remote) == (
        "hf://datasets/owner/name/d/a.jsonl",
        commit,
        True,
    )
    (file,) = resolve_files(Source(path=f"hf://datasets/owner/name@{commit}/d/a.jsonl"))
    assert file.shown == f"hf://datasets/owner/name@{commit}/d/a.jsonl"
    assert "owner/name has no such file" in message_of("hf://datasets/owner/name/b.jsonl")


def test_dataset_from_a_local_folder(written):
    pytest.importorskip("datasets")
    written("d/train.jsonl", GOOD * 2)
    written("d/test.jsonl", GOOD)
    made = load("s", Source(dataset="d", split="train"))
    assert made.rows.select("instruction", "@file", "@line").rows() == [
        ("a", "d", 1),
        ("a", "d", 2),
    ]
    assert [(file.shown, file.remote, file.commit) for file in made.files] == [("d", False, None)]
    with pytest.raises(CurateError, match="has the splits train, test"):
        load("s", Source(dataset="d"))
    with pytest.raises(CurateError, match="Unknown split"):
        load("s", Source(dataset="d", split="dev"))
    before = made.files[0].sha256
    written("d/train.jsonl", GOOD.replace('"a"', '"new"'))
    made = load("s", Source(dataset="d", split="train"))
    assert made.rows["instruction"].to_list() == ["new"]
    assert made.files[0].sha256 != before


@pytest.mark.parametrize("rows", [1, 2, 50_000])
def test_limit_takes_the_first_rows_that_can_be_read(written, monkeypatch, rows):
    monkeypatch.setattr(batch, "ROWS", rows)
    source = Source(
        path=written("a.jsonl", GOOD + "{\n" + GOOD * 3 + "{\n"), on_failure={"set_aside": 1}
    )
    made = load("s", source, limit=2)
    assert made.rows["@line"].to_list() == [1, 3]
    assert [row.line for row in made.unreadable] == [2]
    whole = load("s", source.model_copy(update={"on_failure": OnFailure(set_aside=2)}))
    assert whole.rows["id"].to_list()[:2] == made.rows["id"].to_list()


def test_hashes_are_remembered_until_the_file_changes(written, folder):
    path = folder / written("a.jsonl", GOOD)
    os.utime(path, ns=(10**18, 10**18))
    first = file_sha256(path)
    (entry,) = (home() / "hashes").iterdir()
    path.write_text(GOOD.replace("a", "x"))
    os.utime(path, ns=(2 * 10**18, 2 * 10**18))
    assert file_sha256(path) != first
    entry.write_text("damaged")
    assert file_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_hash_of_a_file_that_just_changed_is_not_remembered(written, folder):
    file_sha256(folder / written("a.jsonl", GOOD))
    assert not (home() / "hashes").exists()


def test_hash_that_is_remembered_is_used(written, folder):
    path = folder / written("a.jsonl", GOOD)
    os.utime(path, ns=(10**18, 10**18))
    file_sha256(path)
    path.write_text(GOOD.replace("a", "x"))  # the same size and inode
    os.utime(path, ns=(10**18, 10**18))
    assert file_sha256(path) == hashlib.sha256(GOOD.encode()).hexdigest()


def test_atomic_write_leaves_nothing_aside(folder):
    write_atomic(folder / "d" / "a", b"x")
    write_atomic(folder / "d" / "a", b"y")
    assert [(p.name, p.read_bytes()) for p in (folder / "d").iterdir()] == [("a", b"y")]


def test_schema_of_a_file(written):
    row = '{"instruction": "a", "output": "b", "n": 1, "none": null, "o": {}, "id": 3, "f": [1]}\n'
    source = Source(path=written("a.jsonl", row))
    for _ in range(2):
        schema = inspect(source)
        assert schema.columns == {
            "instruction": "string",
            "output": "string",
            "n": "integer",
            "none": "string",
            "o": "string",
            "original_id": "integer",
            "f": "nested",
        }
        assert (schema.complete, schema.rows, schema.format) == (True, 1, "alpaca")
        assert list(schema.nulls) == ["none", "o"]


def test_schema_follows_content_and_options(written):
    source = Source(path=written("a.jsonl", '{"instruction": "a", "output": "b", "n": 1}'))
    assert inspect(source).columns["n"] == "integer"
    assert inspect(source.model_copy(update={"types": {"n": "string"}})).columns["n"] == "string"
    written("a.jsonl", '{"instruction": "a", "output": "b", "n": 1.5}')
    assert inspect(source).columns["n"] == "number"


def test_schema_that_is_remembered_imports_no_polars(written):
    source = f"Source(path={written('a.jsonl', GOOD)!r})"
    inspect(Source(path="a.jsonl"))
    code = (
        "import sys; from curate.recipe.model import Source; from curate.sources.schema import inspect;"
        f"assert inspect({source}).rows == 1; assert not {{'polars', 'numpy', 'pyarrow'}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_schema_of_what_is_elsewhere_needs_no_network():
    for source in (Source(path="hf://datasets/owner/name/a.jsonl"), Source(dataset="owner/name")):
        schema = inspect(source)
        assert (schema.columns, schema.complete, schema.rows) == ({}, False, None)


def test_reference_is_sampled_by_id_whatever_the_order(written):
    rows = [f'{{"instruction": "{n}", "output": "b"}}\n' for n in range(50)]
    written("a.jsonl", "".join(rows))
    written("b.jsonl", "".join(reversed(rows)))

    def sample(path: str, seed: int) -> list[str]:
        made = load_reference("r", Reference(path=path, sample=10), seed=seed)
        return made.rows["id"].to_list()

    assert sample("a.jsonl", 1) == sample("b.jsonl", 1)
    assert sample("a.jsonl", 1) == sorted(sample("a.jsonl", 1))
    assert len(sample("a.jsonl", 1)) == 10
    assert sample("a.jsonl", 1) != sample("a.jsonl", 2)
    with pytest.raises(CurateError, match="only 50"):
        load_reference("r", Reference(path="a.jsonl", sample=51), seed=1)


def test_whole_reference_stands_in_the_order_of_ids(written):
    written("a.jsonl", "".join(f'{{"instruction": "{n}", "output": "b"}}\n' for n in range(9)))
    ids = load_reference("r", Reference(path="a.jsonl"), seed=1).rows["id"].to_list()
    assert ids == sorted(ids)
    assert len(ids) == 9
