"""The home folder, and content hashes of files that are remembered there.

Imports neither polars nor numpy: an up-to-date run needs this module.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from curate.errors import CurateError

_FRESH_SECONDS = 2.0
"""A file changed this recently may change again within one tick of the clock of its file system."""


def home() -> Path:
    """The folder for what is remembered between runs: `CURATE_HOME`, or the user's cache folder.

    Raises:
        CurateError: It is not there and cannot be made.
    """
    named = os.environ.get("CURATE_HOME")
    if named:
        folder = Path(named)
    else:
        from platformdirs import user_cache_dir

        folder = Path(user_cache_dir("curate"))
    return make_folder(folder, "Set CURATE_HOME to a folder that can be written.")


def make_folder(folder: Path, remedy: str) -> Path:
    """Make a folder unless it is there; raises CurateError, with the remedy, if it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CurateError(
            f"The folder {folder} cannot be made: {error.strerror}.", remedy
        ) from error
    if not os.access(folder, os.W_OK):
        raise CurateError(f"The folder {folder} cannot be written.", remedy)
    return folder


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees all of it or none; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content)
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise


def sha256_of(path: Path) -> str:
    """The sha256 of what a file holds now, in hex; nothing is remembered.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_sha256(path: Path | str) -> str:
    """The sha256 of a file's content, in hex.

    Remembered by absolute path, size, modification time and inode, unless the file changed
    within the last two seconds.

    Raises:
        OSError: The file cannot be read.
    """
    import xxhash

    path = Path(path).absolute()
    entry = home() / "hashes" / f"{xxhash.xxh3_128_hexdigest(os.fsencode(path))}.json"
    before = _identity(path)
    remembered = _remembered(entry)
    if remembered is not None and remembered.get("identity") == before:
        return str(remembered["sha256"])
    digest = sha256_of(path)
    settled = time.time() - before["mtime_ns"] / 1e9 > _FRESH_SECONDS
    if settled and _identity(path) == before:
        write_atomic(entry, json.dumps({"identity": before, "sha256": digest}).encode())
    return digest


def _identity(path: Path) -> dict[str, Any]:
    stat = path.stat()
    return {
        "path": str(path),
        "size": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        "inode": stat.st_ino,
    }


def _remembered(entry: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(entry.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return content if isinstance(content, dict) else None
