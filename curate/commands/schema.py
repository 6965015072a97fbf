"""`curate schema`: what a recipe may hold, for editors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from curate.contract.stages import Stage


@click.command(name="schema")
def command() -> None:
    """Print the JSON Schema of recipes, with the parameters of the installed stages."""
    import json

    from curate.plugins.registry import get_registry

    registry = get_registry()
    click.echo(json.dumps(recipe_schema(registry.stages().values(), registry.formats()), indent=2))
    for (group, word), error in registry.broken().items():
        click.echo(f"left out ({group} {word}): {error}", err=True)


def recipe_schema(stages: Iterable[type[Stage]], formats: Iterable[str] = ()) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a recipe that may use these stages and row shapes."""
    from curate.recipe.model import Recipe
    from curate.recipe.names import VERBS

    schema = Recipe.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    if named := sorted(formats):
        definitions["Source"]["properties"]["format"]["enum"] = ["auto", *named]
    common = definitions.pop("StageSpec")["properties"]
    for key in (*VERBS, "with"):
        del common[key]
    variants = []
    for stage in sorted(stages, key=lambda stage: stage.name):
        params = stage.Params.model_json_schema(ref_template=f"#/$defs/{stage.name}.{{model}}")
        inner = params.pop("$defs", {})
        definitions |= {f"{stage.name}.{name}": part for name, part in inner.items()}
        definitions[f"{stage.name}.with"] = params
        summary = (stage.__doc__ or "").strip().split("\n")[0]
        variants.append(
            {
                "type": "object",
                "title": f"{stage.verb}: {stage.name}",
                "description": summary,
                "properties": {
                    stage.verb: {"const": stage.name, "description": summary},
                    "with": {"$ref": f"#/$defs/{stage.name}.with"},
                    **common,
                },
                "required": [stage.verb, *(["with"] if params.get("required") else [])],
                "additionalProperties": False,
            }
        )
    schema["properties"]["pipeline"]["items"] = {"oneOf": variants}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
