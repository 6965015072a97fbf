"""What differs in how two versions were made: parameters, inputs, models, packages, books."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from curate.recipe.names import OUTPUT, VERBS, default_id
from curate.versions.open import Version


@dataclass(frozen=True)
class Change:
    """One thing that was set or found otherwise.

    Attributes:
        what: `recipe`, `input`, `reference`, `model`, `stage`, `environment`, `plugin`, `package`.
        name: Dotted, and for parameters of a recipe as `--set` writes it:
            `near.with.threshold`, `sources.gpt4.path`; `gpt4: data/gpt4.jsonl` for a file.
        before: JSON value in the first version; None where it was not there.
        after: The same in the second.
    """

    what: str
    name: str
    before: Any
    after: Any


def changes(one: Version, two: Version) -> list[Change]:
    """Everything that differs in what was asked, what went in, and what it was made with."""
    locks = _lock(one), _lock(two)
    manifests = one.manifest, two.manifest
    found = list(_recipes(*(lock.get("recipe") or {} for lock in locks)))
    for what, key in (("input", "sources"), ("reference", "references")):
        found += _values(what, *(_files(manifest[key]) for manifest in manifests))
    found += _values("model", *(_flat_all(manifest["models"]) for manifest in manifests))
    found += _values("stage", *(_stages(manifest) for manifest in manifests))
    one_identity, two_identity = (lock.get("identity") or {} for lock in locks)
    found += _hidden(one_identity, two_identity, found)
    found += _values("plugin", *(_flat_all(lock.get("plugins", {})) for lock in locks))
    found += _values("package", *(_environment(manifest) for manifest in manifests))
    return found


def _hidden(
    one: Mapping[str, Any], two: Mapping[str, Any], found: Sequence[Change]
) -> Iterator[Change]:
    """What resolves to something else though all that is shown of it is equal.

    What `${NAME}` stood for is in no version, but hashes of what it made.
    """
    named = {change.name for change in found}
    models = any(change.what == "model" for change in found)
    for id, before, after in _both(_resolved(one), _resolved(two)):
        source = id.removeprefix("sources.")
        told = any(name.startswith((f"{id}.", f"{id} ", f"{source}: ")) for name in named)
        if before != after and not told and not (models and source == id):
            yield Change("environment", f"{id}: what the environment or a file says", before, after)


def _resolved(identity: Mapping[str, Any]) -> dict[str, str]:
    stages = {id: sum for step in identity.get("pipeline", ()) for id, sum in step.items()}
    sources = identity.get("sources", {})
    output = {OUTPUT: identity[OUTPUT]} if OUTPUT in identity else {}
    return {**{f"sources.{name}": sum for name, sum in sources.items()}, **stages, **output}


def _both(one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What both have by a name."""
    for name in one:
        if name in two:
            yield name, one[name], two[name]


def _lock(version: Version) -> dict[str, Any]:
    file = version.path / "recipe.lock.yaml"
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = yaml.load(file.read_bytes(), loader) if file.exists() else None  # noqa: S506 - safe
    return found if isinstance(found, dict) else {}


def _recipes(one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[Change]:
    """Changed values of a recipe; its stages are known by their ids."""
    names = [
        {name: value for name, value in each.items() if name != "pipeline"} for each in (one, two)
    ]
    yield from _values("recipe", *(dict(flat(each)) for each in names))
    stages = [_by_id(each.get("pipeline") or []) for each in (one, two)]
    for id in dict.fromkeys([*stages[0], *stages[1]]):
        before, after = (each.get(id) for each in stages)
        if before is None or after is None:
            yield Change("recipe", id, before, after)
        else:
            yield from _values("recipe", dict(flat(before, id)), dict(flat(after, id)))
    orders = [[id for id in each if id in stages[0] and id in stages[1]] for each in stages]
    if orders[0] != orders[1]:
        yield Change("recipe", "order of stages", *orders)


def _by_id(pipeline: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    stages = {}
    for stage in pipeline:
        name = next((str(stage[verb]) for verb in VERBS if verb in stage), "")
        id = str(stage.get("id") or default_id(name))
        stages[id] = {key: value for key, value in stage.items() if key != "id"}
    return stages


def flat(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings by their dotted path; lists and empty mappings are leaves."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from flat(inner, f"{at}.{key}" if at else str(key))
    else:
        yield at, value


def _flat_all(value: Mapping[str, Any]) -> dict[str, Any]:
    return dict(flat(value)) if value else {}


def _values(what: str, one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[Change]:
    for name in dict.fromkeys([*one, *two]):
        before, after = one.get(name), two.get(name)
        if before != after or type(before) is not type(after):
            yield Change(what, name, before, after)


def _files(tables: Mapping[str, Any]) -> dict[str, str]:
    """Content hashes of the files of sources or references."""
    return {
        f"{name}: {file['file']}": file["sha256"]
        for name, table in tables.items()
        for file in table["files"]
    }


def _stages(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Declared versions of stages, and what was left to the machine, by id."""
    found = {}
    for stage in manifest["stages"]:
        found[f"{stage['id']} ({stage['stage']}) version"] = stage["version"]
        for name, value in dict(flat(stage.get("auto") or {}, stage["id"])).items():
            if name != stage["id"]:
                found[name] = value
    return found


def _environment(manifest: Mapping[str, Any]) -> dict[str, Any]:
    environment = manifest["environment"]
    kinds = {name: environment.get(name) for name in ("python", "platform")}
    return {**kinds, **environment.get("packages", {})}
