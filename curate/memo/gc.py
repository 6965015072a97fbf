"""What the memo and the caches beside it hold, and removing some of it.

Only what the memo itself writes is ever removed: files of the names that it gives, in folders of
the names that it gives, with no symbolic link on the way. What else lies there is reported and
stays. A value that was removed is computed again when it is asked for.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from stat import S_ISREG
from typing import Literal

from curate.errors import CurateError, UsageError, nearest
from curate.memo.holding import LOCK, alone

ANSWERS = "answers"
CACHES = ("hashes", "schemas")
"""Folders beside the memo: hashes and columns of files, each an entry by the hash of its key."""

_KEY = r"[0-9a-f]{32}"
_FOLDER = re.compile(rf"(?P<fit>fit-)?(?P<part>.+)-{_KEY}")
_FILES = re.compile(
    rf"key\.json|part-\d{{20}}-[0-9a-f]{{8}}\.parquet|arrays\.npz"
    rf"|\.part-\d{{20}}-[0-9a-f]{{8}}\.parquet|\.key\.json\.{_KEY}|\.{_KEY}\.npz"
)
_JOURNAL = re.compile(rf"key\.json|\.key\.json\.{_KEY}|log-\d{{20}}-[0-9a-f]{{8}}\.jsonl|claims")
_CACHED = re.compile(rf"{_KEY}\.json(\S*\.tmp)?")


@dataclass(frozen=True)
class Entry:
    """One thing that can be removed: all values under a key, a fit, a journal, a cached fact.

    Attributes:
        name: The stage; `answers`, `hashes` or `schemas`.
        kind: What it is.
        part: The output or the fitted part; of a journal the folder's name.
        folder: Where it lies; of a key a folder of its own.
        files: What it consists of.
        rows: Values or answers; None where that has no meaning or cannot be read.
        bytes: Size of the files.
        made: When it was begun, in seconds since the epoch.
        used: When it was last written or read.
    """

    name: str
    kind: Literal["values", "fit", "answers", "cache"]
    part: str
    folder: Path
    files: tuple[Path, ...]
    rows: int | None
    bytes: int
    made: float
    used: float


@dataclass
class Removed:
    """What a removal did.

    Attributes:
        entries: What is gone.
        in_use: What stayed: a running process uses it, or did since it was looked at.
    """

    entries: list[Entry] = field(default_factory=list)
    in_use: list[Entry] = field(default_factory=list)


def held(home: Path) -> tuple[list[Entry], list[Path]]:
    """What is remembered under CURATE_HOME.

    Returns:
        Entries by name, and what lies in the memo's folders but is not the memo's.
    """
    found: list[Entry] = []
    strange: list[Path] = []
    for stage in _folders(home / "memo", strange):
        for path in _folders(stage, strange, besides=LOCK):
            with suppress(FileNotFoundError):  # somebody else removed it just now
                entry = _entry(stage, path)
                if entry is None:
                    strange.append(path)
                else:
                    found.append(entry)
    for cache in CACHES:
        folder = home / cache
        if folder.is_symlink() or not folder.is_dir():
            continue
        for path, stat in _stats(sorted(folder.iterdir())).items():
            if not S_ISREG(stat.st_mode) or not _CACHED.fullmatch(path.name):
                strange.append(path)
            else:
                at, size = stat.st_mtime, stat.st_size
                found.append(Entry(cache, "cache", path.stem, folder, (path,), None, size, at, at))
    return sorted(found, key=lambda entry: (entry.name, entry.part, entry.files)), strange


def select(
    entries: Iterable[Entry],
    *,
    older_than: float | None = None,
    names: Collection[str] = (),
    answers: bool = False,
) -> list[Entry]:
    """Choose what to remove.

    Args:
        entries: What there is.
        older_than: Only what was not used for so many seconds.
        names: Only that of these stages, or `answers`, `hashes`, `schemas`; empty: of all.
        answers: Answers too, which were paid for.

    Raises:
        UsageError: There is nothing of a name.
    """
    entries, now = list(entries), time.time()
    known = sorted({entry.name for entry in entries})
    for name in names:
        if name not in known:
            raise UsageError(f"Nothing is remembered of '{name}'.", nearest(name, known))
    return [
        entry
        for entry in entries
        if (not names or entry.name in names)
        and (older_than is None or now - entry.used >= older_than)
        and (answers or entry.kind != "answers")
    ]


def remove(home: Path, entries: Iterable[Entry]) -> Removed:
    """Remove entries, but for those that a running process uses.

    Raises:
        UsageError: A published version lies where the memo is, or the memo in one.
        CurateError: Whether something is in use cannot be known, or it cannot be removed.
    """
    refuse_overlap(home)
    done = Removed()
    for stage, group in groupby(entries, key=lambda entry: entry.folder.parent):
        if stage == home:  # cached facts are read at once, and found again where they are not there
            for entry in group:
                _unlink(entry)
                done.entries.append(entry)
            continue
        with alone(stage) as free:
            for entry in group:
                now = _entry(stage, entry.folder) if free and entry.folder.is_dir() else None
                if now is not None and now.used == entry.used:
                    _unlink(now)
                    done.entries.append(now)
                else:
                    done.in_use.append(entry)
    return done


def refuse_overlap(home: Path) -> None:
    """Raise UsageError where versions lie in the home folder, or it in one of theirs."""
    real = home.resolve()
    for folder in (real, *real.parents):
        if _published(folder):
            raise UsageError(
                f"CURATE_HOME ({home}) lies in the published version {folder}.",
                "Nothing was removed. Name a folder of its own.",
            )
        if (folder / "runs.jsonl").exists():
            raise UsageError(
                f"CURATE_HOME ({home}) lies in {folder}, which holds versions of a dataset.",
                "Nothing was removed. Name a folder of its own.",
            )
    for folder in (real, real / "memo", *(real / cache for cache in CACHES)):
        if folder != real and folder.is_symlink():
            raise UsageError(
                f"{folder} is a symbolic link.",
                "Nothing was removed. Let CURATE_HOME lead there as a whole.",
            )
        for inner in folder.iterdir() if folder.is_dir() else ():
            if (inner / "runs.jsonl").exists() or _published(inner):
                raise UsageError(
                    f"CURATE_HOME ({home}) holds published versions: {inner}.",
                    "Nothing was removed. Name a folder of its own.",
                )


def _published(folder: Path) -> bool:
    return (folder / "manifest.json").exists() and (folder / "SHA256SUMS").exists()


def _folders(folder: Path, strange: list[Path], besides: str = "") -> Iterator[Path]:
    """Folders in a folder of the memo; anything else that lies there is strange."""
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield path
        elif path.name != besides:
            strange.append(path)


def _entry(stage: Path, folder: Path) -> Entry | None:
    """What the folder of a key holds; None where it holds anything that is not the memo's."""
    named = _FOLDER.fullmatch(folder.name)
    journal = stage.name == "llm"
    stats = _stats(sorted(folder.iterdir()))
    known = _JOURNAL if journal else _FILES
    if named is None or not all(
        known.fullmatch(path.name) and S_ISREG(stat.st_mode) for path, stat in stats.items()
    ):
        return None
    times = [stat.st_mtime for stat in stats.values()] or [folder.stat().st_mtime]
    size = sum(stat.st_size for stat in stats.values())
    kind: Literal["values", "fit", "answers"] = (
        "answers" if journal else "fit" if named["fit"] else "values"
    )
    rows = None if kind == "fit" else sum(map(_rows, stats))
    name, part = (ANSWERS, folder.name) if journal else (stage.name, named["part"])
    return Entry(name, kind, part, folder, tuple(stats), rows, size, min(times), max(times))


def _stats(paths: Iterable[Path]) -> dict[Path, os.stat_result]:
    """What is known of files that are there: a running process may rename what it writes."""
    found = {}
    for path in paths:
        with suppress(FileNotFoundError):
            found[path] = path.lstat()
    return found


def _rows(path: Path) -> int:
    if path.name.startswith("log-"):
        with path.open("rb") as log:
            return sum(line.endswith(b"\n") for line in log)
    if not path.name.startswith("part-"):
        return 0
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return int(parquet.read_metadata(path).num_rows)
    except (OSError, pa.ArrowInvalid):  # what cannot be read is no value
        return 0


def _unlink(entry: Entry) -> None:
    """Remove the files of an entry, what says of what they are last, and the folder of a key.

    Each step leaves something that is whole: fewer values under a key, then none.
    """
    try:
        for path in sorted(entry.files, key=lambda path: path.name == "key.json"):
            path.unlink(missing_ok=True)
        if entry.kind != "cache":
            entry.folder.rmdir()
    except OSError as error:
        raise CurateError(
            f"What is remembered in {entry.folder} cannot be removed: {error.strerror}.",
            "Is it somebody else's? What was removed before is gone.",
        ) from error
