"""What `curate init` sees in files; imports polars, so its caller imports it when it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from curate.errors import UsageError
from curate.plugins.registry import get_registry
from curate.recipe.model import OnFailure, Source
from curate.sources.files import SourceFile, is_remote, resolve_files
from curate.sources.kinds.batch import BadRow
from curate.sources.load import load
from curate.sources.records import read_file
from curate.sources.rows import Unreadable

_FEW_WORDS = 3


@dataclass(frozen=True)
class Survey:
    """What one DATA argument holds.

    Attributes:
        path: As it was typed.
        rows: Rows that can be read.
        unreadable: Rows that cannot.
        format: The row shape.
        fits: Further row shapes that the columns would fit.
        found: Whether a recipe finds the row shape without being told.
        columns: The files' own columns.
        mapping: Field > column, where the format's names differ from the files'.
        empty: Rows whose response is empty.
        short: Rows whose response has fewer than three words, the empty ones included.
        repeated: Rows whose instruction and response occurred before.
    """

    path: str
    rows: int
    unreadable: Sequence[Unreadable]
    format: str
    fits: Sequence[str]
    found: bool
    columns: Sequence[str]
    mapping: Mapping[str, str]
    empty: int
    short: int
    repeated: int


def look_at(path: str) -> Survey:
    """Read a file or a glob in full.

    Raises:
        CurateError: It is missing, remote, or no row shape fits it.
    """
    source = Source(path=path)
    if is_remote(source):
        raise UsageError(
            f"{path}: init looks at files on this machine",
            "Write the URL into a recipe as a source's `path:`.",
        )
    files = resolve_files(source)
    columns = _columns(files[0])
    formats = get_registry().formats()
    fits = [name for name, shape in formats.items() if shape.matches(columns, {})]
    guesses = (shape.suggest(columns) for shape in formats.values())
    mapping = {} if fits else next(filter(None, guesses), {})
    chosen = source.model_copy(
        update={
            "format": fits[0] if fits else "auto",
            "columns": mapping,
            "on_failure": OnFailure(set_aside="100%"),
        }
    )
    loaded = load("data", chosen, files=files)
    words = loaded.rows["@response"].str.count_matches(r"\S+")
    return Survey(
        path=path,
        rows=len(loaded.rows),
        unreadable=loaded.unreadable,
        format=loaded.format.name,
        fits=[name for name in fits if name != loaded.format.name],
        found=loaded.format.automatic,
        columns=columns,
        mapping=mapping,
        empty=loaded.facts["empty_response"],
        short=int((words < _FEW_WORDS).sum()),
        repeated=len(loaded.rows) - loaded.rows.select(pl.struct("@both").n_unique()).item(),
    )


def _columns(file: SourceFile) -> list[str]:
    """The columns of the first rows, in the order of their first appearance."""
    batch = next(read_file(file))
    names: dict[str, None] = {}
    for row in batch.rows:
        if not isinstance(row, BadRow):
            names |= dict.fromkeys(row)
    return list(names)
