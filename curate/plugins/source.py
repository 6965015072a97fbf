"""Whether a distribution is installed in editable mode, and a hash of its source if so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_CORE = "curate"


def editable_hash(installed: Distribution, module: str) -> str | None:
    """Hash the source behind an entry point of a distribution installed in editable mode.

    Args:
        installed: The distribution.
        module: The entry point's module; only where its top package lies is looked up, nothing
            is imported.

    Returns:
        32 hex characters over relative names and contents of the top package's files; for core's
        own modules over the files of the module's own package. None if not editable.
    """
    record = installed.read_text("direct_url.json")
    if record is None or not json.loads(record).get("dir_info", {}).get("editable", False):
        return None
    return _hash(_folders(module))


def _folders(module: str) -> tuple[Path, ...]:
    """Where the files lie that an entry point's module is made of."""
    top, *rest = module.split(".")
    spec = find_spec(top)
    if spec is None:
        return ()
    if spec.submodule_search_locations is None:
        return (Path(spec.origin),) if spec.origin else ()
    folders = tuple(Path(place) for place in spec.submodule_search_locations)
    if top != _CORE:
        return folders
    within = tuple(folder.joinpath(*rest) for folder in folders)
    return tuple(path if path.is_dir() else path.parent for path in within)


@cache
def _hash(folders: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for folder in folders:
        for name, path in sorted(_files(folder)):
            content = path.read_bytes()
            digest.update(f"{len(name)} {len(content)} {name}\n".encode())
            digest.update(content)
    return digest.hexdigest()[:32]


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    if folder.is_file():
        yield folder.name, folder
        return
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in inside.parts)
        if path.is_file() and not hidden and path.suffix not in {".pyc", ".so"}:
            yield inside.as_posix(), path
