"""The memo on disk: a folder per output key, of immutable parquet parts.

    memo/<stage>/<output>-<key>/key.json             the components of the key
    memo/<stage>/<output>-<key>/part-<time>-<n>.parquet   content, value
    memo/<stage>/fit-<part>-<key>/{key.json,arrays.npz}

When `key.json` was changed last is when its values were asked for last.
Parts are written aside and renamed, so a killed process leaves whole parts or none, and any number
of processes may write at once. Where two wrote the same content, the older part counts.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import finalize

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from curate.errors import CurateError
from curate.memo.holding import hold
from curate.memo.keys import canonical, key_of


def write_aside(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    aside.write_bytes(data)
    os.replace(aside, path)


def _note_use(folder: Path) -> None:
    """Let the file of the components say when a key was used last."""
    with suppress(OSError):  # nothing is remembered, or by somebody else: it is for `gc` only
        os.utime(folder / "key.json")


class Column:
    """The remembered values of one output under one key."""

    def __init__(self, folder: Path, components: Mapping[str, Any]) -> None:
        self.folder = folder
        self.components = components

    def lookup(self, contents: pl.Series) -> pl.DataFrame:
        """Find values.

        Args:
            contents: Content hashes (string).

        Returns:
            `id` (the content hash) and `value`, for those that are remembered, each once.

        Raises:
            CurateError: A part cannot be read.
        """
        wanted = contents.rename("id").unique().to_frame()
        _note_use(self.folder)
        found = []
        for part in sorted(self.folder.glob("part-*.parquet")):
            try:
                found.append(pl.read_parquet(part).join(wanted, on="id", how="semi"))
            except (OSError, pl.exceptions.PolarsError) as error:
                raise CurateError(
                    f"The memo file {part} cannot be read: {error}",
                    "Delete it: what it held will be computed again.",
                ) from error
        if not found:
            return pl.DataFrame(schema={"id": pl.String, "value": pl.Null})
        return pl.concat(found).unique("id", keep="first", maintain_order=True)

    def append(self, values: pl.DataFrame) -> None:
        """Remember `values` (`id`, the content hash, and `value`)."""
        if values.is_empty():
            return
        if not (self.folder / "key.json").exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_aside(self.folder / "key.json", canonical(self.components))
        name = f"part-{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.parquet"
        aside = self.folder / f".{name}"
        values.select("id", "value").write_parquet(aside, compression="zstd")
        os.replace(aside, self.folder / name)


class Memo:
    """All that has been computed once, under one folder.

    What is asked for of a stage is held until the memo is closed (or forgotten): `curate gc` leaves
    that stage alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: dict[str, int | None] = {}
        self.close = finalize(self, _release, self._held)
        """Let `curate gc` remove what was used."""

    def _stage(self, stage: str) -> Path:
        if stage not in self._held and self.close.alive:
            self._held[stage] = hold(self.folder / stage)
        return self.folder / stage

    def column(self, stage: str, output: str, components: Mapping[str, Any]) -> Column:
        """The values of `output` of `stage` under the key of `components`."""
        return Column(self._stage(stage) / f"{output}-{key_of(components)}", components)

    def fit(self, stage: str, part: str, components: Mapping[str, Any]) -> Fit:
        """The fitted arrays of `part` of `stage` under the key of `components`."""
        return Fit(self._stage(stage) / f"fit-{part}-{key_of(components)}", components)

    def last_components(self, stage: str, output: str) -> Mapping[str, Any] | None:
        """The components of the key of `output` that was used last, or None."""
        found = self._stage(stage).glob(f"{output}-*/key.json")
        keys = sorted(found, key=lambda path: path.stat().st_mtime_ns)
        if not keys:
            return None
        components: Mapping[str, Any] = orjson.loads(keys[-1].read_bytes())
        return components


def _release(held: dict[str, int | None]) -> None:
    for file in held.values():
        if file is not None:
            os.close(file)
    held.clear()


class Fit:
    """What a stage fitted, as named arrays; never pickles."""

    def __init__(self, folder: Path, components: Mapping[str, Any]) -> None:
        self.folder = folder
        self.components = components

    def load(self) -> dict[str, NDArray[Any]] | None:
        """The arrays, or None where nothing was fitted yet."""
        path = self.folder / "arrays.npz"
        if not path.exists():
            return None
        _note_use(self.folder)
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}

    def save(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Store the arrays, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_aside(self.folder / "key.json", canonical(self.components))
        aside = self.folder / f".{uuid.uuid4().hex}.npz"
        with aside.open("wb") as file:
            # ascii names only; savez's stub takes arrays as keywords
            np.savez(file, **dict(arrays))  # type: ignore[arg-type]
        os.replace(aside, self.folder / "arrays.npz")
