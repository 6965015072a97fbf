"""Entries for trainers: as text to paste, and in files beside an export."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from curate.errors import UsageError
from curate.versions.export import Exported
from curate.versions.trainers import Advice, axolotl, llama_factory, trl

INFO = "dataset_info.json"
"""The file in which LLaMA-Factory looks for data sets."""


@dataclass(frozen=True)
class Snippets:
    """What to tell trainers of an export.

    Attributes:
        key: Name of the file in LLaMA-Factory.
        llama_factory: Its entry in `dataset_info.json`.
        axolotl: The item under `datasets:`, and what is to be said beside it.
        trl: Python that loads it, or None.
        files: What was written.
    """

    key: str
    llama_factory: Advice
    axolotl: Advice
    trl: str | None
    files: tuple[Path, ...]

    def text(self) -> str:
        """The entries to paste, each under a line that says where; without what was written."""
        parts = []
        written = {file.name for file in self.files}
        if self.llama_factory.entry is not None and INFO not in written:
            body = json.dumps({self.key: self.llama_factory.entry}, indent=2, ensure_ascii=False)
            parts.append(f"# LLaMA-Factory, {INFO}:\n{body}")
        if self.axolotl.entry is not None and _recipe(self.key) not in written:
            parts.append(f"# axolotl:\n{_yaml(self.axolotl)}".rstrip())
        if self.trl is not None:
            parts.append(f"# TRL, train_dataset:\n{self.trl}")
        return "\n\n".join(parts)

    def notes(self) -> list[str]:
        """What was written, and what trainers would not read."""
        return [
            *(f"wrote {file}" for file in self.files),
            *(f"LLaMA-Factory: {note}" for note in self.llama_factory.notes),
            *(f"axolotl: {note}" for note in self.axolotl.notes),
        ]

    def facts(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "llama_factory": {
                "name": self.key,
                "entry": self.llama_factory.entry,
                "notes": self.llama_factory.notes,
            },
            "axolotl": {
                "entry": self.axolotl.entry,
                "settings": dict(self.axolotl.settings),
                "notes": self.axolotl.notes,
            },
            "trl": self.trl,
            "files": [str(file) for file in self.files],
        }


@dataclass(frozen=True)
class Beside:
    """The files for trainers beside an export that is about to be written.

    Attributes:
        key: Name of the export in LLaMA-Factory.
        info: `dataset_info.json`, where it is to be written.
        known: Its content.
        recipe: The file for axolotl, where it is to be written.
    """

    key: str
    info: Path | None
    known: Mapping[str, Any]
    recipe: Path | None

    @classmethod
    def look(cls, file: Path, *, folder: bool) -> Beside:
        """See what is there already.

        Args:
            file: The export.
            folder: Whether a folder was asked for: then files are written; otherwise only an
                existing `dataset_info.json` gets its entry.

        Raises:
            UsageError: `dataset_info.json` is none, or has an entry of this name; or there is a
                file for axolotl.
        """
        key = file.name.partition(".")[0]
        info, recipe = file.with_name(INFO), file.with_name(_recipe(key))
        known: Any = {}
        if info.exists():
            try:
                known = json.loads(info.read_bytes())
            except ValueError as error:
                raise UsageError(f"{info} is no JSON: {error}", "Choose another --to.") from error
            if not isinstance(known, dict):
                raise UsageError(f"{info} holds no data sets by name", "Choose another --to.")
            if key in known:
                raise UsageError(
                    f"{info} has an entry '{key}' already, and stays as it is",
                    "Choose another name for the file, or remove the entry.",
                )
        if folder and recipe.exists():
            raise UsageError(f"{recipe} is there already, and stays as it is", "Remove it first.")
        return cls(
            key, info if folder or info.exists() else None, known, recipe if folder else None
        )

    def written(self, exported: Exported) -> Snippets:
        """Write the entries of an export where they belong."""
        llama, axo = llama_factory(exported), axolotl(exported)
        files = []
        if self.info is not None and llama.entry is not None:
            both = {**self.known, self.key: llama.entry}
            _replace(self.info, json.dumps(both, indent=2, ensure_ascii=False) + "\n")
            files.append(self.info)
        if self.recipe is not None and axo.entry is not None:
            _replace(self.recipe, _yaml(axo))
            files.append(self.recipe)
        return Snippets(self.key, llama, axo, trl(exported), tuple(files))


def _recipe(key: str) -> str:
    return f"{key}.axolotl.yaml"


def _yaml(advice: Advice) -> str:
    """Settings and the entry, which there has to be."""
    assert advice.entry is not None
    said = {**advice.settings, "datasets": [dict(advice.entry)]}
    return yaml.safe_dump(said, sort_keys=False, allow_unicode=True)


def _replace(file: Path, text: str) -> None:
    """Write a file so that a reader sees the old content or the new."""
    part = file.with_name(f".{secrets.token_hex(8)}-{file.name}")
    try:
        part.write_bytes(text.encode())
        if file.exists():
            part.chmod(file.stat().st_mode & 0o777)
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)
