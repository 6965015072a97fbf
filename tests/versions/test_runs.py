import json
import subprocess
import sys

import pytest

from curate.errors import CurateError
from curate.versions.runs import (
    KnownRun,
    find_run,
    lost_files,
    read_manifest,
    record_run,
    versions_of,
)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "curated"


def version(root, name, digest, failed=0):
    folder = root / "toy" / name
    folder.mkdir(parents=True)
    manifest = {"digest": digest, "books": {"failed": failed}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  manifest.json\n")
    return folder


def test_a_run_is_found_by_its_key_and_the_last_one_wins(root):
    assert find_run(root, "toy", "k1") is None
    version(root, "v1", "d1")
    version(root, "v2", "d2")
    record_run(root, "toy", "k1", "v1", "d1")
    record_run(root, "toy", "k2", "v2", "d2")
    assert find_run(root, "toy", "k1") == KnownRun("v1", "d1")
    record_run(root, "toy", "k1", "v2", "d2")
    assert find_run(root, "toy", "k1") == KnownRun("v2", "d2")
    assert find_run(root, "toy", "other") is None


def test_a_run_is_recorded_once(root):
    version(root, "v1", "d1")
    for _ in range(3):
        record_run(root, "toy", "k1", "v1", "d1")
    assert len((root / "toy" / "runs.jsonl").read_text().splitlines()) == 1


def test_a_run_whose_version_is_gone_replaced_or_damaged_is_unknown(root):
    folder = version(root, "v1", "d1")
    record_run(root, "toy", "k1", "v1", "d1")
    (folder / "manifest.json").write_text('{"digest": "another", "books": {"failed": 0}}')
    assert find_run(root, "toy", "k1") is None
    (folder / "manifest.json").write_text('{"dig')
    assert find_run(root, "toy", "k1") is None
    (folder / "manifest.json").unlink()
    assert find_run(root, "toy", "k1") is None


def test_a_version_with_failed_rows_is_not_up_to_date(root):
    version(root, "v1", "d1", failed=2)
    record_run(root, "toy", "k1", "v1", "d1")
    assert find_run(root, "toy", "k1") is None


def test_a_version_that_lacks_a_file_is_not_up_to_date(root):
    folder = version(root, "v1", "d1")
    record_run(root, "toy", "k1", "v1", "d1")
    sums = (folder / "SHA256SUMS").read_text()
    (folder / "SHA256SUMS").write_text(f"{sums}{'0' * 64}  data/train-00000-of-00001.parquet\n")
    assert find_run(root, "toy", "k1") is None
    lost = f"{folder}/data/train-00000-of-00001.parquet"
    assert lost_files(root, "toy", "k1") == (lost,)
    (folder / "SHA256SUMS").unlink()
    assert find_run(root, "toy", "k1") is None
    assert lost_files(root, "toy", "k1") == (f"{folder}/SHA256SUMS",)
    assert lost_files(root, "toy", "k2") == ()


def test_a_torn_line_costs_nothing_but_itself(root):
    version(root, "v1", "d1")
    record_run(root, "toy", "k1", "v1", "d1")
    file = root / "toy" / "runs.jsonl"
    with file.open("ab") as handle:
        handle.write(b'{"run_key": "k2", "version": "v\xff')
    assert find_run(root, "toy", "k1") == KnownRun("v1", "d1")
    assert find_run(root, "toy", "k2") is None
    record_run(root, "toy", "k3", "v1", "d1")
    assert find_run(root, "toy", "k3") == KnownRun("v1", "d1")


@pytest.mark.parametrize("line", ['{"run_key": "k", "version": "../../x", "digest": "d"}', "[]"])
def test_lines_that_are_no_runs_are_ignored(root, line):
    version(root, "v1", "d")
    (root / "toy" / "runs.jsonl").write_text(line + "\n")
    assert find_run(root, "toy", "k") is None


def test_versions_stand_in_the_order_of_their_numbers(root):
    for name in ("v10", "v2", "v1", "v01", "preview", ".partial-1", "v2x", "v0"):
        (root / "toy" / name).mkdir(parents=True)
        (root / "toy" / name / "README.md").touch()
    (root / "toy" / "v99").mkdir()  # empty: a version appears whole
    assert versions_of(root / "toy") == ["v1", "v2", "v10"]
    assert versions_of(root / "none") == []


def test_a_manifest_that_cannot_be_read_is_a_clear_error(tmp_path):
    with pytest.raises(CurateError, match="is no version"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(CurateError, match="is not a manifest"):
        read_manifest(tmp_path)


def test_an_up_to_date_run_is_found_without_heavy_imports(root):
    version(root, "v1", "d1")
    record_run(root, "toy", "k1", "v1", "d1")
    code = (
        "import sys; from pathlib import Path; from curate.versions.runs import find_run\n"
        f"assert find_run(Path({str(root)!r}), 'toy', 'k1').version == 'v1'\n"
        "print(sorted({'polars', 'numpy', 'pyarrow', 'yaml', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
