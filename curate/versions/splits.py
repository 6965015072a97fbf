"""The splits of a version, as its manifest names them: what was asked and got, and their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curate.errors import UsageError, nearest
from curate.printing import counted, one_line
from curate.sources.published import shards_of

SPLIT = "split"
"""The verb of the entry that says what `output` did, last among the stages."""

TRAIN = "train"
"""The one split of a version whose recipe names none."""

_STRATA = 25
"""Values of the column by which the splits are stratified; the manifest has all."""
_ID = 12
"""Characters of an id."""

Rows = list[tuple[Any, ...]]


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


def asked(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters by which the rows of a version with splits were split."""
    (stage,) = (stage for stage in manifest["stages"] if stage["verb"] == SPLIT)
    params: Mapping[str, Any] = stage["params"]
    return params


def shares(manifest: Mapping[str, Any]) -> tuple[tuple[str, ...], Rows]:
    """Head and rows of a table: what was asked for each split, and what it got."""
    rows: Rows = [
        (name, one["asked"], one["rows"], f"{100 * one['share']:.2f} %")
        for name, one in manifest["splits"]["shares"].items()
    ]
    return ("split", "asked", "rows", "share"), rows


def strata(manifest: Mapping[str, Any]) -> tuple[tuple[str, ...], Rows, int]:
    """Head and rows of a table: the first values by split, and how many more there are.

    No rows where the splits are not stratified.
    """
    said = manifest["splits"]
    if "strata" not in said:
        return (), [], 0
    names = list(said["shares"])
    by_value = [(value or "(empty)", counts) for value, counts in said["strata"].items()]
    if "no_value" in said:
        by_value.insert(0, ("(no value)", said["no_value"]))
    rows: Rows = [
        (value, *(counts[name] for name in names)) for value, counts in by_value[:_STRATA]
    ]
    return (asked(manifest)["stratify"], *names), rows, len(by_value) - len(rows)


def uneven(manifest: Mapping[str, Any]) -> list[str]:
    """A sentence where the shares were not met, or one group has more rows than a split is to."""
    said = manifest.get("splits", {})
    if "uneven" not in said:
        return []
    got, largest = said["uneven"]["got"], said["uneven"]["largest"]
    rows = sum(got.values())
    shares = ", ".join(
        f"{name} {100 * count / rows:.2f} % ({100 * float(said['shares'][name]['asked']):g} asked)"
        for name, count in got.items()
    )
    why = []
    if largest["rows"] > 1:
        of = f"with {one_line(largest['column'] or '')} {largest['value']!r}"
        if largest["column"] is None:
            of = f"of the family of {one_line(largest['value'])[:_ID]}"
        why.append(f"the largest group, {largest['rows']:,} {of}, is in {largest['split']}")
    (stage,) = (stage for stage in manifest["stages"] if stage["verb"] == SPLIT)
    if said["uneven"]["far"] and stage["dropped"]:
        why.append(f"{counted(stage['dropped'])} that bridge splits were dropped")
    new = "new row" if "like" in said else "row"
    return [f"Of {counted(rows, new)} there are {shares}: {', and '.join(why) or 'by chance'}."]
