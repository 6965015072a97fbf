"""`sources.mix` and `curate policy` at the edges: names, types, licences and sizes that mislead."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

import curate
from curate.api import CurateError, PolicyError, alternatives, licenses_in
from curate.commands import call
from curate_sources.amounts import read_bounds
from curate_sources.mix.policy import MixParams
from curate_sources.mix.pool import missed
from curate_sources.mix.problem import Problem


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))


def source(name: str, rows: int, row: Any = None, **more: Any) -> dict[str, Any]:
    lines = [
        {"instruction": f"{name} {at}", "output": "x" * (at + 1), **(row(at) if row else {})}
        for at in range(rows)
    ]
    Path(f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"path": f"{name}.jsonl", **more}


def recipe(sources: dict[str, Any], *stages: dict[str, Any]) -> Path:
    path = Path("mixed.yaml")
    whole = {"name": "mixed", "sources": sources, "pipeline": list(stages)}
    path.write_text(yaml.safe_dump(whole, sort_keys=False))
    return path


def mix(sources: dict[str, Any], policy: dict[str, Any], **more: Any) -> curate.Version:
    return curate.run(recipe(sources, {"fuse": "sources.mix", "with": policy}), **more)


def taken(version: curate.Version, column: str = "source") -> dict[str, int]:
    return dict(Counter(version.frame()[column].to_list()))


def fused(version: curate.Version) -> dict[str, Any]:
    (found,) = (each for each in version.manifest["stages"] if each["verb"] == "fuse")
    return dict(found)


def test_all_is_what_the_licences_leave_even_where_these_are_in_conflict() -> None:
    pool = {
        "x": source("x", 20, lambda at: {"license": "mit" if at < 10 else "cc-by-nc-4.0"}),
        "y": source("y", 20, license="mit"),
    }
    policy = {
        "licenses": {"deny": ["cc-by-nc-*"]},
        "shares": {"source": {"x": "all", "y": ">= 6 rows"}},
        "limits": [{"where": {"source": ["x", "y"]}, "max": "15 rows"}],
    }
    with pytest.raises(PolicyError) as raised:
        mix(pool, policy)
    named = [line.strip() for line in raised.value.message.splitlines() if line[4:5].strip()]
    assert [line.partition(":")[0] for line in named[1:]] == [
        "limits.source=x|y",
        "shares.source.x",
        "shares.source.y",
    ]
    assert "at most 9 of its 10 rows can be taken" in raised.value.message


@pytest.mark.parametrize("per", ["ability", "source"])
def test_a_limit_about_nobody_is_a_clause_about_nobody(per: str) -> None:
    pool = {"a": source("a", 6, origin="human")}
    limit = {"where": {"origin": "humann"}, "per": per}
    with pytest.raises(PolicyError, match="Did you mean 'human'") as raised:
        mix(pool, {"limits": [limit | {"min": "1 row"}]})
    assert raised.value.exit_code == 3
    version = mix(pool, {"limits": [limit | {"max": "1 row"}]})
    (clause,) = (each for each in fused(version)["certificate"] if each["name"] != "size")
    assert (clause["name"], clause["available"]) == (f"limits.origin=humann,per {per}", 0)


@pytest.mark.parametrize("license", ["", "  ", "Unknown", None])
def test_a_licence_that_says_nothing_is_unknown(license: str | None) -> None:
    pool = {"a": source("a", 4, lambda at: {"license": license if at < 2 else "mit"})}
    with pytest.raises(PolicyError, match=r"a \(2 rows\) is unknown"):
        mix(pool, {"licenses": {"deny": ["cc-*"]}})
    assert len(mix(pool, {"licenses": {"deny": [], "unknown": "drop"}}).frame()) == 2


@pytest.mark.parametrize(
    ("license", "stays"),
    [
        ("(mit AND cc-by-nc-4.0)", False),
        ("mit and cc-by-nc-4.0", False),
        ("mit,cc-by-nc-4.0", False),
        (" CC-BY-NC-4.0 ", False),
        ("cc-by-nc-4.0 OR mit", True),
        ("mit OR cc-by-nc-4.0", True),
        ("(cc-by-nc-4.0 or cc-by-nc-sa-4.0)", False),
        ("apache-2.0 AND (mit OR cc-by-nc-4.0)", True),
        ("cc-by-nc", True),
    ],
)
def test_licence_expressions(license: str, stays: bool) -> None:
    pool = {"a": source("a", 2, lambda at: {"license": license if at else "mit"})}
    version = mix(pool, {"licenses": {"deny": ["cc-by-nc-*"]}})
    assert len(version.frame()) == 1 + stays
    unmatched = "deny cc-by-nc-* matches no licence"
    assert (unmatched in fused(version)["notes"]) == ("nc-" not in license.lower())


def test_parts_of_licence_expressions() -> None:
    assert licenses_in("(a AND (b OR c)) AND d; e") == ("a AND (b OR c)", "d", "e")
    assert licenses_in("a AND (b OR c)") == ("a", "b OR c")
    assert alternatives("b OR (c)") == ("b", "c")
    assert licenses_in(" ") == licenses_in("UNKNOWN") == ("unknown",)


def test_relaxing_one_limit_leaves_one_whose_name_begins_alike() -> None:
    pool = {
        "a": source("a", 10, generator="gpt-4"),
        "b": source("b", 10, generator="gpt-4.1"),
    }
    limits = [
        {"where": {"generator": "gpt-4"}, "max": "3 rows"},
        {"where": {"generator": "gpt-4.1"}, "max": "3 rows"},
    ]
    policy = {"size": 8, "limits": limits, "on_infeasible": {"relax": ["limits.generator=gpt-4"]}}
    assert taken(mix(pool, policy)) == {"a": 5, "b": 3}


def test_ranks_are_among_rows_that_may_be_taken() -> None:
    """The ranks of 3, 4, 5 and 6 sum to 18, of 2, 3, 5 and 10 to 17; denied rows below 10 count not.

    Were 7, 8 and 9 ranked too, the second sum were 20.
    """

    def rows(*given: tuple[str, int]) -> Any:
        return lambda at: {"ability": given[at][0], "n": given[at][1]}

    free = {"license": "mit"}
    pool = {
        "a": source("a", 2, rows(("y", 3), ("x", 4)), **free),
        "b": source("b", 2, rows(("y", 10), ("x", 0)), **free),
        "c": source("c", 4, rows(("x", 2), ("x", 5), ("y", 1), ("y", 6)), **free),
        "d": source("d", 3, rows(("x", 7), ("x", 8), ("x", 9)), license="gpl-3.0"),
    }
    limits = [
        {"where": {"source": "a", "ability": "x"}, "max": "1 row"},
        {"where": {"source": ["a", "b"]}, "max": "2 rows"},
        {"where": {"source": ["b", "c"], "ability": "y"}, "max": "1 row"},
        {"where": {"ability": "x"}, "min": "1 row"},
    ]
    policy = {
        "size": 4,
        "limits": limits,
        "shares": {"ability": {"x": "<= 0.6"}, "source": {"a": "<= 0.5"}},
        "licenses": {"deny": ["gpl-*"]},
        "maximize": "rank",
        "rank_by": "n",
    }
    assert set(mix(pool, policy).frame()["n"].to_list()) == {3, 4, 5, 6}


def test_whole_numbers_of_a_number_column_are_named_without_a_fraction() -> None:
    pool = {"a": source("a", 6, lambda at: {"n": at / 2})}  # 0, .5, 1, 1.5, 2, 2.5
    policy = {"limits": [{"where": {"n": 1}, "max": "0 rows"}], "shares": {"n": {"0.5": "all"}}}
    assert set(mix(pool, policy).frame()["n"].to_list()) == {0.0, 0.5, 1.5, 2.0, 2.5}


def test_a_blank_value_is_unknown() -> None:
    pool = {"a": source("a", 6, lambda at: {"ability": ["", " ", None, "code"][at % 4]})}
    version = mix(pool, {"shares": {"ability": {"unknown": "<= 2 rows", "code": "all"}}})
    (clause,) = (e for e in fused(version)["certificate"] if e["name"].endswith("unknown"))
    assert (clause["rows"], clause["available"]) == (2, 5)


def test_nested_columns_are_refused_at_check(capsys: pytest.CaptureFixture[str]) -> None:
    path = recipe(
        {"a": source("a", 3, lambda at: {"tags": ["x"]})},
        {"fuse": "sources.mix", "with": {"shares": {"tags": {"x": ">= 0.5"}}}},
    )
    assert call(["check", str(path)]) == 2
    assert "column 'tags' holds nested values" in capsys.readouterr().err


def test_too_many_values_are_refused_at_once() -> None:
    pool = {"a": source("a", 1_200, lambda at: {"n": at})}
    with pytest.raises(PolicyError, match="comes to 1,200 clauses"):
        mix(pool, {"limits": [{"per": "n", "max": "1 row"}]})


def test_plan_refuses_what_may_not_give_way(capsys: pytest.CaptureFixture[str]) -> None:
    pool = {"a": source("a", 10, origin="human")}
    policy = {
        "size": 100,
        "shares": {"origin": {"human": "<= 0.5"}},
        "on_infeasible": {"relax": ["shares"]},
    }
    path = recipe(pool, {"fuse": "sources.mix", "with": policy})
    assert call(["plan", str(path)]) == 3
    assert call(["run", str(path)]) == 3
    assert "size: 100 rows" in capsys.readouterr().err


def test_relaxing_a_share_of_an_open_size_takes_no_fewer_rows() -> None:
    pool = {"a": source("a", 30, lambda at: {"ability": "code"})}
    policy = {
        "size": {"max": 20},
        "shares": {"ability": {"law": ">= 10%"}},
        "on_infeasible": {"relax": ["shares"]},
    }
    version = mix(pool, policy)
    assert len(version.frame()) == 20
    assert fused(version)["facts"]["relaxed"] == {"shares.ability.law": 2}


def test_a_preview_keeps_to_the_shares_that_it_can() -> None:
    pool = {"a": source("a", 50, origin="human"), "b": source("b", 50, origin="synthetic")}
    policy = {
        "size": 60,
        "shares": {"origin": {"human": "0.8"}, "source": {"b": ">= 9 rows"}},
        "on_infeasible": {"relax": ["limits"]},
        "limits": [{"where": {"source": "a"}, "max": "55 rows"}],
    }
    version = mix(pool, policy, limit=8)
    assert taken(version) == {"a": 8, "b": 2}
    assert fused(version)["facts"]["relaxed"] == {"size": 50, "shares.source.b": 7}


def test_prefer_says_where_it_decides_nothing() -> None:
    said = "prefer decides nothing: no cell has rows that differ in it"
    pool = {"a": source("a", 9, origin="human"), "b": source("b", 9, origin="synthetic")}
    assert said in fused(mix(pool, {"size": 6, "prefer": "human"}))["notes"]
    mixed = {"a": source("a", 9, lambda at: {"origin": "human" if at % 2 else "synthetic"})}
    version = mix(mixed, {"size": 4, "prefer": "human"})
    assert said not in fused(version)["notes"]
    assert taken(version, "origin") == {"human": 4}


@pytest.mark.parametrize(
    ("with_", "message"),
    [
        ({"size": "5k"}, "'5k' is no size; write a number of rows (5000)"),
        ({"size": 60.5}, "'60.5' is no size"),
        ({"size": 0}, "'0' is no size"),
        ({"limits": [{"per": "source", "min": ">= 10 rows"}]}, "write '10 rows'"),
        ({"on_infeasible": "relax"}, "write `error` or `{relax: [size, ...]}`"),
        ({"prefer": "humn"}, "Did you mean 'human'?"),
        ({"shares": {"source": {}}}, "at least 1"),
    ],
)
def test_mistakes_are_answered_in_their_own_words(
    with_: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recipe({"a": source("a", 3)}, {"fuse": "sources.mix", "with": with_})
    assert call(["check", str(path)]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("mixed.yaml:") == 1


def test_a_bound_that_could_be_read_in_two_ways() -> None:
    with pytest.raises(ValueError, match=r"could begin at 0.1% or at the share 0.1"):
        read_bounds("0.1..25%")
    assert read_bounds("12.5..25%").low == read_bounds("12.5%..25%").low


def test_a_bound_can_be_set_on_the_command_line() -> None:
    pool = {"a": source("a", 6, origin="human"), "b": source("b", 6, origin="synthetic")}
    stage = {"fuse": "sources.mix", "with": {"size": 5, "shares": {"origin": {"human": "0.2"}}}}
    version = curate.run(
        recipe(pool, stage), set={"sources_mix.with.shares.origin.human": ">= 80%"}
    )
    assert taken(version)["a"] >= 4
    assert call(["plan", "mixed.yaml", "--set", "sources_mix.with.shares.origin.human=>= 80%"]) == 0


def test_values_with_line_breaks_stay_on_their_line() -> None:
    pool = {"a": source("a", 3, lambda at: {"ability": "x\n# Head\x1b[31m"})}
    with pytest.raises(PolicyError) as raised:
        mix(pool, {"limits": [{"per": "ability", "min": "9 rows"}]})
    assert not any(line.startswith(("# Head", "\x1b")) for line in str(raised.value).splitlines())
    assert "\x1b" not in str(raised.value)


def test_open_sizes_of_many_blocks_are_found_from_the_bound() -> None:
    """The largest mix of 600 blocks whose shares leave whole numbers few ways."""
    rows = pl.DataFrame(
        {
            "source": [f"s{at % 60}" for at in range(30_000)],
            "ability": [f"a{at % 7}" for at in range(30_000)],
        }
    )
    shares = {f"a{at}": f"0.1{at}1..0.2{at}3" for at in range(4)}
    policy = {"shares": {"ability": shares}, "limits": [{"per": "source", "max": "333 rows"}]}
    problem = Problem.of(rows, MixParams.model_validate(policy), "mix")
    size = problem._size({})
    # three of seven abilities are free, so a0 to a3 may be as many as their bounds, all in
    # sources of 333 rows at most
    assert 0 < size <= 60 * 333
    again = MixParams.model_validate(policy | {"size": size + 1})
    with pytest.raises(PolicyError):
        Problem.of(rows, again, "mix").refuse(at_most=False)


def policy_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = call(["policy", "--check", *arguments])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_what_later_stages_dropped_was_there_too(capsys: pytest.CaptureFixture[str]) -> None:
    pool = {"a": source("a", 8, origin="human"), "b": source("b", 8)}
    path = recipe(
        pool,
        {"fuse": "sources.mix", "with": {"shares": {"source": {"a": "all"}}}},
        {"filter": "core.where", "with": {"keep": "instruction <> 'a 3'"}},
    )
    curate.run(path)
    code, out, err = policy_of(capsys, "mixed", str(path))
    assert code == 3
    assert "shares.source.a (all) is missed by 1 row" in err
    assert "8" in next(line for line in out.splitlines() if "shares.source.a" in line).split()


def test_the_last_of_several_mixes_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    pool = {"a": source("a", 20), "b": source("b", 20)}
    path = recipe(
        pool,
        {"fuse": "sources.mix", "id": "small", "from": ["a"], "as": "less", "with": {"size": 8}},
        {"fuse": "sources.mix", "id": "big", "from": ["less", "b"], "with": {"size": 14}},
    )
    curate.run(path)
    code, out, err = policy_of(capsys, "mixed", str(path))
    assert code == 0
    assert "policy of big" in out
    assert "policy of small" not in out
    assert "'small' is not checked: 'big' mixes again" in err
    assert policy_of(capsys, "mixed", str(path), "--stage", "small")[0] == 3


def test_files_that_lack_a_value_or_repeat_rows(capsys: pytest.CaptureFixture[str]) -> None:
    pool = {"a": source("a", 8, lambda at: {"ability": "law" if at < 4 else "code"})}
    limits = [{"per": "ability", "min": "2 rows"}]
    path = recipe(pool, {"fuse": "sources.mix", "with": {"size": 6, "limits": limits}})
    rows = curate.run(path).frame()
    lost = pl.concat([rows.filter(pl.col("ability") == "code")] * 3)[:6]
    lost.write_parquet("lost.parquet")
    code, out, err = policy_of(capsys, "lost.parquet", str(path))
    assert code == 3  # that there is no law shows only beside what there was
    assert "untold" in out
    assert "repeats ids" in err
    assert policy_of(capsys, "mixed", str(path))[0] == 0


def test_a_number_in_a_where_of_a_csv(capsys: pytest.CaptureFixture[str]) -> None:
    pool = {"a": source("a", 8, lambda at: {"code": f"00{at % 2}"})}
    stage = {
        "fuse": "sources.mix",
        "where": "n > 3",
        "with": {"limits": [{"where": {"code": "000"}, "max": "2 rows"}]},
    }
    path = recipe(pool, {"score": "core.length", "id": "n"}, stage)
    path.write_text(path.read_text().replace("n > 3", "n_characters > 3"))
    Path("some.csv").write_text("n_characters,code\n5,000\n6,000\n1,000\n9,001\n")
    assert policy_of(capsys, "some.csv", str(path))[0] == 0
    Path("some.csv").write_text("n_characters,code\n5,000\n6,000\n7,000\n9,001\n")
    code, _, err = policy_of(capsys, "some.csv", str(path))
    assert code == 3
    assert "missed by 1 row" in err


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    path = recipe({"a": source("a", 3)}, {"fuse": "sources.mix", "with": {"size": 2}})
    code, _, err = policy_of(capsys, "nothing.parquet", str(path))
    assert code == 2
    assert "no file 'nothing.parquet'" in err
    with pytest.raises(CurateError):
        curate.open("nothing")


def test_a_mix_that_is_tight_everywhere_is_spread() -> None:
    """Every source gives all that its limit allows, so that the largest mix leaves no play."""
    shuffled = np.random.default_rng(0)
    source_of, ability_of = (
        shuffled.integers(0, 200, 1_000_000),
        shuffled.integers(0, 10, 1_000_000),
    )
    rows = pl.DataFrame({"s": source_of, "a": ability_of}).select(
        source=pl.format("s{}", "s"), ability=pl.format("a{}", "a")
    )
    shares = {f"a{at}": f"0.0{5 + at % 4}..0.1{at}3" for at in range(8)}
    policy = {"shares": {"ability": shares}, "limits": [{"per": "source", "max": "3000 rows"}]}
    problem = Problem.of(rows, MixParams.model_validate(policy), "mix")
    place = np.arange(len(rows), dtype=np.uint32)
    counts, unique = problem.solve(place, problem.relaxed(), 0)
    assert counts.sum() == 200 * 3_000
    assert unique
    assert not missed(problem.blocks.pool, problem.rules, counts)
