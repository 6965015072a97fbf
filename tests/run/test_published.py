"""What a run puts into a version."""

import polars as pl
import pytest

from curate.errors import CurateError
from curate.recipe.model import Source
from curate.sources.schema import inspect

COUNT = {"score": "toys.count"}


def test_rows_stand_by_source_file_and_line_with_children_after_their_parents(bench):
    double = {"expand": "toys.double", "with": {"every": 1}}
    result = bench.run(double)
    data = pl.read_parquet(result.path / "data" / "*.parquet")
    assert data["instruction"].to_list()[:4] == [
        "Say the number 0.",
        "Say the number 0. (again 0)",
        "Say the number 1.",
        "Say the number 1. (again 0)",
    ]
    child = data.row(1, named=True)
    assert child["parents"] == [data["id"][0]]
    assert child["output"] == "It is 0, a number.", "the fields of the format follow the messages"
    assert child["origin"] == "synthetic"


def test_a_child_in_place_keeps_the_other_columns_of_its_parent(bench):
    bench.write([{"instruction": "a", "output": "b", "topic": "sea"}])
    in_place = bench.run({"expand": "toys.double", "with": {"every": 1, "in_place": True}})
    beside = bench.run({"expand": "toys.double", "with": {"every": 1}})
    assert pl.read_parquet(in_place.path / "data" / "*.parquet")["topic"].to_list() == ["sea"]
    assert pl.read_parquet(beside.path / "data" / "*.parquet")["topic"].to_list() == ["sea", None]


def test_a_conversation_that_the_format_cannot_say_leaves_no_old_text_in_its_fields(bench):
    options = {"every": 1, "in_place": True, "bad": "unsaid"}
    result = bench.run({"expand": "toys.double", "with": options})
    row = pl.read_parquet(result.path / "data" / "*.parquet").row(0, named=True)
    assert [turn["role"] for turn in row["messages"]] == ["user"]
    assert (row["instruction"], row["output"]) == (None, None)


def test_shuffle_orders_by_seed(bench):
    plain = bench.run(COUNT)
    one = bench.run(COUNT, output={"shuffle": True})
    two = bench.run(COUNT, output={"shuffle": True}, seed=1)
    ids = [
        pl.read_parquet(run.path / "data" / "*.parquet")["id"].to_list()
        for run in (plain, one, two)
    ]
    assert len({tuple(each) for each in ids}) == 3
    assert len({frozenset(each) for each in ids}) == 1


def test_stated_languages_make_another_version(bench):
    plain = bench.run(COUNT)
    stated = bench.run(COUNT, output={"language": ["en", "yue"]})
    assert stated.digest != plain.digest
    assert "language:\n- en\n- yue\n" in (stated.path / "README.md").read_text()
    assert "language:" not in (plain.path / "README.md").read_text()


def test_dropped_can_be_left_out_and_vectors_asked_for(bench):
    result = bench.run({"filter": "toys.odd"}, output={"dropped": False})
    assert not (result.path / "dropped.parquet").exists()
    assert pl.read_parquet(result.path / "scores.parquet").columns == ["id", "toys_odd_value"]


def test_a_preview_is_never_numbered(bench):
    result = bench.run(COUNT, limit=5)
    assert result.path.name == "preview"
    assert bench.manifest(result)["limit"] == 5
    assert bench.manifest(result)["books"]["kept"] == 5
    assert not list(result.path.parent.glob("v*"))


def test_what_comes_from_the_environment_is_not_written_down(bench, monkeypatch):
    secret = bench.folder / "s3cret-place"
    secret.mkdir()
    bench.write([{"instruction": "a", "output": "b"}] * 3, secret / "rows.jsonl")
    monkeypatch.setenv("PLACE", str(secret))
    monkeypatch.setenv("SALT", "s3cret-salt")
    result = bench.run(
        COUNT | {"with": {"salt": "${SALT}"}}, source={"path": "${PLACE}/rows.jsonl"}
    )
    assert pl.read_parquet(result.path / "ledger.parquet")["file"][0] == "${PLACE}/rows.jsonl"
    manifest = bench.manifest(result)
    assert manifest["stages"][0]["params"] == {"salt": "${SALT}"}
    for file in result.path.rglob("*"):
        if file.is_file():
            assert b"s3cret" not in file.read_bytes(), file
    monkeypatch.setenv("SALT", "another")
    assert not bench.run(
        COUNT | {"with": {"salt": "${SALT}"}}, source={"path": "${PLACE}/rows.jsonl"}
    ).up_to_date


def test_margins_are_recorded_and_close_ones_named(bench):
    spread = {"score": "toys.spread", "with": {"column": "toys_count_number"}}
    top = {"filter": "core.top", "with": {"by": "toys_spread_distance", "count": 5}}
    (margin,) = bench.manifest(bench.run(COUNT, spread, top))["stages"][2]["margins"]
    scores = pl.read_parquet(bench.folder / "curated/bench/v1/scores.parquet")
    values = scores["toys_spread_distance"].sort(descending=True)
    assert margin["distance"] == values[4] - values[5]
    assert margin["tolerance"] == 1e-9
    assert margin["close"] is False


def test_the_manifest_holds_shares_before_and_after(bench):
    top = {"filter": "core.sample", "with": {"count": 4}}
    manifest = bench.manifest(bench.run(top, source={"origin": "human"}))
    assert manifest["shares"]["origin"] == {"before": {"human": 20}, "after": {"human": 4}}
    assert manifest["licenses"] == {"unknown": 4}


def test_nothing_kept_is_refused(bench):
    with pytest.raises(CurateError, match="Nothing was kept"):
        bench.run({"filter": "toys.odd", "with": {"all": True}})
    assert not (bench.folder / "curated" / "bench" / "v1").exists()


def test_an_input_that_changes_while_it_is_read_is_noticed(bench, monkeypatch):
    from curate.run import outcome

    load = outcome.load

    def slow(*args, **kwargs):
        loaded = load(*args, **kwargs)
        bench.pool.write_text(bench.pool.read_text().replace("3", "4"))
        return loaded

    inspect(Source(path=str(bench.pool)))  # so that it is the run that reads the rows
    monkeypatch.setattr(outcome, "load", slow)
    with pytest.raises(CurateError, match="changed while"):
        bench.run(COUNT)
    assert not list(bench.folder.glob("curated/bench/v*"))


def test_the_rows_that_the_check_has_read_are_not_read_again(bench, monkeypatch):
    from curate.sources import load

    read, seen = load.read_file, []

    def counted(file):
        seen.append(file.shown)
        return read(file)

    monkeypatch.setattr(load, "read_file", counted)
    assert bench.manifest(bench.run(COUNT))["books"]["kept"] == 20
    assert seen == [str(bench.pool)]
    bench.run(COUNT, sets=["seed=1"])  # its columns are known: only the run reads it
    assert seen == [str(bench.pool)] * 2


def test_rows_of_a_file_that_changed_after_the_check_are_read_again(bench, monkeypatch):
    from curate.versions import make

    resolve = make.resolve

    def late(*args, **kwargs):
        bench.pool.write_text(bench.pool.read_text().replace("number 3", "number three"))
        return resolve(*args, **kwargs)

    monkeypatch.setattr(make, "resolve", late)
    result = bench.run(COUNT)
    asked = pl.read_parquet(result.path / "data" / "*.parquet")["instruction"].to_list()
    assert "Say the number three." in asked
    assert "Say the number 3." not in asked


def test_a_condition_that_no_row_fits_is_said(bench):
    from curate.versions.funnel import warnings

    result = bench.run({"filter": "toys.odd", "where": "origin = 'humna'"})
    assert warnings(bench.manifest(result)) == [
        "Stage toys_odd: no row fits its `where: origin = 'humna'`."
    ]


def test_a_place_that_cannot_be_written_is_named_before_any_work(bench, monkeypatch):
    taken = bench.folder / "taken"
    taken.write_text("")
    with pytest.raises(CurateError, match="--out"):
        bench.run(COUNT, out=taken)
    monkeypatch.setenv("CURATE_HOME", str(taken / "home"))
    with pytest.raises(CurateError, match="CURATE_HOME"):
        bench.run(COUNT)


def test_a_score_may_read_a_condition(bench):
    bench.write([{"instruction": "a", "output": "b", "topic": t} for t in ("sea", "sky", None)])
    result = bench.run({"score": "toys.fits", "with": {"when": "topic = 'sea'"}})
    scores = pl.read_parquet(result.path / "scores.parquet")
    assert sorted(scores["toys_fits_number"]) == [-1, 0, 1]
