"""`check`: columns through the chain, parameters, plugins that misbehave; with stages made here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

import curate
from curate.contract.context import Context
from curate.contract.marks import Condition, InputFile, Reads
from curate.contract.parameters import Params, Preferences, Reference, TextChoice
from curate.contract.results import Decisions, Output
from curate.contract.stages import ExpandStage, FilterStage, FuseStage, ScoreStage, Stage
from curate.errors import CurateError, PluginError, RecipeError
from curate.run.check import check
from curate.run.steps import Checked


class _TextParams(Params):
    text: TextChoice = "both"


class Vectors(ScoreStage):
    name, version, Params = "toy.vectors", 1, _TextParams

    def outputs(self) -> Mapping[str, Output]:
        return {"embedding": Output("vector"), "cut": Output("boolean", flag=True)}


class _NearParams(Params):
    column: Annotated[str | None, Reads("vector")] = None
    prefer: Preferences = Field(default_factory=list)


class Near(FilterStage):
    name, version, Params = "toy.near", 1, _NearParams
    value = "similarity"

    def filter(self, rows: Any, ctx: Context) -> Decisions:
        raise AssertionError("check runs no stage")


class _TopParams(Params):
    by: Annotated[str, Reads("number")]
    per: Annotated[list[str] | None, Reads("any")] = None
    keep: Annotated[str | None, Condition()] = None
    file: Annotated[str | None, InputFile()] = None
    against: dict[str, Reference] = Field(default_factory=dict)


class Top(Near):
    name, version, Params, value = "toy.top", 1, _TopParams, None


class Concat(FuseStage):
    name, version = "toy.concat", 1


class Rewrite(ExpandStage):
    name, version = "toy.rewrite", 1
    reads = ("language",)


class Broken(ScoreStage):
    name, version = "toy.broken", 1

    def outputs(self) -> Mapping[str, Output]:
        raise ZeroDivisionError("oops")


class Shelf:
    """A registry with the stages above and a plugin that cannot be loaded."""

    def stage(self, name: str) -> type[Stage]:
        if name == "bad.stage":
            raise PluginError("plugin bad 1.0 failed: boom", "pip uninstall bad")
        stages: list[type[Stage]] = [Vectors, Near, Top, Concat, Rewrite, Broken]
        return {stage.name: stage for stage in stages}[name]


Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))

    def rows(name: str, *rows: dict) -> None:
        text = "".join(
            json.dumps({"instruction": "a", "input": "", "output": "b"} | row) + "\n"
            for row in rows
        )
        (tmp_path / name).write_text(text)

    rows("x.jsonl", {"language": "en", "stars": 3, "weight": 1, "empty": None})
    return rows


def recipe(*stages: dict, **sources: dict) -> dict:
    return {
        "name": "a",
        "sources": sources or {"x": {"path": "x.jsonl"}},
        "pipeline": list(stages),
    }


def checked(*stages: dict, **sources: dict) -> Checked:
    return check(recipe(*stages, **sources), (), Shelf())  # type: ignore[arg-type]  # a stand-in


def problems(*stages: dict, **sources: dict) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        checked(*stages, **sources)
    return [f"{p.message} | {p.remedy}" for p in caught.value.problems]


def test_columns_grow_along_the_chain(write: Write) -> None:
    found = checked(
        {"score": "toy.vectors", "id": "v"},
        {"filter": "toy.near", "id": "n"},
        {"filter": "toy.top", "with": {"by": "n_value", "keep": "stars > 1", "per": ["language"]}},
    )
    vectors, near, top = found.steps
    assert dict(vectors.adds) == {"v_embedding": "vector", "v_cut": "boolean"}
    assert near.stage.params.column == "v_embedding"
    assert near.stage.inputs() == ("v_embedding",)
    assert dict(near.adds) == {"n_value": "number"}
    assert top.columns["n_value"] == "number"
    assert top.columns["stars"] == "integer"
    assert top.columns["@response"] == "string"
    assert top.columns["messages"] == "nested"
    assert top.stage.inputs() == ("n_value", "language", "@keep")
    assert top.conditions["keep"].columns == ("stars",)
    assert (top.inputs, top.result, top.id) == (("n",), "toy_top", "toy_top")
    assert found.schemas["x"].rows == 1


def test_where_is_parsed_and_checked(write: Write) -> None:
    step = checked({"score": "toy.vectors", "where": "stars > 2"}).steps[0]
    assert step.where is not None
    assert step.where.columns == ("stars",)
    found = problems({"score": "toy.vectors", "where": "stars > 'x' AND star = 1"})
    assert found == [
        "pipeline.0.where: column 'stars' is a number, but 'x' is text | "
        "Numbers stand without quotes.",
        "pipeline.0.where: there is no column 'star' | Did you mean 'stars'?",
    ]


def test_a_stage_that_is_wrong_hides_only_what_it_would_make(write: Write) -> None:
    found = problems(
        {"score": "bad.stage", "id": "b"},
        {"filter": "toy.top", "id": "t1", "with": {"by": "b_math"}},
        {"filter": "toy.near"},
        {"filter": "toy.top", "id": "t2", "with": {"by": "other"}},
    )
    assert found == [
        "pipeline.0.score: plugin bad 1.0 failed: boom | pip uninstall bad",
        "pipeline.3.with.by: there is no column 'other' | Known: stars, toy_near_value, weight.",
    ]


def test_a_source_that_is_wrong_hides_everything(write: Write) -> None:
    found = problems({"filter": "toy.top", "with": {"by": "anything"}}, x={"path": "y.jsonl"})
    assert len(found) == 1
    assert "sources.x.path: y.jsonl" in found[0]


def test_remote_columns_are_assumed(write: Write) -> None:
    found = checked(
        {"filter": "toy.top", "with": {"by": "anything"}, "where": "unseen = 'x'"},
        x={"path": "s3://bucket/x.jsonl"},
    )
    assert not found.schemas["x"].complete


def test_examples_that_a_stage_makes_have_the_columns_of_the_table(write: Write) -> None:
    checked({"expand": "toy.rewrite"}, {"filter": "toy.top", "with": {"by": "stars"}})
    found = problems({"expand": "toy.rewrite"}, {"filter": "toy.top", "with": {"by": "judgement"}})
    assert found[0].startswith("pipeline.1.with.by: there is no column 'judgement'")


def test_rows_that_a_stage_makes_lack_the_scores_of_earlier_ones(write: Write) -> None:
    score, near = {"score": "toy.vectors", "id": "v"}, {"filter": "toy.near", "id": "n"}
    expand = {"expand": "toy.rewrite", "id": "more"}
    assert problems(score, expand, near) == [
        "pipeline.2.filter: reads 'v_embedding', which rows that 'more' makes do not have: 'v' "
        "stands before it | Put 'v' after 'more'; or leave such rows out with `where:`, or say "
        "what they mean with `missing:`."
    ]
    checked(expand, score, near)
    checked(score, expand, near | {"missing": "keep"})
    checked(score, expand, near | {"where": "origin = 'human'"})


def test_a_stage_looks_into_the_files_that_are_there(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(self: Top) -> None:
        text = Path(self.params.file).read_text()
        if "oops" in text:
            raise CurateError(f"{self.params.file} holds oops", "Mend it.")

    monkeypatch.setattr(Top, "check_files", look)
    stage = {"filter": "toy.top", "with": {"by": "stars", "file": "a.txt"}}
    assert "there is no file 'a.txt'" in problems(stage)[0]
    Path("a.txt").write_text("oops")
    assert problems(stage) == ["pipeline.0.filter: a.txt holds oops | Mend it."]
    Path("a.txt").write_text("well")
    checked(stage)


def test_columns_that_a_stage_always_reads(write: Write) -> None:
    write("plain.jsonl", {"stars": 1})
    found = problems({"expand": "toy.rewrite"}, x={"path": "plain.jsonl"})
    assert found[0].startswith("pipeline.0.expand: there is no column 'language'")


def test_the_only_vector_is_meant_or_one_must_be_named(write: Write) -> None:
    one, two = {"score": "toy.vectors", "id": "one"}, {"score": "toy.vectors", "id": "two"}
    assert "there is no vector column here" in problems({"filter": "toy.near"})[0]
    found = problems(one, two, {"filter": "toy.near"})
    assert "several vector columns: one_embedding, two_embedding" in found[0]
    named = checked(one, two, {"filter": "toy.near", "with": {"column": "one_embedding"}})
    assert named.steps[2].stage.params.column == "one_embedding"
    wrong = problems(one, {"filter": "toy.near", "with": {"column": "stars"}})
    assert wrong == [
        "pipeline.1.with.column: column 'stars' holds whole numbers, not vectors | "
        "Known: one_embedding."
    ]


def test_preferences_name_columns(write: Write) -> None:
    prefer = ["origin:human", "highest:stars", "lowest:language", "messages:x", "longest"]
    found = problems({"score": "toy.vectors"}, {"filter": "toy.near", "with": {"prefer": prefer}})
    assert [message.split(" | ")[0] for message in found] == [
        "pipeline.1.with.prefer.2: column 'language' holds text, not numbers",
        "pipeline.1.with.prefer.3: column 'messages' holds nested values, not text",
    ]


def test_kinds_of_one_column_across_sources(write: Write) -> None:
    write("y.jsonl", {"weight": 0.5, "stars": None, "empty": 2})
    found = checked(
        {"filter": "toy.top", "with": {"by": "weight"}},
        x={"path": "x.jsonl"},
        y={"path": "y.jsonl"},
    )
    columns = found.steps[0].columns
    assert (columns["weight"], columns["stars"], columns["empty"]) == (
        "number",
        "integer",
        "integer",
    )
    write("z.jsonl", {"stars": "three"})
    found_problems = problems(
        {"score": "toy.vectors"}, x={"path": "x.jsonl"}, z={"path": "z.jsonl"}
    )
    assert found_problems == [
        "sources.z: column 'stars' holds text, and whole numbers in 'x' | "
        "Read both as text: `types: {stars: string}`."
    ]


def test_branches_hold_their_own_columns_and_a_fuse_holds_all(write: Write) -> None:
    branches = [
        {"score": "toy.vectors", "id": "left", "from": "x", "as": "one"},
        {"score": "toy.vectors", "id": "right", "from": "y", "as": "two"},
        {"fuse": "toy.concat", "from": ["one", "two"]},
    ]
    sources = {"x": {"path": "x.jsonl"}, "y": {"path": "x.jsonl"}}
    found = checked(*branches, **sources)
    assert {"left_embedding", "right_embedding"} <= set(found.steps[2].columns)
    branches[1]["where"] = "left_cut"
    assert "'left' makes it" in problems(*branches, **sources)[0]


def test_a_stage_that_breaks_is_named_with_its_error(write: Write) -> None:
    found = problems({"score": "toy.broken"})
    assert found == [
        "pipeline.0.score: the stage broke: ZeroDivisionError: oops | "
        "This is a mistake in the plugin."
    ]


def test_files_that_parameters_name(write: Write) -> None:
    found = problems(
        {
            "filter": "toy.top",
            "with": {
                "by": "stars",
                "file": "missing.txt",
                "against": {"good": "x.jsonl", "bad": {"path": "nothing.jsonl"}},
            },
        }
    )
    assert sorted(message.split(":")[0] for message in found) == [
        "pipeline.0.with.against.bad.path",
        "pipeline.0.with.file",
    ]
    secret = problems(
        {
            "filter": "toy.top",
            "with": {"by": "stars", "against": {"a": "s3://me:pw@host/x.jsonl"}},
        }
    )
    assert "password" in secret[0]


def test_check_of_a_known_file_imports_neither_polars_nor_numpy(
    write: Write, tmp_path: Path
) -> None:
    (tmp_path / "r.yaml").write_text(
        "name: a\nsources: {x: {path: x.jsonl}}\npipeline:\n  - score: core.length\n"
        "  - filter: core.where\n    with: {keep: stars > 1}\n"
    )
    script = (
        "import sys\nfrom curate.plugins.registry import get_registry\n"
        "from curate.run.check import check\ncheck('r.yaml', (), get_registry())\n"
        "print(sorted({'polars', 'numpy', 'torch', 'pyarrow'} & set(sys.modules)))"
    )
    for _ in range(2):
        run = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("space", ["", " "])
def test_a_field_inside_another_is_reached_as_text(tmp_path, space):
    news, blog = (f'{{"kind":{space}"{kind}"}}' for kind in ("news", "blog"))
    rows = tmp_path / "rows.jsonl"
    row = '{{"instruction": "Say.", "output": "A word.", "meta": {}}}\n'
    rows.write_text(row.format(news) + row.format(blog))
    recipe = {
        "name": "inner",
        "sources": {"rows": {"path": str(rows)}},
        "pipeline": [{"filter": "core.where", "with": {"keep": "\"meta.kind\" = 'news'"}}],
    }
    with pytest.raises(RecipeError, match=r"Read 'meta' as text with `types: \{meta: json\}`"):
        curate.check(recipe)
    recipe["sources"]["rows"]["types"] = {"meta": "json"}
    recipe["pipeline"][0]["with"]["keep"] = 'contains(meta, \'"kind":"news"\')'
    version = curate.run(recipe, out=tmp_path)
    assert version.frame()["meta"].to_list() == ['{"kind":"news"}']
