"""A version is what was published, or every difference is named."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import polars as pl
import pytest
import yaml

from curate.errors import CurateError, UsageError
from curate.sources.published import sums_in
from curate.versions.card import description
from curate.versions.hub.readme import merged
from curate.versions.marks import CLOSES, OPENS
from curate.versions.open import Version
from curate.versions.store import publish
from curate.versions.verify import verify

FILES = [
    "README.md",
    "SHA256SUMS",
    "data/train-00000-of-00002.parquet",
    "data/train-00001-of-00002.parquet",
    "dropped.parquet",
    "ledger.parquet",
    "manifest.json",
    "recipe.lock.yaml",
    "recipe.yaml",
    "scores.parquet",
]


@pytest.fixture(scope="module")
def published(tmp_path_factory, make_outcome):
    outcome = make_outcome(list("abcde"), dropped=["f", "g"], shards=2)
    return publish(outcome, tmp_path_factory.mktemp("once")).path


@pytest.fixture
def version(tmp_path, published):
    return shutil.copytree(published, tmp_path / "curated" / "toy" / "v1")


def said(path, sha256=None, **options):
    return [str(finding) for finding in verify(path, sha256, **options).findings]


def rewrite(file, content):
    file.unlink()
    file.write_bytes(content)


def renew(path):
    """Make SHA256SUMS say what the files are now."""
    names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
    lines = [
        f"{hashlib.sha256((path / name).read_bytes()).hexdigest()}  {name}\n"
        for name in names
        if name != "SHA256SUMS"
    ]
    rewrite(path / "SHA256SUMS", "".join(lines).encode())


def content(path):
    """What is found beside the sums that differ, and beside the card, which shows it all."""
    found = said(path)
    return [
        one
        for one in found
        if not re.match(r"[^:]+: SHA256SUMS says|README.md: its 'dataset_i", one)
    ]


def renew_all(path):
    """Make manifest, card and SHA256SUMS say what the other files are now."""
    renew(path)
    manifest = json.loads((path / "manifest.json").read_text())
    listed, _ = sums_in((path / "SHA256SUMS").read_bytes())
    manifest["files"] = {
        name: sum for name, sum in listed.items() if name not in ("README.md", "manifest.json")
    }
    rewrite(path / "manifest.json", json.dumps(manifest).encode())
    readme = (path / "README.md").read_text()
    stored = sum(file.stat().st_size for file in (path / "data").iterdir())
    readme = re.sub(
        "  description: .*(\n    .*)*", f"  description: {description(manifest)}", readme
    )
    readme = re.sub(r"download_size: \d+", f"download_size: {stored}", readme)
    rewrite(path / "README.md", readme.encode())
    renew(path)


def edited(path, name, change):
    """Change the text of a file, or the rows of a table, and make SHA256SUMS agree."""
    file = path / name
    if name.endswith(".parquet"):
        table = change(pl.read_parquet(file))
        file.unlink()
        table.write_parquet(file)
    elif name.endswith(".json"):
        content = json.loads(file.read_text())
        change(content)
        rewrite(file, json.dumps(content).encode())
    elif name.endswith("lock.yaml"):
        content = yaml.safe_load(file.read_text())
        change(content)
        rewrite(file, yaml.safe_dump(content).encode())
    else:
        before = file.read_text()
        after = change(before)
        assert after != before
        rewrite(file, after.encode())
    renew(path)


def test_a_version_as_it_was_published_has_no_findings(version):
    verified = verify(version)
    assert verified.findings == verified.notes == ()
    assert (verified.ok, verified.name, verified.files) == (True, "toy@v1", 9)
    assert verified.digest == Version(version).digest
    assert verified.books["kept"] == 5
    sums = hashlib.sha256((version / "SHA256SUMS").read_bytes()).hexdigest()
    assert verified.sums == sums
    assert said(version, sums) == said(version, sums.upper()) == []
    assert Version(version).verify(sums).ok


def test_another_sum_than_the_one_known_from_elsewhere_is_named(version):
    (finding,) = said(version, "0" * 64)
    assert finding.startswith("SHA256SUMS: its sha256 is ")
    assert finding.endswith(f"expected {'0' * 64}")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_a_flipped_bit_in_any_file_is_found(version, name, place):
    content = bytearray((version / name).read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    rewrite(version / name, bytes(content))
    found = said(version)
    assert found
    if name != "SHA256SUMS":
        sha256 = hashlib.sha256(content).hexdigest()
        assert any(f.startswith(f"{name}: its sha256 is {sha256}, SHA256SUMS says") for f in found)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(version, name):
    (version / name).unlink()
    found = said(version)
    assert any(finding.startswith(f"{name}: is missing") for finding in found)


@pytest.mark.parametrize("name", FILES[:1] + FILES[2:])
def test_a_missing_file_is_found_though_the_sums_were_renewed(version, name):
    (version / name).unlink()
    renew(version)
    assert any(finding.startswith(f"{name}: is missing") for finding in said(version))


@pytest.mark.parametrize(
    "name", ["evil.py", "data/validation-00000-of-00001.parquet", "data/train.csv"]
)
def test_an_added_file_is_found_though_the_sums_were_renewed(version, name):
    shutil.copyfile(version / FILES[2], version / name)
    renew(version)
    assert said(version) == [f"{name}: is no file of the version: manifest.json does not name it"]


@pytest.mark.parametrize(
    "name", ["notes.txt", "data/train-00002-of-00002.parquet", ".hid/x", "d/e/f"]
)
def test_an_added_file_is_named_wherever_it_is(version, name):
    (version / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(version / FILES[2], version / name)
    assert f"{name}: was added: SHA256SUMS does not name it" in said(version)
    assert not any("was added" in finding for finding in said(version, ignore=[name]))


def test_a_link_in_place_of_a_file_is_named(version, tmp_path):
    shutil.move(version / "scores.parquet", tmp_path / "scores.parquet")
    (version / "scores.parquet").symlink_to(tmp_path / "scores.parquet")
    assert said(version) == ["scores.parquet: is a link or no plain file, expected a file"]


def test_what_is_no_plain_file_is_a_finding_and_is_not_opened(version):
    def ended(names):
        for name in names:
            (version / name).unlink()
            os.mkfifo(version / name)
        command = [sys.executable, "-m", "curate", "verify", str(version)]
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (found.returncode, found.stderr) == (1, "")
        return found.stdout

    listed = [name for name in FILES if name != "SHA256SUMS"]
    lines = ended(listed).splitlines()
    for name in listed:
        assert f"{name}: is a link or no plain file, expected a file" in lines
    assert "SHA256SUMS: is missing" in ended(["SHA256SUMS"])


def test_what_a_stranger_wrote_reaches_no_terminal(version):
    escape = "9\x1b]0;pwn\x07"

    def change(manifest):
        manifest |= dict.fromkeys(("curate", "name", "digest"), escape)
        manifest["books"] |= {escape: 1}
        manifest["sources"][escape] = manifest["sources"]["mine"]

    edited(version, "manifest.json", change)
    verified = verify(version)
    shown = [verified.name, verified.digest, *verified.notes, *map(str, verified.findings)]
    assert len(shown) > 4
    assert not any("\x1b" in text or "\x07" in text for text in [*shown, *verified.books])
    assert "9]0;pwn" in verified.name


@pytest.mark.parametrize("known", ["", "0a3c", "0" * 63, "g" * 64, "\x1b"])
def test_a_hash_that_is_none_is_a_mistake_of_its_own(version, known):
    with pytest.raises(UsageError, match="is no sha256, which has 64 hexadecimal digits"):
        verify(version, known)


@pytest.mark.parametrize("line", ["", "0000  a", f"{'0' * 64}  ../x", f"{'0' * 64}  /etc/passwd"])
def test_sums_that_name_no_file_of_the_version_are_refused(version, line):
    with_line = (version / "SHA256SUMS").read_bytes() + line.encode() + b"\n"
    rewrite(version / "SHA256SUMS", with_line)
    (finding,) = said(version)
    assert finding.startswith("SHA256SUMS: line 10 ")


def put(*path, value):
    def change(content):
        for step in path[:-1]:
            content = content[step]
        content[path[-1]] = value

    return change


MANIFEST_EDITS = {
    "kept": (put("books", "kept", value=6), "its books do not balance: 7 in, 8 accounted for"),
    "kept and dropped": (
        lambda m: m["books"].update(kept=6, dropped=1),
        "ledger.parquet: kept are 5, manifest.json says 6",
    ),
    "out": (put("stages", 0, "out", value=6), "the books of stage 'short' do not balance"),
    "reason": (
        put("stages", 0, "reasons", value={"other": 2}),
        "of stage 'short' dropped as 'other' are 0, manifest.json says 2",
    ),
    "stage": (put("stages", 0, "id", value="long"), "holds rows dropped by 'short'"),
    "rows": (put("sources", "mine", "rows", value=8), "its sources have rows 8, its books say 7"),
    "unreadable": (
        put("sources", "mine", "unreadable", value=1),
        "the source 'mine' has unreadable rows 1, ledger.parquet holds 0",
    ),
    "file": (
        put("sources", "mine", "files", 0, "sha256", value="0" * 64),
        "recipe.lock.yaml: the files of source 'mine' are",
    ),
    "digest": (put("digest", value="0" * 64), "have the digest"),
    "run key": (put("run_key", value="other"), "its run_key is key, manifest.json says other"),
    "share": (
        put("shares", "origin", "after", value={"synthetic": 5}),
        "the rows after it by origin are {'synthetic': 5}, data/ holds {'human': 5}",
    ),
    "column": (put("columns", value=[]), "has the columns ['length'], manifest.json says []"),
    "seed": (put("card", value="0" * 64), "its text has the sha256"),
    "lost": (lambda m: m.pop("books"), "cannot be compared: KeyError: 'books'"),
    "no mapping": (put("stages", value=7), "cannot be compared: TypeError"),
}  # fmt: skip


@pytest.mark.parametrize("edit", MANIFEST_EDITS)
def test_an_edited_manifest_is_found_though_the_sums_were_renewed(version, edit):
    change, expected = MANIFEST_EDITS[edit]
    edited(version, "manifest.json", change)
    assert any(expected in finding for finding in said(version)), said(version)


@pytest.mark.parametrize(
    "change",
    [
        put("created", value="2020-01-01T00:00:00+00:00"),
        put("seed", value=7),
        put("num_bytes", "train", value=7),
        put("sources", "mine", "format", value="messages"),
        put("sources", "mine", "dataset", value="someone/else"),
        put("stages", 0, "params", value={"fraction": 0.5}),
        put("stages", 0, "inputs", value=[]),
        put("stages", 0, "where", value="tokens > 3"),
        put("columns", 0, "kind", value="text"),
        put("shares", "origin", "before", value={"human": 9}),
        put("environment", "python", value="3.14.0"),
    ],
)
def test_an_edit_of_any_fact_of_the_manifest_is_found_by_its_hash_in_the_card(version, change):
    edited(version, "manifest.json", change)
    assert any(
        finding.startswith("README.md: its 'dataset_info.description' is")
        for finding in said(version)
    )


def test_what_was_renewed_everywhere_only_the_known_hash_shows(version):
    known = verify(version).sums
    edited(version, "scores.parquet", lambda table: table.with_columns(length=pl.lit(0.0)))
    renew_all(version)
    assert said(version) == []
    (finding,) = said(version, known)
    assert finding.endswith(f"expected {known}")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("**5 examples kept**", "**50 examples kept**"),
        ("num_examples: 5", "num_examples: 50"),
        ("num_bytes: ", "num_bytes: 1"),
        ("dataset_size: ", "dataset_size: 1"),
        ("download_size: ", "download_size: 1"),
        ("n<1K", "1K<n<10K"),
        ("license: cc-by-4.0", "license: mit"),
        ("| short | filter core.where | 7 | 5 |", "| short | filter core.where | 8 | 5 |"),
        ("- curate\n", "- curate\n- human\n"),
        ("pretty_name: toy", "pretty_name: toy\ngated: true"),
    ],
)
def test_an_edited_card_is_found_though_the_sums_were_renewed(version, before, after):
    edited(version, "README.md", lambda text: text.replace(before, after))
    found = said(version)
    assert found
    assert all(finding.startswith("README.md: ") for finding in found)


def test_a_card_of_another_curate_is_compared_by_sum_and_numbers(version):
    def older(manifest):
        manifest["curate"] = "0.0.1"

    edited(version, "manifest.json", older)
    renew_all(version)
    verified = verify(version)
    assert verified.findings == ()
    assert verified.notes == (
        "The card was written by curate 0.0.1: its text was compared by the sum in manifest.json, "
        "its numbers with the data.",
    )
    edited(version, "README.md", lambda text: text.replace("num_examples: 5", "num_examples: 50"))
    assert said(version) == ["README.md: num_examples is 50, data/ holds 5"]
    edited(version, "README.md", lambda text: text.replace("**5 examples", "**6 examples"))
    assert len(said(version)) == 2


def test_a_line_of_the_card_that_differs_is_shown_where_it_does(version):
    edited(version, "README.md", lambda text: text.replace("**5 examples", "**6 examples"))
    lines = (version / "README.md").read_text().split("\n")
    number = next(at for at, line in enumerate(lines, 1) if line.startswith("**6"))
    found = next(finding for finding in said(version) if "from character" in finding)
    assert found.startswith(
        f"README.md: line {number}, from character 1: **6 examples kept** of 7 "
    )
    assert "manifest and data give: **5 examples kept** of 7 " in found
    assert len(found) < 240


SHARD, OTHER = FILES[2:4]
ROWS = {
    "ledger fate": (
        "ledger.parquet",
        lambda t: t.with_columns(fate=pl.lit("kept")),
        "ledger.parquet: kept are 7, manifest.json says 5",
    ),
    "ledger row": (
        "ledger.parquet",
        lambda t: t[:-1],
        "ledger.parquet: holds rows 6, manifest.json says 7",
    ),
    "ledger twice": (
        "ledger.parquet",
        lambda t: pl.concat([t[:-1], t[:1]]),
        "ledger.parquet: 1 ids stand more than once",
    ),
    "ledger stage": (
        "ledger.parquet",
        lambda t: t.with_columns(stage=pl.col("stage").str.replace("short", "long")),
        "ledger.parquet: holds rows dropped by 'long', of which manifest.json does not say",
    ),
    "ledger line": (
        "ledger.parquet",
        lambda t: t.with_columns(line=pl.col("line") + 1),
        "have the digest",
    ),
    "ledger column": ("ledger.parquet", lambda t: t.drop("ref"), "ledger.parquet: has the columns"),
    "text": (SHARD, lambda t: t.with_columns(output=pl.lit("else")), "have the digest"),
    "row": (SHARD, lambda t: t[1:], "data/: lacks 1 rows that ledger.parquet has kept"),
    "rows kept": (SHARD, lambda t: t[1:], "data/: holds rows 4, kept are 5"),
    "row twice": (SHARD, lambda t: pl.concat([t, t[:1]]), "data/: 1 ids stand more than once"),
    "order": (OTHER, lambda t: t.reverse(), "have the digest"),
    "origin": (
        OTHER,
        lambda t: t.with_columns(origin=pl.lit("synthetic")),
        "manifest.json: the rows after it by origin are {'human': 5}, data/ holds",
    ),
    "schema": (
        OTHER,
        lambda t: t.with_columns(pl.col("tokens").cast(pl.String)),
        f"{OTHER}: has other columns than {SHARD}: tokens",
    ),
    "dropped row": (
        "dropped.parquet",
        lambda t: t[1:],
        "dropped.parquet: lacks 1 rows that ledger.parquet has not kept",
    ),
    "dropped schema": (
        "dropped.parquet",
        lambda t: t.drop("tokens"),
        "dropped.parquet: has other columns than data/: tokens",
    ),
    "dropped foreign": (
        "dropped.parquet",
        lambda t: t.with_columns(id=pl.lit("0" * 31 + "f")),
        "dropped.parquet: holds 2 rows beside those that ledger.parquet has not kept",
    ),
    "scores row": (
        "scores.parquet",
        lambda t: t[1:],
        "scores.parquet: lacks 1 rows of data/ and dropped.parquet",
    ),
    "scores column": (
        "scores.parquet",
        lambda t: t.rename({"length": "size"}),
        "scores.parquet: has the columns ['size'], manifest.json says ['length']",
    ),
}  # fmt: skip


@pytest.mark.parametrize("edit", ROWS)
def test_edited_rows_are_found_by_what_they_say(version, edit):
    name, change, expected = ROWS[edit]
    edited(version, name, change)
    renew_all(version)
    assert any(expected in finding for finding in content(version)), content(version)


VALUES = {
    "scores": ("scores.parquet", lambda t: t.with_columns(length=pl.lit(0.0))),
    "kind of scores": ("scores.parquet", lambda t: t.with_columns(pl.col("length").cast(pl.Int64))),
    "order of scores": ("scores.parquet", lambda t: t.reverse()),
    "dropped text": ("dropped.parquet", lambda t: t.with_columns(output=pl.lit("else"))),
    "detail": ("ledger.parquet", lambda t: t.with_columns(detail=pl.lit("else"))),
    "bytes alone": (SHARD, lambda t: t),
}


@pytest.mark.parametrize("edit", VALUES)
def test_any_other_edit_of_rows_is_found_by_the_hash_in_the_manifest(version, edit):
    name, change = VALUES[edit]
    edited(version, name, change)
    assert any(finding.startswith(f"{name}: SHA256SUMS says") for finding in said(version))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (put("identity", "seed", value=1), "have the digest"),
        (put("run_key", value="other"), "its run_key is other, manifest.json says key"),
        (put("recipe", "name", value="other"), "its recipe is not recipe.yaml with its sets"),
        (put("sets", value=["name=other"]), "its recipe is not recipe.yaml with its sets"),
        (put("models", value={"m": {"commit": None, "digest": "0"}}), "its models are"),
        (put("references", value={"r": {}}), "its references are"),
        (put("sources", "mine", "files", value=[]), "the files of source 'mine' are []"),
        (put("stages", "short", "version", value=2), "the stage 'short' is ('core.where', 2)"),
        (lambda lock: lock.pop("identity"), "cannot be compared: KeyError: 'identity'"),
    ],
)
def test_an_edited_lock_is_found_by_what_it_says(version, change, expected):
    edited(version, "recipe.lock.yaml", change)
    renew_all(version)
    assert any(expected in finding for finding in content(version)), content(version)


@pytest.mark.parametrize(
    "change",
    [
        put("plugins", value={"evil": {"version": "1"}}),
        put("python", value="2.7.18"),
        put("packages", value={"numpy": "0"}),
        put("sources", "mine", "format", value="messages"),
        put("sources", "mine", "files", 0, "file", value="data/other.jsonl"),
        put("sources", "mine", "files", 0, "bytes", value=11),
    ],
)
def test_any_other_edit_of_the_lock_is_found_by_the_hash_in_the_manifest(version, change):
    edited(version, "recipe.lock.yaml", change)
    (finding,) = said(version)
    assert finding.startswith("recipe.lock.yaml: SHA256SUMS says ")


def test_an_edited_recipe_is_found_though_the_sums_were_renewed(version):
    edited(version, "recipe.yaml", lambda text: text.replace("toy", "boy"))
    first, second = said(version)
    assert first.startswith("recipe.yaml: SHA256SUMS says ")
    assert second == "recipe.lock.yaml: its recipe is not recipe.yaml with its sets"


def test_what_is_no_table_is_a_finding_and_no_traceback(version):
    for name in ("ledger.parquet", "manifest.json", "recipe.lock.yaml", "README.md"):
        rewrite(version / name, b"\x00\xff{ not this")
    renew(version)
    found = said(version)
    for name in ("ledger.parquet", "manifest.json", "recipe.lock.yaml"):
        assert any(finding.startswith(f"{name}: cannot be compared") for finding in found)


def test_an_empty_folder_has_findings_and_no_folder_is_an_error(tmp_path):
    (tmp_path / "v1").mkdir()
    assert len(said(tmp_path / "v1")) >= 5
    with pytest.raises(CurateError, match="is no folder of a version"):
        verify(tmp_path / "v2")


def test_a_version_without_its_dropped_rows_is_whole_where_the_recipe_leaves_them_out(
    tmp_path, make_outcome
):
    path = publish(replace(make_outcome(), dropped=None), tmp_path).path
    assert not (path / "dropped.parquet").exists()
    assert said(path) == []
    edited(path, "scores.parquet", lambda table: table[1:])
    assert said(path) != []


def test_rows_that_could_not_be_read_have_no_content(tmp_path, make_outcome):
    outcome = make_outcome(["a"], dropped=["b", "c"])
    failed = pl.col("id") == outcome.ledger["id"][2]
    ledger = outcome.ledger.with_columns(
        fate=pl.when(failed).then(pl.lit("failed")).otherwise("fate"),
        stage=pl.when(failed).then(None).otherwise("stage"),
        reason=pl.when(failed).then(pl.lit("unreadable")).otherwise("reason"),
    )
    manifest = json.loads(json.dumps(outcome.manifest))
    manifest["books"].update(dropped=1, failed=1)
    manifest["sources"]["mine"]["unreadable"] = 1
    manifest["stages"][0].update({"in": 2, "dropped": 1, "reasons": {"condition": 1}})
    outcome = replace(
        outcome,
        ledger=ledger,
        manifest=manifest,
        dropped=outcome.dropped[:1],
        scores=outcome.scores[:2],
    )
    assert said(publish(outcome, tmp_path).path) == []


def pushed(path, readme):
    """The folder as a repository holds it: without what was dropped, the card in another README."""
    (path / "dropped.parquet").unlink()
    rewrite(path / "README.md", readme((path / "README.md").read_text()).encode())
    (path / ".gitattributes").write_text("*.parquet filter=lfs\n")
    return verify(path, ignore=[".gitattributes"], pushed=True)


def mixed(card):
    theirs = "---\nlanguage: [en]\ntags: [mine]\n---\n\n# Mine\n\nHello.\n"
    return merged(theirs, card, "me/toy", "v1", ()).text + "\nBye.\n"


def test_a_pushed_copy_is_verified_where_curate_wrote(version):
    verified = pushed(version, mixed)
    assert verified.findings == ()
    assert verified.notes == (
        "dropped.parquet was left out of this copy; the rows in it were not compared.",
    )
    assert any(finding.startswith("dropped.parquet: is missing") for finding in said(version))


def test_a_pushed_copy_whose_readme_is_the_card_needs_no_marks(version):
    assert pushed(version, lambda card: card).findings == ()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("**5 examples", "**6 examples"),
        ("num_examples: 5", "num_examples: 6"),
        ("- curate\n", ""),
        (OPENS, ""),
        (CLOSES, f"{CLOSES}\n{OPENS}"),
    ],
)
def test_an_edit_of_what_curate_wrote_in_a_pushed_copy_is_found(version, before, after):
    verified = pushed(version, lambda card: mixed(card).replace(before, after))
    assert verified.findings
    assert all(finding.file == "README.md" for finding in verified.findings)


def test_the_command_says_everything_at_once_and_ends_with_1(version):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "curate", "verify", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )

    fine = run("toy", "--out", str(version.parent.parent))
    assert (fine.returncode, fine.stderr) == (0, "")
    assert verify(version).sums in fine.stdout
    assert verify(version).digest in fine.stdout
    (version / "data" / "more").write_text("x")
    (version / "scores.parquet").unlink()
    wrong = run(str(version))
    assert (wrong.returncode, wrong.stderr) == (1, "")
    lines = wrong.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines[:-1]] == ["scores.parquet", "data/more"]
    assert lines[-1] == "toy@v1 is not what was published: 2 things are wrong."
    asjson = run(str(version), "--json")
    found = json.loads(asjson.stdout)
    assert asjson.returncode == 1
    assert [f["file"] for f in found["findings"]] == ["scores.parquet", "data/more"]
    assert found["ok"] is False
