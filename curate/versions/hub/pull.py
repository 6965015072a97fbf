"""Pulling a version that was pushed: fetched aside, verified, and only then put in its place."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from curate.errors import CurateError
from curate.printing import one_line
from curate.versions.hub.client import KIND, connect, content, explained, label_of, listed, look
from curate.versions.hub.readme import charts_in, own
from curate.versions.runs import read_manifest, versions_of
from curate.versions.store import aside, renamed, settle
from curate.versions.verify import CARD, DROPPED, SUMS, Verified, sums_of, verify

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_MANIFEST = "manifest.json"


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
        new: Whether this pull put it there; otherwise it was there, whole.
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


def pull(
    repo: str,
    out: Path,
    *,
    revision: str | None = None,
    sha256: str | None = None,
    join: bool = False,
) -> Pulled:
    """Fetch a version to `<out>/<name>/<version>`, whole and verified or not at all.

    Args:
        repo: `owner/name`.
        out: Where versions live.
        revision: A tag such as `v3`, a branch or a commit; None: what was pushed last.
        sha256: The hash of SHA256SUMS that is known from elsewhere; None: not compared.
        join: Put it among versions of the same name of which the repository has none.

    Raises:
        UsageError: The name is none.
        CurateError: It cannot be fetched, is not what was pushed, or another version is there; the
            versions that are there are not of this repository.
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
    labels = content(api, repo, commit, _MANIFEST)
    manifest = label_of(labels)
    if not manifest:
        raise _is_no_version(repo, revision)
    name, version, digest = manifest["name"], manifest["version"], manifest["digest"]
    wanted = [file for file in listed(listing) if file in files]
    card = content(api, repo, commit, CARD)
    beside = {".gitattributes", SUMS, *charts_in(card.decode("utf-8", "replace"), repo)}
    target = out / name / version
    new = not target.exists()
    if new:
        if not join:
            _check_series(api, repo, target.parent)
        known = {SUMS: listing, _MANIFEST: labels, CARD: card}
        _fetch(api, repo, commit, wanted, known, target, sums)
    else:
        _check_here(target, digest, sums, repo)
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


def _check_series(api: HfApi, repo: str, folder: Path) -> None:
    """Raise CurateError where versions are here, and the repository has none of them."""
    here = {version: sums_of(folder / version) for version in reversed(versions_of(folder))}
    if not here:
        return
    with explained(repo):
        tags = {
            each.name: each.target_commit for each in api.list_repo_refs(repo, repo_type=KIND).tags
        }
    for version, sums in here.items():
        if version not in tags:
            continue
        commit, files = look(api, repo, tags[version])
        if SUMS in files:
            there = hashlib.sha256(content(api, repo, commit, SUMS)).hexdigest()
            if there == sums:
                return
    raise CurateError(
        f"{folder} holds versions of which {repo} has none ({', '.join(reversed(here))}): what is "
        "pulled would be taken for the next of yours.",
        "Pull to another folder with --out, or among them with --join.",
    )


def _check_here(target: Path, digest: str, sums: str, repo: str) -> None:
    """Raise CurateError where what is in the place of the version is another, or damaged."""
    there = one_line(str(read_manifest(target).get("digest")))
    if there != digest:
        raise CurateError(
            f"{target} is another version: it has the digest {there}, that of {repo} has {digest}.",
            "A version is never replaced; pull to another folder with --out.",
        )
    verified = verify(target, pushed=True)
    if verified.findings:
        raise CurateError(
            f"{target} is not what was published: {verified.findings[0]}",
            "A version is never replaced; move it away, and pull again.",
        )
    if verified.sums != sums:
        raise CurateError(
            f"{target} has the digest of {repo}, but other files: its {SUMS} has the sha256 "
            f"{verified.sums}, that of {repo} has {sums}.",
            "The same rows were published twice; pull to another folder with --out.",
        )


def _fetch(
    api: HfApi,
    repo: str,
    commit: str,
    files: Collection[str],
    known: Mapping[str, bytes],
    target: Path,
    sums: str,
) -> None:
    """Put the files aside, verify them, and rename them into their place."""
    with aside(target.parent) as partial:
        with explained(repo):
            for file, fetched in known.items():
                (partial / file).write_bytes(fetched)
            for file in files:
                if file not in known:
                    api.hf_hub_download(
                        repo, file, repo_type=KIND, revision=commit, local_dir=partial
                    )
        shutil.rmtree(partial / ".cache", ignore_errors=True)  # the client's notes on downloads
        verified = verify(partial, sums, pushed=True)
        if not verified.ok:
            raise _is_not_whole(repo, commit, verified)
        card = partial / CARD
        card.write_bytes(own(card.read_bytes().decode()).encode())  # that this is it was verified
        settle(partial)
        if not renamed(partial, target):
            raise CurateError(f"{target} came to be meanwhile.", "Type the command again.")


def _is_not_whole(repo: str, commit: str, verified: Verified) -> CurateError:
    found = "\n".join(f"  {finding}" for finding in verified.findings)
    return CurateError(
        f"{repo} at {commit[:12]} is not what was pushed; nothing was kept:\n{found}",
        "Ask who pushed it, or pull a tag that is whole.",
    )
