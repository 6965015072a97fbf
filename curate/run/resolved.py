"""What a recipe resolved to: its identity, the run key, and what manifest and lock say of it.

Nothing here imports polars or a model: this is all that an up-to-date run needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from curate.contract.context import ModelFiles
from curate.contract.parameters import Artifact, Reference
from curate.errors import CurateError
from curate.memo.keys import canonical, key_of
from curate.plugins.registry import Dist
from curate.recipe.model import Source
from curate.run.steps import Checked, Step
from curate.sources.files import SourceFile
from curate.sources.hashes import file_sha256
from curate.sources.published import split_of


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
    """A recipe with its inputs, models and plugins found and hashed.

    Attributes:
        files: Source > its files.
        beside: Folder of the recipe, for hints.
        like: Files of the version whose rows stay in their splits.
    """

    checked: Checked
    files: Mapping[str, tuple[SourceFile, ...]]
    steps: tuple[ResolvedStep, ...]
    beside: Path | None = field(default=None)
    like: tuple[SourceFile, ...] = ()

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
            "output": recipe.output.identity() | self._like_identity(),
        }

    def _like_identity(self) -> dict[str, Any]:
        return {"like": [[split_of(f), f.sha256] for f in self.like]} if self.like else {}

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


def version_facts(files: Iterable[SourceFile]) -> dict[str, str]:
    """The published version that files belong to, and its digest; nothing for other files."""
    for file in files:
        if file.version is not None and file.digest is not None:
            return {"version": file.version, "digest": file.digest}
    return {}


def like_facts(files: Iterable[SourceFile]) -> dict[str, Any]:
    """Of the version whose rows stay in their splits: its files, name and digest."""
    files = tuple(files)
    return {"files": files_facts(files), **version_facts(files)}


def check_unchanged(files: Iterable[SourceFile]) -> None:
    """Raise CurateError where a local file is no longer the one that was hashed."""
    for file in files:
        if not file.remote and file_sha256(file.path) != file.sha256:
            raise CurateError(
                f"{file.shown} changed while it was read.", "Run again when it is complete."
            )


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


def _print(part: Any) -> str:
    return hashlib.sha256(canonical(part)).hexdigest()
