"""`curate schema`: editors accept what `check` accepts, and mark what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from curate.commands import call
from curate.commands.schema import recipe_schema
from curate.plugins.registry import get_registry

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = recipe_schema(get_registry().stages().values(), get_registry().formats())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def recipe(stage: dict, **changes: object) -> dict:
    return {"name": "a", "sources": {"x": {"path": "x"}}, "pipeline": [stage]} | changes


@pytest.mark.parametrize("file", sorted(RECIPES.glob("*.yaml")), ids=lambda file: file.stem)
def test_our_recipes_validate(file: Path, validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(yaml.safe_load(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "document",
    [
        recipe({"score": "core.length"}),
        recipe({"score": "core.length", "id": "x", "where": "a > 1", "missing": "keep"}),
        recipe(
            {"filter": "core.top", "with": {"by": "n", "fraction": 0.1}, "as": "t", "from": "x"}
        ),
        recipe({"fuse": "core.concat", "from": ["a", "b"]}),
        recipe({"score": "core.length"}, sources={"x": {"path": ["a", "b"]}}),
        recipe({"score": "core.length"}, sources={"x": {"path": "a", "format": "sharegpt"}}),
        recipe({"score": "core.length"}, sources={"x": {"version": "other@v3"}}),
        recipe({"score": "core.length", "on_failure": {"set_aside": "2%"}}),
        recipe(
            {"score": "nait.alignment", "with": {"targets": {"a": "x", "b": {"path": "y"}}}},
        ),
    ],
)
def test_what_check_accepts(document: dict, validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(document)


@pytest.mark.parametrize(
    "document",
    [
        recipe({"score": "core.lenght"}),
        recipe({"filter": "core.length"}),
        recipe({"filter": "core.top"}),
        recipe({"filter": "core.top", "with": {"by": "n", "cuont": 1}}),
        recipe({"filter": "core.top", "with": {"by": "n", "fraction": 1.5}}),
        recipe({"score": "core.length", "with": {"text": "respons"}}),
        recipe({"score": "core.length", "wher": "a > 1"}),
        recipe({"score": "core.length", "filter": "core.top"}),
        recipe({"score": "core.length"}, sede=1),
        recipe({"score": "core.length"}, seed="ten"),
        recipe({"score": "core.length"}, sources={"x": {"path": "x", "origin": "syntetic"}}),
        recipe({"score": "core.length"}, sources={"x": {"path": "x", "format": "sharegtp"}}),
        recipe({"score": "core.length"}, sources={}),
        recipe({"score": "core.length"}, pipeline=[]),
    ],
)
def test_what_check_refuses(document: dict, validator: jsonschema.Draft202012Validator) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(document)


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    titles = [item["title"] for item in schema["properties"]["pipeline"]["items"]["oneOf"]]
    assert "filter: core.top" in titles
    assert schema["$defs"]["core.top.with"]["properties"]["by"]["description"]
