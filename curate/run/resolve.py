"""Finding what a checked recipe names on this machine: files, models, plugins.

Nothing here imports polars or a model: an up-to-date run comes here too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from curate.contract.context import ModelFiles
from curate.contract.marks import Auto, Condition, InputFile, ModelName, Neutral, Served, marker
from curate.contract.parameters import Artifact, Params, Reference
from curate.contract.stages import Stage
from curate.errors import CurateError
from curate.plugins.registry import Registry
from curate.recipe.document import Document, KeyPath
from curate.run.parameters import references
from curate.run.resolved import Resolved, ResolvedStep, reference_options
from curate.run.steps import Checked, Step
from curate.services.models import name_for
from curate.services.models import resolve as resolve_model
from curate.sources.files import SourceFile, artifact_file, resolve_files
from curate.sources.hashes import file_sha256
from curate.sources.published import ROOT, split_files


def resolve(
    checked: Checked,
    registry: Registry,
    *,
    beside: Path | None = None,
    download: bool = True,
    commits: Mapping[str, str] | None = None,
    out: Path | None = None,
) -> Resolved:
    """Find and hash everything that a checked recipe names.

    Args:
        checked: The recipe.
        registry: Where plugins are found.
        beside: Folder of the recipe, for hints.
        download: Whether a model that is not on this machine may be fetched.
        commits: Model of the Hub > the commit to take, whatever its name stands for by now.
        out: Where published versions live; by default `curated`.

    Raises:
        CurateError: Something cannot be found or read.
    """
    document = checked.document
    files = {
        name: as_written(document, ("sources", name), resolve_files(source, beside, out))
        for name, source in checked.recipe.sources.items()
    }

    def model(name: str) -> ModelFiles:
        commit = (commits or {}).get(name)
        return resolve_model(name, registry, download=download, commit=commit)

    steps = tuple(_resolve_step(step, registry, document, beside, model) for step in checked.steps)
    output = checked.recipe.output
    like: tuple[SourceFile, ...] = ()
    if output.like is not None:
        there = split_files(output.like, ROOT if out is None else out, output.splits)
        like = as_written(document, ("output", "like"), there)
    return Resolved(checked, files, steps, beside, like)


def as_written(
    document: Document, path: KeyPath, files: Iterable[SourceFile]
) -> tuple[SourceFile, ...]:
    """Files with `shown` as the recipe writes it: with `${NAME}` where a value came from there."""
    value = document.data
    for step in path:
        value = value[step]
    text = document.shown_at(path)
    if isinstance(value, Mapping):
        way = "path" if "path" in value else "version"
        value, text = value.get(way) or [], text.get(way) or []
    pairs = (
        zip([text], [value], strict=True)
        if isinstance(value, str)
        else zip(text, value, strict=True)
    )
    written: list[tuple[str, str]] = [(raw, full) for raw, full in pairs if raw != full]

    def shown(file: SourceFile) -> str:
        for raw, full in written:
            end = raw.rindex("}") + 1
            start = full.removesuffix(raw[end:])
            if file.shown.startswith(start):
                return raw[:end] + file.shown[len(start) :]
        return file.shown

    return tuple(replace(file, shown=shown(file)) for file in files)


def _resolve_step(
    step: Step,
    registry: Registry,
    document: Document,
    beside: Path | None,
    model: Callable[[str], ModelFiles],
) -> ResolvedStep:
    params: Params = step.stage.params
    fields = type(params).model_fields
    models = {
        name: model(name_for(mark, getattr(params, name)))
        for name in fields
        if (mark := marker(type(params), name, ModelName)) and getattr(params, name) is not None
    }
    served = _served(params)
    models |= _local_models(params, served, registry, model)
    automatic = _automatic(params, step.spec.with_, models, registry)
    if automatic:
        params = params.model_copy(update=automatic)
        step = replace(step, stage=type(step.stage)(params, step.id))
    stage: Stage = step.stage
    plain: dict[str, Any] = {}
    for name in fields:
        value = getattr(params, name)
        if marker(type(params), name, Neutral):
            continue
        if name in served:
            plain[name] = registry.service(served[name]).identity(value, models.get(name))
        elif name in models:
            plain[name] = models[name].digest
        elif marker(type(params), name, InputFile) and value is not None:
            plain[name] = file_sha256(Path(value))
        elif marker(type(params), name, Condition):
            plain[name] = str(value)
        elif not _is_reference(value):
            plain[name] = _without_references(value)
    tables = {
        ".".join(map(str, at)): (
            reference,
            as_written(
                document,
                ("pipeline", step.index, "with", *at),
                [artifact_file(reference.path, beside)]
                if isinstance(reference, Artifact)
                else resolve_files(reference, beside),
            ),
        )
        for at, reference in references(params)
    }
    stage.prepare(models, registry.service)
    prefix = stage.name.partition(".")[0]
    return ResolvedStep(
        step,
        plain,
        models,
        registry.distribution("curate", prefix),
        {s: registry.distribution("curate.services", s) for s in stage.services},
        tables,
        automatic,
        {service: name for name, service in served.items()},
    )


def _served(params: Params) -> dict[str, str]:
    """The parameters that say what a service does for the stage alone, each with the service."""
    marks = {name: marker(type(params), name, Served) for name in type(params).model_fields}
    return {name: mark.service for name, mark in marks.items() if mark is not None}


def _local_models(
    params: Params,
    served: Mapping[str, str],
    registry: Registry,
    model: Callable[[str], ModelFiles],
) -> dict[str, ModelFiles]:
    """The files of models that services need on this machine, by parameter."""
    found = {}
    for name, service in served.items():
        value = getattr(params, name)
        if registry.service(service).is_local(value):
            found[name] = model(value.model)
    return found


def _automatic(
    params: Params,
    written: Mapping[str, Any],
    models: Mapping[str, ModelFiles],
    registry: Registry,
) -> dict[str, Any]:
    """What services say for the parameters that are left to them.

    Args:
        params: Those of the stage, early ones filled in when the recipe was checked.
        written: Those that the recipe writes.
        models: Files of the models that they name.
        registry: Where services are found.

    Raises:
        CurateError: What decided on columns when the recipe was checked holds no more.
    """
    found = {}
    for name in type(params).model_fields:
        auto = marker(type(params), name, Auto)
        if auto is None or written.get(name, "auto") != "auto":
            continue
        known = getattr(params, name)
        if known != "auto" and not auto.early:  # a preset says it
            continue
        found[name] = registry.service(auto.service).auto(name, params, models)
        if known not in ("auto", found[name]):
            raise CurateError(
                f"`{name}: auto` is {found[name]}, and was {known} when the recipe was checked: "
                "the model is another one.",
                f"Write `{name}` in the recipe.",
            )
    return found


def _is_reference(value: Any) -> bool:
    """Whether a value is a reference (or an artifact), or nothing but such: those have fits."""
    if isinstance(value, Mapping) and value:
        return all(type(inner) in (Reference, Artifact) for inner in value.values())
    return type(value) in (Reference, Artifact)


def _without_references(value: Any) -> Any:
    """A parameter's value for keys; inside it, the options of a reference stand for it."""
    if isinstance(value, Reference | Artifact):
        return reference_options(value)
    if isinstance(value, BaseModel):
        kind = type(value)
        return {
            name: _without_references(getattr(value, name))
            for name in kind.model_fields
            if not marker(kind, name, Neutral)
        }
    if isinstance(value, Mapping):
        return {name: _without_references(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_references(inner) for inner in value]
    return value
