"""One bad row costs itself and nothing else."""

import polars as pl
import pytest

from curate.run.failures import RowError


def test_a_row_that_raises_stops_the_run_with_its_place_and_its_error(bench):
    with pytest.raises(RowError) as error:
        bench.run({"score": "toys.count", "with": {"raise_on": "number 7."}})
    assert "pool.jsonl:8" in str(error.value)
    assert "ValueError: cannot bear number 7." in str(error.value)


@pytest.mark.parametrize("how", ["raise_on", "fail_on"])
def test_rows_set_aside_are_failed_and_all_others_scored(bench, how):
    result = bench.run(
        {"score": "toys.count", "with": {how: "number 7."}, "on_failure": {"set_aside": 1}}
    )
    ledger = pl.read_parquet(result.path / "ledger.parquet")
    failed = ledger.filter(pl.col("fate") == "failed")
    assert failed.select("line", "stage", "reason").rows() == [(8, "toys_count", "error")]
    scores = pl.read_parquet(result.path / "scores.parquet")
    assert scores["toys_count_number"].null_count() == 1
    assert len(scores) == 20


def test_one_failure_more_than_allowed_stops_the_run(bench):
    with pytest.raises(RowError, match="3 rows failed, 2 may"):
        bench.run(
            {"score": "toys.count", "with": {"fail_on": "number 1"}, "on_failure": {"set_aside": 2}}
        )


def test_a_share_is_of_the_rows_asked(bench):
    stage = {"score": "toys.count", "with": {"fail_on": "number 7."}}
    assert bench.run(stage | {"on_failure": {"set_aside": "5%"}}).new
    with pytest.raises(RowError):
        bench.run(stage | {"on_failure": {"set_aside": "4.9%"}})


def test_failures_are_tried_again_and_a_version_with_failures_is_not_up_to_date(bench):
    stage = {
        "score": "toys.count",
        "with": {"fail_on": "number 7."},
        "on_failure": {"set_aside": 1},
    }
    first = bench.run(stage)
    again = bench.run(stage)
    assert not again.up_to_date
    assert again.version == first.version
    fine = bench.run({"score": "toys.count"})
    assert bench.run({"score": "toys.count"}).up_to_date
    assert fine.version != first.version


def test_a_child_that_cannot_be_made_is_created_and_failed_and_its_parent_stays(bench):
    stage = {"expand": "toys.double", "with": {"every": 1, "fail_on": "number 7."}}
    with pytest.raises(RowError, match="no answer"):
        bench.run(stage)
    result = bench.run(stage | {"on_failure": {"set_aside": 1}})
    ledger = pl.read_parquet(result.path / "ledger.parquet")
    failed = ledger.filter(pl.col("fate") == "failed")
    assert failed["parents"].list.len().to_list() == [1]
    assert failed["detail"].to_list() == ["no answer"]
    parent = ledger.filter(pl.col("id") == failed["parents"][0][0])
    assert parent["fate"].to_list() == ["kept"]
    assert (ledger["fate"] == "kept").sum() == 39


def test_where_a_parent_was_to_be_replaced_it_fails_with_the_child(bench):
    options = {"every": 1, "in_place": True}
    for how in ({"fail_on": "number 7."}, {"raise_on": "number 7."}):
        result = bench.run(
            {"expand": "toys.double", "with": options | how, "on_failure": {"set_aside": 1}}
        )
        books = bench.manifest(result)["books"]
        assert books == {
            "sources": 20,
            "created": 20,
            "kept": 19,
            "dropped": 0,
            "failed": 2,
            "merged": 19,
        }


def test_missing_values_need_a_word(bench):
    scored = {"score": "toys.count", "where": "length(output) > 18"}
    top = {"filter": "core.top", "with": {"by": "toys_count_number", "count": 3}}
    with pytest.raises(Exception, match="missing: keep") as error:
        bench.run(scored, top)
    assert "10 rows do not have" in str(error.value)
    kept = bench.manifest(bench.run(scored, top | {"missing": "keep"}))["books"]
    assert kept["kept"] == 13
    dropped = bench.manifest(bench.run(scored, top | {"missing": "drop"}))
    assert dropped["books"]["kept"] == 3
    assert dropped["stages"][1]["reasons"] == {"below_cut": 7, "missing": 10}


def test_a_memo_that_cannot_be_written_is_no_rows_fault(bench, monkeypatch):
    from curate.memo.store import Column

    def full(self, values):
        raise OSError("No space left on device")

    monkeypatch.setattr(Column, "append", full)
    with pytest.raises(OSError, match="No space left"):
        bench.run({"score": "toys.count", "on_failure": {"set_aside": "100%"}})
    assert not list(bench.folder.glob("curated/bench/v*"))


def test_missing_keep_lets_rows_pass_a_filter_that_sees_all(bench):
    embed = {"score": "toys.vector", "where": "length(output) > 18"}
    near = {"filter": "dedup.semantic", "with": {"threshold": 0.999}}
    with pytest.raises(Exception, match="missing: keep"):
        bench.run(embed, near)
    books = bench.manifest(bench.run(embed, near | {"missing": "keep"}))["books"]
    assert books["kept"] + books["dropped"] == 20
    assert books["kept"] >= 10
