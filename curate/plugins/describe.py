"""What a stage declares, in words, for `curate plugins show`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import PydanticUndefined

from curate.contract.marks import (
    Auto,
    Condition,
    ModelName,
    Neutral,
    Prefers,
    Reads,
    ReadsText,
    marker,
)
from curate.contract.parameters import Artifact, Params, Reference
from curate.contract.stages import FilterStage, FuseStage, ScoreStage, Stage
from curate.plugins.probe import summary
from curate.plugins.registry import Registry

_MEANS = {
    Reads: "names a column",
    ReadsText: "chooses a text",
    Prefers: "order of preference",
    Condition: "SQL condition",
    ModelName: "names a model",
    Neutral: "changes no result",
    Auto: "auto: by this machine",
}


def describe(registry: Registry, name: str) -> dict[str, Any]:
    """Everything that a stage declares, as JSON values.

    Raises:
        PluginError: If there is no such stage, or its plugin is broken.
    """
    stage = registry.stage(name)
    dist = registry.distribution("curate", name.partition(".")[0])
    return {
        "stage": name,
        "verb": stage.verb,
        "version": stage.version,
        "distribution": dist.name,
        "distribution_version": dist.version,
        "doc": inspect.cleandoc(stage.__doc__ or "It says nothing about itself."),
        "scope": stage.scope,
        "uses_seed": stage.uses_seed,
        "reads": list(stage.reads),
        "services": list(stage.services),
        "parameters": list(_parameters(stage.Params)),
        "presets": {
            name: {"source": preset.source, "values": dict(preset.values)}
            for name, preset in stage.Params.presets.items()
        },
        "outputs": _outputs(stage),
        "reasons": _reasons(stage),
        "value": stage.value if issubclass(stage, FilterStage) else None,
        "labels": dict(stage.labels) if issubclass(stage, FilterStage) else {},
    }


def describe_prefix(registry: Registry, prefix: str) -> dict[str, Any]:
    """The stages of one prefix, a line each, as JSON values.

    Raises:
        PluginError: If nothing installed owns the prefix, or its plugin is broken.
    """
    dist = registry.distribution("curate", prefix)
    stages = registry.stages_of(prefix)
    return {
        "prefix": prefix,
        "distribution": dist.name,
        "version": dist.version,
        "stages": [
            {"stage": name, "verb": s.verb, "version": s.version, "summary": summary(s)}
            for name, s in sorted(stages.items())
        ],
    }


def _parameters(params: type[Params], before: str = "") -> Iterator[dict[str, Any]]:
    """All parameters, those inside others with the names of these before theirs."""
    for name, field in params.model_fields.items():
        described = _parameter(params, name)
        yield described | {"name": f"{before}{field.alias or name}"}
        for inner in _inside(field.annotation):
            yield from _parameters(inner, f"{before}{name}.")


def _inside(annotation: Any) -> Iterator[type[Params]]:
    """The parameters that a parameter of some type has inside; tables have their own words."""
    if isinstance(annotation, type) and issubclass(annotation, Params):
        if not issubclass(annotation, Reference | Artifact):
            yield annotation
    else:
        for inner in get_args(annotation):
            yield from _inside(inner)


def _parameter(params: type[Params], name: str) -> dict[str, Any]:
    field = params.model_fields[name]
    marks = [text for kind, text in _MEANS.items() if marker(params, name, kind)]
    default: Any = "required"
    if field.default_factory is not None:
        made = field.get_default(call_default_factory=True, validated_data={})
        several = isinstance(made, Iterable) and not isinstance(made, str)
        default = (", ".join(map(str, made)) if several else str(made)) or "empty"
    elif field.default is not PydanticUndefined:
        default = str(field.default) if isinstance(field.default, Decimal) else field.default
    return {
        "name": name,
        "type": _spoken(field.annotation),
        "default": default,
        "required": field.is_required(),
        "description": field.description or "; ".join(marks),
        "marks": marks,
    }


def _spoken(annotation: Any) -> str:
    """A type as a recipe's writer thinks of it; that it may be left out is not said."""
    words = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    words[Decimal] = "number"
    inner = [kind for kind in get_args(annotation) if kind is not type(None)]
    origin = get_origin(annotation)
    if next(_inside(annotation), None) is annotation:
        return "mapping"
    if origin is None:
        return words.get(annotation) or str(getattr(annotation, "__name__", annotation))
    if hasattr(annotation, "__metadata__"):
        return _spoken(annotation.__origin__)
    if origin is list:
        return f"list of {_spoken(inner[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"names, each with {_spoken(inner[1])}"
    return " | ".join(kind if isinstance(kind, str) else _spoken(kind) for kind in inner)


def _outputs(stage: type[Stage]) -> dict[str, str]:
    """Columns of a score stage, where they can be told without parameters."""
    if not issubclass(stage, ScoreStage):
        return {}
    try:
        made = stage(stage.Params(), id="id")
    except ValidationError:
        return {"<id>_...": "depends on the parameters"}
    return {f"<id>_{name}": output.kind for name, output in made.outputs().items()}


def _reasons(stage: type[Stage]) -> dict[str, str]:
    return dict(stage.reasons) if issubclass(stage, FilterStage | FuseStage) else {}
