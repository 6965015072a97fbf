"""Publishing: a version is written aside, and appears whole, by one rename, or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml

from curate.errors import CurateError
from curate.run.outcome import Outcome
from curate.sources.hashes import sha256_of
from curate.sources.published import SUMS
from curate.versions.runs import PREVIEW, lacking, read_manifest, record_run, versions_of
from curate.versions.splits import TRAIN

_ASIDE = ".partial-"
_STALE = 24 * 3600
"""Seconds after which a folder written aside belongs to no running process."""


class NothingKeptError(CurateError):
    """A version without rows would be published."""


@dataclass(frozen=True)
class Published:
    """Where the version of a run is, and whether this run made it."""

    path: Path
    version: str
    digest: str
    new: bool


def publish(outcome: Outcome, root: Path) -> Published:
    """Publish a finished run as the next version, unless one with the same digest exists.

    Safe against other processes that publish into the same folder at once, and against a crash
    at any moment: a folder named `vN` is always whole.

    Args:
        outcome: What the run made; its manifest's `run_key` is recorded in `runs.jsonl`.
        root: Where datasets live, such as `curated`; made if it is missing.

    Raises:
        CurateError: Nothing was kept.
    """
    folder = root / outcome.name
    with _written(outcome, folder) as (partial, digest, card):
        published = _number(outcome, partial, folder, digest, card)
    record_run(root, outcome.name, outcome.manifest["run_key"], published.version, published.digest)
    return published


def publish_preview(outcome: Outcome, root: Path) -> Published:
    """Write a run over a part of its sources to `preview/`, in place of the last preview.

    Raises:
        CurateError: Nothing was kept.
    """
    folder = root / outcome.name
    preview = folder / PREVIEW
    with _written(outcome, folder) as (partial, digest, card), aside(folder) as bin_:
        _label(outcome, partial, digest, PREVIEW, None, card)
        while not renamed(partial, preview):
            try:
                preview.rename(bin_ / secrets.token_hex(4))
            except FileNotFoundError:
                continue  # another process has just moved it away
        _sync(folder)
    return Published(preview, PREVIEW, digest, new=True)


@contextmanager
def _written(outcome: Outcome, folder: Path) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    """The tables in a folder aside, the digest, which is taken meanwhile, and facts for the card.

    Raises:
        NothingKeptError: There are no rows.
    """
    if outcome.data.is_empty():
        raise _nothing_kept(outcome.manifest)
    with aside(folder) as partial:
        with ThreadPoolExecutor(1) as beside:
            digest = beside.submit(digest_of, outcome)
            card = _write_tables(outcome, partial)
        yield partial, digest.result(), card


def digest_of(outcome: Outcome) -> str:
    """The digest of what a run made."""
    from curate.versions.digest import digest

    files = {
        file["file"]: file["sha256"]
        for source in outcome.manifest["sources"].values()
        for file in source["files"]
    }
    return digest(outcome.data, outcome.ledger, files, outcome.identity, outcome.splits)


def _nothing_kept(manifest: Mapping[str, Any]) -> NothingKeptError:
    emptied = [stage for stage in manifest["stages"] if stage["in"] and not stage["out"]]
    if not emptied:
        return NothingKeptError("Nothing was kept: the sources hold no readable row.")
    stage = emptied[-1]
    reasons = ", ".join(f"{count} {code}" for code, count in stage["reasons"].items())
    remedy = f"Loosen '{stage['id']}' in the recipe."
    if manifest.get("limit"):
        remedy = f"Loosen '{stage['id']}' in the recipe, or raise --limit."
    return NothingKeptError(
        f"Nothing was kept: stage '{stage['id']}' ({stage['stage']}) left none of its "
        f"{stage['in']} rows{f' ({reasons})' if reasons else ''}, so there is nothing to publish.",
        remedy,
    )


def _existing(folder: Path, digest: str) -> Published | None:
    for version in reversed(versions_of(folder)):
        try:
            manifest = read_manifest(folder / version)
        except CurateError:
            continue  # a damaged version is nobody's equal; opening it says what is wrong
        if manifest.get("digest") == digest and not lacking(folder / version):
            return Published(folder / version, version, digest, new=False)
    return None


def _number(
    outcome: Outcome, partial: Path, folder: Path, digest: str, card: Mapping[str, Any]
) -> Published:
    """Give the folder the next free number; whoever comes second looks again."""
    while True:
        taken = versions_of(folder)
        published = _existing(folder, digest)
        if published is not None:
            return published
        parent = taken[-1] if taken else None
        version = f"v{int(parent[1:]) + 1}" if parent else "v1"
        _label(outcome, partial, digest, version, parent, card)
        if renamed(partial, folder / version):
            _sync(folder)
            return Published(folder / version, version, digest, new=True)


def _write_tables(outcome: Outcome, partial: Path) -> dict[str, Any]:
    """Write what does not depend on the version's number; returns facts for the card."""
    from curate.versions.tables import write, write_shards

    others = {
        "dropped": outcome.dropped,
        "ledger": outcome.ledger,
        "scores": outcome.scores,
        "ancestors": outcome.ancestors,
    }
    with ThreadPoolExecutor(1) as beside:
        written = [
            beside.submit(write, table, partial / f"{name}.parquet")
            for name, table in others.items()
            if table is not None
        ]
        values, stored, start = {}, 0, 0
        for split, rows in (outcome.splits or {TRAIN: len(outcome.data)}).items():
            part = outcome.data[start : start + rows]
            one = write_shards(part, partial / "data", split, outcome.shards)
            values[split], stored, start = one.values, stored + one.stored, start + rows
        for each in written:
            each.result()
    (partial / "recipe.yaml").write_bytes(outcome.recipe.encode())
    # in C: a lock may name thousands of answers
    lock = yaml.dump(
        dict(outcome.lock), Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True
    )
    (partial / "recipe.lock.yaml").write_bytes(lock.encode())
    return {"values": values, "stored": stored}


def _label(
    outcome: Outcome,
    partial: Path,
    digest: str,
    version: str,
    parent: str | None,
    card: Mapping[str, Any],
) -> None:
    """Write the files that name the version, then the sums over all files; all of it to disk."""
    from curate.versions.card import render
    from curate.versions.marks import parted, text_sum

    for name in ("manifest.json", "README.md", SUMS):
        (partial / name).unlink(missing_ok=True)  # of a number that another process took
    label = {"name": outcome.name, "version": version, "digest": digest, "parent": parent}
    sums = {
        path.relative_to(partial).as_posix(): sha256_of(path)
        for path in sorted(partial.rglob("*"))
        if path.is_file()
    }
    facts = {"files": sums, "num_bytes": card["values"]}
    manifest = {**label, **outcome.manifest, **label, **facts}
    readme = render(manifest, outcome.data, **card)
    manifest["card"] = text_sum(parted(readme)[1])
    (partial / "manifest.json").write_bytes(
        orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    )
    (partial / "README.md").write_bytes(readme.encode())
    sums |= {name: sha256_of(partial / name) for name in ("manifest.json", "README.md")}
    lines = [f"{sum_}  {name}\n" for name, sum_ in sorted(sums.items())]
    (partial / SUMS).write_bytes("".join(lines).encode())
    settle(partial)


def settle(partial: Path) -> None:
    """Bring a whole version to the disk, its files never to be written again."""
    for path in sorted(partial.rglob("*")):
        if path.is_file():
            path.chmod(0o444)
        _sync(path)
    _sync(partial)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def renamed(partial: Path, target: Path) -> bool:
    """Rename; False if the target is there already (a rename never replaces a full folder)."""
    try:
        partial.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


@contextmanager
def aside(folder: Path) -> Iterator[Path]:
    """A folder to write in beside the versions, gone afterwards unless it was renamed."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{_ASIDE}*"):
        with suppress(FileNotFoundError):  # its process is done with it, or another swept it
            if time.time() - old.stat().st_mtime > _STALE:
                shutil.rmtree(old)
    partial = folder / f"{_ASIDE}{secrets.token_hex(8)}"
    partial.mkdir()
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
