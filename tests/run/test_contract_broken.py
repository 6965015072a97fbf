"""A stage that breaks its contract is caught and named; nothing is published."""

import pytest

from curate.errors import PluginError
from curate.run.failures import RowError


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("few", "17 of 20 rows; missing"),
        ("wrong_id", "0000"),
        ("twice", "twice"),
        ("text", "declared number"),
        ("extra", "unknown columns ['more']"),
    ],
)
def test_bad_score_tables_are_named(bench, mode, said):
    with pytest.raises(PluginError) as error:
        bench.run({"score": "toys.count", "with": {"mode": mode}})
    assert "toys.count" in str(error.value)
    assert said in str(error.value)
    assert not list((bench.folder / "curated").glob("bench/v*"))


@pytest.mark.parametrize(("mode", "said"), [("nan", "nan"), ("null", "None")])
def test_a_value_that_is_none_fails_its_row_and_names_it(bench, mode, said):
    with pytest.raises(RowError) as error:
        bench.run({"score": "toys.count", "with": {"mode": mode}})
    assert said in str(error.value)
    assert "pool.jsonl:" in str(error.value)
    assert "set_aside" in str(error.value)


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ({"filter": "toys.odd", "with": {"bad": "few"}}, "19 of 20 rows"),
        ({"filter": "toys.odd", "with": {"bad": "reason"}}, "whim"),
        ({"filter": "toys.odd", "with": {"bad": "null"}}, "`keep`"),
        (
            {
                "filter": "toys.nosy",
                "with": {"bad": "untouched", "all": True},
                "where": "length(output) > 21",
            },
            "untouched",
        ),
        ({"fuse": "toys.ration", "with": {"bad": "clause"}}, "holds dict, not Clause"),
        ({"fuse": "toys.ration", "with": {"bad": "number"}}, "no integers"),
        ({"fuse": "toys.ration", "with": {"bad": "slack"}}, "contradicts itself"),
        ({"expand": "toys.double", "with": {"bad": "stranger"}}, "fff"),
        ({"expand": "toys.double", "with": {"bad": "nothing"}}, "messages or an error"),
        ({"expand": "toys.double", "with": {"bad": "column"}}, "never"),
        ({"expand": "toys.double", "with": {"bad": "id"}}, "framework's: ['id']"),
        ({"expand": "toys.double", "with": {"bad": "origin"}}, "the origin 'machine'"),
    ],
)
def test_bad_decisions_and_children_are_named(bench, stage, said):
    with pytest.raises(PluginError) as error:
        bench.run(stage)
    assert said in str(error.value)
    assert "toys." in str(error.value)
    assert not list((bench.folder / "curated").glob("bench/v*"))


def test_what_broke_the_contract_is_not_remembered(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    with pytest.raises(PluginError):
        bench.run({"expand": "toys.double", "with": {"bad": "column"}})
    assert not list((tmp_path / "home").rglob("part-*"))
