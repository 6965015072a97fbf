"""Never pay twice: what is in a key, and what is not."""

import json

import polars as pl

COUNT = {"score": "toys.count"}


def memo_of(bench, *pipeline, at=0, **more):
    return bench.manifest(bench.run(*pipeline, **more))["stages"][at]["memo"]


def numbered(count, start=0):
    return [{"instruction": f"Say {n}.", "output": f"{n}"} for n in range(start, start + count)]


def test_equal_contents_are_computed_once(bench):
    bench.write(numbered(10) + numbered(10))
    assert memo_of(bench, COUNT) == {"distinct": 10, "hits": 0, "computed": 10}


def test_added_rows_alone_are_computed_and_the_digest_is_that_of_a_fresh_run(
    bench, monkeypatch, tmp_path
):
    bench.write(numbered(30))
    bench.run(COUNT)
    bench.write(numbered(40))
    grown = bench.run(COUNT)
    assert bench.manifest(grown)["stages"][0]["memo"] == {
        "distinct": 40,
        "hits": 30,
        "computed": 10,
    }
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "fresh"))
    fresh = bench.run(COUNT, out=tmp_path / "elsewhere")
    assert bench.manifest(fresh)["stages"][0]["memo"]["computed"] == 40
    assert fresh.digest == grown.digest


def test_only_parameters_that_change_results_are_in_the_key(bench):
    bench.run(COUNT)
    assert memo_of(bench, COUNT | {"with": {"batch_size": 3}}, name="other")["computed"] == 0
    changing = memo_of(bench, COUNT | {"with": {"salt": "other"}})
    assert changing["hits"] == 0


def test_a_neutral_parameter_makes_no_new_version(bench):
    first = bench.run(COUNT)
    second = bench.run(COUNT | {"with": {"batch_size": 3}})
    assert second.up_to_date
    assert second.version == first.version


def test_a_cut_that_moves_computes_nothing(bench):
    top = {"filter": "core.top", "with": {"by": "toys_count_number", "fraction": 0.5}}
    first = bench.run(COUNT, top)
    second = bench.run(COUNT, top, sets=["core_top.with.fraction=0.25"])
    assert bench.manifest(second)["stages"][0]["memo"]["computed"] == 0
    assert (first.version, second.version) == ("v1", "v2")
    assert bench.manifest(second)["books"]["kept"] == 5


def like(bench, **targets):
    for name, text in targets.items():
        bench.write([{"instruction": text, "output": ""}], bench.folder / f"{name}.jsonl")
    paths = {name: str(bench.folder / f"{name}.jsonl") for name in targets}
    return {"score": "toys.like", "with": {"targets": paths}}


def test_another_target_leaves_the_others_alone(bench):
    two = bench.manifest(bench.run(like(bench, one="Say the", two="It is")))["stages"][0]
    assert two["fits"] == {"one": "computed", "two": "computed"}
    three = bench.manifest(bench.run(like(bench, one="Say the", two="It is", three="a number")))
    assert three["stages"][0]["fits"] == {"one": "memo", "two": "memo", "three": "computed"}
    changed = bench.manifest(bench.run(like(bench, one="Say the", two="Other words")))["stages"][0]
    assert changed["fits"] == {"one": "memo", "two": "computed"}
    assert changed["memo"]["computed"] == 20


def test_what_is_fitted_on_the_pool_changes_with_the_pool(bench):
    spread = {"score": "toys.spread", "with": {"column": "toys_count_number"}}
    assert memo_of(bench, COUNT, spread, at=1)["computed"] == 20
    bench.write(numbered(21))
    assert memo_of(bench, COUNT, spread, at=1)["hits"] == 0


def test_the_content_of_a_named_file_is_in_the_key(bench):
    words = bench.folder / "words.txt"
    words.write_text("one")
    stage = like(bench, one="Say the")
    stage["with"]["words"] = str(words)
    bench.run(stage)
    words.write_text("two")
    assert memo_of(bench, stage)["hits"] == 0


def test_expansions_are_remembered_by_content(bench):
    double = {"expand": "toys.double", "with": {"every": 1}}
    first = bench.run(double)
    assert bench.manifest(first)["stages"][0]["memo"]["computed"] == 20
    second = bench.run(double, {"filter": "toys.odd"})
    assert bench.manifest(second)["stages"][0]["memo"] == {
        "distinct": 20,
        "hits": 20,
        "computed": 0,
    }
    ids = pl.read_parquet(first.path / "ledger.parquet")["id"]
    assert set(ids) == set(pl.read_parquet(second.path / "ledger.parquet")["id"])


def test_a_stage_reads_a_reference_through_earlier_stages_in_place(bench):
    target = bench.write([{"instruction": "Say", "output": ""}], bench.folder / "t.jsonl")
    rewrite = {"expand": "toys.double", "with": {"every": 1, "in_place": True}}
    result = bench.run(rewrite, {"score": "toys.like", "with": {"targets": {"t": str(target)}}})
    scores = pl.read_parquet(result.path / "scores.parquet")["toys_like_t"].drop_nulls()
    # "(again" and "0)" stand in the reference only because the rewriting ran on it too
    assert scores.max() == 1.0


def test_the_key_says_what_it_holds(bench, monkeypatch, tmp_path):
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    bench.run(COUNT)
    (key,) = (tmp_path / "home" / "memo" / "toys.count").glob("number-*/key.json")
    components = json.loads(key.read_text())
    assert components["params"] == {
        "text": "both",
        "salt": "",
        "mode": "fine",
        "fail_on": None,
        "raise_on": None,
    }
    assert components["stage"] == "toys.count"


def test_another_version_of_a_stage_makes_another_version_of_the_data(bench, monkeypatch):
    from curate.plugins.registry import get_registry

    first = bench.run(COUNT)
    monkeypatch.setattr(get_registry().stage("toys.count"), "version", 2)
    second = bench.run(COUNT)
    assert bench.manifest(second)["stages"][0]["memo"]["hits"] == 0
    assert (first.version, second.version) == ("v1", "v2")


def test_the_content_of_a_value_has_its_type_and_no_company():
    from curate.memo.keys import contents_of

    def content(values, dtype=None):
        return contents_of(pl.DataFrame({"x": pl.Series(values, dtype=dtype)}), ["x"])

    vector = pl.Array(pl.Float32, 2)
    assert content(["1"]) != content([1])
    assert content(["true"]) != content([True])
    assert content([[1, 2]], vector)[0] == content([[1, 2], None], vector)[0]
    assert len({*content(["", None, "a"])}) == 3
