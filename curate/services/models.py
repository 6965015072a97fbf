"""Models on this machine: from the name in a recipe to a folder of files with a digest.

Only configuration, tokenizer and safetensors weights count; pickled weights are refused. Imports
neither torch nor transformers.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from curate.contract import ModelFiles
from curate.errors import CurateError, PluginError
from curate.plugins.registry import Registry
from curate.sources.hashes import file_sha256

PATTERNS = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
"""Files that make a model: configuration, weights, vocabulary, chat template."""

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?\Z")
_ALIAS = re.compile(r"([a-z][a-z0-9_-]*):([\w.-]+)\Z")


def find_problem(name: str, registry: Registry) -> str | None:
    """What is wrong with a model's name, as far as can be told without network; None if nothing."""
    try:
        _local(name, registry)
    except CurateError as error:
        return str(error)
    return None


def resolve(name: str, registry: Registry, *, download: bool) -> ModelFiles:
    """Find a model: an alias (`builtin:minilm`), a folder, or `owner/name[@revision]` on the Hub.

    Args:
        name: As the recipe writes it.
        registry: Where aliases are found.
        download: Whether a model that is not on this machine may be fetched from the Hub;
            `HF_HUB_OFFLINE=1` forbids it in any case.

    Raises:
        CurateError: It cannot be found, or has no safetensors weights. Another model is never
            taken in its place.
    """
    path = _local(name, registry)
    commit = None
    if path is None:
        path, commit = _from_hub(name, download=download)
    files = _files(name, path)
    digest = hashlib.sha256()
    for relative, file in files.items():
        digest.update(f"{relative}\0{file_sha256(file)}\n".encode())
    return ModelFiles(name, path, commit, digest.hexdigest())


def _local(name: str, registry: Registry) -> Path | None:
    """The folder of an alias or of a local model; None if the name is one on the Hub."""
    alias = _ALIAS.match(name)
    if alias:
        try:
            return registry.model_alias(*alias.groups())
        except PluginError as error:
            raise CurateError(f"no model '{name}': {error.message}", error.remedy) from error
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or name.startswith((".", "~")) or not _HUB_NAME.match(name):
        raise CurateError(
            f"there is no model folder '{name}'",
            "Name a folder with config.json, owner/name on the Hub, or an alias such as "
            "builtin:minilm.",
        )
    return None


def _files(name: str, path: Path) -> Mapping[str, Path]:
    found = {
        file.relative_to(path).as_posix(): file
        for pattern in PATTERNS
        for file in path.rglob(pattern)
        if file.is_file()
    }
    if "config.json" not in found:
        raise CurateError(f"The model '{name}' has no config.json in {path}.")
    if not any(file.endswith(".safetensors") for file in found):
        raise CurateError(
            f"The model '{name}' has no safetensors weights in {path}.",
            "Pickled weights can run code when they are loaded, so they are not read; "
            "save the model with safetensors.",
        )
    return dict(sorted(found.items()))


def _from_hub(name: str, *, download: bool) -> tuple[Path, str]:
    repository, _, revision = name.partition("@")
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        raise CurateError(
            f"The model '{name}' is on the Hub, which needs huggingface_hub.",
            "pip install 'curate-data[hub]'",
        ) from None
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    try:
        folder = snapshot_download(
            repository,
            revision=revision or None,
            allow_patterns=list(PATTERNS),
            local_files_only=offline or not download,
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        why = "and HF_HUB_OFFLINE is set" if offline else f"and the Hub says: {_line(error)}"
        raise CurateError(
            f"The model '{name}' is not on this machine, {why}.",
            f"Fetch it where there is a network: hf download {repository}",
        ) from error
    # the Hub's cache keeps each snapshot in a folder named after its commit
    return Path(folder), Path(folder).name


def _line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
