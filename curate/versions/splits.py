"""The splits of a version, as its manifest names them, and their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curate.errors import UsageError, nearest
from curate.sources.published import shards_of

SPLIT = "split"
"""The verb of the entry that says what `output` did, last among the stages."""

TRAIN = "train"
"""The one split of a version whose recipe names none."""


def splits_of(manifest: Mapping[str, Any]) -> dict[str, int]:
    """The splits of a version, in their order, each with its rows."""
    if "splits" not in manifest:
        return {TRAIN: manifest["books"]["kept"]}
    return {name: said["rows"] for name, said in manifest["splits"]["shares"].items()}


def data_files(
    folder: Path, manifest: Mapping[str, Any], splits: Sequence[str] | None = None
) -> list[Path]:
    """The files with the kept rows, in the order of the rows.

    Args:
        folder: Of the version.
        manifest: Its manifest.
        splits: Only those of these splits; None: of all.

    Raises:
        UsageError: It has no such split.
        CurateError: A file is missing, or none that was published.
    """
    known = splits_of(manifest)
    for name in splits or ():
        if name not in known:
            shown = f"{manifest['name']}@{manifest['version']}"
            raise UsageError(f"{shown} has no split '{name}'.", nearest(name, list(known)))
    wanted = [name for name in known if splits is None or name in splits]
    shards = list(shards_of(folder))
    return [folder / part for name in wanted for part in shards if part.startswith(f"data/{name}-")]
