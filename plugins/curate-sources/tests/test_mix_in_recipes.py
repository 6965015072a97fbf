"""`sources.mix` in recipes that are run: small pools of which the right mix is known."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import curate
from curate.api import CurateError, PolicyError
from curate_sources.mix.cells import shared


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))


def source(name: str, rows: int, row: Any = None, **more: Any) -> dict[str, Any]:
    """A source of rows, written to a file; `row` gives the columns of each beside its text."""
    lines = [
        {"instruction": f"{name} {at}", "output": "x", **(row(at) if row else {})}
        for at in range(rows)
    ]
    Path(f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"path": f"{name}.jsonl", **more}


def mix(
    sources: dict[str, dict[str, Any]],
    policy: dict[str, Any],
    before: tuple[dict[str, Any], ...] = (),
    **more: Any,
) -> curate.Version:
    """Run a recipe that ends in a mix of sources."""
    pipeline = [*before, {"fuse": "sources.mix", "with": policy, **more.pop("stage", {})}]
    recipe = {"name": "mixed", "sources": sources, "pipeline": pipeline}
    return curate.run(recipe, out="out", **more)


def taken(version: curate.Version, column: str = "source") -> dict[str, int]:
    return dict(Counter(version.frame()[column].to_list()))


def texts(version: curate.Version) -> set[str]:
    return {turns[0]["content"] for turns in version.frame()["messages"].to_list()}


def stage(version: curate.Version) -> dict[str, Any]:
    (found,) = (each for each in version.manifest["stages"] if each["verb"] == "fuse")
    return dict(found)


@pytest.mark.parametrize("spread", ["natural", "even"])
@pytest.mark.parametrize(("size", "count"), [(15, 10), (10, 7)])
def test_equal_sources_give_one_or_two_whatever_their_order(
    size: int, count: int, spread: str
) -> None:
    sources = {f"s{at}": source(f"s{at}", 4) for at in range(count)}
    names = list(sources)
    found = []
    for order in (names, names[::-1], names[3:] + names[:3]):
        version = mix(
            {name: sources[name] for name in order},
            {"size": size, "spread": spread},
            stage={"from": order},
        )
        assert set(taken(version).values()) == {1, 2}
        found.append(texts(version))
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == size


def test_blocks_of_equal_sources_give_one_or_two_too() -> None:
    """Named in a clause each, sources are blocks of their own, between which a hash decides."""
    sources = {f"s{at}": source(f"s{at}", 4) for at in range(10)}
    found = []
    for names in (list(sources), list(sources)[::-1]):
        shares = dict.fromkeys(names, "<= 2 rows")
        version = mix(
            {name: sources[name] for name in names}, {"size": 15, "shares": {"source": shares}}
        )
        assert set(taken(version).values()) == {1, 2}
        assert stage(version)["facts"]["blocks"] == 10
        assert stage(version)["facts"]["unique"]
        found.append(texts(version))
    assert found[0] == found[1]


def test_natural_takes_the_same_part_of_all_and_even_the_same_number() -> None:
    sources = {"a": source("a", 10), "b": source("b", 30), "c": source("c", 60)}
    assert taken(mix(sources, {"size": 50})) == {"a": 5, "b": 15, "c": 30}
    assert taken(mix(sources, {"size": 50, "spread": "even"})) == {"a": 10, "b": 20, "c": 20}


def test_a_clause_moves_the_others_no_further_than_it_must() -> None:
    """`a` at most a tenth: the rest is spread over the other two as they are, 40 to 60."""
    sources = {"a": source("a", 50), "b": source("b", 40), "c": source("c", 60)}
    policy: dict[str, Any] = {"size": 50, "shares": {"source": {"a": "<= 10%", "b": ">= 1%"}}}
    assert taken(mix(sources, policy)) == {"a": 5, "b": 18, "c": 27}
    policy["spread"] = "even"
    assert taken(mix(sources, policy)) in ({"a": 5, "b": 22, "c": 23}, {"a": 5, "b": 23, "c": 22})


def test_largest_remainders_and_ties_inside_a_block() -> None:
    counts = pl.Series([7, 5, 3]).to_numpy()
    # shares of 7: 3.27, 2.33, 1.4
    assert shared(counts, 7, [1, 2, 3], even=False).tolist() == [3, 2, 2]
    # of 3 of three equal ones, then two of them: the lowest keys first
    assert shared(counts[[0, 0, 0]], 5, [30, 10, 20], even=False).tolist() == [1, 2, 2]
    assert shared(counts, 11, [1, 2, 3], even=True).tolist() == [4, 4, 3]
    assert shared(counts, 8, [3, 2, 1], even=True).tolist() == [2, 3, 3]
    assert shared(counts, 15, [3, 2, 1], even=True).tolist() == [7, 5, 3]
    huge = pl.Series([4_000_000_000, 3_000_000_000]).to_numpy()
    assert shared(huge, 3_500_000_000, [1, 2], even=False).tolist() == [
        2_000_000_000,
        1_500_000_000,
    ]


def test_prefer_comes_before_rank_and_rank_before_the_seed() -> None:
    pool = {
        "p": source(
            "p",
            8,
            lambda at: {"origin": "human" if at >= 6 else "synthetic", "quality": float(at % 6)},
        )
    }
    policy: dict[str, Any] = {"size": 4, "prefer": "human", "rank_by": "quality"}
    assert texts(mix(pool, policy)) == {"p 6", "p 7", "p 5", "p 4"}
    assert texts(mix(pool, policy | {"rank": "lowest"})) == {"p 6", "p 7", "p 0", "p 1"}
    (margin,) = stage(mix(pool, policy))["margins"]
    assert (margin["cut"], margin["distance"]) == ("rows of a cell by quality", 1.0)


def test_rows_without_a_rank() -> None:
    def row(at: int) -> dict[str, Any]:
        return {"quality": None if at < 3 else float(at)}

    pool = {"p": source("p", 6, row)}
    with pytest.raises(CurateError, match=r"3 of 6 have no number") as raised:
        mix(pool, {"size": 4, "rank_by": "quality"})
    assert "missing: last" in str(raised.value.remedy)
    version = mix(pool, {"size": 4, "rank_by": "quality", "missing": "last"})
    assert {"p 3", "p 4", "p 5"} < texts(version)
    with pytest.raises(PolicyError, match="3 rows"):
        mix(pool, {"size": 4, "rank_by": "quality", "missing": "drop"})
    version = mix(pool, {"size": {"max": 4}, "rank_by": "quality", "missing": "drop"})
    assert texts(version) == {"p 3", "p 4", "p 5"}
    assert stage(version)["reasons"] == {"unranked": 3}


def test_maximize_takes_the_best_that_the_policy_allows() -> None:
    pool = {
        "a": source("a", 5, lambda at: {"quality": 10.0 + at}),
        "b": source("b", 5, lambda at: {"quality": 0.0 + at}),
    }
    policy = {
        "size": 6,
        "shares": {"source": {"b": ">= 0.5"}},
        "maximize": "rank",
        "rank_by": "quality",
    }
    assert texts(mix(pool, policy)) == {"a 4", "a 3", "a 2", "b 4", "b 3", "b 2"}


LICENSES = ["mit", "CC-BY-NC-4.0", "mit AND cc-by-nc-sa-4.0", "mit AND apache-2.0", None]


@pytest.mark.parametrize(
    ("deny", "unknown", "stay"),
    [
        (["cc-by-nc-*"], "keep", {"p 0", "p 3", "p 4"}),
        (["cc-by-nc-*"], "drop", {"p 0", "p 3"}),
        (["Cc-By-*", "APACHE-2.0"], "drop", {"p 0"}),
        (["cc-by-nc-4.?"], "keep", {"p 0", "p 1", "p 2", "p 3", "p 4"}),
        (["cc-by"], "keep", {"p 0", "p 1", "p 2", "p 3", "p 4"}),
    ],
)
def test_licences(deny: list[str], unknown: str, stay: set[str]) -> None:
    pool = {"p": source("p", 5, lambda at: {"license": LICENSES[at]})}
    version = mix(pool, {"licenses": {"deny": deny, "unknown": unknown}})
    assert texts(version) == stay
    assert stage(version)["reasons"].get("license", 0) == 5 - len(stay)


def test_unknown_licences_are_an_error_unless_decided_about() -> None:
    pool = {"p": source("p", 5, lambda at: {"license": LICENSES[at]})}
    with pytest.raises(PolicyError, match=r"the licence of rows of p \(1 row") as raised:
        mix(pool, {"licenses": {"deny": ["x"]}})
    assert "unknown: keep" in str(raised.value.remedy)


def test_null_is_unknown() -> None:
    pool = {"p": source("p", 6, lambda at: {"ability": "code" if at < 2 else None})}
    version = mix(pool, {"size": 4, "shares": {"ability": {"unknown": "<= 50%"}}})
    assert taken(version, "ability") == {"code": 2, None: 2}


def test_an_upper_bound_on_nothing_is_met_with_a_warning() -> None:
    version = mix(
        {"p": source("p", 4)},
        {"size": 2, "shares": {"ability": {"ethics": "<= 64 rows"}}},
    )
    clauses = {each["name"]: each for each in stage(version)["certificate"]}
    assert clauses["shares.ability.ethics"]["available"] == 0
    assert clauses["shares.ability.ethics"]["state"] == "slack"
    said = "the clause shares.ability.ethics (<= 64 rows) is about rows of which there are none"
    assert said in (version.path / "README.md").read_text().replace("\\", "")


def test_all_means_all_that_the_licences_leave() -> None:
    pool = {
        "lima": source("lima", 5, lambda at: {"license": "mit" if at < 3 else "cc-by-nc-4.0"}),
        "gpt": source("gpt", 20, license="mit"),
    }
    policy = {
        "size": 10,
        "shares": {"source": {"lima": "all"}},
        "licenses": {"deny": ["cc-by-nc-*"]},
    }
    version = mix(pool, policy)
    assert taken(version) == {"lima": 3, "gpt": 7}
    (clause,) = (each for each in stage(version)["certificate"] if each["name"].endswith("lima"))
    assert (clause["rows"], clause["of"], clause["state"], clause["available"]) == (
        *(3, 10, "binding", 3),
    )


def test_where_leaves_other_rows_untouched() -> None:
    pool = {"a": source("a", 6, origin="human"), "b": source("b", 6, origin="synthetic")}
    version = mix(pool, {"size": 2}, stage={"where": "origin = 'synthetic'"})
    assert taken(version) == {"a": 6, "b": 2}
    assert all(clause["of"] == 2 for clause in stage(version)["certificate"])


def test_in_a_preview_the_size_gives_way_and_the_stage_says_so() -> None:
    pool = {"a": source("a", 30), "b": source("b", 30)}
    version = mix(pool, {"size": 40, "shares": {"source": {"a": "<= 0.5"}}}, limit=5)
    assert taken(version) == {"a": 5, "b": 5}
    assert "size relaxed by 30 rows" in stage(version)["notes"]


def test_a_size_that_gives_way_is_missed_by_the_least_on_either_side() -> None:
    """All of 12 rows are asked for, or none of `a`: 12 is nearer to 10 than the 4 of `b` alone."""
    pool = {"a": source("a", 8), "b": source("b", 4)}
    policy = {
        "size": 10,
        "shares": {"source": {"a": "all"}},
        "limits": [{"where": {"source": "b"}, "min": "4 rows"}],
        "on_infeasible": {"relax": ["size"]},
    }
    version = mix(pool, policy)
    assert taken(version) == {"a": 8, "b": 4}
    # a quarter exactly: sizes are 4, 8 or 12 rows, of which 12 is nearer to 11 than 8 is to 10
    policy = {
        "size": {"min": 10, "max": 11},
        "shares": {"source": {"b": "0.25", "a": "0.75"}},
        "on_infeasible": {"relax": ["size"]},
    }
    version = mix({"a": source("a", 9), "b": source("b", 3)}, policy)
    assert taken(version) == {"a": 9, "b": 3}
    assert stage(version)["facts"]["relaxed"] == {"size": 1}
    (size,) = (each for each in stage(version)["certificate"] if each["name"] == "size")
    assert (size["state"], size["slack"], size["rows"]) == ("relaxed", -1, 12)


@pytest.mark.parametrize(
    "relax",
    ["limits", "limits.per ability", "limits.per ability.ethics"],
)
def test_a_limit_with_per_gives_way_as_a_whole_or_for_one_value(relax: str) -> None:
    pool = {"p": source("p", 9, lambda at: {"ability": "ethics" if at == 0 else "code"})}
    policy: dict[str, Any] = {"size": 5, "limits": [{"per": "ability", "min": "2 rows"}]}
    with pytest.raises(PolicyError) as raised:
        mix(pool, policy)
    assert 'relax: ["limits.per ability.ethics"]' in str(raised.value.remedy)
    version = mix(pool, policy | {"on_infeasible": {"relax": [relax]}})
    assert stage(version)["facts"]["relaxed"] == {"limits.per ability.ethics": 1}
    assert taken(version, "ability") == {"ethics": 1, "code": 4}


def test_same_seed_same_bytes_and_another_seed_other_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = {"a": source("a", 40, origin="human"), "b": source("b", 40, origin="synthetic")}
    policy = {"size": 30, "shares": {"origin": {"human": ">= 0.6"}}}
    files, rows = [], []
    for home, seed in (("one", 1), ("two", 1), ("three", 2)):
        folder = tmp_path / home
        monkeypatch.setenv("CURATE_HOME", str(folder / "home"))
        recipe = {
            "name": "mixed",
            "seed": seed,
            "sources": pool,
            "pipeline": [{"fuse": "sources.mix", "with": policy}],
        }
        version = curate.run(recipe, out=folder / "out")
        (file,) = (folder / "out" / "mixed" / "v1" / "data").iterdir()
        files.append(file.read_bytes())
        rows.append(texts(version))
        assert taken(version) == {"a": 18, "b": 12}
    assert files[0] == files[1]
    assert rows[0] == rows[1] != rows[2]


def test_the_order_of_a_file_changes_no_choice() -> None:
    pool = {"a": source("a", 40, lambda at: {"ability": "code" if at % 3 else "math"})}
    policy = {"size": 15, "shares": {"ability": {"code": "0.4"}}}
    first = texts(mix(pool, policy))
    lines = Path("a.jsonl").read_text().splitlines()
    Path("a.jsonl").write_text("\n".join(lines[::-1]) + "\n")
    assert texts(mix(pool, policy)) == first
    assert all(one != other for one, other in pairwise(sorted(first)))
