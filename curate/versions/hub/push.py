"""Pushing a version: one commit with all of its files and the card, and one tag.

A commit is whole or it is not there, so whatever is interrupted is done by pushing again: large
files that have arrived are not sent again, a commit that lacks its tag gets it, and a version whose
tag is there is left as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import TYPE_CHECKING

from curate.errors import CurateError, UsageError
from curate.versions.hub.client import KIND, connect, content, explained, listed
from curate.versions.hub.readme import merged
from curate.versions.hub.there import (
    There,
    check_strangers,
    check_tag,
    check_whole,
    differing,
    files_before,
    look_at,
    own_card,
    readme_of,
)
from curate.versions.open import Version
from curate.versions.runs import PREVIEW
from curate.versions.verify import CARD, DROPPED, SUMS, verify

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_CHARTS = "charts"


@dataclass(frozen=True)
class Pushed:
    """A version on the Hub.

    Attributes:
        repo: `owner/name`.
        url: Where it can be looked at.
        version: The tag, such as `v3`.
        digest: Of the version.
        sums: Hex sha256 of the SHA256SUMS that is there.
        commit: What the tag stands for.
        new: Whether this push made the tag.
        files: Files that its SHA256SUMS names and that are there.
        dropped: Whether `dropped.parquet` is among them.
        charts: Pictures beside them.
        differs: Files that are there with other bytes than here, where only the digest agrees.
        replaced: Fields of the README's metadata that people wrote, and that the card took.
        newer: The later version that `main` was before, such as `v4`; empty where it was none.
    """

    repo: str
    url: str
    version: str
    digest: str
    sums: str
    commit: str
    new: bool
    files: int
    dropped: bool
    charts: int
    differs: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    newer: str = ""


def push(
    version: Version,
    repo: str,
    *,
    private: bool = False,
    dropped: bool = False,
    message: str | None = None,
    replace: bool = False,
    charts: Callable[[Version], Mapping[str, bytes]] | None = None,
) -> Pushed:
    """Push a version to a repository, which is made if it is missing.

    Args:
        version: A numbered version.
        repo: `owner/name`.
        private: Make the repository a private one.
        dropped: Push `dropped.parquet` too.
        message: Of the commit.
        replace: Also where people wrote into the card, or have `configs` of other names.
        charts: Draws pictures to show below the card, file name > PNG, where something is sent.

    Raises:
        UsageError: A preview, a name that is none, or no `dropped.parquet` to push.
        CurateError: The version is damaged, the Hub refuses, or the repository holds something
            that must not be overwritten.
    """
    tag, digest = version.version, version.digest
    _check(version, dropped)
    api = connect(repo, writes=True)
    with explained(repo):
        _repository(api, repo, private)
        refs = api.list_repo_refs(repo, repo_type=KIND)
    tagged = any(each.name == tag for each in refs.tags)
    there = look_at(api, repo, tag if tagged else None)
    differs: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    newer = ""
    if tagged:
        check_tag(there, version, repo, dropped)
        rows = DROPPED in there.files and (version.path / DROPPED).is_file()
        differs = differing(api, repo, there, version, _chosen(version, rows))
        if differs and SUMS not in differs:
            raise CurateError(
                f"{tag} at {repo} is not what its {SUMS} says: {', '.join(differs)}.",
                "Push to another repository, or delete the tag there first.",
            )
    else:
        files = _chosen(version, dropped)
        whole = (DROPPED in there.files) == dropped
        if not whole or differing(api, repo, there, version, files):
            newer = there.manifest["version"] if there.number > int(tag[1:]) else ""
            pictures = charts(version) if charts else {}
            made, replaced = _commit(
                api, repo, there, version, files, message, pictures, replace=replace
            )
            there = look_at(api, repo, made)
            check_whole(there, repo, files)
        said = f"{version.name} {tag}, digest sha256:{digest}"
        with explained(repo):
            api.create_tag(repo, tag=tag, tag_message=said, revision=there.commit, repo_type=KIND)
    sums = content(api, repo, there.commit, SUMS)
    return Pushed(
        repo,
        f"{api.endpoint}/datasets/{repo}/tree/{tag}",
        tag,
        digest,
        hashlib.sha256(sums).hexdigest(),
        there.commit,
        not tagged,
        len(there.files & {*listed(sums)}),
        DROPPED in there.files,
        sum(fnmatch(file, f"{_CHARTS}/*.png") for file in there.files),
        differs,
        replaced,
        newer,
    )


def _check(version: Version, dropped: bool) -> None:
    if version.version == PREVIEW:
        raise UsageError(
            f"{version.name}@{PREVIEW} is a look at a part of the sources, not a version.",
            "Run the recipe without --limit, and push what it publishes.",
        )
    if dropped and not (version.path / DROPPED).is_file():
        raise UsageError(
            f"{version.path} holds no {DROPPED} to push.",
            "The recipe, or a push before, has left it out; push without --dropped.",
        )
    pulled = not (version.path / DROPPED).exists()
    verified = verify(version.path, pushed=pulled)
    if verified.findings:
        raise CurateError(
            f"{verified.name} is not what was published: {verified.findings[0]}",
            f"`curate verify {verified.name}` says everything that is wrong.",
        )


def _repository(api: HfApi, repo: str, private: bool) -> None:
    """Make the repository if there is none.

    Raises:
        CurateError: It is to be private, and is there and public.
    """
    from huggingface_hub import errors

    try:
        info = api.dataset_info(repo)
    except errors.RepositoryNotFoundError:
        api.create_repo(repo, repo_type=KIND, private=private or None, exist_ok=True)
        return
    if private and not info.private:
        raise CurateError(
            f"{repo} is there already, and everybody may read it; nothing was pushed.",
            "Make it private in its settings, or push without --private.",
        )


def _chosen(version: Version, dropped: bool) -> set[str]:
    """The files of a version that are to be in a repository."""
    files = {SUMS, *listed((version.path / SUMS).read_bytes())}
    return files if dropped else files - {DROPPED}


def _commit(
    api: HfApi,
    repo: str,
    there: There,
    version: Version,
    files: Collection[str],
    message: str | None,
    charts: Mapping[str, bytes],
    *,
    replace: bool,
) -> tuple[str, tuple[str, ...]]:
    """One commit that makes `main` this version and leaves what people added.

    Returns:
        Its id, and the fields of the README that it took the place of.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    sent: dict[str, str | bytes] = {
        file: str(version.path / file) for file in sorted(files) if file != CARD
    }
    pictures = {f"{_CHARTS}/{name}": picture for name, picture in charts.items()}
    theirs = readme_of(api, repo, there)
    card = own_card(version)
    readme = merged(theirs, card, repo, version.version, [*pictures], replace=replace)
    old = files_before(api, repo, there, theirs)
    check_strangers(repo, version, there, {*sent, *pictures}, old)
    sent |= pictures
    sent[CARD] = readme.text.encode()
    with explained(repo):
        made = api.create_commit(
            repo,
            [
                *(CommitOperationAdd(file, content) for file, content in sent.items()),
                *(CommitOperationDelete(file) for file in sorted(old - sent.keys())),
            ],
            commit_message=message or f"{version.name} {version.version}",
            commit_description=f"digest sha256:{version.digest}",
            repo_type=KIND,
            parent_commit=there.commit,
        )
    return made.oid, readme.replaced
