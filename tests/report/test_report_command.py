import json
import sys

import pytest
from click.testing import CliRunner

from curate.commands import call
from curate.commands.report import command
from curate.errors import UsageError
from curate.report.page import write

COMPLETE = {
    "licenses": {"unknown": 12},
    "environment": {
        "python": "3.11.7",
        "platform": "Linux x86_64",
        "packages": {"polars": "2.1.0"},
    },
    "columns": [{"name": "math", "kind": "number", "stage": "nait", "published": True}],
}
"""What a page shows of a manifest, besides."""


@pytest.fixture
def publish(make_version):
    return lambda **changes: make_version(**COMPLETE, **changes)


@pytest.fixture
def version(publish):
    publish(preview=True, limit=40)
    return publish()


@pytest.fixture
def out(version):
    return version.path.parent.parent


def report(*args):
    return CliRunner().invoke(command, list(map(str, args)), catch_exceptions=False)


def test_page_lies_beside_the_version(version, out):
    before = sorted(path.name for path in version.path.iterdir())
    done = report("toy", "--out", out)
    assert done.stdout == f"{out}/toy/v1.html\n"
    assert done.stderr.startswith("12 of 40 examples kept. Most fell at top: 20 of 32 (below cut).")
    assert "40 of 40 rows" in done.stderr
    assert sorted(path.name for path in version.path.iterdir()) == before
    assert sorted(path.name for path in (out / "toy").iterdir() if "html" in path.name) == [
        "v1.html"
    ]


def test_the_same_version_makes_the_same_page(version, out):
    report("toy@v1", "--out", out)
    first = (out / "toy" / "v1.html").read_bytes()
    report("toy@v1", "--out", out)
    assert (out / "toy" / "v1.html").read_bytes() == first


def test_previews_have_a_page_too(version, out):
    assert report("toy@preview", "--out", out).exit_code == 0
    page = (out / "toy" / "preview.html").read_text()
    assert "A preview: at most the first 40 rows of each source were taken." in page


def test_to_and_json(version, out, tmp_path):
    target = tmp_path / "elsewhere.html"
    shown = json.loads(report("toy", "--out", out, "--to", target, "--json").stdout)
    assert shown["path"] == str(target)
    assert shown["bytes"] == target.stat().st_size
    assert (shown["rows"], shown["of"]) == (40, 40)
    assert shown["headline"][0] == "12 of 40 examples kept."
    assert not (out / "toy" / "v1.html").exists()


def test_a_folder_that_is_not_there_is_named(version, out, tmp_path, capsys):
    target = tmp_path / "nowhere" / "page.html"
    assert call(["report", "toy", "--out", str(out), "--to", str(target)]) == 1
    said = capsys.readouterr().err
    assert f"The report cannot be written to {target}: No such file or directory." in said
    assert "--to FILE" in said


def test_without_the_extra_the_remedy_is_said(version, out, monkeypatch, capsys):
    for module in ("page", "charts", "comparisons", "spread_charts", "vega"):
        monkeypatch.delitem(sys.modules, f"curate.report.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "altair", None)
    assert call(["report", "toy", "--out", str(out)]) == 1
    said = capsys.readouterr().err
    assert "Charts need packages that are not installed" in said
    assert "pip install 'curate-data[report]'" in said


def test_without_published_dropped_rows_the_page_says_so(publish):
    version = publish(dropped=False)
    out = version.path.parent.parent
    assert report("toy", "--out", out).exit_code == 0
    page = (out / "toy" / "v1.html").read_text()
    assert "The texts of dropped rows are not published with this version." in page
    assert "(dropped rows are not published)" in page


def test_policies_and_requests_are_shown(publish):
    clause = {
        "name": "shares.origin.human", "asked": ">= 0.5", "rows": 9, "of": 12, "state": "relaxed",
        "slack": -1, "available": 20,
    }  # fmt: skip
    asked = {
        "sent": 7, "journal": 3, "reasked": 0, "retried": 1, "prompt_tokens": 1234,
        "completion_tokens": 56, "money": "0.0042", "unmetered": 0,
    }  # fmt: skip
    version = publish(
        stages={"top": {"certificate": [clause]}, "nait": {"services": {"llm": asked}}}
    )
    out = version.path.parent.parent
    assert report("toy", "--out", out).exit_code == 0
    page = (out / "toy" / "v1.html").read_text()
    assert 'id="policies"' in page
    assert "shares.origin.human" in page
    for cell in ("7", "1,234", "0.0042"):
        assert f">{cell}</td>" in page


def test_a_version_that_kept_everything_has_a_page(publish):
    version = publish(
        books={"sources": 40, "created": 0, "kept": 40, "dropped": 0, "failed": 0, "merged": 0},
        stages={
            id: {"in": 40, "out": 40, "dropped": 0, "reasons": {}}
            for id in ("dedup", "nait", "top")
        },
    )
    out = version.path.parent.parent
    done = report("toy", "--out", out)
    assert done.exit_code == 0
    assert done.stderr.startswith("40 of 40 examples kept.\n")


def test_nothing_but_a_page_is_replaced(version, out, tmp_path):
    other = tmp_path / "other.html"
    other.write_text("<!doctype html><p>mine")
    for target, said in (
        (tmp_path / "rows.jsonl", "does not end in .html"),
        (other, "no report of curate"),
        (version.path / "page.html", "would lie in a version"),
    ):
        with pytest.raises(UsageError, match=said):
            report("toy", "--out", out, "--to", target)
    assert other.read_text() == "<!doctype html><p>mine"
    page = tmp_path / "page.html"
    for _ in range(2):
        assert report("toy", "--out", out, "--to", page).exit_code == 0


def test_a_version_of_an_earlier_build_has_a_page(make_version):
    """Its manifest lacks what came later: licences, environment, columns of scores."""
    version = make_version(stages={"top": {"facts": {}}})
    late = {"licenses", "environment", "models", "references", "parent", "baselines"}
    version.__dict__["manifest"] = {k: v for k, v in version.manifest.items() if k not in late}
    page = write(version).path.read_text()
    assert 'id="sources"' in page
    assert "Licences of the kept rows" not in page


def test_names_in_a_strangers_manifest_turn_nothing_around(make_version):
    version = make_version()
    manifest = json.loads(json.dumps(version.manifest))
    for stage in manifest["stages"]:
        stage["id"] += "\u202e"
    manifest["name"] += "\u202e"
    version.__dict__["manifest"] = manifest
    page = write(version).path.read_text()
    assert "\u202e" not in page
    assert "<h1>toy⟨U+202E⟩@v1</h1>" in page
