"""Pulling a version that was pushed: fetched aside, verified, and only then put in its place."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import CurateError
from curate.versions.hub.client import KIND, connect, content, explained, listed, look
from curate.versions.hub.readme import charts_in, original
from curate.versions.runs import read_manifest
from curate.versions.store import aside, renamed, settle
from curate.versions.text import one_line
from curate.versions.verify import CARD, DROPPED, SUMS, Verified, verify

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_MANIFEST = "manifest.json"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_VERSION = re.compile(r"v[1-9][0-9]*")


@dataclass(frozen=True)
class Pulled:
    """A version that came from the Hub.

    Attributes:
        repo: `owner/name`.
        commit: That it was pulled from.
        path: Its folder.
        name: The data set.
        version: Such as `v3`.
        digest: Of the version.
        sums: Hex sha256 of its SHA256SUMS.
        new: Whether this pull put it there; otherwise a version with its digest was there.
        dropped: Whether it has `dropped.parquet`.
        others: Files of the repository that are not of the version, and were left there.
    """

    repo: str
    commit: str
    path: Path
    name: str
    version: str
    digest: str
    sums: str
    new: bool
    dropped: bool
    others: tuple[str, ...]


def pull(repo: str, out: Path, *, revision: str | None = None, sha256: str | None = None) -> Pulled:
    """Fetch a version to `<out>/<name>/<version>`, whole and verified or not at all.

    Args:
        repo: `owner/name`.
        out: Where versions live.
        revision: A tag such as `v3`, a branch or a commit; None: what was pushed last.
        sha256: The hash of SHA256SUMS that is known from elsewhere; None: not compared.

    Raises:
        UsageError: The name is none.
        CurateError: It cannot be fetched, is not what was pushed, or another version is there.
    """
    api = connect(repo)
    commit, files = look(api, repo, revision)
    if not files >= {SUMS, _MANIFEST, CARD}:
        raise _is_no_version(repo, revision)
    listing = content(api, repo, commit, SUMS)
    sums = hashlib.sha256(listing).hexdigest()
    if sha256 is not None and sums != sha256.strip().lower():
        raise CurateError(
            f"The {SUMS} of {repo} has the sha256 {sums}, not {one_line(sha256)}; nothing was "
            "fetched.",
            "This is another version than the one that you know, or it was changed.",
        )
    manifest = _label(content(api, repo, commit, _MANIFEST), repo, revision)
    name, version, digest = manifest["name"], manifest["version"], manifest["digest"]
    wanted = [file for file in listed(listing) if file in files]
    readme = content(api, repo, commit, CARD).decode("utf-8", "replace")
    beside = {".gitattributes", SUMS, *charts_in(readme, repo)}
    target = out / name / version
    new = not _is_here(target, digest, repo)
    if new:
        _fetch(api, repo, commit, wanted, target, sums)
    return Pulled(
        repo,
        commit,
        target,
        name,
        version,
        digest,
        sums,
        new,
        (target / DROPPED).exists(),
        tuple(sorted(files - beside - {*wanted})),
    )


def _is_no_version(repo: str, revision: str | None) -> CurateError:
    at = f" at {one_line(revision)}" if revision else ""
    return CurateError(
        f"{repo} holds no version of curate's{at}.", "Name a tag that `curate push` made."
    )


def _label(content: bytes, repo: str, revision: str | None) -> dict[str, Any]:
    """The manifest, if its name and version may name folders."""
    try:
        manifest = json.loads(content)
        fits = _NAME.fullmatch(manifest["name"]) and _VERSION.fullmatch(manifest["version"])
    except (ValueError, KeyError, TypeError):
        fits = None
    if not fits or not isinstance(manifest.get("digest"), str):
        raise _is_no_version(repo, revision)
    return dict(manifest)


def _is_here(target: Path, digest: str, repo: str) -> bool:
    """Whether the version is there already.

    Raises:
        CurateError: Another one is in its place.
    """
    if not target.exists():
        return False
    there = read_manifest(target).get("digest")
    if there != digest:
        raise CurateError(
            f"{target} is another version: it has the digest {there}, that of {repo} has {digest}.",
            "A version is never replaced; pull to another folder with --out.",
        )
    return True


def _fetch(
    api: HfApi, repo: str, commit: str, files: Collection[str], target: Path, sums: str
) -> None:
    """Fetch the files aside, verify them, and rename them into their place."""
    with aside(target.parent) as partial:
        with explained(repo):
            for file in [*files, SUMS]:
                api.hf_hub_download(repo, file, repo_type=KIND, revision=commit, local_dir=partial)
        shutil.rmtree(partial / ".cache", ignore_errors=True)  # the client's notes on downloads
        verified = verify(partial, sums, pushed=True)
        if not verified.ok:
            raise _is_not_whole(repo, commit, verified)
        _restore(partial, repo)
        settle(partial)
        if not renamed(partial, target):
            raise CurateError(f"{target} came to be meanwhile.", "Type the command again.")


def _restore(folder: Path, repo: str) -> None:
    """Give the version its own README back, where the card in the repository's is unchanged."""
    file = folder / CARD
    whole = original(file.read_text("utf-8", "replace"), repo).encode()
    line = f"{hashlib.sha256(whole).hexdigest()}  {CARD}"
    if line in (folder / SUMS).read_text("utf-8", "replace").splitlines():
        file.write_bytes(whole)


def _is_not_whole(repo: str, commit: str, verified: Verified) -> CurateError:
    found = "\n".join(f"  {finding}" for finding in verified.findings)
    return CurateError(
        f"{repo} at {commit[:12]} is not what was pushed; nothing was kept:\n{found}",
        "Ask who pushed it, or pull a tag that is whole.",
    )
