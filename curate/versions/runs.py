"""What the folder of a dataset holds: numbered versions, and which run made which.

This is the road of a run that is up to date: it reads JSON and imports nothing heavy.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from curate.errors import CurateError
from curate.sources.published import (
    NUMBERED,
    PREVIEW,
    SUMS,
    listed_in,
    read_manifest,
    versions_of,
)

__all__ = [
    "PREVIEW",
    "KnownRun",
    "find_run",
    "lacking",
    "lost_files",
    "read_manifest",
    "record_run",
    "versions_of",
]


@dataclass(frozen=True)
class KnownRun:
    """A version, such as `v3`, that a run made, and its digest."""

    version: str
    digest: str


def find_run(root: Path, name: str, run_key: str) -> KnownRun | None:
    """Find the version that a run with this key made, if it is still there and complete.

    A version with failed rows is not complete: failures are tried again. Nor is one that lacks a
    file by now.

    Args:
        root: Where datasets live, such as `curated`.
        name: The dataset.
        run_key: Of the run, over everything that its result depends on.

    Returns:
        The version and its digest, or None.
    """
    made = _made(root / name, run_key)
    return next((run for run in made if not lacking(root / name / run.version)), None)


def lost_files(root: Path, name: str, run_key: str) -> tuple[str, ...]:
    """The files that the last version of a run lacks by now, as paths; see `find_run`."""
    for run in _made(root / name, run_key):
        folder = root / name / run.version
        return tuple(f"{folder.as_posix()}/{file}" for file in lacking(folder))
    return ()


def _made(folder: Path, run_key: str) -> Iterator[KnownRun]:
    """The versions that a run with this key made, the last one first."""
    for run in reversed(_runs(folder)):
        if run.get("run_key") != run_key:
            continue
        manifest = _manifest_of(folder, run)
        if manifest is not None and not manifest["books"]["failed"]:
            yield KnownRun(str(run["version"]), str(run["digest"]))


def lacking(folder: Path) -> tuple[str, ...]:
    """The files of a version that are not there by now; none is read but SHA256SUMS."""
    try:
        return tuple(name for name in listed_in(folder) if not (folder / name).is_file())
    except CurateError:
        return (SUMS,)


def record_run(root: Path, name: str, run_key: str, version: str, digest: str) -> None:
    """Remember which version a run made; one append, so that runs at once do not mix lines."""
    file = root / name / "runs.jsonl"
    run = {"run_key": run_key, "version": version, "digest": digest}
    if any(known.items() >= run.items() for known in _runs(root / name)):
        return
    line = json.dumps({**run, "at": datetime.now(UTC).isoformat(timespec="seconds")})
    handle = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        os.write(handle, f"{chr(10) if torn else ''}{line}\n".encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def _runs(folder: Path) -> list[Mapping[str, Any]]:
    """The readable lines of runs.jsonl; one that a crash tore only costs a fresh look."""
    try:
        lines = (folder / "runs.jsonl").read_bytes().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []
    runs: list[Mapping[str, Any]] = []
    for line in lines:
        try:
            run = json.loads(line)
        except ValueError:
            continue
        if isinstance(run, dict):
            runs.append(run)
    return runs


def _manifest_of(folder: Path, run: Mapping[str, Any]) -> dict[str, Any] | None:
    """The manifest of a run's version, if that folder still holds what the run made."""
    version = str(run.get("version"))
    if not NUMBERED.match(version):
        return None
    try:
        manifest = read_manifest(folder / version)
    except CurateError:
        return None
    return manifest if manifest.get("digest") == run.get("digest") else None
