"""What columns a source has, found by reading it once and remembered by content.

Imports polars only where nothing is remembered: `check` needs this module.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import xxhash

from curate.contract.columns import Kind
from curate.contract.parameters import Reference
from curate.plugins.registry import get_registry
from curate.recipe.model import Source
from curate.sources.files import SourceFile, is_remote, resolve_files, suffix_of
from curate.sources.hashes import home, write_atomic
from curate.sources.spec import spec_of

if TYPE_CHECKING:
    from curate.sources.load import Loaded

_VERSION = 2
"""Raise it when what is remembered changes its meaning."""


@dataclass(frozen=True)
class Schema:
    """The columns of a source.

    Attributes:
        columns: Original columns under the names that the table shows, without the framework's.
        complete: Whether the columns are known; false for what is not on this machine.
        rows: How many rows can be read; None where not known.
        format: The name of the row shape; `auto` where not known.
        nulls: Those of the columns that hold nothing but nulls: they go with every kind.
        unreadable: How many rows cannot be read and are set aside.
    """

    columns: Mapping[str, Kind]
    complete: bool
    rows: int | None
    format: str
    nulls: Sequence[str] = ()
    unreadable: int = 0


def inspect(source: Source | Reference, beside: Path | None = None) -> Schema:
    """Find the columns of a source, reading local files in full and nothing from elsewhere.

    Args:
        source: What the recipe says.
        beside: Folder of the recipe, for a hint where a file is missing.

    Raises:
        CurateError: As `load` does.
    """
    return inspect_rows("source", source, beside)[0]


def inspect_rows(
    name: str,
    source: Source | Reference,
    beside: Path | None = None,
    told: Callable[[int], None] | None = None,
    out: Path | None = None,
) -> tuple[Schema, Loaded | None]:
    """As `inspect`, together with the rows where they had to be read.

    Args:
        name: The source's name; part of the ids of its rows.
        source: What the recipe says.
        beside: Folder of the recipe, for a hint where a file is missing.
        told: Told how many rows of a source are read, now and then.
        out: Where published versions live; by default `curated`.

    Raises:
        CurateError: As `load` does.
    """
    if is_remote(source):
        return Schema({}, complete=False, rows=None, format=source.format), None
    files = resolve_files(source, beside, out)
    entry = home() / "schemas" / f"{_key(source, files)}.json"
    try:
        return Schema(**json.loads(entry.read_bytes())), None
    except (FileNotFoundError, ValueError, TypeError):
        loaded = _load(name, source, files, told)
    schema = _schema_of(loaded)
    write_atomic(entry, orjson.dumps(asdict(schema)))
    return schema, loaded


def _key(source: Source | Reference, files: Sequence[SourceFile]) -> str:
    known = {
        "version": [_VERSION, version("curate-data")],
        "files": [[*suffix_of(file.path.name), file.sha256] for file in files],
        "options": spec_of(source).options(),
        "sample": getattr(source, "sample", None),
        "formats": sorted(get_registry().formats()),
    }
    return xxhash.xxh3_128_hexdigest(orjson.dumps(known, option=orjson.OPT_SORT_KEYS))


def _load(
    name: str,
    source: Source | Reference,
    files: Sequence[SourceFile],
    told: Callable[[int], None] | None,
) -> Loaded:
    from curate.sources.load import load, load_reference

    if isinstance(source, Reference):
        return load_reference(name, source, seed=0, files=files)
    return load(name, source, files=files, told=told)


def _schema_of(loaded: Loaded) -> Schema:
    import polars as pl

    from curate.examples import FRAMEWORK, HIDDEN, kind_of

    own = {n: t for n, t in loaded.rows.schema.items() if n not in FRAMEWORK and n not in HIDDEN}
    return Schema(
        columns={name: kind_of(dtype) for name, dtype in own.items()},
        complete=True,
        rows=len(loaded.rows),
        format=loaded.format.name,
        nulls=[name for name, dtype in own.items() if dtype == pl.Null],
        unreadable=len(loaded.unreadable),
    )
