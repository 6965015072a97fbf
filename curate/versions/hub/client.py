"""The Hub's client, and what goes wrong there in words of ours.

Needs the extra `hub`. Tokens come from `HF_TOKEN` or the stored login, through the client itself:
none is read, kept or shown here.
"""

from __future__ import annotations

import errno
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import CurateError, UsageError
from curate.printing import one_line

if TYPE_CHECKING:
    from huggingface_hub import HfApi

KIND = "dataset"
"""What the Hub calls a repository of data."""

_REPO = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_LINE = re.compile(r"[0-9a-f]{64} [ *](?P<file>([\w-][\w.-]*/)*[\w-][\w.-]*)", re.ASCII)
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_VERSION = re.compile(r"v[1-9][0-9]*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_QUERY = re.compile(r"\?[^\s'\"]+")
_LOGIN = "Log in with `hf auth login`, or set HF_TOKEN."
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_AGAIN = "Check the network and type the command again; what has arrived is not sent again."


def connect(repo: str, *, writes: bool = False) -> HfApi:
    """The client, once it is sure that a repository can be asked for.

    Args:
        repo: `owner/name`.
        writes: Whether it is to be written to, which takes a token.

    Raises:
        UsageError: The name is none.
        CurateError: A library or a token is missing, or the Hub must not be asked.
    """
    if not _REPO.fullmatch(repo):
        raise UsageError(f"'{one_line(repo)}' is no repository.", "Write owner/name.")
    try:
        from huggingface_hub import HfApi, constants, get_token
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # it is public
    except ImportError as error:
        raise CurateError(
            f"{repo} is on the Hugging Face Hub, which needs a library: {error}",
            "pip install 'curate-data[hub]'",
        ) from error
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UsageError(f"'{repo}' is no repository: {error}", "Write owner/name.") from error
    if constants.HF_HUB_OFFLINE:
        raise CurateError(
            f"{repo} is on the Hugging Face Hub, and HF_HUB_OFFLINE forbids to ask it.",
            "Unset HF_HUB_OFFLINE.",
        )
    if writes and get_token() is None:
        raise CurateError(f"To write to {repo}, the Hub wants a token.", _LOGIN)
    return HfApi()


@contextmanager
def explained(repo: str) -> Iterator[None]:
    """Turn what the client raises into one message; draws bars on a terminal only.

    Raises:
        CurateError: With what went wrong and the remedy.
    """
    from huggingface_hub import errors
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    quiet = not sys.stderr.isatty() and not are_progress_bars_disabled()
    if quiet:
        disable_progress_bars()
    try:
        yield
    except CurateError:
        raise
    except errors.GatedRepoError as error:
        raise CurateError(
            f"The data set {repo} asks you to accept its terms.",
            f"Do so at https://huggingface.co/datasets/{repo}. {_LOGIN}",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise CurateError(
            f"The data set {repo} has no such revision.", "Name a tag, a branch or a commit of it."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise CurateError(
            f"There is no data set {repo} on the Hub, or it is not for everybody.",
            f"Check its name. For a private one: {_LOGIN}",
        ) from error
    except errors.HfHubHTTPError as error:
        raise _refused(repo, error) from error
    except ValueError as error:
        raise CurateError(f"{repo}: the Hub's client refuses: {_said(error)}") from error
    # What a network raises differs from one client library to the next; all of it is carried on.
    except Exception as error:
        if isinstance(error, OSError) and (error.filename or error.errno in _FULL):
            raise CurateError(
                f"{repo}: on this machine: {_said(error)}",
                "Check that there is room, and that you may write there.",
            ) from error
        raise CurateError(f"{repo}: {_said(error)}", _AGAIN) from error
    finally:
        if quiet:
            enable_progress_bars()


def _refused(repo: str, error: Exception) -> CurateError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return CurateError(f"The Hub does not know the token that came with {repo}.", _LOGIN)
    if status == 403:
        return CurateError(
            f"The token may not write to {repo}.",
            "Take one that may write there, or another owner's name.",
        )
    if status == 412:
        return CurateError(
            f"{repo} has changed while this was sent.", "Type the command again: nothing is lost."
        )
    return CurateError(f"{repo}: {_said(error)}", _AGAIN)


def _said(error: BaseException) -> str:
    """What an error says, and what caused it, without what signs an address, or a token."""
    from huggingface_hub import get_token

    causes = [error, *([error.__cause__] if error.__cause__ else [])]
    said = ": ".join(one_line(str(each)) or type(each).__name__ for each in causes)
    said = _QUERY.sub("?...", said)
    token = get_token()
    return said.replace(token, "...") if token else said


def look(api: HfApi, repo: str, revision: str | None) -> tuple[str, frozenset[str]]:
    """The commit that a revision (None: `main`) stands for, and the files that it has."""
    with explained(repo):
        info = api.dataset_info(repo, revision=revision)
    assert info.sha is not None, "the Hub names the commit of what it describes"
    return info.sha, frozenset(file.rfilename for file in info.siblings or ())


def stored(api: HfApi, repo: str, commit: str) -> dict[str, str]:
    """What the Hub knows files of a commit by: large ones by sha256, others by git's own id."""
    with explained(repo):
        info = api.dataset_info(repo, revision=commit, files_metadata=True)
    return {
        file.rfilename: (file.lfs.sha256 if file.lfs else file.blob_id) or ""
        for file in info.siblings or ()
    }


def content(api: HfApi, repo: str, commit: str, path: str) -> bytes:
    """The content of one file, left in no cache."""
    with explained(repo), tempfile.TemporaryDirectory() as folder:
        found = api.hf_hub_download(repo, path, repo_type=KIND, revision=commit, local_dir=folder)
        return Path(found).read_bytes()


def label_of(manifest: bytes) -> dict[str, Any]:
    """A manifest whose name, version and digest are what such are; empty where it is none.

    They may name folders, and be shown.
    """
    try:
        read = json.loads(manifest)
        fits = (
            _NAME.fullmatch(read["name"])
            and _VERSION.fullmatch(read["version"])
            and _DIGEST.fullmatch(read["digest"])
        )
    except (ValueError, KeyError, TypeError):  # somebody else's file of that name
        return {}
    return dict(read) if fits else {}


def listed(sums: bytes) -> list[str]:
    """The files that a SHA256SUMS names, without any whose name could lead elsewhere.

    What is left out is not fetched, and found missing by `verify`.
    """
    found = (_LINE.fullmatch(line) for line in sums.decode("utf-8", "replace").splitlines())
    return [line["file"] for line in found if line]
