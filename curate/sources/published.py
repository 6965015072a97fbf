"""Published versions: where they are, what their manifest says, and their files as a source's.

Reads JSON and imports nothing heavy: an up-to-date run needs this module.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from curate.errors import CurateError, UsageError, nearest
from curate.sources.files import SourceFile, local_file

PREVIEW = "preview"
"""The folder of a run over a part of its sources; never numbered."""

ROOT = Path("curated")
"""Where versions live unless `--out` says otherwise."""

NUMBERED = re.compile(r"v([1-9][0-9]*)\Z")


def versions_of(folder: Path) -> list[str]:
    """The versions in the folder of a dataset, oldest first; empty if there is no folder."""
    if not folder.is_dir():
        return []
    numbers = [int(m[1]) for p in folder.iterdir() if (m := NUMBERED.match(p.name))]
    return [f"v{number}" for number in sorted(numbers)]


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
        raise CurateError(f"{path} is no version: it has no manifest.json") from None
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
        for part, sum in _sums(folder).items()
        if part.startswith("data/")
    ]


def _sums(folder: Path) -> dict[str, str]:
    """Path in the version > hex sha256 of the file."""
    try:
        lines = (folder / "SHA256SUMS").read_text("utf-8").splitlines()
    except FileNotFoundError:
        raise CurateError(f"{folder} is no whole version: it has no SHA256SUMS") from None
    return {name: sum for sum, _, name in sorted(line.partition("  ") for line in lines)}


def _unchanged(file: SourceFile, sum: str) -> SourceFile:
    if file.sha256 != sum:
        raise CurateError(
            f"{file.shown} is not the file that was published: its hash differs from SHA256SUMS",
            "A version is never changed after publishing; delete this one and run again.",
        )
    return file
