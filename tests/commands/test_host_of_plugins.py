"""What core does for the commands of plugins."""

import gzip
import json

import polars as pl
import pytest

from curate.commands.hosting import PluginHost
from curate.errors import CurateError, RecipeError, UsageError
from curate.versions.make import run_recipe

ROWS = [
    {"instruction": f"Say {n}.", "input": "", "output": f"{n}", "origin": origin, "source": "book"}
    for n, origin in enumerate(["human", "synthetic", "human"])
]


@pytest.fixture
def host():
    return PluginHost()


@pytest.fixture
def pool(tmp_path):
    file = tmp_path / "pool.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return file


@pytest.fixture
def published(tmp_path):
    pool = tmp_path / "rows.jsonl"
    rows = [{name: row[name] for name in row if name != "source"} for row in ROWS]
    pool.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {
        "name": "toy",
        "sources": {"pool": {"path": str(pool), "license": "mit"}},
        "pipeline": [
            {"score": "core.length"},
            {"filter": "core.where", "with": {"keep": "origin = 'human'"}},
        ],
    }
    return run_recipe(recipe, out=tmp_path / "curated").path


def test_a_version_is_opened_by_name_or_folder(host, published, tmp_path):
    for name in ("toy", "toy@v1", published, str(published)):
        version = host.version(name, tmp_path / "curated")
        assert (version.name, version.version, version.path) == ("toy", "v1", published)
        assert version.frame()["instruction"].to_list() == ["Say 0.", "Say 2."]
        assert version.dropped["instruction"].to_list() == ["Say 1."]
        assert version.ledger["fate"].to_list() == ["kept", "dropped", "kept"]
        assert len(version.scores) == 3
        assert version.manifest["licenses"] == {"mit": 2}
    with pytest.raises(UsageError, match="v2"):
        host.version("toy@v2", tmp_path / "curated")


RECIPE = """\
name: mix
sources:
  pool: {path: nowhere/*.jsonl}
  other: {path: gone.jsonl}
pipeline:
  - score: absent.stage
    from: pool
    as: scored
  - fuse: toys.ration
    id: mix
    from: [scored, other]
    where: "origin = 'human' AND weight > 1"
    with: {least: 3}
  - score: toys.like
    with: {targets: {math: gone.jsonl}}
"""


@pytest.fixture
def recipe(tmp_path):
    file = tmp_path / "mix.yaml"
    file.write_text(RECIPE)
    return file


def test_stages_of_a_recipe_need_neither_its_data_nor_other_plugins(host, recipe):
    mix, like = host.stages(recipe, prefix="toys.")
    assert (mix.id, mix.stage.name, mix.stage.params.least) == ("mix", "toys.ration", 3)
    rows = pl.DataFrame({"origin": ["human", "human", "synthetic", None], "weight": [2, 1, 2, 2]})
    assert mix.where_reads == ("origin", "weight")
    assert rows.select(mix.where).to_series().to_list() == [True, False, False, False]
    assert (like.id, like.where, like.where_reads) == ("toys_like", None, ())
    assert host.stages(recipe, prefix="sources.") == ()


def test_stages_take_overrides(host, recipe):
    mix, _ = host.stages(recipe, ["mix.with.least=7"], prefix="toys.")
    assert mix.stage.params.least == 7


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("least: 3", "leest: 3", "mix.yaml:13:12: unknown key 'leest'"),
        ("least: 3", "least: many", "mix.yaml:13:19: "),
        ("toys.ration", "toys.rations", "mix.yaml:9:11: "),
        ("fuse: toys", "filter: toys", "toys.ration is a fuse, not a filter"),
        ("weight > 1", "weight >", "mix.yaml:12:"),
        ("origin = 'human'", "origin = 1", "mix.yaml:12:"),
        ("pool: {path", "pool: {paths", "mix.yaml:3:"),
        ("from: [scored, other]", "from: [scored, othr]", "othr"),
    ],
)
def test_what_is_wrong_with_stages_has_its_place(host, recipe, old, new, said):
    recipe.write_text(RECIPE.replace(old, new))
    with pytest.raises(RecipeError) as error:
        host.stages(recipe, prefix="toys.")
    assert said in str(error.value)


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "csv", "parquet"])
def test_any_file_is_read_as_examples(host, tmp_path, kind):
    file = tmp_path / f"rows.{kind}"
    text = "".join(json.dumps(row) + "\n" for row in ROWS)
    match kind:
        case "jsonl":
            file.write_text(text)
        case "jsonl.gz":
            file.write_bytes(gzip.compress(text.encode()))
        case "csv":
            pl.DataFrame(ROWS).write_csv(file)
        case "parquet":
            pl.DataFrame(ROWS).write_parquet(file)
    for table in (file, str(file), {"path": str(file)}):
        rows = host.examples(table)
        assert rows["origin"].to_list() == ["human", "synthetic", "human"]
        assert rows["source"].to_list() == ["book"] * 3
        assert rows["@instruction"].to_list() == ["Say 0.", "Say 1.", "Say 2."]
        assert rows["license"].dtype == pl.String
        assert rows["license"].null_count() == 3
        assert "original_source" not in rows.columns


def test_what_the_table_is_said_to_be_is_heard(host, pool):
    rows = host.examples({"path": str(pool), "origin": "mixed"})
    assert rows["origin"].unique().to_list() == ["mixed"]
    assert rows["original_origin"].to_list() == ["human", "synthetic", "human"]


def test_the_rows_of_a_version_are_examples_too(host, published):
    rows = host.examples({"path": str(published / "data" / "*.parquet"), "format": "messages"})
    assert rows["license"].to_list() == ["mit", "mit"]
    assert rows["source"].to_list() == ["pool", "pool"]


def test_examples_that_cannot_be_read_are_named(host, pool, tmp_path):
    with pytest.raises(CurateError, match=r"nothing\.jsonl") as error:
        host.examples(tmp_path / "nothing.jsonl")
    assert "sources.pool" not in str(error.value)
    pool.write_text('{"instruction": "a", "output": "b"}\n{"instruction": 1, "output": "b"}\n')
    with pytest.raises(CurateError, match=r"pool\.jsonl:2"):
        host.examples(pool)
