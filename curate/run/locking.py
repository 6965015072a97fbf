"""The content of recipe.lock.yaml: what a recipe resolved to, for another day or machine.

Nothing in it comes from the environment of a process but versions: what `${NAME}` stood for is in
no part but hashes.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, requires
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from curate.asking import LLM
from curate.contract import API_VERSION
from curate.contract.marks import InputFile, marker
from curate.plugins.registry import Registry
from curate.run.resolved import Resolved, files_facts, like_facts, version_facts
from curate.run.tools import Tools
from curate.services.models import alias_of
from curate.sources.formats.found import AnyShape
from curate.sources.hashes import file_sha256

VERSION = 2
"""Of the form of the lock."""


def lock_of(resolved: Resolved, tools: Tools, formats: Mapping[str, str]) -> dict[str, Any]:
    """What a recipe resolved to, as JSON values.

    Args:
        resolved: The recipe with everything found.
        tools: The means of the run that is over.
        formats: Source > the format that its rows were read in.
    """
    document = resolved.checked.document
    plugins = provided(resolved, tools.registry, formats.values())
    return {
        "lock_version": VERSION,
        "run_key": resolved.run_key,
        "sets": list(document.sets),
        "recipe": document.shown(),
        "identity": resolved.prints,
        "sources": {
            name: {"format": formats[name], "files": files_facts(resolved.files[name])}
            | version_facts(resolved.files[name])
            for name in resolved.checked.recipe.sources
        },
        **({"like": like_facts(resolved.like)} if resolved.like else {}),
        "references": resolved.references_facts(),
        "files": _files(resolved),
        "models": resolved.models_facts(),
        "stages": {
            r.step.id: {"stage": r.step.stage.name, "version": r.step.stage.version}
            | ({"auto": dict(r.automatic)} if r.automatic else {})
            for r in resolved.steps
        },
        "answers": _answers(resolved, tools),
        "plugins": plugins,
        **environment(plugins),
    }


def provided(
    resolved: Resolved, registry: Registry, formats: Iterable[str] = ()
) -> dict[str, dict[str, Any]]:
    """The distributions that a recipe makes use of: version, interface, and what each provides.

    Under `provides` stands for each kind and word the hash of its source where the distribution
    is installed in editable mode, otherwise null. A plugin of another interface is not loaded, so
    `api_version` is that of curate.
    """
    read = [name for name in formats if name != AnyShape.name]  # of a version: by curate itself
    words: list[tuple[str, str, str]] = [("formats", "curate.readers", name) for name in read]
    for r in resolved.steps:
        words.append(("stages", "curate", r.step.stage.name.partition(".")[0]))
        words += [("services", "curate.services", service) for service in r.services]
        words += [
            ("models", "curate.models", alias)
            for model in r.models.values()
            if (alias := alias_of(model.name))
        ]
        if LLM in r.served:
            settings = getattr(r.step.stage.params, r.served[LLM])
            words.append(("llm", "curate.llm", settings.backend))
    core = installed_version("curate-data")
    found: dict[str, dict[str, Any]] = {
        "curate-data": {"version": core, "api_version": API_VERSION, "provides": {}}
    }
    for kind, group, word in sorted(set(words)):
        dist = registry.distribution(group, word)
        entry = found.setdefault(
            dist.name, {"version": dist.version, "api_version": API_VERSION, "provides": {}}
        )
        entry["provides"].setdefault(kind, {})[word] = dist.editable
    return dict(sorted(found.items()))


def environment(plugins: Iterable[str]) -> dict[str, Any]:
    """Python, the platform, and the libraries that results may depend on.

    Args:
        plugins: Distributions whose direct requirements are such libraries, where installed.
    """
    packages = package_versions()
    for plugin in plugins:
        for text in requires(plugin) or ():
            wanted = Requirement(text)
            if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
                continue
            try:
                packages[wanted.name] = installed_version(wanted.name)
            except PackageNotFoundError:
                continue  # another system's, or removed since: nothing was computed by it
    return {
        "python": ".".join(map(str, sys.version_info[:3])),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": dict(sorted(packages.items())),
    }


def package_versions() -> dict[str, str]:
    """Versions of the libraries whose results end up in values."""
    found = {}
    for name in (
        "curate-data",
        "polars",
        "pyarrow",
        "numpy",
        "torch",
        "transformers",
        "tokenizers",
        "onnxruntime",
        "openvino",
    ):
        try:
            found[name] = installed_version(name)
        except PackageNotFoundError:
            continue
    return found


def _files(resolved: Resolved) -> dict[str, Any]:
    """Other files that parameters name, by `<stage id>.<parameter>`; of `llm.answers` too."""
    found = {}
    for r in resolved.steps:
        params = r.step.stage.params
        named: list[tuple[tuple[str, ...], Any]] = [
            ((name,), getattr(params, name))
            for name in type(params).model_fields
            if marker(type(params), name, InputFile)
        ]
        named += [((name, "answers"), getattr(params, name).answers) for name in r.served.values()]
        for at, path in named:
            if path is None:
                continue
            shown = resolved.checked.document.shown_at(("pipeline", r.step.index, "with", *at))
            found[".".join((r.step.id, *at))] = {
                # a default of the stage stands in no recipe
                "file": shown if isinstance(shown, str) else path,
                "sha256": file_sha256(Path(path)),
            }
    return found


def _answers(resolved: Resolved, tools: Tools) -> dict[str, Any]:
    """The paid answers that stages were made of: of whom, and which."""
    found = {}
    for r in resolved.steps:
        prints = tools.paid_answers(r)
        if prints:
            address = tools.registry.service(LLM).identity(
                getattr(r.step.stage.params, r.served[LLM]), r.models.get(LLM)
            )
            found[r.step.id] = {
                "address": address["address"],
                "model": address["model"],
                "entries": prints,
            }
    return found
