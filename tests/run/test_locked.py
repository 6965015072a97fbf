"""A version made again from its lock: the same, or every reason why it cannot be."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import curate_toys
import orjson
import polars as pl
import pytest
import yaml
from chat_server import serving

from curate.commands import call
from curate.contract import API_VERSION
from curate.errors import CurateError, RecipeError
from curate.run import outcome
from curate.run.events import EventLog
from curate.run.observe import Watch
from curate.services.llm import sending
from curate.versions import reproduce as reproducing
from curate.versions.locked import LockedError
from curate.versions.make import run_recipe
from curate.versions.open import Version
from curate.versions.reproduce import reproduce
from curate.versions.verify import verify

COUNT = {"score": "toys.count", "with": {"text": "response"}}
TOP = {"filter": "core.top", "with": {"by": "toys_count_number", "fraction": 0.5}}


def lock_of(result):
    return yaml.safe_load((result.path / "recipe.lock.yaml").read_text())


def relock(result, change):
    """Change the lock of a version, as if it had been made where something else was installed."""
    lock = lock_of(result)
    change(lock)
    file = result.path / "recipe.lock.yaml"
    file.unlink()
    file.write_text(yaml.safe_dump(lock, sort_keys=False))
    renew(result.path)


def renew(path):
    """Make SHA256SUMS say what the files are now."""
    sums = path / "SHA256SUMS"
    names = [line.partition("  ")[2] for line in sums.read_text().splitlines()]
    sums.chmod(0o644)
    sums.write_text(
        "".join(f"{hashlib.sha256((path / n).read_bytes()).hexdigest()}  {n}\n" for n in names)
    )


def listing(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def named(result, sets=()):
    """What a locked run names, and that no stage works before."""

    def work(*_):
        raise AssertionError("work was done")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(outcome, "execute", work)
        with pytest.raises(LockedError) as stopped:
            reproduce(result.path, sets)
    assert "Nothing was computed" in stopped.value.message
    return {each.what: f"{each.here} | {each.remedy}" for each in stopped.value.differences}


def test_a_version_is_made_again_without_the_memo_and_nothing_is_published(bench):
    result = bench.run(COUNT, TOP)
    before = listing(bench.folder / "curated")
    memo = listing(Path(os.environ["CURATE_HOME"]) / "memo")
    log = bench.folder / "log"
    again = reproduce(result.path, [f"toys_count.with.log={log}"])
    assert again.same
    assert (again.digest, again.name, again.differences) == (result.digest, "bench@v1", ())
    assert len(log.read_text().splitlines()) == 20  # all was computed, though it is remembered
    assert listing(bench.folder / "curated") == before
    assert listing(Path(os.environ["CURATE_HOME"]) / "memo") == memo
    assert verify(result.path).ok


def test_the_sets_of_the_run_are_part_of_it(bench):
    plain = bench.run(COUNT, TOP)
    result = bench.run(COUNT, TOP, sets=["toys_count.with.salt=x", "core_top.with.fraction=0.25"])
    assert result.digest != plain.digest
    assert lock_of(result)["sets"] == ["toys_count.with.salt=x", "core_top.with.fraction=0.25"]
    assert Version(result.path).reproduce().same
    assert reproduce(plain.path).same


def test_the_lock_names_everything_that_the_version_was_made_of(bench):
    targets = bench.write([{"instruction": "a", "output": "b"}], bench.folder / "targets.jsonl")
    words = bench.folder / "words.txt"
    words.write_text("w")
    like = {"targets": {"one": str(targets)}, "words": str(words)}
    lock = lock_of(bench.run(COUNT, {"score": "toys.like", "with": like}, TOP))

    def sum_of(path):
        return hashlib.sha256(path.read_bytes()).hexdigest()

    (pool,) = lock["sources"]["pool"]["files"]
    assert lock["sources"]["pool"]["format"] == "alpaca"
    assert pool == {
        "file": str(bench.pool),
        "sha256": sum_of(bench.pool),
        "bytes": bench.pool.stat().st_size,
    }
    (target,) = lock["references"]["toys_like.targets.one"]["files"]
    assert target["sha256"] == sum_of(targets)
    assert lock["files"] == {"toys_like.words": {"file": str(words), "sha256": sum_of(words)}}
    assert lock["stages"]["toys_like"] == {"stage": "toys.like", "version": 1}
    assert lock["plugins"]["curate-toys"] == {
        "version": "0.1",
        "api_version": API_VERSION,
        "provides": {"stages": {"toys": None}},
    }
    core = lock["plugins"]["curate-data"]["provides"]
    assert {kind: set(words) for kind, words in core.items()} == {
        "formats": {"alpaca"},
        "stages": {"core"},
    }
    assert lock["python"] == ".".join(map(str, sys.version_info[:3]))
    installed = {name: version(name) for name in ("polars", "numpy", "pydantic", "orjson")}
    assert installed.items() <= lock["packages"].items()


def test_a_recipe_from_a_file_or_with_sources_of_many_files_is_made_again(bench, monkeypatch):
    monkeypatch.chdir(bench.folder)
    bench.pool.rename("pool-1.jsonl")
    shutil.copy("pool-1.jsonl", "pool-0.jsonl")
    Path("r.yaml").write_text(
        "# a comment\nname: many\nsources: {pool: {path: 'pool-*.jsonl'}}\n"
        "pipeline: [{score: toys.count}]\noutput: {shuffle: true, shards: 3}\n"
    )
    result = run_recipe("r.yaml")
    assert reproduce(result.path).same
    shutil.copy("pool-1.jsonl", "pool-2.jsonl")
    Path("pool-2.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    assert "the lock does not name pool-2.jsonl" in named(result)["source 'pool'"]


def test_what_the_environment_said_is_in_no_file_and_is_read_again(bench, monkeypatch):
    monkeypatch.setenv("WHO", "qwertyuiop-9")
    result = bench.run(
        {"filter": "core.where", "with": {"keep": "source <> '${WHO}'"}},
        {"score": "toys.count", "with": {"salt": "${WHO}"}},
    )
    for path in result.path.rglob("*"):
        assert path.is_dir() or b"qwertyuiop" not in path.read_bytes(), path
    assert reproduce(result.path).same
    monkeypatch.setenv("WHO", "else")
    found = named(result)
    assert set(found) == {"stage 'core_where'", "stage 'toys_count'"}
    monkeypatch.delenv("WHO")
    with pytest.raises(RecipeError, match="WHO"):
        reproduce(result.path)


def test_everything_that_is_missing_or_differs_is_named_at_once(bench, monkeypatch):
    targets = bench.write([{"instruction": "a", "output": "b"}], bench.folder / "targets.jsonl")
    words = bench.folder / "words.txt"
    words.write_text("w")
    like = {"targets": {"one": str(targets)}, "words": str(words)}
    result = bench.run(COUNT, {"score": "toys.like", "with": like})
    assert reproduce(result.path).same

    def elsewhere(lock):
        lock["plugins"]["curate-toys"]["version"] = "9.9"
        lock["plugins"]["curate-gone"] = {"version": "1.2", "api_version": 1, "provides": {}}
        lock["plugins"]["curate-data"]["api_version"] = 7
        lock["plugins"]["curate-data"]["provides"]["formats"] = {"alpaca": "0" * 32, "odd": None}
        lock["models"]["builtin:nothing"] = {"commit": None, "digest": "ab" * 32}

    relock(result, elsewhere)
    bench.write([{"instruction": "other", "output": "rows"}])
    targets.unlink()
    words.write_text("v")
    found = named(result)
    assert "0.1 is installed; the lock says 9.9 | pip install 'curate-toys==9.9'" in found.values()
    assert found["plugin curate-gone"] == (
        "is not installed; the lock says 1.2 | pip install 'curate-gone==1.2'"
    )
    assert "its source differs (formats alpaca)" in found["plugin curate-data"]
    assert "there is no format 'odd'" in found["plugin curate-data, formats odd"]
    assert f"{bench.pool} has sha256 " in found["source 'pool'"]
    assert "--set sources.pool.path=PATH" in found["source 'pool'"]
    assert "no such file; the lock says sha256 " in found["'toys_like.targets.one'"]
    assert "--set toys_like.with.targets.one=PATH" in found["'toys_like.targets.one'"]
    assert f"{words} has sha256 " in found["'toys_like.words'"]
    assert "nothing" in found["model builtin:nothing"]
    assert len(found) == 8


def test_files_that_moved_are_found_by_a_set_and_known_by_their_content(bench):
    targets = bench.write([{"instruction": "a", "output": "b"}], bench.folder / "targets.jsonl")
    result = bench.run({"score": "toys.like", "with": {"targets": {"one": str(targets)}}})
    pool = bench.pool.rename(bench.folder / "moved.jsonl")
    targets = targets.rename(bench.folder / "gone.jsonl")
    assert len(named(result)) == 2
    sets = [f"sources.pool.path={pool}", f"toys_like.with.targets.one={targets}"]
    assert reproduce(result.path, sets).same
    wrong = [f"sources.pool.path={targets}", f"toys_like.with.targets.one={targets}"]
    (said,) = named(result, wrong).values()
    assert said.startswith(f"{targets} has sha256 ")
    assert f" of {bench.folder / 'pool.jsonl'} | Bring back the file of then" in said


def test_a_set_that_the_digest_sees_is_another_run(bench, monkeypatch):
    result = bench.run(COUNT, TOP)
    assert set(named(result, ["toys_count.with.salt=x"])) == {"stage 'toys_count'"}
    assert set(named(result, ["sources.pool.origin=human"])) == {"source 'pool'"}
    assert named(result, ["seed=5"]) == {
        "the recipe": "name, seed, order or output are not as locked | "
        "Do ${...} or --set say something else?"
    }
    assert set(named(result, ["sources.pool.on_failure={set_aside: 1}"])) == {"the run"}


def test_where_the_digest_is_another_it_is_said_in_what(bench, monkeypatch):
    result = bench.run(
        COUNT, TOP, {"score": "toys.spread", "with": {"column": "toys_count_number"}}
    )
    number = curate_toys.number
    monkeypatch.setattr(curate_toys, "number", lambda text, salt="": number(text, "other"))
    again = reproduce(result.path)
    assert not again.same
    assert again.expected == result.digest != again.digest
    dropped = [
        line for line in again.differences if "are dropped by 'core_top' and were kept" in line
    ]
    kept = [line for line in again.differences if "are kept and were dropped by 'core_top'" in line]
    assert len(dropped) == len(kept) == 1

    scores = pl.read_parquet(result.path / "scores.parquet")
    frame = pl.read_parquet(result.path / "data")
    texts = {row["id"]: row["messages"][-1]["content"] for row in frame.to_dicts()}
    gone = pl.read_parquet(result.path / "dropped.parquet")
    texts |= {row["id"]: row["messages"][-1]["content"] for row in gone.to_dicts()}
    by = {id: (-(number(texts[id], "other") % 1000 / 8), id) for id in scores["id"]}
    best = set(sorted(by, key=by.__getitem__)[:10])
    assert dropped == [
        f"{len(set(frame['id']) - best)} rows are dropped by 'core_top' and were kept"
    ]


def test_other_libraries_are_a_warning_and_no_reason_to_stop(bench):
    result = bench.run(COUNT)

    def older(lock):
        lock["python"] = "3.9.1"
        lock["packages"] |= {"polars": "0.1", "no-such-library": "2"}

    relock(result, older)
    again = reproduce(result.path)
    assert again.same
    assert [warning.partition(" ")[0] for warning in again.warnings] == [
        "python",
        "polars",
        "no-such-library",
    ]
    assert again.warnings[2] == "no-such-library not installed here, 2 then"


def test_a_lock_of_another_form_or_run_is_refused(bench):
    result = bench.run(COUNT)
    other = bench.run(COUNT, TOP)
    (result.path / "recipe.lock.yaml").unlink()
    shutil.copy(other.path / "recipe.lock.yaml", result.path)
    renew(result.path)
    with pytest.raises(Exception, match="belongs to another run than its manifest"):
        reproduce(result.path)
    relock(other, lambda lock: lock.update(lock_version=1))
    with pytest.raises(Exception, match="has the form 1; this curate reads 2"):
        reproduce(other.path)
    relock(other, lambda lock: lock.update(lock_version=2))
    relock(other, lambda lock: lock["identity"].pop("pipeline"))
    with pytest.raises(CurateError, match=r"is no lock: identity\.pipeline: Field required"):
        reproduce(other.path)


@pytest.mark.parametrize("name", ["manifest.json", "recipe.yaml", "recipe.lock.yaml"])
def test_what_says_how_it_was_made_must_be_what_was_published(bench, name):
    result = bench.run(COUNT)
    (result.path / name).chmod(0o644)
    with (result.path / name).open("a") as file:
        file.write(" ")
    with pytest.raises(CurateError, match=f"is not what was published: {name}: its sha256 is"):
        reproduce(result.path)
    (result.path / "SHA256SUMS").unlink()
    with pytest.raises(CurateError, match="it has no SHA256SUMS"):
        reproduce(result.path)


def test_a_damaged_version_that_is_made_again_is_said_to_be_damaged(bench, monkeypatch):
    result = bench.run(COUNT, TOP)
    shard = next((result.path / "data").iterdir())
    shard.unlink()
    again = reproduce(result.path)
    assert again.same
    said = f"data/{shard.name}: is missing; SHA256SUMS names it"
    assert again.warnings == (f"the version on disk is damaged: {said}",)
    number = curate_toys.number
    monkeypatch.setattr(curate_toys, "number", lambda text, salt="": number(text, "other"))
    again = reproduce(result.path)
    assert not again.same
    assert again.differences[-1].startswith("rows cannot be compared: ")
    assert again.differences[-1].endswith(f"data/{shard.name} is missing")


def test_a_run_whose_version_is_damaged_makes_another(bench):
    first = bench.run(COUNT, TOP)
    assert bench.run(COUNT, TOP).up_to_date
    lost = next((first.path / "data").iterdir())
    lost.unlink()
    second = bench.run(COUNT, TOP)
    assert (second.new, second.version, second.digest) == (True, "v2", first.digest)
    assert second.damaged == (str(lost),)
    assert bench.run(COUNT, TOP).version == "v2"


def test_a_file_that_is_there_twice_is_named(bench):
    result = bench.run(COUNT, source={"path": str(bench.folder / "*.jsonl")})
    shutil.copy(bench.pool, bench.folder / "twin.jsonl")
    (said,) = named(result).values()
    assert said == f"the lock does not name {bench.folder / 'twin.jsonl'} | Move it elsewhere."
    bench.pool.unlink()
    (bench.folder / "twin.jsonl").rename(bench.pool)
    assert reproduce(result.path).same


def test_a_preview_is_made_again_from_as_many_rows(bench):
    result = bench.run(COUNT, limit=7)
    again = reproduce(result.path)
    assert again.same
    assert again.name == "bench@preview"


# paid answers


@pytest.fixture
def paying(monkeypatch, tmp_path):
    monkeypatch.setattr(sending, "_FIRST", 0.05)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "memo" / "llm"


def asking(server, **more):
    return {"base_url": server.url, "model": "parrot", "max_tokens": 40, "timeout": 2} | more


def test_paid_answers_come_from_the_journal_and_nobody_is_asked(bench, paying):
    with serving() as server:
        llm = asking(server)
        rewrite = {"expand": "toys.rewrite", "with": {"llm": llm}}
        result = bench.run({"score": "toys.echo", "with": {"llm": llm}}, rewrite)
        asked = sum(server.seen.values())
        entries = {id: each["entries"] for id, each in lock_of(result)["answers"].items()}
        assert sum(map(len, entries.values())) == asked > 40
        journal = listing(paying)
        assert reproduce(result.path).same
        assert sum(server.seen.values()) == asked
        assert {k: v for k, v in listing(paying).items() if v} == {
            k: v for k, v in journal.items() if v
        }

        # what is remembered was made of the same answers, though none is looked up
        other = bench.run({"score": "toys.echo", "with": {"llm": llm}}, rewrite, seed=1)
        assert sum(server.seen.values()) == asked
        again = {id: each["entries"] for id, each in lock_of(other)["answers"].items()}
        assert again == entries
    assert reproduce(other.path).same  # the server is gone


def test_missing_and_other_answers_are_counted_before_any_work(bench, paying):
    with serving() as server:
        result = bench.run({"score": "toys.echo", "with": {"llm": asking(server)}})
    (log,) = paying.glob("answer-*/log-*.jsonl")
    lines = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    lines[0]["answer"] = "something else"
    log.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines[:-3]))
    said = named(result)["stage 'toys_echo'"]
    assert said.startswith(
        "3 of 20 paid answers are missing and 1 of 20 paid answers are others (parrot at http://"
    )
    shutil.rmtree(paying)
    assert "20 of 20 paid answers are missing" in named(result)["stage 'toys_echo'"]


def test_rows_that_were_never_answered_fail_again(bench, paying):
    def behave(body, times):
        return "bad" if body["messages"][-1]["content"].endswith("7.") else "fine"

    stage = {"score": "toys.echo", "on_failure": {"set_aside": 5}}
    with serving(behave) as server:
        result = bench.run({**stage, "with": {"llm": asking(server)}})
        asked = sum(server.seen.values())
        assert bench.manifest(result)["books"]["failed"] == 2
        again = reproduce(result.path)
        assert again.same
        assert sum(server.seen.values()) == asked


def test_what_no_endpoint_was_paid_for_is_asked_again(bench, paying):
    answers = bench.folder / "answers.jsonl"
    lines = [{"prompt": f"Say the number {n}.", "answer": "ho" * n or "-"} for n in range(20)]
    answers.write_text("".join(json.dumps(line) + "\n" for line in lines))
    llm = {"backend": "replay", "model": "parrot", "max_tokens": 50, "answers": str(answers)}
    result = bench.run({"score": "toys.echo", "with": {"llm": llm}})
    assert lock_of(result)["answers"] == {}
    assert set(lock_of(result)["plugins"]["curate-data"]["provides"]["llm"]) == {"replay"}
    shutil.rmtree(paying)
    assert reproduce(result.path).same
    assert not paying.exists()
    answers.write_text(answers.read_text() + "\n")
    assert "has sha256" in named(result)["'toys_echo.llm.answers'"]


# what came from the Hub


def test_names_on_the_hub_stand_for_the_commits_of_then(bench, monkeypatch):
    from curate.sources import hub

    files = {"c1" * 20: bench.pool, "c2" * 20: bench.folder / "later.jsonl"}
    bench.write([{"instruction": "later", "output": "rows"}], files["c2" * 20])
    newest = "c1" * 20
    frames = {commit: pl.read_ndjson(file) for commit, file in files.items()}

    def hub_files(url):
        commit = url.partition("@")[2].partition("/")[0] or newest
        return [(url, files[commit], commit)]

    def dataset_file(source, folder):
        commit = source.revision if source.revision in files else newest
        path = folder / f"{commit}.parquet"
        frames[commit].write_parquet(path)
        return f"{source.dataset}@{commit}", path, commit, 1, commit

    monkeypatch.setattr(hub, "hub_files", hub_files)
    monkeypatch.setattr(hub, "dataset_file", dataset_file)
    by_url = bench.run(COUNT, source={"path": "hf://datasets/o/n/pool.jsonl"})
    by_name = bench.run(COUNT, source={"path": None, "dataset": "o/n", "revision": "main"})
    newest = "c2" * 20
    for result in (by_url, by_name):
        (file,) = lock_of(result)["sources"]["pool"]["files"]
        assert file["commit"] == "c1" * 20
        assert bench.manifest(result)["sources"]["pool"]["hub"] == {"o/n": "c1" * 20}
        assert reproduce(result.path).same
    later = bench.run(COUNT, source={"path": "hf://datasets/o/n/pool.jsonl"})
    assert later.digest != by_url.digest


def test_models_of_the_hub_are_taken_at_the_commit_of_then(monkeypatch, tmp_path):
    from curate.plugins.registry import get_registry
    from curate.services import models

    for commit in ("then", "now"):
        folder = tmp_path / commit
        folder.mkdir()
        (folder / "config.json").write_text(commit)
        (folder / "model.safetensors").write_text(commit)

    def from_hub(repo, revision, whole, *, download):
        commit = revision if revision in ("then", "now") else "now"
        return tmp_path / commit, commit

    monkeypatch.setattr(models, "_from_hub", from_hub)

    def take(**more):
        return models.resolve("owner/name@main", get_registry(), download=True, **more)

    assert (take().commit, take(commit="then").commit) == ("now", "then")
    assert (
        take(commit="then").digest
        == models.resolve("owner/name@then", get_registry(), download=True).digest
    )


# the command, in processes and homes of their own


def curate(*arguments, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-m", "curate", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


RECIPE = """\
name: again
seed: 3
sources: {pool: {path: pool.jsonl}}
pipeline:
  - score: toys.vector
  - score: core.length
    id: size
  - filter: core.sample
    with: {fraction: 0.5}
"""


def test_a_second_home_and_working_copy_make_the_same(bench, tmp_path):
    one, two = bench.folder, tmp_path / "copy"
    (one / "again.yaml").write_text(RECIPE)
    done = curate("run", "again.yaml", "--json", cwd=one, CURATE_HOME=str(tmp_path / "h1"))
    first = json.loads(done.stdout)
    assert first["sums"] == verify(one / "curated/again/v1").sums
    two.mkdir()
    shutil.copy(bench.pool, two)
    shutil.copytree(one / "curated", two / "curated")
    home = {"CURATE_HOME": str(tmp_path / "h2"), "OMP_NUM_THREADS": "2"}
    done = curate("run", "again@v1", "--locked", "--json", cwd=two, **home)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "same": True,
        "path": "curated/again/v1",
        "name": "again@v1",
        "expected": first["digest"],
        "digest": first["digest"],
        "differences": [],
        "warnings": [],
        "observers_failed": {},
    }
    (two / "pool.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    done = curate("run", "again", "--locked", cwd=two, **home)
    assert (done.returncode, done.stdout) == (1, "")
    assert "source 'pool': pool.jsonl has sha256" in done.stderr
    assert "Traceback" not in done.stderr
    assert listing(two / "curated") == {
        two / path.relative_to(one): content for path, content in listing(one / "curated").items()
    }


def test_the_command_line_says_what_it_takes(bench, monkeypatch, capsys):
    (bench.folder / "again.yaml").write_text(RECIPE)
    monkeypatch.chdir(bench.folder)
    for arguments, said in {
        ("run", "again.yaml", "--locked"): "'again.yaml' is a recipe",
        ("run", "again@v1"): "curate run again@v1 --locked",
        ("run", "again@v1", "--locked"): "There is no dataset 'again'",
        ("run", "again@v1", "--locked", "--limit", "3"): "--limit",
    }.items():
        assert call([*arguments]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert said in printed.err


def test_the_result_is_said_in_words(bench, monkeypatch, capsys):
    monkeypatch.chdir(bench.folder)
    result = bench.run(COUNT)
    assert call(["run", "./curated/bench/v1", "--locked"]) == 0
    said = f"bench@v1 was made again with the same digest: {result.digest}\n"
    assert capsys.readouterr().out == said
    manifest = result.path / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.unlink()
    manifest.write_text(json.dumps(content | {"digest": "0" * 64}))
    renew(result.path)
    assert call(["run", "bench@v1", "--locked"]) == 1
    printed = capsys.readouterr().out
    assert f"published  {'0' * 64}\nnow        {content['digest']}\n" in printed
    assert "order, columns or refs differ" in printed


def test_a_version_that_is_a_source_is_the_one_of_then(bench):
    first = bench.run(COUNT, TOP)
    name = first.path.parent.name
    recipe = {"name": "after", "sources": {"old": {"version": name}}, "pipeline": [COUNT]}
    result = run_recipe(recipe, out=bench.folder / "curated")
    assert bench.run(COUNT).version == "v2"  # another is the latest now
    assert reproduce(result.path).same
    (source,) = lock_of(result)["sources"].values()
    assert (source["version"], source["digest"]) == (f"{name}@v1", first.digest)
    shutil.rmtree(first.path)
    (said,) = named(result).values()
    assert f"has no version '{name}@v1'; the lock says" in said or "no version 'v1'; the" in said
    assert said.endswith("say where it is now: --set sources.old.version=PATH")


def test_a_set_that_names_another_model_is_told_what_the_lock_names(bench, monkeypatch):
    result = bench.run(COUNT)
    relock(result, lambda lock: lock["models"].update({"a/b": {"commit": "c", "digest": "d"}}))

    def gone(*_, **__):
        raise CurateError("The model 'x/y' is not on this machine.", "hf download x/y")

    monkeypatch.setattr(reproducing, "resolve", gone)
    assert named(result, ["toys_count.with.log=x/y"]) == {
        "--set toys_count.with.log": "The model 'x/y' is not on this machine. | The lock names a/b: "
        "a set may say the folder where its files are, and no other model."
    }
    with pytest.raises(CurateError) as raised:
        reproduce(result.path, ["toys_count.with.log=z"])
    assert raised.value.remedy == "hf download x/y"


def test_who_watches_is_told_that_nothing_was_published(bench):
    result = bench.run(COUNT)
    log = bench.folder / "events"
    reproduce(result.path, watch=Watch(named={"events": EventLog(str(log))}))
    last = json.loads(log.read_text().splitlines()[-1])
    assert (last["event"], last["new"], last["same"]) == ("run_finished", False, True)
