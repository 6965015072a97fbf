"""Published versions as sources: ids, parents and provenance stay, and everything is verified."""

import json
import subprocess
import sys

import polars as pl
import pytest
import yaml
from click.testing import CliRunner

from curate.commands.explain import command as explain
from curate.errors import CurateError, RecipeError
from curate.run.plan import plan
from curate.versions.make import run_recipe
from curate.versions.open import Version

COUNT = {"score": "toys.count"}
DOUBLE = {"expand": "toys.double", "with": {"in_place": False, "every": 1}}
FACTS = ["id", "messages", "origin", "generator", "license", "ability", "parents"]


@pytest.fixture
def out(bench):
    return bench.folder / "curated"


@pytest.fixture
def later(bench, out):
    """Runs a recipe over versions; `sources` by name, each a version or the source itself."""

    def run(sources, *pipeline, name="later", **more):
        full = {n: {"version": s} if isinstance(s, str) else s for n, s in sources.items()}
        recipe = {"name": name, "sources": full, "pipeline": list(pipeline or [COUNT])}
        return run_recipe(recipe, (), out=out, **more)

    return run


def frame(result):
    return Version(result.path).frame()


def test_rows_keep_what_they_are(bench, later):
    bench.pool.write_text(
        "".join(
            json.dumps(
                {"instruction": f"i{n}", "input": "x", "output": f"o{n}", "origin": "human", "n": n}
            )
            + "\n"
            for n in range(6)
        )
    )
    first = frame(bench.run(DOUBLE, source={"generator": "someone", "license": "cc0-1.0"}))
    made = later({"base": "bench@v1"})
    second = frame(made)
    assert len(first) == 12
    assert second.select(FACTS).equals(first.select(FACTS))
    assert second["source"].unique().to_list() == ["base"]
    assert second["original_source"].unique().to_list() == ["pool"]
    assert second.select("instruction", "input", "output", "n").equals(
        first.select("instruction", "input", "output", "n")
    )
    assert not [name for name in second.columns if name.startswith("toys_")]
    manifest = Version(made.path).manifest
    assert manifest["books"] == {
        "sources": 12, "created": 0, "kept": 12, "dropped": 0, "failed": 0, "merged": 0,
    }  # fmt: skip
    ledger = Version(made.path).ledger
    assert ledger["file"].unique().to_list() == ["bench@v1/data/train-00000-of-00001.parquet"]
    assert ledger["line"].to_list() == list(range(1, 13))
    assert ledger["parents"].equals(first["parents"])


def test_where_a_row_was_before_is_told(bench, out, later):
    first = bench.run(COUNT)
    made = Version(later({"base": "bench"}).path)
    id = made.frame()["id"][0]
    assert made.explain(id)["earlier"] == {
        "version": "bench@v1", "digest": first.digest, "source": "pool",
    }  # fmt: skip
    assert Version(first.path).explain(id)["earlier"] is None
    done = CliRunner().invoke(explain, [f"{made.name}@v1", id, "--out", str(out)])
    assert f"before  bench@v1 (source pool there): curate explain bench@v1 {id}" in done.output


def test_the_recipe_wins_over_the_rows_and_their_own_words_stay(bench, later):
    bench.run(COUNT, source={"origin": "human", "license": "mit"})
    source = {"version": "bench@v1", "license": "cc0-1.0", "ability": "talk"}
    rows = frame(later({"base": source}))
    assert rows.select("origin", "license", "ability").unique().rows() == [
        ("human", "cc0-1.0", "talk")
    ]
    assert rows.select("original_license", "original_ability").unique().rows() == [("mit", None)]


def test_a_version_of_versions_remembers_the_first_source(bench, later):
    bench.run(COUNT)
    later({"base": "bench@v1"}, name="middle")
    rows = frame(later({"top": "middle@v1"}))
    assert rows["source"].unique().to_list() == ["top"]
    assert rows["original_source"].unique().to_list() == ["pool"]


def test_the_lock_names_version_and_digest_and_the_latest_is_taken(bench, out, later):
    first = bench.run(COUNT)
    made = later({"base": "bench"})
    lock = yaml.safe_load((made.path / "recipe.lock.yaml").read_text())
    assert lock["sources"]["base"]["version"] == "bench@v1"
    assert lock["sources"]["base"]["digest"] == first.digest
    (file,) = (first.path / "data").iterdir()
    assert lock["sources"]["base"]["files"][0]["bytes"] == file.stat().st_size
    assert later({"base": "bench"}).up_to_date
    assert later({"base": "bench@v1"}).up_to_date
    second = bench.run(COUNT, {"filter": "core.sample", "with": {"count": 5}})
    assert second.version == "v2"
    newer = later({"base": "bench"})
    assert (newer.version, newer.up_to_date) == ("v2", False)
    assert len(frame(newer)) == 5
    assert later({"base": "bench@v1"}).version == "v1"


def test_a_folder_is_the_same_version_and_the_same_digest(bench, later):
    first = bench.run(COUNT, output={"shards": 3})
    one, two = later({"base": "bench"}), later({"base": str(first.path)})
    assert (one.digest, two.up_to_date) == (two.digest, True)


def test_the_plan_counts_the_rows(bench, out):
    bench.run(COUNT)
    recipe = {"name": "later", "sources": {"base": {"version": "bench"}}, "pipeline": [COUNT]}
    assert plan(recipe, out=out).sources == {"base": 20}


def test_the_first_rows_of_each_shard(bench, later):
    bench.run(COUNT, output={"shards": 4})
    preview = later({"base": "bench"}, limit=7)
    assert preview.version == "preview"
    assert frame(preview)["id"].to_list() == frame(bench.run(COUNT))["id"].to_list()[:7]


def test_scores_of_the_same_stage_are_remembered(bench, later):
    bench.run(COUNT)
    (entry,) = Version(later({"base": "bench"}).path).manifest["stages"]
    assert entry["memo"]["computed"] == 0


def test_rows_of_two_sources_that_are_the_same(bench, later):
    bench.run(COUNT)
    bench.run(COUNT, {"filter": "core.sample", "with": {"count": 1}})
    with pytest.raises(CurateError) as caught:
        later({"new": "bench@v2", "old": "bench@v1"}, {"filter": "dedup.exact"})
    assert "the sources new and old hold the same row" in str(caught.value)
    same = {"path": str(bench.pool)}
    with pytest.raises(CurateError, match=r"the sources old and pool hold .*, and 19 more"):
        later({"old": "bench@v1", "pool": same}, {"filter": "dedup.exact"})


def test_children_made_again_from_the_same_parents_get_ids_of_their_own(bench, later):
    first = frame(bench.run(DOUBLE))
    second = frame(later({"base": "bench"}, {**DOUBLE, "where": "generator is null"}))
    assert set(first["id"]) < set(second["id"])
    assert second["id"].n_unique() == len(second) > len(first)


def test_rewritten_rows_are_written_in_the_shape_that_they_came_in(bench, later):
    chat = bench.folder / "chat.jsonl"
    talk = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a", "weight": 1}]
    bench.write([{"conversations": talk, "tools": "[]"}], chat)
    call = [
        {"role": "user", "content": "Do."},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]},
    ]
    calls = bench.write([{"messages": call}], bench.folder / "calls.jsonl")
    bench.write([{"instruction": "i", "input": "x", "output": "o"}])
    sources = {n: {"path": str(p)} for n, p in {"a": bench.pool, "s": chat, "m": calls}.items()}
    again = {"expand": "toys.double", "with": {"in_place": True, "every": 1}}
    later(sources, COUNT, name="base")
    direct = frame(later(sources, again, name="direct"))
    through = frame(later({"base": "base"}, again, name="through"))
    columns = ["instruction", "input", "output", "conversations", "tools", "original_messages"]
    for rows in (direct, through):
        got = {row["@"]: row for row in rows.rename({"instruction": "@"}).to_dicts()}
        assert got["i"]["input"] == "x (again 0)"
        assert rows["original_messages"].null_count() == 3
        chats = rows.filter(pl.col("conversations").is_not_null())
        assert [turn["value"] for turn in chats["conversations"][0]] == ["q (again 0)", "a"]
        assert chats["tools"].to_list() == ["[]"]
    assert (
        through.select("messages", *columns)
        .sort("instruction")
        .equals(direct.select("messages", *columns).sort("instruction"))
    )


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ({"version": "bench@v9"}, "'bench' has no version 'v9'"),
        ({"version": "bnch"}, "Did you mean 'bench'?"),
        ({"version": "./nowhere"}, "nowhere is no version: it has no manifest.json"),
        ({"version": "bench", "path": "x.jsonl"}, "both `path` and `version`"),
        ({"version": "bench", "dataset": "a/b", "path": "x"}, "`path` and `dataset` and `version`"),
        ({"version": "bench", "columns": {"output": "x"}}, "`columns` is not for a `version`"),
        ({"version": "bench", "format": "alpaca"}, "`format` is not for a `version`"),
        ({"version": "bench", "split": "train"}, "`split` belongs to `dataset`, not to `version`"),
        ({"version": "later"}, "is what this recipe makes"),
    ],
)
def test_sources_that_are_no_version(bench, later, source, what):
    bench.run(COUNT)
    with pytest.raises(RecipeError) as caught:
        later({"base": source})
    assert what in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_a_version_that_was_changed_is_refused(bench, later):
    first = bench.run(COUNT)
    (file,) = (first.path / "data").iterdir()
    file.chmod(0o644)
    content = file.read_bytes()
    file.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    with pytest.raises(RecipeError, match="is not the file that was published"):
        later({"base": "bench"})
    (first.path / "SHA256SUMS").unlink()
    with pytest.raises(RecipeError, match="it has no SHA256SUMS"):
        later({"base": "bench"})


def test_where_versions_live_is_said_on_the_command_line(bench, tmp_path):
    bench.run(COUNT, out=tmp_path / "elsewhere")
    recipe = tmp_path / "later.json"
    recipe.write_text(
        json.dumps({"name": "later", "sources": {"b": {"version": "bench"}}, "pipeline": [COUNT]})
    )
    for command in ("check", "plan", "run"):
        arguments = [sys.executable, "-m", "curate", command, str(recipe)]
        lost = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert "There is no dataset 'bench' in curated" in lost.stderr
        found = subprocess.run(
            [*arguments, "--out", "elsewhere"], cwd=tmp_path, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert found.returncode == 0, found.stderr


def test_an_up_to_date_run_over_a_version_reads_no_table(bench, later, tmp_path):
    bench.run(COUNT)
    length = {"score": "core.length"}
    later({"base": "bench"}, length)
    recipe = tmp_path / "later.json"
    sources = {"base": {"version": "bench"}}
    recipe.write_text(json.dumps({"name": "later", "sources": sources, "pipeline": [length]}))
    script = (
        "import sys, curate.commands\n"
        "try: curate.commands.main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print(sorted({'polars', 'numpy', 'pyarrow'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "run", str(recipe), "--out", str(bench.folder / "curated")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "later@v1 is up to date" in done.stdout
    assert done.stdout.endswith("[]\n")
