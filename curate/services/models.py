"""Finding the model that a recipe names: an alias, a folder, or a repository on the Hub.

Only safetensors, configuration and tokenizer files count: a pickle can run code when it is read.
Of a model whose tokenizer alone is wanted, named `tokenizer:<name>` here and in locks, weights need
not be there and do not count.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from curate.contract.context import ModelFiles
from curate.contract.marks import ModelName
from curate.errors import CurateError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from curate.plugins.registry import Registry

_ALIAS = re.compile(r"([a-z][a-z0-9_-]+):(.+)")
_HUB = re.compile(r"([\w.-]+(?:/[\w.-]+)?)(?:@([\w./-]+))?")
_SUFFIXES = (".jinja", ".json", ".txt", ".model", ".safetensors")
_TOKENIZER = "tokenizer:"
_TOKENIZER_FILES = re.compile(
    r"(?:config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json"
    r"|chat_template\.(?:jinja|json)|(?:vocab|merges)\.txt|[\w.-]*\.model"
)
_FORMS = "Write an alias such as builtin:minilm, a folder, or owner/name[@revision] on the Hub."


def resolve(
    name: str, registry: Registry, *, download: bool, commit: str | None = None
) -> ModelFiles:
    """Find a model's files on this machine.

    Args:
        name: `alias:word`, a folder, or `owner/name[@revision]` on the Hugging Face Hub. A folder
            that exists comes before a repository of the same name. With `tokenizer:` before it,
            what its tokenizer needs is enough.
        registry: Knows the aliases.
        download: Whether files that are not here may be fetched from the Hub.
        commit: Of a repository on the Hub, to be taken whatever the revision is by now.

    Raises:
        CurateError: There is no such model here, or it holds no safetensors (or no tokenizer).
    """
    path, found = _located(name, registry, download=download, commit=commit)
    return ModelFiles(name, path, found, _digest(name, path))


def locate(name: str, registry: Registry) -> ModelFiles:
    """As `resolve`, of what is on this machine, without a look at its files: the digest is empty.

    Raises:
        CurateError: There is no such model here.
    """
    path, commit = _located(name, registry, download=False, commit=None)
    return ModelFiles(name, path, commit, "")


def _located(
    name: str, registry: Registry, *, download: bool, commit: str | None
) -> tuple[Path, str | None]:
    """A model's folder, and its commit if it came from the Hub."""
    whole, name = name, bare(name)
    alias, folder, hub = _ALIAS.fullmatch(name), Path(name).expanduser(), _HUB.fullmatch(name)
    found = None
    if alias:
        path = registry.model_alias(alias[1], alias[2])
    elif folder.is_dir():
        path = folder
    elif hub and not _is_path(name):
        path, found = _from_hub(hub[1], commit or hub[2], whole, download=download)
    else:
        raise CurateError(_missing(name), _FORMS)
    return path.resolve(), found


def name_for(mark: ModelName, value: str) -> str:
    """The name under which the model that a parameter names is found and locked."""
    return _TOKENIZER + value if mark.tokenizer else value


def bare(name: str) -> str:
    """A model's name as recipes write it."""
    return name.removeprefix(_TOKENIZER)


def alias_of(name: str) -> str | None:
    """The word before the colon of `alias:word`; None of any other name."""
    found = _ALIAS.fullmatch(bare(name))
    return found[1] if found else None


def find_problem(name: str, registry: Registry) -> str | None:
    """What is wrong with a model's name as far as this machine knows, without a network."""
    whole, name = name, bare(name)
    alias, folder, hub = _ALIAS.fullmatch(name), Path(name).expanduser(), _HUB.fullmatch(name)
    try:
        if alias:
            registry.model_alias(alias[1], alias[2])
        elif folder.is_dir():
            _check_safe(whole, (file.name for file in folder.iterdir()))
        elif not hub or _is_path(name):
            return f"{_missing(name)} {_FORMS}"
    except CurateError as error:
        return f"{error.message} {error.remedy}".rstrip()
    return None


def _is_path(name: str) -> bool:
    return name.startswith(("/", ".", "~")) or Path(name).expanduser().exists()


def _missing(name: str) -> str:
    if Path(name).expanduser().is_file():
        return f"The model '{name}' is a file, not a folder."
    kind = "There is no folder" if _is_path(name) else "There is no model"
    return f"{kind} '{name}'."


def _counts(model: str, name: str) -> bool:
    """Whether a file (its name relative to the model's folder) is part of the model."""
    if model.startswith(_TOKENIZER):
        return _TOKENIZER_FILES.fullmatch(name) is not None
    parts = name.split("/")
    pooling = len(parts) == 2 and re.fullmatch(r"\d+_\w+", parts[0]) and parts[1] == "config.json"
    top = len(parts) == 1 and name.endswith(_SUFFIXES) and not name.startswith("consolidated")
    return bool(top or pooling)


def _check_safe(name: str, files: Iterable[str]) -> None:
    found = set(files)
    if name.startswith(_TOKENIZER):
        if "tokenizer.json" not in found:
            raise CurateError(
                f"The model '{bare(name)}' has no fast tokenizer (tokenizer.json).",
                "Save one with AutoTokenizer.from_pretrained(...).save_pretrained(...).",
            )
        return
    if "config.json" not in found:
        raise CurateError(f"The model '{name}' has no config.json.", _FORMS)
    if not any(file.endswith(".safetensors") for file in found):
        raise CurateError(
            f"The model '{name}' has no weights in safetensors; other formats may be pickles, "
            "which can run code when they are read, and are not opened.",
            "Convert it with save_pretrained(...), or name a revision that has safetensors.",
        )


def _digest(name: str, path: Path) -> str:
    from curate.sources.hashes import file_sha256

    names = (file.relative_to(path).as_posix() for file in path.glob("**/*") if file.is_file())
    files = sorted(file for file in names if _counts(name, file))
    _check_safe(name, files)
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file}\0{file_sha256(path / file)}\n".encode())
    return total.hexdigest()


def _from_hub(repo: str, revision: str | None, whole: str, *, download: bool) -> tuple[Path, str]:
    try:
        from huggingface_hub import HfApi, constants, errors, snapshot_download
    except ImportError as error:
        raise CurateError(
            f"The model '{repo}' is on the Hugging Face Hub, which needs a library.",
            "pip install 'curate-data[hub]', or name a local folder.",
        ) from error
    online = download and not constants.HF_HUB_OFFLINE
    try:
        files: list[str] | None = None
        if online:
            info = HfApi().model_info(repo, revision=revision)
            revision = info.sha
            names = [file.rfilename for file in info.siblings or ()]
            files = [file for file in names if _counts(whole, file)]
            _check_safe(whole, files)
        path = Path(
            snapshot_download(
                repo, revision=revision, allow_patterns=files, local_files_only=not online
            )
        )
    except errors.GatedRepoError as error:
        raise CurateError(
            f"The model '{repo}' on the Hub asks you to accept its terms.",
            f"Do so at https://huggingface.co/{repo}, then: hf auth login",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise CurateError(
            f"The model '{repo}' on the Hub has no revision '{revision}'.",
            "Name a branch, a tag or a commit of it.",
        ) from error
    except errors.LocalEntryNotFoundError as error:
        asked = f"{repo}@{revision}" if revision else repo
        raise CurateError(
            f"The model '{asked}' is not on this machine, and the Hub was not asked or did not "
            "answer.",
            f"Fetch it with a network: hf download {repo} (and unset HF_HUB_OFFLINE), or name a "
            "local folder.",
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise CurateError(
            f"There is no model '{repo}' on the Hub, or it is private.",
            f"{_FORMS} For a private one: hf auth login",
        ) from error
    except Exception as error:  # what a network raises differs from one client library to the next
        said = " ".join(str(error).split())
        raise CurateError(
            f"The model '{repo}' could not be fetched from the Hub: {said}",
            f"Try again, or name a local folder. {_FORMS}",
        ) from error
    return path, path.name
