"""The lock of a version: its form, and the sets that lead to what it names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from curate.errors import CurateError
from curate.run.locking import VERSION

FILE = "recipe.lock.yaml"


class _File(BaseModel):
    file: str
    sha256: str
    commit: str | None = None


class _Source(BaseModel):
    files: list[_File]
    version: str | None = None


class _Reference(BaseModel):
    files: list[_File]
    options: dict[str, Any] | None = None


class _Model(BaseModel):
    commit: str | None
    digest: str


class _Stage(BaseModel):
    version: int
    auto: dict[str, Any] | None = None


class _Answers(BaseModel):
    address: str
    model: str
    entries: list[str]


class _Plugin(BaseModel):
    version: str
    api_version: int
    provides: dict[str, dict[str, str | None]]


class _Identity(BaseModel):
    sources: dict[str, Any]
    pipeline: list[dict[str, Any]]


class _Lock(BaseModel):
    """What is read of a lock; `curate.run.locking` writes it."""

    run_key: str
    sets: list[str]
    identity: _Identity
    sources: dict[str, _Source]
    like: _Source | None = None
    references: dict[str, _Reference]
    files: dict[str, _File]
    models: dict[str, _Model]
    stages: dict[str, _Stage]
    answers: dict[str, _Answers]
    plugins: dict[str, _Plugin]
    python: str
    platform: str
    packages: dict[str, str]


def read_lock(path: Path) -> dict[str, Any]:
    """Read the lock of a version.

    Raises:
        CurateError: There is none that this curate understands.
    """
    try:
        # the safe loader, in C: a lock may name thousands of answers
        lock = yaml.load((path / FILE).read_bytes(), yaml.CSafeLoader)
    except (OSError, yaml.YAMLError) as error:
        raise CurateError(
            f"{path / FILE} cannot be read: {error}", "`curate verify` says what is wrong."
        ) from error
    found = lock.get("lock_version") if isinstance(lock, dict) else None
    if found != VERSION:
        raise CurateError(
            f"{path / FILE} has the form {found}; this curate reads {VERSION}.",
            "Take the curate that made it, or run the recipe again.",
        )
    try:
        _Lock.model_validate(lock)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        raise CurateError(
            f"{path / FILE} is no lock: {at}: {first['msg']}", "`curate verify` says what is wrong."
        ) from error
    return dict(lock)


def pinned(lock: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[str]:
    """Sets that name the commits of what came from the Hub, and the versions of data sets.

    Args:
        lock: The lock.
        data: The version's recipe, as its document holds it.
    """
    for name, entry in lock["sources"].items():
        if "version" in entry:
            asked = data["sources"][name]["version"]
            if "/" not in asked:  # a name alone stands for the latest version of some day
                yield f"sources.{name}.version={json.dumps(entry['version'])}"
            continue
        commits = {f["file"]: f["commit"] for f in entry["files"] if "commit" in f}
        if not commits:
            continue
        source = data["sources"][name]
        if source.get("dataset"):
            yield f"sources.{name}.revision={json.dumps(next(iter(commits.values())))}"
            continue
        paths = source["path"] if isinstance(source["path"], list) else [source["path"]]
        found = [_at_commit(path, commits) for path in paths]
        yield f"sources.{name}.path={json.dumps(found)}"
    if "like" in lock and "/" not in data["output"]["like"]:
        yield f"output.like={json.dumps(lock['like']['version'])}"


def automatic(lock: Mapping[str, Any]) -> Iterator[str]:
    """Sets of what was left to the machine then."""
    for id, stage in lock["stages"].items():
        for name, value in stage.get("auto", {}).items():
            yield f"{id}.with.{name}={json.dumps(value)}"


def _at_commit(path: str, commits: Mapping[str, str]) -> str:
    """An address on the Hub with the commit of its files; any other path as it is."""
    prefix = "hf://datasets/"
    if not path.startswith(prefix):
        return path
    owner, name, file = path.removeprefix(prefix).split("/", 2)
    for shown, commit in commits.items():
        if shown.startswith(f"{prefix}{owner}/{name}/"):
            return f"{prefix}{owner}/{name.partition('@')[0]}@{commit}/{file}"
    return path
