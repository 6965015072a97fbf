"""From text to a recipe: the model's complaints, rules across keys, and the tree of tables."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from curate.contract.parameters import Params, Reference, Share
from curate.recipe.load import load_recipe
from curate.recipe.model import OnFailure, Recipe, Source, check_url
from curate.recipe.wiring import Link, wire, wiring
from curate.recipe.words import explain

GOOD = {
    "name": "a-b",
    "sources": {"x": {"path": "x.jsonl"}, "y": {"path": ["y.jsonl", "z*.jsonl"]}},
    "pipeline": [{"filter": "core.top", "with": {"by": "n"}}],
}


def messages(**changes: object) -> list[str]:
    return [p.message for p in load_recipe(copy.deepcopy(GOOD) | changes)[2]]


def stage_messages(*stages: dict, **sources: dict) -> list[str]:
    given = sources or {"x": {"path": "x"}}
    return messages(pipeline=list(stages), sources=given)


def test_a_good_recipe_has_defaults() -> None:
    recipe, document, problems = load_recipe(GOOD)
    assert problems == []
    assert recipe is not None
    assert (recipe.seed, recipe.requires) == (0, [])
    assert recipe.output.model_dump() == {
        "shards": 1,
        "shuffle": False,
        "dropped": True,
        "vectors": False,
        "language": [],
        "splits": {"train": 1},
        "keep_together": [],
        "stratify": None,
        "like": None,
    }
    assert {"language", "splits", "keep_together"}.isdisjoint(recipe.output.identity())
    spec = recipe.pipeline[0]
    assert (spec.verb, spec.stage, spec.stage_id) == ("filter", "core.top", "core_top")
    assert spec.missing == "error"
    assert document.data == GOOD
    assert load_recipe(recipe)[0] == recipe


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": "A_b"}, "name: 'A_b' is no name: use a-z, 0-9 and single hyphens between them"),
        ({"name": ".."}, "name: '..' is no name: use a-z, 0-9 and single hyphens between them"),
        ({"name": 3}, "name: expected text, got 3"),
        ({"seed": "ten"}, "seed: expected a whole number, got 'ten'"),
        ({"seed": True}, "seed: expected a whole number, got true"),
        ({"seed": 1.5}, "seed: expected a whole number, got 1.5"),
        ({"seed": -1}, "seed: must be at least 0, got -1"),
        ({"seed": None}, "seed: expected a whole number, got nothing"),
        ({"sed": 3}, "sed: unknown key 'sed'"),
        ({"output": {"shards": 0}}, "output.shards: must be at least 1, got 0"),
        ({"output": {"shuffle": "yes"}}, "output.shuffle: expected true or false, got 'yes'"),
        (
            {"output": {"language": ["English"]}},
            "output.language.0: 'English' is no name: a language is en, zh, yue",
        ),
        ({"output": {"language": "en"}}, "output.language: expected a list, got 'en'"),
        ({"output": []}, "output: expected a mapping, got a list"),
        ({"requires": ["a b"]}, "requires.0: 'a b' is no requirement; write curate-nait>=0.1"),
    ],
)
def test_complaints_are_in_plain_words(changes: dict, expected: str) -> None:
    assert messages(**changes) == [expected]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"path": "x", "dataset": "a/b"}, "both `path` and `dataset`"),
        ({}, "neither `path` nor `dataset`"),
        ({"pth": "x"}, "unknown key 'pth'"),
        ({"path": "x", "split": "train"}, "`split` belongs to `dataset`, not to `path`"),
        ({"path": {"a": 1}}, "expected text or a list, got a mapping"),
        ({"path": ["x", 1]}, "expected text, got 1"),
        ({"path": ""}, "must not be empty"),
        ({"path": "s3://user:secret@host/x"}, "the URL holds a password"),
        ({"path": "x", "origin": "syntetic"}, "expected human, synthetic, mixed or unknown"),
        ({"path": "x", "types": {"a": "text"}}, "expected string or json, got 'text'"),
        ({"path": "x", "on_failure": {"set_aside": "2"}}, "a number of rows, or a percentage"),
        ({"path": "x", "on_failure": {"set_aside": "200%"}}, "a number of rows, or a percentage"),
        ({"path": "x", "on_failure": {"set_aside": True}}, "a number of rows, or a percentage"),
        ({"path": "x", "on_failure": {"set_aside": -1}}, "a number of rows, or a percentage"),
        ("x", "expected a mapping, got 'x'"),
    ],
)
def test_sources(source: object, expected: str) -> None:
    found = messages(sources={"x": source})
    assert len(found) == 1
    assert expected in found[0]


def test_names_of_sources_are_checked_at_the_key(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text("name: a\nsources:\n  My-x: {path: x}\npipeline:\n- score: a.b\n")
    _, _, problems = load_recipe(file)
    assert [(p.place.line, p.place.column) for p in problems if p.place] == [(3, 3)]
    assert "'My-x' is no name" in problems[0].message


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ({"with": {}}, "a stage without a verb"),
        ({"filtr": "a.b"}, "unknown key 'filtr'"),
        ({"filter": "a.b", "score": "c.d"}, "a stage has one verb; this has filter and score"),
        ({"filter": "top"}, "'top' is no name: a stage is `plugin.stage`"),
        ({"filter": "a.b", "id": "Top"}, "'Top' is no name"),
        ({"filter": "a.b", "with": [1]}, "expected a mapping, got a list"),
        ({"filter": "a.b", "with": None}, "expected a mapping, got nothing"),
        ({"filter": "a.b", "missing": "ignore"}, "expected error, keep or drop"),
        ({"score": "a.b", "missing": "drop"}, "`missing: drop` is not for score stages"),
        ({"filter": "a.b", "where": ""}, "must not be empty"),
        ({"filter": "a.b", "where": "n >"}, "something is missing at '>'"),
        ({"filter": "a.b", "from": []}, "`from` names no table"),
        ("a.b", "expected a mapping, got 'a.b'"),
    ],
)
def test_stages(stage: object, expected: str) -> None:
    found = messages(pipeline=[stage])
    assert expected in found[0]


def test_everything_wrong_is_found_in_one_pass(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(
        "name: A\nseed: ten\nsources:\n  x: {pth: a}\npipeline:\n"
        "  - filter: a.b\n    wher: n > 1\n  - score: c.d\n    where: n >\n    id: a_b\n"
    )
    _, _, problems = load_recipe(file)
    assert sorted((p.place.line, p.place.column) for p in problems if p.place) == [
        (1, 7),
        (2, 7),
        (4, 7),
        (7, 5),
        (9, 14),
        (10, 9),
    ]


def test_a_value_that_is_broken_already_is_not_blamed_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UNSET", raising=False)
    file = tmp_path / "r.yaml"
    file.write_text(
        "name: a\nseed: ${UNSET}\nsources: {x: {path: x}}\npipeline:\n- filter: a.b\n"
        "  where: ${UNSET}\n"
    )
    _, _, problems = load_recipe(file)
    assert len(problems) == 2
    assert all("UNSET" in p.message for p in problems)


def test_values_from_the_environment_are_not_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    file = tmp_path / "r.yaml"
    file.write_text(
        "name: a\nseed: ${SECRET}\nsources: {x: {path: x, origin: '${SECRET}'}}\n"
        "pipeline: [{filter: a.b}]\n"
    )
    _, _, problems = load_recipe(file)
    assert len(problems) == 2
    assert "hunter2" not in "\n".join(map(str, problems))
    assert "${SECRET}" in problems[0].message


def test_passwords_in_urls() -> None:
    check_url("s3://bucket/a@b:c")
    check_url("https://host:8080/a")
    with pytest.raises(ValueError, match="password"):
        check_url("https://me:pw@host/a")


@pytest.mark.parametrize(
    "url",
    [
        "https://host/a.jsonl?X-Amz-Signature=abc&v=1",
        "https://host/a.jsonl?v=1&access_token=abc",
        "https://host/a.jsonl?sig=abc",
    ],
)
def test_secrets_written_out_in_urls_are_refused(monkeypatch, url) -> None:
    monkeypatch.setenv("TOKEN_OF_MINE", "abc")
    stage = {"filter": "a.b", "with": {"against": {"x": [url]}}}
    recipe = {"name": "x", "sources": {"s": {"path": url}}, "pipeline": [stage]}
    places = [p.message.partition(": ")[0] for p in load_recipe(recipe)[2] if "secret" in str(p)]
    assert places == ["sources.s.path", "pipeline.0.with.against.x.0"]
    for fine in (url.replace("=abc", "=${TOKEN_OF_MINE}"), "https://host/a.jsonl?version=3"):
        recipe = {"name": "x", "sources": {"s": {"path": fine}}, "pipeline": [{"filter": "a.b"}]}
        assert not [p for p in load_recipe(recipe)[2] if "secret" in str(p)]


def test_shares_that_may_fail_are_exact_and_rounded_down() -> None:
    assert OnFailure(set_aside="2%").allowed(149) == 2
    assert OnFailure(set_aside="2%").allowed(150) == 3
    assert OnFailure(set_aside="0.1%").allowed(999) == 0
    assert OnFailure(set_aside="0.1%").allowed(1000) == 1
    assert OnFailure(set_aside=7).allowed(3) == 7


def test_models_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Source(path="x").path = "y"  # type: ignore[misc]  # that is what is tested


S = {"filter": "a.b"}
TWO = {"x": {"path": "x"}, "y": {"path": "y"}}


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ([S | {"from": "z"}, S | {"id": "c"}], ["is named 'z'", "source 'x' is", "source 'y' is"]),
        ([S, S], ["the id 'a_b' is taken by stage 1"]),
        ([S | {"id": "x"}], ["the id 'x' is the name of a source"]),
        ([S | {"id": "seed"}], ["the id 'seed' is a key of the recipe"]),
        ([S | {"as": "x"}], ["'x' is already the name"]),
        ([S | {"from": "x"}], ["the source 'y' is used by no stage"]),
        (
            [S | {"from": "x"}, S | {"id": "c", "from": "y"}],
            ["the result of 'a_b' is used by no stage"],
        ),
        (
            [S | {"from": "x"}, S | {"id": "c", "from": "x"}, S | {"id": "d", "from": "y"}],
            [
                "'x' is already taken by 'a_b'",
                "the result of 'a_b' is used by no stage",
                "the result of 'c' is used by no stage",
            ],
        ),
        (
            [S, S | {"id": "c", "from": ["x", "y"]}],
            ["several tables in `from`", "every source", "result of 'a_b'"],
        ),
        (
            [S, {"fuse": "c.d", "from": ["x", "y"]}],
            ["every source is named by a later `from:`", "the result of 'a_b' is used by no stage"],
        ),
        (
            [
                S | {"as": "one"},
                S | {"id": "c"},
                {"fuse": "c.d", "from": ["one", "c"]},
            ],
            ["'one' is already taken by 'c'", "'c' is a stage whose result has no name"],
        ),
        (
            [S | {"from": "late"}, S | {"id": "c", "as": "late"}],
            ["'late' is made by this or a later stage", "source 'x' is used", "source 'y' is used"],
        ),
        ([{"fuse": "c.d", "from": ["x", "x", "y"]}], ["'x' is already taken by 'c_d'"]),
    ],
)
def test_the_chain_is_a_tree(stages: list[dict], expected: list[str]) -> None:
    found = stage_messages(*copy.deepcopy(stages), **TWO)
    assert len(found) == len(expected), found
    for fragment in expected:
        assert any(fragment in message for message in found), found


def test_tables_of_a_tree_with_branches() -> None:
    recipe, _, problems = load_recipe(
        {
            "name": "a",
            "sources": {"x": {"path": "x"}, "y": {"path": "y"}, "z": {"path": "z"}},
            "pipeline": [
                {"filter": "a.b"},
                {"score": "c.d", "as": "left"},
                {"filter": "a.b", "id": "other", "from": "z", "as": "right"},
                {"fuse": "core.concat", "from": ["left", "right"]},
                {"filter": "core.top"},
            ],
        }
    )
    assert problems == []
    assert recipe is not None
    assert [(w.inputs, w.result) for w in wiring(recipe)] == [
        (("x", "y"), "a_b"),
        (("a_b",), "left"),
        (("z",), "right"),
        (("left", "right"), "core_concat"),
        (("core_concat",), "core_top"),
    ]


@given(st.data())
def test_random_trees_are_wired_and_any_table_used_twice_is_found(data: st.DataObject) -> None:
    sources = [f"s{i}" for i in range(data.draw(st.integers(1, 4)))]
    live, stages = list(sources), []
    while len(live) > 1 or not stages:
        count = data.draw(st.integers(1, len(live)))
        taken = data.draw(st.permutations(live))[:count]
        result = f"t{len(stages)}"
        stages.append({"fuse": "a.b", "id": f"i{len(stages)}", "from": taken, "as": result})
        live = [name for name in live if name not in taken] + [result]
        if len(stages) > 6:
            stages.append({"fuse": "a.b", "id": "last", "from": live, "as": "end"})
            live = ["end"]
    links = [Link.read(i, stage) for i, stage in enumerate(stages)]
    wired, findings = wire(sources, links)
    assert findings == []
    used = [name for w in wired for name in w.inputs]
    assert sorted([*used, wired[-1].result]) == sorted([*sources, *(w.result for w in wired)])
    again = data.draw(st.sampled_from(used))
    stages.append({"fuse": "a.b", "id": "again", "from": [wired[-1].result, again]})
    _, findings = wire(sources, [Link.read(i, stage) for i, stage in enumerate(stages)])
    assert [f.message for f in findings if "already taken" in f.message]


class _Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    size: int = 1


class _Params(Params):
    choice: Literal["red", "green"] = "red"
    share: Share | None = None
    limit: float = 0.5
    targets: dict[str, Reference] = Field(default_factory=dict)
    inner: _Inner | None = None
    either: int | list[int] = 1
    short: Annotated[list[str], Field(min_length=1)] = Field(default_factory=lambda: ["a"])


@pytest.mark.parametrize(
    ("given", "path", "message", "remedy"),
    [
        ({"choise": "red"}, ("choise",), "unknown key 'choise'", "Did you mean 'choice'?"),
        ({"choice": "rod"}, ("choice",), "expected red or green, got 'rod'", "Did you mean 'red'?"),
        ({"share": 1.5}, ("share",), "must be at most 1, got 1.5", ""),
        ({"share": "0.1"}, ("share",), "expected a number, got '0.1'", ""),
        ({"limit": "x"}, ("limit",), "expected a number, got 'x'", ""),
        ({"targets": {"m": {"pth": "x"}}}, ("targets", "m", "pth"), "unknown key 'pth'", "'path'"),
        ({"targets": {"m": 3}}, ("targets", "m"), "expected a mapping, got 3", ""),
        ({"targets": {"m": {}}}, ("targets", "m"), "'path' is missing", ""),
        ({"inner": {"sise": 1}}, ("inner", "sise"), "unknown key 'sise'", "'size'"),
        ({"either": "x"}, ("either",), "expected a whole number or a list, got 'x'", ""),
        ({"either": [1, "x"]}, ("either", 1), "expected a whole number, got 'x'", ""),
        ({"short": []}, ("short",), "must hold at least 1, and holds none", ""),
    ],
)
def test_parameters_of_plugins_are_explained_in_the_same_words(
    given: dict, path: tuple, message: str, remedy: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        _Params.model_validate(given)
    findings = explain(caught.value, _Params, given)
    assert [(f.path, f.message) for f in findings] == [(path, message)]
    assert remedy in findings[0].remedy


def test_the_model_is_exported_with_its_aliases() -> None:
    assert set(Recipe.model_json_schema()["$defs"]["StageSpec"]["properties"]) >= {
        "with",
        "from",
        "as",
    }


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "x", "a.b", "y > 1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "sources",
                    "x",
                    "pipeline",
                    "path",
                    "dataset",
                    "filter",
                    "fuse",
                    "score",
                    "id",
                    "with",
                    "where",
                    "from",
                    "as",
                    "missing",
                    "on_failure",
                    "set_aside",
                    "output",
                    "shards",
                    "expand",
                    "split",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)


@given(st.sampled_from(["name", "sources", "pipeline", "output", "requires", "odd"]), JUNK, JUNK)
def test_junk_is_refused_in_words_and_never_breaks(key: str, junk: object, stage: object) -> None:
    recipe, _, found = load_recipe(copy.deepcopy(GOOD) | {"pipeline": [stage, S]} | {key: junk})
    assert found or recipe is not None
    assert all(problem.message for problem in found)
