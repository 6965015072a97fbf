"""Published versions: where they are, what their manifest and sums say, their files as a source's.

Reads JSON and imports nothing heavy: an up-to-date run needs this module.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from curate.errors import CurateError, UsageError, nearest
from curate.sources.files import SourceFile, local_file
from curate.sources.hashes import file_sha256

PREVIEW = "preview"
"""The folder of a run over a part of its sources; never numbered."""

SUMS = "SHA256SUMS"
"""The file of a version that names all others, each with its sha256."""

ROOT = Path("curated")
"""Where versions live unless `--out` says otherwise."""

NUMBERED = re.compile(r"v([1-9][0-9]*)\Z")

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def versions_of(folder: Path) -> list[str]:
    """The versions in the folder of a dataset, oldest first; empty if there is no folder.

    An empty folder is no version, for a version appears whole; a damaged one is.
    """
    if not folder.is_dir():
        return []
    numbers = [
        int(m[1]) for p in folder.iterdir() if (m := NUMBERED.match(p.name)) and _is_filled(p)
    ]
    return [f"v{number}" for number in sorted(numbers)]


def _is_filled(path: Path) -> bool:
    return not path.is_dir() or any(path.iterdir())


def datasets_of(root: Path) -> list[str]:
    """The datasets with a version or a preview in a folder, by name."""
    if not root.is_dir():
        return []
    return sorted(
        path.name for path in root.iterdir() if versions_of(path) or (path / PREVIEW).is_dir()
    )


def known_dataset(name: str, root: Path) -> Path:
    """The folder of a dataset; raises UsageError, with the nearest name, where there is none."""
    known = datasets_of(root)
    if name not in known:
        if (Path(name) / "manifest.json").is_file():
            raise UsageError(
                f"There is no dataset '{name}' in {root}.",
                f"Write ./{name} for the folder of that name.",
            )
        remedy = nearest(name, known) if known else "Run a recipe, or say where with --out."
        raise UsageError(f"There is no dataset '{name}' in {root}.", remedy)
    return root / name


def find_version(name: str | Path, root: Path) -> Path:
    """The folder of a version.

    Args:
        name: `NAME@vN`, `NAME@preview`, `NAME` (its latest version), or the path of a version's
            folder (a `Path`, or text with a slash in it), which may not be there.
        root: Where versions live.

    Raises:
        UsageError: There is no such dataset or version.
    """
    if isinstance(name, Path) or "/" in name:
        return Path(name)
    dataset, at, version = name.partition("@")
    folder = known_dataset(dataset, root)
    versions = versions_of(folder)
    previewed = (folder / PREVIEW).is_dir()
    if at:
        known = [*versions, PREVIEW] if previewed else versions
        if version not in known:
            raise UsageError(f"'{dataset}' has no version '{version}'.", nearest(version, known))
        return folder / version
    if not versions:
        raise UsageError(
            f"'{dataset}' has no version yet.",
            f"There is a preview: {dataset}@{PREVIEW}." if previewed else "",
        )
    return folder / versions[-1]


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of a version.

    Raises:
        CurateError: There is none, or it cannot be read.
    """
    try:
        manifest = json.loads((path / "manifest.json").read_bytes())
    except FileNotFoundError:
        raise CurateError(
            f"{path} is no version: it has no manifest.json",
            "Name another version, or delete this folder.",
        ) from None
    except ValueError as error:
        raise CurateError(
            f"{path / 'manifest.json'} cannot be read: {error}",
            "A version is never changed after publishing; delete this one and run again.",
        ) from error
    if not isinstance(manifest, dict):
        raise CurateError(f"{path / 'manifest.json'} is not a manifest")
    return manifest


def check_outside(file: Path) -> None:
    """Raise UsageError where a file would lie in a version."""
    if any((above / "SHA256SUMS").exists() for above in file.absolute().parents):
        raise UsageError(
            f"{file} would lie in a version, which is never changed.", "Name a file elsewhere."
        )


def version_files(name: str, root: Path) -> list[SourceFile]:
    """The files with the kept rows of a version, as files of a source.

    Args:
        name: As in `find_version`.
        root: Where versions live.

    Raises:
        UsageError: There is no such version.
        CurateError: It is damaged: a file is missing, or not the one that was published.
    """
    folder = find_version(name, root)
    manifest = read_manifest(folder)
    version = f"{manifest['name']}@{manifest['version']}"
    shown = folder.as_posix() if "/" in name else version
    return [
        replace(
            _unchanged(local_file(f"{shown}/{part}", folder / part), sum),
            version=version,
            digest=manifest["digest"],
        )
        for part, sum in shards_of(folder).items()
    ]


def split_files(name: str, root: Path, splits: Collection[str]) -> list[SourceFile]:
    """The files of a version that has some splits and no others; as `version_files`.

    Raises:
        UsageError: There is no such version, or it has no splits, or others.
        CurateError: As `version_files` does.
    """
    said = read_manifest(find_version(name, root)).get("splits")
    if said is None:
        raise UsageError(f"'{name}' has no splits.", "Name a version whose recipe splits its rows.")
    if {*said["shares"]} != {*splits}:
        there = ", ".join(said["shares"])
        raise UsageError(f"'{name}' has other splits: {there}.", "Give the splits the same names.")
    return version_files(name, root)


def split_of(file: SourceFile) -> str:
    """The split whose rows a file of a version holds."""
    return file.path.name.partition("-")[0]


def sums_in(content: bytes) -> tuple[dict[str, str], list[str]]:
    """What a SHA256SUMS says: name of each file > hex sha256, and what is wrong with its lines.

    No name leads out of the folder.
    """
    listed: dict[str, str] = {}
    problems: list[str] = []
    *lines, rest = content.decode("utf-8", "replace").split("\n")
    if rest:
        problems.append(f"does not end with a line: {rest!r}")
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line)
        if found is None:
            problems.append(f"line {number} is no sum and name of a file: {line!r}")
            continue
        sum_, name = found.groups()
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or str(path) != name:
            problems.append(f"line {number} names a file elsewhere: {name}")
        elif name in listed:
            problems.append(f"line {number} names {name} again")
        else:
            listed[name] = sum_
    return listed, problems


def listed_in(folder: Path) -> dict[str, str]:
    """The files of a version, as its SHA256SUMS names them > hex sha256.

    Raises:
        CurateError: There is none, or a line of it names no file of the version.
    """
    try:
        listed, problems = sums_in((folder / SUMS).read_bytes())
    except OSError as error:
        raise damaged(folder, f"it has no {SUMS}: {error.strerror}") from error
    if problems:
        raise damaged(folder, f"{SUMS} {problems[0]}")
    return listed


def shards_of(folder: Path) -> dict[str, str]:
    """The files with the kept rows of a version, in their order > hex sha256.

    Raises:
        CurateError: One is missing, or there is one that SHA256SUMS does not name.
    """
    data = folder / "data"
    sums = sorted(listed_in(folder).items())
    listed = {name: sum for name, sum in sums if name.startswith("data/")}
    there = {f"data/{path.name}" for path in data.iterdir()} if data.is_dir() else set()
    if added := sorted(there - listed.keys()):
        raise damaged(folder, f"{SUMS} does not name {', '.join(added)}")
    missing = [name for name in listed if not (folder / name).is_file()]
    if missing := missing or ([] if listed else ["data/"]):
        raise damaged(folder, f"{', '.join(missing)} is missing")
    return listed


def damaged(folder: Path, problem: str) -> CurateError:
    """The error that a version is not what was published, with the command that says in what."""
    shown = folder.as_posix()
    return CurateError(
        f"{shown} is not what was published: {problem}",
        f"curate verify {shown if '/' in shown else f'./{shown}'} says what is wrong.",
    )


def check_published(folder: Path, name: str, sum: str) -> None:
    """Raise CurateError unless a file of a version has the hex sha256 that SHA256SUMS says."""
    if not (folder / name).is_file():
        raise damaged(folder, f"{name} is missing")
    if file_sha256(folder / name) != sum:
        raise _changed((folder / name).as_posix())


def _unchanged(file: SourceFile, sum: str) -> SourceFile:
    if file.sha256 != sum:
        raise _changed(file.shown)
    return file


def _changed(shown: str) -> CurateError:
    return CurateError(
        f"{shown} is not the file that was published: its hash differs from SHA256SUMS",
        "A version is never changed after publishing; delete this one and run again.",
    )
