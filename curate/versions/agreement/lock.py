"""The lock of a version, against its manifest, and the digest that it leads to."""

from __future__ import annotations

import polars as pl

from curate.recipe.document import read_document
from curate.recipe.load import KEYS
from curate.versions.agreement.parts import LEDGER, LOCK, MANIFEST, RECIPE, SAYS, Parts
from curate.versions.digest import digest
from curate.versions.splits import SPLIT


def locked(parts: Parts) -> None:
    """What the lock and the manifest say of the same things."""
    lock, manifest = parts.lock, parts.manifest
    parts.same(LOCK, "its run_key is", lock["run_key"], manifest["run_key"], SAYS)
    for name, source in manifest["sources"].items():
        there = [file["sha256"] for file in lock["sources"][name]["files"]]
        files = [file["sha256"] for file in source["files"]]
        parts.same(LOCK, f"the files of source '{name}' are", there, files, SAYS)
    there = lock.get("like", {}).get("digest")
    like = manifest.get("splits", {}).get("like", {}).get("digest")
    parts.same(LOCK, "the digest of its `like` is", there, like, SAYS)
    parts.same(LOCK, "its models are", lock["models"], manifest["models"], SAYS)
    parts.same(LOCK, "its references are", lock["references"], manifest["references"], SAYS)
    document, _ = read_document(parts.at(RECIPE), lock["sets"], KEYS)
    if document.shown() != lock["recipe"]:
        parts.find(LOCK, f"its recipe is not {RECIPE} with its sets")
    for stage in manifest["stages"]:
        if stage["verb"] == SPLIT:  # the recipe's `output`, which no plugin makes
            continue
        there = lock["stages"][stage["id"]]
        expected = (stage["stage"], stage["version"])
        at = f"the stage '{stage['id']}' is"
        parts.same(LOCK, at, (there["stage"], there["version"]), expected, SAYS)


def same_digest(parts: Parts, data: pl.DataFrame, ledger: pl.DataFrame) -> None:
    """The digest of rows, ledger and identity, against the manifest's."""
    files = {
        file["file"]: file["sha256"]
        for source in parts.manifest["sources"].values()
        for file in source["files"]
    }
    splits = parts.splits if "splits" in parts.manifest else None
    found = digest(data, ledger, files, parts.lock["identity"], splits)
    at = f"data/, {LEDGER} and the identity of {LOCK} have the digest"
    parts.same(MANIFEST, at, found, parts.manifest["digest"], "it says")
