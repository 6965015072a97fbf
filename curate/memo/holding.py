"""Who uses a part of the memo just now, so that `curate gc` leaves it alone.

    memo/<stage>/.lock     locked shared by runs that use the stage, exclusive by what removes

A lock goes with its process, however that ends. Where the file system knows no locks, runs work
without one, and nothing is removed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from curate.errors import CurateError

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]  # runs lock nothing, and nothing is removed

LOCK = ".lock"


def hold(folder: Path) -> int | None:
    """Lock a folder of the memo, shared; waits while something is being removed from it.

    Returns:
        A file to be closed at the end; None where nothing can be locked.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        return None
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_SH)
    return file


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Lock a folder against all who use it, unless somebody does.

    Yields:
        Whether nobody else uses it until this ends.

    Raises:
        CurateError: That cannot be known.
    """
    try:
        file, free = _locked(folder)
    except OSError as error:
        raise CurateError(
            f"Whether {folder} is in use cannot be known: {error}.",
            "Nothing was removed there. Delete it yourself while nothing runs.",
        ) from error
    try:
        yield free
    finally:
        os.close(file)


def _locked(folder: Path) -> tuple[int, bool]:
    """An open lock file, and whether nobody else holds it; raises OSError without locks."""
    if fcntl is None:
        raise OSError("this system knows no such locks")
    file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return file, False
    except OSError:
        os.close(file)
        raise
    return file, True
