"""Pushing to a fake of the Hub: one commit and one tag, whatever goes wrong on the way."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fake_hub import READER, WRITER

from curate.errors import CurateError
from curate.versions.hub.readme import merged, own
from curate.versions.marks import parted

# the client uploads by a call that its HTTP library has deprecated
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPO = "me/tales"
TEXTS = ("Once upon a time", "a", "The end of it", "There was a fox")
VERSION = {
    "README.md",
    "SHA256SUMS",
    "data/train-00000-of-00001.parquet",
    "ledger.parquet",
    "manifest.json",
    "recipe.lock.yaml",
    "recipe.yaml",
    "scores.parquet",
}
CHARTS = "charts/"


def of_version(files):
    return {file for file in files if not file.startswith((CHARTS, ".gitattributes"))}


@pytest.fixture(autouse=True)
def quick_charts(monkeypatch):
    """One small picture in place of all charts; other processes draw them."""
    monkeypatch.setattr("curate.report.charts.pngs", lambda version: {"funnel.png": b"PNG"})


def test_a_version_is_one_commit_and_one_tag(hub, make, typed, folder):
    make(*TEXTS)
    code, out, _ = typed("push", "tales", REPO)
    assert code == 0
    there = hub.repositories[REPO]
    assert there.messages == ["initial commit", "tales v1"]
    assert there.tags == {"v1": there.main}
    assert not there.private
    assert of_version(there.files) == VERSION, "no rows that were not kept"
    version = folder / "curated/tales/v1"
    for file in VERSION - {"README.md"}:
        assert there.files[file] == (version / file).read_bytes()
    assert f"tales@v1 is at {REPO}." in out
    assert "files    7, without dropped.parquet; 1 charts" in out
    assert there.main in out


def test_the_card_and_what_is_true_of_the_repository_stand_in_its_readme(hub, make, typed, folder):
    make(*TEXTS)
    typed("push", "tales", REPO)
    readme = hub.repositories[REPO].files["README.md"].decode()
    card = (folder / "curated/tales/v1/README.md").read_text()
    assert parted(readme)[0] == parted(card)[0]
    assert own(readme) == card
    beside = readme.split("<!-- end of curate card -->")[1]
    assert 'load_dataset("me/tales", split="train", revision="v1")' in beside
    assert "curate pull me/tales --revision v1" in beside
    assert "![funnel](charts/funnel.png)" in beside
    assert hub.repositories[REPO].files["charts/funnel.png"] == b"PNG"


def test_what_a_person_wrote_stays(hub, make, typed):
    theirs = (
        "---\nlanguage: sw\nlicense: mit\ntags: [folklore, curate]\nextra: {a: 1}\n---\n"
        "# My tales\n\nRead *these* aloud.\n"
    )
    hub.repository(REPO, {"README.md": theirs.encode(), "photo.jpg": b"x"})
    make(*TEXTS)
    assert typed("push", "tales@v1", REPO)[0] == 0
    there = hub.repositories[REPO]
    head, text = parted(there.files["README.md"].decode())
    assert head["license"] == "cc-by-4.0", "what the card says of the data is the card's to say"
    assert (head["language"], head["extra"]) == ("sw", {"a": 1})
    assert head["tags"] == ["folklore", "curate"]
    assert text.startswith("# My tales\n\nRead *these* aloud.\n\n<!-- curate card -->\n")
    assert there.files["photo.jpg"] == b"x"
    edited = there.files["README.md"].decode().replace("\n", "\r\n") + "\r\nThanks to all.\r\n"
    there.files["README.md"] = edited.encode()
    make(*TEXTS, "And a hen besides")
    assert typed("push", "tales", REPO)[0] == 0
    head, text = parted(there.files["README.md"].decode())
    assert text.startswith(
        "# My tales\n\nRead *these* aloud.\n\n<!-- curate card -->\n# tales v2\n"
    )
    assert text.endswith("\n<!-- end of curate hub -->\n\nThanks to all.")
    assert text.count("<!-- curate") == 2
    assert head["tags"] == ["folklore", "curate"]
    assert head["dataset_info"]["description"].startswith("curate v2")


def test_a_field_that_an_earlier_card_wrote_goes_with_it():
    earlier = (
        "---\nlicense: mit\nannotations_creators:\n- x\ntags:\n- curate\n- synthetic\n---\n\n# T\n"
    )
    first = merged("---\ntags: [folklore]\n---\n", earlier, REPO, "v1", ())
    assert yaml.safe_load(first.text.split("---")[1])["tags"] == ["curate", "synthetic", "folklore"]
    later = "---\nlicense: mit\ntags:\n- curate\n---\n\n# T\n"
    head, _ = parted(merged(first.text, later, REPO, "v2", ()).text)
    assert head == {"tags": ["curate", "folklore"], "license": "mit"}


HEAD = """# Mine, see below
language: [no, sv]   # spoken
ver: 1.10
date: 2020-01-01
literal: |
  # not a comment

  text
# what it may be used for
license: mit # ask me
license_link: LICENSE
"on": yes
tags:
- no
- 1.10
task_categories: [no, 1.10] # mine
extra: &x {a: 1}
more: *x
# the end
"""
CARD = (
    "---\npretty_name: t\nlicense: other\nlicense_name: n\ntags:\n- curate\n---\n\n# T\n\nText.\n"
)


def test_fields_that_people_wrote_keep_their_very_text():
    found = merged(f"---\n{HEAD}---\n# Mine\n", CARD, REPO, "v1", ())
    expected = HEAD.replace("license: mit # ask me\nlicense_link: LICENSE\n", "license: other\n")
    expected = expected.replace("tags:\n- no\n- 1.10\n", "tags:\n- curate\n- 'no'\n- '1.10'\n")
    expected += "pretty_name: t\nlicense_name: n\n"
    assert found.text.split("---\n")[1] == expected
    assert found.replaced == ("license", "license_link")
    assert own(found.text) == CARD
    again = merged(found.text, CARD, REPO, "v1", ())
    assert (again.text, again.replaced) == (found.text, ())
    linked = found.text.replace("license_name: n\n", "license_name: n\nlicense_link: there\n")
    again = merged(linked, CARD, REPO, "v1", ())
    assert (again.text, again.replaced) == (linked, ()), "it is of the licence that is there"


@pytest.mark.parametrize("opening", ["\ufeff---\n", "---  \n", "\ufeff--- \r\n"])
def test_metadata_are_found_behind_what_editors_leave(opening):
    found = merged(f"{opening}extra: 1\n---\n# Mine\n", CARD, REPO, "v1", ()).text
    assert found.startswith("---\nextra: 1\npretty_name: t\n")
    assert own("\ufeff" + found.replace("\n", "\r\n")) == CARD
    assert merged(f"{opening}---\n# Mine\n", CARD, REPO, "v1", ()).text.startswith("---\npretty")


def test_a_list_item_that_the_card_has_not_is_not_the_cards():
    found = merged("", CARD, REPO, "v1", ()).text
    theirs = found.replace("- curate\n", "- synthetic\n- curate\n")
    assert own(theirs) == CARD
    head, _ = parted(merged(theirs, CARD, REPO, "v2", ()).text)
    assert sorted(head["tags"]) == ["curate", "synthetic"]
    assert own(found.replace("- curate\n", "- synthetic\n")) != CARD


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Text.\n", "Text.\nAnd mine.\n"),
        ("## On the Hub\n", "## On the Hub\nAnd mine.\n"),
        ("pretty_name: t", "pretty_name: Tales"),
        (" | ", " "),
    ],
)
def test_what_people_write_into_the_card_is_not_overwritten_unasked(before, after):
    found = merged("# Mine\n", CARD, REPO, "v1", ()).text
    assert before in found
    theirs = found.replace(before, after)
    with pytest.raises(CurateError, match="would overwrite") as error:
        merged(theirs, CARD, REPO, "v2", ())
    assert "--replace" in str(error.value.remedy)
    assert own(merged(theirs, CARD, REPO, "v2", (), replace=True).text) == CARD


def test_configs_of_people_and_their_fields_are_not_taken_in_silence(hub, make, typed):
    theirs = b"---\nconfigs:\n- config_name: mine\n  data_files: x.csv\nlicense: mit\n---\n# T\n"
    there = hub.repository(REPO, {"README.md": theirs, "x.csv": b"1"})
    make(*TEXTS)
    code, _, err = typed("push", "tales", REPO)
    assert (code, len(there.commits)) == (1, 1)
    assert "has the configs mine, in whose place" in err
    code, out, _ = typed("push", "tales", REPO, "--replace")
    assert code == 0
    assert "Of README.md there, the card took the place of: configs, license\n" in out
    there.files["README.md"] = there.files["README.md"].replace(b"# tales v1", b"# Tales of mine")
    make(*TEXTS, "And a hen besides")
    assert "curate wrote, and that this push would overwrite" in typed("push", "tales", REPO)[2]
    assert typed("push", "tales", REPO, "--replace")[0] == 0


def test_an_older_version_turns_main_back_and_says_so(hub, make, typed):
    make(*TEXTS)
    make(*TEXTS, "And a hen besides")
    assert "main was" not in typed("push", "tales@v2", REPO)[1]
    assert "main was v2 there, and is v1 now.\n" in typed("push", "tales@v1", REPO)[1]


def test_where_only_the_digest_agrees_it_is_said(hub, make, typed, folder):
    make(*TEXTS)
    typed("push", "tales", REPO)
    manifest = folder / "curated/tales/v1/manifest.json"
    there = hub.repositories[REPO]
    renewed(folder / "curated/tales/v1", "manifest.json", manifest.read_bytes() + b"\n")
    code, out, _ = typed("push", "tales", REPO)
    assert code == 0
    assert "Only the digest agrees" in out
    assert "other bytes in SHA256SUMS, manifest.json.\n" in out
    there.files["SHA256SUMS"] = (folder / "curated/tales/v1/SHA256SUMS").read_bytes()
    code, _, err = typed("push", "tales", REPO)
    assert (code, "v1 at me/tales is not what its SHA256SUMS says: manifest.json." in err) == (
        1,
        True,
    )


def renewed(version, file, content):
    """Change a file of a version, and its line in SHA256SUMS."""
    sums = (version / "SHA256SUMS").read_text()
    before = hashlib.sha256((version / file).read_bytes()).hexdigest()
    for name, text in (
        (file, content),
        ("SHA256SUMS", sums.replace(before, hashlib.sha256(content).hexdigest()).encode()),
    ):
        (version / name).chmod(0o644)
        (version / name).write_bytes(text)


@pytest.mark.parametrize("file", ["ledger.parquet", "recipe.yaml"])
def test_only_a_commit_that_is_the_version_gets_its_tag(hub, make, typed, file):
    make(*TEXTS)
    typed("push", "tales", REPO)
    there = hub.repositories[REPO]
    whole = dict(there.files)
    there.files[file] = b"something else\n"
    there.tags.clear()
    assert typed("push", "tales", REPO)[0] == 0
    assert len(there.commits) == 3
    assert there.files == whole
    assert there.tags == {"v1": there.main}


def test_a_commit_whose_card_was_changed_gets_no_tag(hub, make, typed):
    make(*TEXTS)
    typed("push", "tales", REPO)
    there = hub.repositories[REPO]
    there.tags.clear()
    readme = there.files["README.md"]
    there.files["README.md"] = readme.replace(b"# tales v1", b"# Tales of mine")
    assert typed("push", "tales", REPO)[0] == 1
    assert there.tags == {}
    there.files["README.md"] = readme + b"\nThanks to all.\n"
    assert typed("push", "tales", REPO)[0] == 0
    assert (len(there.commits), there.tags) == (2, {"v1": there.main})


def test_without_its_dropped_rows_an_edited_card_is_not_pushed(hub, make, typed, folder):
    make(*TEXTS)
    version = folder / "curated/tales/v1"
    (version / "dropped.parquet").unlink()
    card = version / "README.md"
    before = card.read_text()
    card.chmod(0o644)
    card.write_text(before.replace("- curate\n", "- curate\n- gold-standard\n"))
    code, _, err = typed("push", "tales", REPO)
    assert (code, "is not what was published: README.md" in err) == (1, True)
    assert hub.repositories == {}
    card.write_text(before)
    assert typed("push", "tales", REPO)[0] == 0


def test_a_downloaded_repository_can_be_pushed_on(hub, make, typed, folder):
    make(*TEXTS)
    typed("push", "tales", REPO)
    for file, content in hub.repositories[REPO].files.items():
        path = folder / "snapshot" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert typed("push", folder / "snapshot", "me/other")[0] == 0
    card = (folder / "curated/tales/v1/README.md").read_text()
    assert own(hub.repositories["me/other"].files["README.md"].decode()) == card


@pytest.mark.parametrize(
    ("readme", "said"),
    [
        ("---\na: [\n---\n", "its metadata cannot be read"),
        ("---\na\n---\n", "its metadata are no mapping"),
        ("---\n{a: 1}\n---\n", "write each field on a line of its own"),
        ("---\na: 1\n", "do not end with a line of ---"),
        ("---\nlicense: &l mit\na: *l\n---\n", "its metadata cannot be read"),
        ("<!-- curate card -->\n", "does not hold the marks of one card"),
        ("<!-- end of curate card -->\n<!-- curate card -->\n", "the marks of one card"),
        ("<!-- curate hub: a -->\n", "does not hold the marks of one card"),
    ],
)
def test_a_readme_that_cannot_be_understood_is_not_touched(hub, make, typed, readme, said):
    there = hub.repository(REPO, {"README.md": readme.encode()})
    make(*TEXTS)
    code, _, err = typed("push", "tales", REPO)
    assert code == 1
    assert said in err
    assert len(there.commits) == 1


def test_the_same_version_again_is_a_no_op(hub, make, typed):
    make(*TEXTS)
    typed("push", "tales", REPO)
    sent = len(hub.large), hub.asked("upload"), hub.asked("commit")
    code, out, _ = typed("push", "tales", REPO)
    assert code == 0
    assert f"tales@v1 was at {REPO} already." in out
    assert (len(hub.large), hub.asked("upload"), hub.asked("commit")) == sent
    again = json.loads(typed("push", "tales", REPO, "--json")[1])
    there = hub.repositories[REPO]
    assert (again["new"], again["dropped"], again["commit"]) == (False, False, there.main)
    assert again["sums"] == hashlib.sha256(there.files["SHA256SUMS"]).hexdigest()


def test_a_later_version_takes_the_place_of_the_files_of_the_last(hub, make, typed, folder):
    make(*TEXTS)
    recipe = folder / "two.yaml"
    shards = json.loads((folder / "recipe.yaml").read_text()) | {"output": {"shards": 2}}
    recipe.write_text(json.dumps(shards))
    typed("run", recipe)
    assert typed("push", "tales@v2", REPO, "--dropped")[0] == 0
    there = hub.repositories[REPO]
    first = there.main
    there.files["notes/mine.txt"] = b"kept"
    typed("run", "recipe.yaml", "--set", "long.with.keep=length_words >= 4")
    assert typed("push", "tales@v3", REPO, "--message", "Longer ones")[0] == 0
    assert of_version(there.files) == VERSION | {"notes/mine.txt"}
    assert there.tags == {"v2": first, "v3": there.main}
    assert "dropped.parquet" in there.commits[first]
    assert there.messages[1:] == ["tales v2", "Longer ones"]


def test_a_tag_is_never_moved(hub, make, typed, folder):
    make(*TEXTS)
    typed("push", "tales", REPO)
    before = dict(hub.repositories[REPO].tags)
    make("Quite another tale", "and one more")
    (folder / "curated/tales/v1").rename(folder / "old")
    (folder / "curated/tales/v2").rename(folder / "newer")
    typed("run", "recipe.yaml")
    code, _, err = typed("push", "tales@v1", REPO)
    assert code == 1
    assert f"{REPO} has a tag v1 already, with the digest" in err
    assert "never moved" in err
    code, _, err = typed("push", folder / "old", REPO, "--dropped")
    assert code == 1
    assert "already, without dropped.parquet" in err
    assert hub.repositories[REPO].tags == before


def test_a_readme_that_is_no_text_is_not_touched(hub, make, typed):
    there = hub.repository(REPO, {"README.md": b"\xff\xfe"})
    make(*TEXTS)
    assert "README.md of me/tales is not UTF-8" in typed("push", "tales", REPO)[2]
    assert len(there.commits) == 1


def test_what_a_repository_leaves_out_is_said(hub, make, typed):
    there = hub.repository(REPO, {".gitignore": b"data/*\n"})
    make(*TEXTS)
    for _ in range(2):
        code, _, err = typed("push", "tales", REPO)
        assert code == 1
        assert "did not take data/train-00000-of-00001.parquet" in err
        assert ".gitignore" in err
    assert there.tags == {}
    del there.files[".gitignore"]
    assert typed("push", "tales", REPO)[0] == 0
    assert there.tags == {"v1": there.main}


@pytest.mark.parametrize("how", ["after", 500])
def test_a_commit_that_landed_without_its_tag_gets_it(hub, make, typed, how):
    make(*TEXTS)
    hub.faults.append(("commit", "after") if how == "after" else ("tag", how))
    code, _, err = typed("push", "tales", REPO)
    assert code == 1
    assert "type the command again" in err
    there = hub.repositories[REPO]
    assert (len(there.commits), there.tags) == (2, {})
    assert typed("push", "tales", REPO)[0] == 0
    assert len(there.commits) == 2, "no second commit"
    assert there.tags == {"v1": there.main}


def test_large_files_that_arrived_are_not_sent_again(hub, make, typed):
    make(*TEXTS)
    hub.faults.append(("commit", "before"))
    assert typed("push", "tales", REPO)[0] == 1
    there = hub.repositories[REPO]
    assert (len(there.commits), there.tags) == (1, {})
    sent = hub.asked("upload")
    assert sent == 4
    assert typed("push", "tales", REPO)[0] == 0
    assert hub.asked("upload") == sent
    assert of_version(there.files) == VERSION


@pytest.mark.parametrize(("where", "commits"), [("upload", 1), ("tag", 2)])
def test_a_push_that_is_killed_is_finished_by_the_next(hub, make, typed, where, commits):
    make(*TEXTS)
    hub.faults.append((where, "hang"))
    command = [sys.executable, "-m", "curate", "push", "tales", REPO]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    try:
        assert hub.hanging.wait(60), process.stderr.read()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    there = hub.repositories[REPO]
    assert (len(there.commits), there.tags) == (commits, {})
    assert typed("push", "tales", REPO)[0] == 0
    assert (len(there.commits), there.tags) == (2, {"v1": there.main})
    assert of_version(there.files) == VERSION
    sent = [oid for what, oid in hub.log if what == "upload"]
    assert len(sent) == len(set(sent)), "nothing is sent twice"


def test_what_happens_in_between_is_noticed(hub, make, typed, monkeypatch):
    make(*TEXTS)
    there = hub.repository(REPO)

    def meanwhile(version):
        there.commit({**there.files, "README.md": b"# Written just now"}, "A person's")
        return {}

    monkeypatch.setattr("curate.report.charts.pngs", meanwhile)
    code, _, err = typed("push", "tales", REPO)
    assert code == 1
    assert f"{REPO} has changed while this was sent" in err
    assert (there.messages[-1], there.tags) == ("A person's", {})
    monkeypatch.setattr("curate.report.charts.pngs", lambda version: {})
    assert typed("push", "tales", REPO)[0] == 0
    assert "# Written just now" in there.files["README.md"].decode()


def test_private_is_private_or_nothing(hub, make, typed):
    make(*TEXTS)
    assert typed("push", "tales", "me/secret", "--private")[0] == 0
    assert hub.repositories["me/secret"].private
    hub.repository("me/open")
    code, _, err = typed("push", "tales", "me/open", "--private")
    assert code == 1
    assert "everybody may read it; nothing was pushed" in err
    assert len(hub.repositories["me/open"].commits) == 1


def test_data_of_others_are_not_overwritten(hub, make, typed):
    files = {"data/train-00000-of-00003.parquet": b"theirs", "recipe.yaml": b"soup"}
    there = hub.repository(REPO, files)
    make(*TEXTS)
    code, _, err = typed("push", "tales", REPO)
    assert code == 1
    assert "data/train-00000-of-00003.parquet, recipe.yaml" in err
    manifest = {"name": "poems", "version": "v1", "digest": "ab" * 32}
    there.commits[there.main] = {"manifest.json": json.dumps(manifest).encode()}
    code, _, err = typed("push", "tales", REPO)
    assert code == 1
    assert "holds another data set, poems" in err
    assert len(there.commits) == 1


def test_a_damaged_version_or_a_preview_is_not_pushed(hub, make, typed, folder):
    make(*TEXTS)
    recipe = folder / "curated/tales/v1/recipe.yaml"
    recipe.chmod(0o644)
    recipe.write_text(recipe.read_text() + "#")
    code, _, err = typed("push", "tales", REPO)
    assert code == 1
    assert "is not what was published: recipe.yaml" in err
    typed("run", "recipe.yaml", "--limit", "3")
    code, _, err = typed("push", "tales@preview", REPO)
    assert code == 2
    assert "not a version" in err
    assert hub.repositories == {}


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (None, "the Hub wants a token"),
        ("hf_unheard_of", "does not know the token"),
        (READER, "may not write to me/tales"),
    ],
)
def test_without_the_right_token_nothing_is_pushed(hub, make, typed, monkeypatch, token, said):
    make(*TEXTS)
    if token is None:
        monkeypatch.delenv("HF_TOKEN")
    else:
        monkeypatch.setenv("HF_TOKEN", token)
    code, _, err = typed("push", "tales", REPO)
    assert code == 1
    assert said in err
    assert "hf_" not in err
    assert hub.repositories == {}


def test_a_token_is_neither_shown_nor_written(hub, make, folder):
    make(*TEXTS)
    hub.faults.append(("commit", 500))
    command = [sys.executable, "-m", "curate", "push", "tales", REPO]
    said = b""
    for code in (1, 0):
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == code
        said += done.stdout + done.stderr
    assert WRITER.encode() not in said
    places = [folder, Path(os.environ["CURATE_HOME"])]
    files = [file for place in places for file in place.rglob("*") if file.is_file()]
    assert any(file.name == "SHA256SUMS" for file in files)
    assert not [file for file in files if WRITER.encode() in file.read_bytes()]
    there = hub.repositories[REPO].files
    assert not any(WRITER.encode() in content for content in there.values())
    pictures = {file: content for file, content in there.items() if file.startswith(CHARTS)}
    assert "charts/funnel.png" in pictures
    assert all(content.startswith(b"\x89PNG") for content in pictures.values())
    assert all(f"]({file})" in there["README.md"].decode() for file in pictures)


def test_offline_and_misspelt_names_are_said_before_any_work(make, typed, folder):
    make(*TEXTS)
    for words in (["push", "tales", REPO], ["pull", REPO]):
        code, _, err = typed(*words)
        assert code == 1
        assert f"{REPO} is on the Hugging Face Hub, and HF_HUB_OFFLINE forbids to ask it" in err
    for name in (
        "tales",
        "a/b/c",
        "../x",
        "me/ta les",
        "me/tales.git",
        "me/a..b",
        f"me/{'a' * 97}",
    ):
        assert typed("push", "tales", name)[0] == 2
        assert typed("pull", name)[0] == 2


def test_without_the_extra_one_message_says_so(make, typed, monkeypatch):
    make(*TEXTS)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for words in (["push", "tales", REPO], ["pull", REPO]):
        code, _, err = typed(*words)
        assert code == 1
        assert "pip install 'curate-data[hub]'" in err


def test_without_what_draws_charts_it_is_pushed_without_them(hub, make, typed, monkeypatch):
    make(*TEXTS)
    for module in ("charts", "vega"):
        monkeypatch.delitem(sys.modules, f"curate.report.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    code, out, err = typed("push", "tales", REPO)
    assert code == 0
    assert "Pushed without charts" in err
    assert "curate-data[report]" in err
    assert "; 0 charts" in out
    assert "charts/" not in hub.repositories[REPO].files["README.md"].decode()


def test_a_version_with_splits_is_loaded_by_them(hub, make, typed, folder):
    make(*TEXTS)
    recipe = json.loads((folder / "recipe.yaml").read_text())
    recipe["output"] = {"splits": {"train": 0.5, "test": 0.5}, "stratify": "source"}
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    assert typed("run", "recipe.yaml")[0] == 0
    assert typed("push", "tales", REPO)[0] == 0
    there = hub.repositories[REPO]
    readme = there.files["README.md"].decode()
    assert 'load_dataset("me/tales", revision="v2")' in readme
    assert {"data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"} < {
        *there.files
    }
    assert typed("pull", REPO, "--out", str(folder / "pulled"))[0] == 0
    assert typed("verify", "tales", "--out", str(folder / "pulled"), "--pushed")[0] == 0
    there.commits[there.main] = {
        **there.files,
        "data/test-00000-of-00009.parquet": b"theirs",
    }
    recipe["seed"] = 1
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    assert typed("run", "recipe.yaml")[0] == 0
    code, _, err = typed("push", "tales", REPO)
    assert code == 1
    assert "data/test-00000-of-00009.parquet" in err
