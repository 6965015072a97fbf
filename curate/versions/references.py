"""Rows of reference tables, which a version names by table and line, but does not hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from curate.contract.parameters import Reference
from curate.errors import CurateError
from curate.sources.hashes import file_sha256
from curate.sources.load import load_reference
from curate.versions.open import Version


def reference_row(version: Version, stage: str, ref: str) -> dict[str, Any]:
    """The row of a reference table that a `ref` such as `gsm8k#17` names.

    The file is read again where it stands at the place that the recipe wrote, seen from the
    working directory, and has the content that the run read.

    Args:
        version: The version.
        stage: The stage that wrote the ref.
        ref: Name of the table and line.

    Returns:
        `ref`, `reference` (its name), `file` and `line`; `messages`, None where there is no such
        file any more, and then `note` says why.
    """
    name, _, line = ref.rpartition("#")
    found: dict[str, Any] = {"ref": ref, "reference": name, "file": None, "line": None}
    found |= {"messages": None, "note": "the manifest names no such table"}
    tables = version.manifest["references"]
    at = [key for key in tables if key.startswith(f"{stage}.") and key.endswith(f".{name}")]
    if not at or not line.isdecimal():
        return found
    found["line"] = int(line)
    files = tables[at[0]]["files"]
    if len(files) > 1:
        return found | {"note": f"it is in one of {len(files)} files"}
    (file,) = files
    found["file"] = file["file"]
    path = Path(file["file"])
    if not path.is_file():
        return found | {"note": "the file is not here"}
    if file_sha256(path) != file["sha256"]:
        return found | {"note": "the file has changed since"}
    options = {key: value for key, value in tables[at[0]]["options"].items() if key != "sample"}
    try:
        rows = load_reference(name, Reference(path=file["file"], **options), seed=0).rows
    except CurateError as error:
        return found | {"note": error.message}
    there = rows.filter(pl.col("@line") == int(line))["messages"].to_list()
    return found | ({"messages": there[0], "note": None} if there else {"note": "no such line"})
