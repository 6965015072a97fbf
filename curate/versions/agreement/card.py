"""The card of a version, against its manifest and data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.metadata import version as installed_version
from itertools import takewhile
from typing import Any

import polars as pl

from curate.versions.agreement.parts import MANIFEST, SAYS, SHARD, Parts
from curate.versions.card import description, render
from curate.versions.hub.readme import own
from curate.versions.marks import parted, text_sum
from curate.versions.verify import CARD, SUMS

_GIVE = "manifest and data give"
_WORDS = 60
"""Characters of a line of the card that differs."""


def card(parts: Parts, data: pl.DataFrame) -> None:
    """The card against manifest and data."""
    readme = parts.at(CARD).read_bytes().decode()
    if parts.pushed:
        readme = _own(parts, readme)
    head, text = parted(readme)
    info, values = head["dataset_info"], parts.manifest["num_bytes"]
    shards = [
        name
        for name in parts.there
        if (shard := SHARD.fullmatch(name)) and shard[1] in parts.splits
    ]
    stored = sum((parts.folder / name).stat().st_size for name in shards)
    there = {split["name"]: split for split in info["splits"]}
    for name, split in there.items():
        parts.same(CARD, "num_bytes is", split["num_bytes"], values.get(name), SAYS)
    if parts.manifest["curate"] == installed_version("curate-data"):
        expected, wanted = parted(render(parts.manifest, data, values=values, stored=stored))
        _metadata(parts, head, expected)
        _text(parts, text, wanted, readme.count("\n", 0, readme.index(text)))
    else:
        wanted = description(parts.manifest)
        for name, rows in parts.splits.items():
            said = there.get(name, {"num_examples": 0})
            parts.same(CARD, "num_examples is", said["num_examples"], rows, "data/ holds")
        parts.same(CARD, "download_size is", info["download_size"], stored, "data/ has bytes")
        parts.same(CARD, "its description is", info["description"], wanted, SAYS)
        parts.notes.append(
            f"The card was written by curate {parts.manifest['curate']}: its text was compared "
            f"by the sum in {MANIFEST}, its numbers with the data."
        )
    found = text_sum(text)
    parts.same(CARD, "its text has the sha256", found, parts.manifest["card"], SAYS)


def _own(parts: Parts, readme: str) -> str:
    """What curate wrote of a repository's README, which is the version's own to the byte."""
    whole = own(readme)
    found = hashlib.sha256(whole.encode()).hexdigest()
    if f"{found}  {CARD}" not in (parts.folder / SUMS).read_text("utf-8").split("\n"):
        parts.find(CARD, f"what curate wrote of it has the sha256 {found}, {SUMS} says another")
    return whole


def _metadata(parts: Parts, head: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Each field that curate writes, and no other."""
    for key, value in expected.items():
        there = head.get(key)
        if isinstance(value, dict) and isinstance(there, dict):
            for name in {**value, **there}:
                at = f"its '{key}.{name}' is"
                parts.same(CARD, at, there.get(name), value.get(name), _GIVE)
            continue
        parts.same(CARD, f"its '{key}' is", there, value, _GIVE)
    for key in head.keys() - expected.keys():
        parts.find(CARD, f"its metadata hold '{key}', which curate did not write")


def _text(parts: Parts, text: str, expected: str, before: int) -> None:
    """Where the text first differs: its line in the file, and its words there.

    Args:
        parts: Of the version.
        text: What is there.
        expected: What manifest and data give.
        before: Lines of the file before it.
    """
    there, wanted = text.split("\n"), expected.split("\n")
    for number, (line, other) in enumerate(zip(there, wanted, strict=False), before + 1):
        if line != other:
            at = len([*takewhile(_equal, zip(line, other, strict=False))])
            start = max(0, line.rfind(" ", 0, at) + 1)
            parts.find(
                CARD,
                f"line {number}, from character {start + 1}: {_part(line, start)}, {_GIVE}: "
                f"{_part(other, start)}",
            )
            return
    parts.same(CARD, "its text has lines", len(there), len(wanted), _GIVE)


def _equal(pair: tuple[str, str]) -> bool:
    return pair[0] == pair[1]


def _part(line: str, start: int) -> str:
    part = line[start : start + _WORDS]
    return f"{part}..." if len(line) > start + _WORDS else part or "nothing more"
