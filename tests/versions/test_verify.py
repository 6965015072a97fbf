"""A version is what was published, or every difference is named."""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import polars as pl
import pytest
import yaml

from curate.errors import CurateError
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
    # a recipe may leave dropped rows out: then only the one hash shows that they were there
    assert bool(said(version)) == (name != "dropped.parquet")


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
    ("before", "after"),
    [
        ("**5 examples kept**", "**50 examples kept**"),
        ("num_examples: 5", "num_examples: 50"),
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
    verified = verify(version)
    assert verified.ok
    assert verified.notes == (
        "The card was written by curate 0.0.1: its text was compared by the sum in manifest.json, "
        "its numbers with the data.",
    )
    edited(version, "README.md", lambda text: text.replace("num_examples: 5", "num_examples: 50"))
    assert said(version) == ["README.md: num_examples is 50, data/ holds 5"]
    edited(version, "README.md", lambda text: text.replace("**5 examples", "**6 examples"))
    assert len(said(version)) == 2


ROWS = {
    "ledger fate": ("ledger.parquet", lambda t: t.with_columns(fate=pl.lit("kept"))),
    "ledger row": ("ledger.parquet", lambda t: t[:-1]),
    "ledger twice": ("ledger.parquet", lambda t: pl.concat([t[:-1], t[:1]])),
    "ledger stage": (
        "ledger.parquet",
        lambda t: t.with_columns(stage=pl.col("stage").str.replace("short", "long")),
    ),
    "ledger line": ("ledger.parquet", lambda t: t.with_columns(line=pl.col("line") + 1)),
    "ledger column": ("ledger.parquet", lambda t: t.drop("ref")),
    "text": (FILES[2], lambda t: t.with_columns(output=pl.lit("else"))),
    "row": (FILES[2], lambda t: t[1:]),
    "row twice": (FILES[2], lambda t: pl.concat([t, t[:1]])),
    "order": (FILES[3], lambda t: t.reverse()),
    "schema": (FILES[3], lambda t: t.with_columns(pl.col("tokens").cast(pl.String))),
    "dropped row": ("dropped.parquet", lambda t: t[1:]),
    "dropped schema": ("dropped.parquet", lambda t: t.drop("tokens")),
    "dropped foreign": ("dropped.parquet", lambda t: t.with_columns(id=pl.lit("0" * 32))),
    "scores row": ("scores.parquet", lambda t: t[1:]),
    "scores column": ("scores.parquet", lambda t: t.rename({"length": "size"})),
}


@pytest.mark.parametrize("edit", ROWS)
def test_edited_rows_are_found_though_the_sums_were_renewed(version, edit):
    name, change = ROWS[edit]
    edited(version, name, change)
    assert said(version)


@pytest.mark.parametrize(
    "change",
    [
        put("identity", "seed", value=1),
        put("run_key", value="other"),
        put("recipe", "name", value="other"),
        put("sets", value=["name=other"]),
        put("models", value={"m": {"commit": None, "digest": "0"}}),
        put("sources", "mine", "files", value=[]),
        put("stages", "short", "version", value=2),
        lambda lock: lock.pop("identity"),
    ],
)
def test_an_edited_lock_is_found_though_the_sums_were_renewed(version, change):
    edited(version, "recipe.lock.yaml", change)
    assert said(version)


def test_an_edited_recipe_is_found_though_the_sums_were_renewed(version):
    edited(version, "recipe.yaml", lambda text: text.replace("toy", "boy"))
    assert said(version) == ["recipe.lock.yaml: its recipe is not recipe.yaml with its sets"]


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
