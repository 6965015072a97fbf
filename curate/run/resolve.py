"""What a checked recipe resolves to on this machine: files, models, plugins, and the run key.

Nothing here imports polars or a model: this is all that an up-to-date run needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from curate.contract.context import ModelFiles
from curate.contract.marks import Auto, Condition, InputFile, ModelName, Neutral, Served, marker
from curate.contract.parameters import Artifact, Params, Reference
from curate.contract.stages import Stage
from curate.errors import CurateError
from curate.memo.keys import canonical, key_of
from curate.plugins.registry import Dist, Registry
from curate.recipe.document import Document, KeyPath
from curate.recipe.model import Source
from curate.run.parameters import references
from curate.run.steps import Checked, Step
from curate.services.models import name_for
from curate.services.models import resolve as resolve_model
from curate.sources.files import SourceFile, artifact_file, resolve_files
from curate.sources.hashes import file_sha256


@dataclass(frozen=True)
class ResolvedStep:
    """A step with everything that its results depend on, but for the rows.

    Attributes:
        params: Result-changing parameters in canonical form, references left out.
        models: Files of the models that parameters name.
        plugin: The distribution that the stage comes from.
        services: Service > the distribution that gives it.
        references: Dotted parameter path > the reference table or artifact and its files.
        automatic: Parameter > what its `auto` means on this machine.
        served: Service that works for the stage alone > the parameter that says what it does.
    """

    step: Step
    params: Mapping[str, Any]
    models: Mapping[str, ModelFiles]
    plugin: Dist
    services: Mapping[str, Dist]
    references: Mapping[str, tuple[Reference | Artifact, tuple[SourceFile, ...]]]
    automatic: Mapping[str, Any] = field(default_factory=dict)
    served: Mapping[str, str] = field(default_factory=dict)

    def components(self, params: tuple[str, ...] | None = None) -> dict[str, Any]:
        """Components of a key that depends on some parameters (None: on all)."""
        stage = self.step.stage
        chosen = self.params if params is None else {n: self.params[n] for n in params}
        parts: dict[str, Any] = {
            "stage": stage.name,
            "version": stage.version,
            "params": dict(chosen),
            "models": {n: m.digest for n, m in self.models.items() if n in chosen},
            "services": {n: [d.version, d.editable] for n, d in self.services.items()},
        }
        if prints := stage.fingerprints():
            parts["fingerprints"] = dict(prints)
        if self.plugin.editable:
            parts["source"] = self.plugin.editable
        return parts


@dataclass(frozen=True)
class Resolved:
    """A recipe with its inputs, models and plugins found and hashed."""

    checked: Checked
    files: Mapping[str, tuple[SourceFile, ...]]
    steps: tuple[ResolvedStep, ...]
    beside: Path | None = field(default=None)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The resolved recipe as the digest sees it: content hashes stand for paths."""
        recipe = self.checked.recipe
        sources = {}
        for name, source in recipe.sources.items():
            options = source.model_dump(
                exclude={"path", "dataset", "version", "revision", "on_failure"}
            )
            sources[name] = options | {"files": [file.sha256 for file in self.files[name]]}
        return {
            "name": recipe.name,
            "seed": recipe.seed,
            "sources": sources,
            "pipeline": [self._step_identity(resolved) for resolved in self.steps],
            "output": recipe.output.identity(),
        }

    @staticmethod
    def _step_identity(resolved: ResolvedStep) -> dict[str, Any]:
        step, spec = resolved.step, resolved.step.spec
        return {
            spec.verb: spec.stage,
            "id": step.id,
            "version": step.stage.version,
            "with": dict(resolved.params),
            **({"fingerprints": dict(prints)} if (prints := step.stage.fingerprints()) else {}),
            "references": {
                at: [reference_options(reference), [file.sha256 for file in files]]
                for at, (reference, files) in resolved.references.items()
            },
            "where": spec.where,
            "missing": spec.missing,
            "from": list(step.inputs),
            "as": step.result,
        }

    @cached_property
    def prints(self) -> dict[str, Any]:
        """The identity by its parts, each as the sha256 of its canonical JSON.

        It says what a version was made by without what `${NAME}` stood for, and where two differ.
        """
        whole = self.identity
        return {
            "name": whole["name"],
            "seed": whole["seed"],
            "sources": {name: _print(source) for name, source in whole["sources"].items()},
            "pipeline": [{step["id"]: _print(step)} for step in whole["pipeline"]],
            "output": _print(whole["output"]),
        }

    @cached_property
    def run_key(self) -> str:
        """The key of the whole run: identity, plugin and stage versions, failure rules."""
        recipe = self.checked.recipe
        rules = [source.on_failure for source in recipe.sources.values()]
        rules += [spec.on_failure for spec in recipe.pipeline]
        return key_of(
            {
                "identity": self.identity,
                "curate": installed_version("curate-data"),
                "stages": [r.components() for r in self.steps],
                "plugins": [[r.plugin.name, r.plugin.version] for r in self.steps],
                "on_failure": [rule and rule.model_dump() for rule in rules],
            }
        )

    def references_facts(self) -> dict[str, Any]:
        """Reference tables by `<stage id>.<parameter>`."""
        return {
            f"{r.step.id}.{at}": {
                "files": files_facts(files),
                "options": reference_options(reference),
            }
            for r in self.steps
            for at, (reference, files) in r.references.items()
        }

    def models_facts(self) -> dict[str, Any]:
        """Models by the name that the recipe uses."""
        models = [model for r in self.steps for model in r.models.values()]
        return {m.name: {"commit": m.commit, "digest": m.digest} for m in models}


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
    return Resolved(checked, files, steps, beside)


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


def _print(part: Any) -> str:
    return hashlib.sha256(canonical(part)).hexdigest()


def version_facts(files: Iterable[SourceFile]) -> dict[str, str]:
    """The published version that files belong to, and its digest; nothing for other files."""
    for file in files:
        if file.version is not None and file.digest is not None:
            return {"version": file.version, "digest": file.digest}
    return {}


def check_unchanged(files: Iterable[SourceFile]) -> None:
    """Raise CurateError where a local file is no longer the one that was hashed."""
    for file in files:
        if not file.remote and file_sha256(file.path) != file.sha256:
            raise CurateError(
                f"{file.shown} changed while it was read.", "Run again when it is complete."
            )


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


def reference_options(reference: Reference | Artifact | Source) -> dict[str, Any]:
    """What about a reference table changes its rows, its path apart."""
    return reference.model_dump(exclude={"path"})


def files_facts(files: Iterable[SourceFile]) -> list[dict[str, Any]]:
    """Files as lock and manifest name them; `commit` where one came from the Hub."""
    return [
        {"file": f.shown, "sha256": f.sha256, "bytes": f.bytes}
        | ({"commit": f.commit} if f.commit else {})
        for f in files
    ]
