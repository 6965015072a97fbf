import json
import os

import pytest
from click.testing import CliRunner

from curate.commands.show import command as show
from curate.commands.versions import command as versions
from curate.errors import UsageError


def call(command, *args):
    return CliRunner().invoke(command, args, catch_exceptions=False)


@pytest.fixture
def version(make_version):
    make_version(preview=True, limit=40)
    return make_version()


@pytest.fixture
def out(version):
    return str(version.path.parent.parent)


def test_show_prints_the_funnel_and_the_path(version, out):
    for name in ("toy", "toy@v1"):
        done = call(show, name, "--out", out)
        assert done.exit_code == 0
        assert "filter top      32   12" in done.output
        assert "just dropped  0.19" in done.output
        assert done.output.rstrip().endswith(str(version.path))


def test_show_as_json_holds_the_manifest_and_the_examples(version, out):
    shown = json.loads(call(show, "toy", "--out", out, "--json").output)
    assert shown["digest"] == version.digest
    assert shown["path"] == str(version.path)
    assert shown["stages"] == version.manifest["stages"]
    assert shown["cut"]["kept"][0]["text"] == "Question 20? → Answer 20."
    assert shown["warnings"] == []


def test_versions_lists_all_of_them_and_the_preview(version, out):
    done = call(versions, "toy", "--out", out)
    first, *lines = done.output.splitlines()
    assert first.split() == ["version", "created", "kept", "of", "digest", "note"]
    assert lines[0].split() == ["v1", "2026-11-20", "10:00", "12", "40", version.digest[:12]]
    assert lines[1].startswith("preview")
    assert "first 40 rows of each source" in lines[1]


def test_versions_as_json(version, out):
    listed = json.loads(call(versions, "toy", "--out", out, "--json").output)
    assert [one["version"] for one in listed] == ["v1", "preview"]
    assert listed[0]["digest"] == version.digest
    assert listed[0]["books"]["kept"] == 12


def test_without_a_name_the_datasets_are_listed(version, out, tmp_path):
    assert call(versions, "--out", out).output == "toy  v1, preview\n"
    assert json.loads(call(versions, "--out", out, "--json").output) == {"toy": ["v1", "preview"]}
    assert "no dataset" in call(versions, "--out", tmp_path / "nowhere").output


def test_a_damaged_version_is_a_line_in_the_list(version, out):
    file = version.path / "manifest.json"
    os.chmod(file, 0o644)
    file.write_text("{")
    printed = call(versions, "toy", "--out", out).output
    assert "cannot be read" in " ".join(printed.split())  # a long path wraps
    listed = json.loads(call(versions, "toy", "--out", out, "--json").output)
    assert "cannot be read" in listed[0]["error"]


@pytest.mark.parametrize("command", [show, versions])
def test_an_unknown_name_is_a_usage_error_with_the_nearest(command, out):
    with pytest.raises(UsageError, match="Did you mean 'toy'"):
        call(command, "toi", "--out", out)
