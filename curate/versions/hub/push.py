"""Pushing a version: one commit with all of its files and the card, and one tag.

A commit is whole or it is not there, so whatever is interrupted is done by pushing again: large
files that have arrived are not sent again, a commit that lacks its tag gets it, and a version whose
tag is there is left as it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

from curate.errors import CurateError, UsageError
from curate.versions.hub.client import KIND, connect, content, explained, listed, look
from curate.versions.hub.readme import charts_in, merged
from curate.versions.open import Version
from curate.versions.runs import PREVIEW
from curate.versions.verify import CARD, DROPPED, SUMS, verify

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MANIFEST = "manifest.json"
_CHARTS = "charts"
_LOADED = "data/train-*.parquet"
"""What the card tells the Hub to load: there must be no other version's file among them."""

_OF_THE_HUB = (".gitattributes", CARD)
"""Files that may be in a repository before a version is."""


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


@dataclass(frozen=True)
class _There:
    """A commit of a repository: its files, and the manifest among them, if any."""

    commit: str
    files: frozenset[str]
    manifest: Mapping[str, Any]


def push(
    version: Version,
    repo: str,
    *,
    private: bool = False,
    dropped: bool = False,
    message: str | None = None,
    charts: Callable[[Version], Mapping[str, bytes]] | None = None,
) -> Pushed:
    """Push a version to a repository, which is made if it is missing.

    Args:
        version: A numbered version.
        repo: `owner/name`.
        private: Make the repository a private one.
        dropped: Push `dropped.parquet` too.
        message: Of the commit.
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
    there = _look(api, repo, tag if tagged else None)
    if tagged:
        _check_tag(there, version, repo, dropped)
    else:
        files = _chosen(version, dropped)
        if not _is_whole(api, repo, there, version, files):
            pictures = charts(version) if charts else {}
            made = _commit(api, repo, there, version, files, message, pictures)
            there = _look(api, repo, made)
            _check_whole(there, repo, files)
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


def _look(api: HfApi, repo: str, revision: str | None) -> _There:
    commit, files = look(api, repo, revision)
    manifest = None
    if MANIFEST in files:
        with suppress(ValueError):  # somebody else's file of that name
            manifest = json.loads(content(api, repo, commit, MANIFEST))
    ours = manifest if isinstance(manifest, dict) and "digest" in manifest else {}
    return _There(commit, files, ours)


def _check_tag(there: _There, version: Version, repo: str, dropped: bool) -> None:
    found = there.manifest.get("digest")
    if found != version.digest:
        what = f"the digest {found}" if found else "no version of curate's"
        raise CurateError(
            f"{repo} has a tag {version.version} already, with {what}; a tag is never moved.\n"
            f"  {version.name}@{version.version} has the digest {version.digest}.",
            "Push to another repository.",
        )
    if dropped and DROPPED not in there.files:
        raise CurateError(
            f"{version.version} is at {repo} already, without {DROPPED}; a tag is never moved.",
            "Push to another repository, or delete the tag there first.",
        )


def _chosen(version: Version, dropped: bool) -> set[str]:
    """The files of a version that are to be in a repository."""
    files = {SUMS, *listed((version.path / SUMS).read_bytes())}
    return files if dropped else files - {DROPPED}


def _is_whole(
    api: HfApi, repo: str, there: _There, version: Version, files: Collection[str]
) -> bool:
    """Whether `main` is this version already, as a push that did not come to its tag left it."""
    if not there.files.issuperset(files) or (DROPPED in there.files) != (DROPPED in files):
        return False
    return content(api, repo, there.commit, SUMS) == (version.path / SUMS).read_bytes()


def _check_whole(there: _There, repo: str, files: Collection[str]) -> None:
    missing = sorted({*files} - there.files)
    if missing:
        raise CurateError(
            f"{repo} did not take {', '.join(missing)}, so that no version was tagged.",
            "Its .gitignore leaves them out; mend it there and push again.",
        )


def _commit(
    api: HfApi,
    repo: str,
    there: _There,
    version: Version,
    files: Collection[str],
    message: str | None,
    charts: Mapping[str, bytes],
) -> str:
    """One commit that makes `main` this version and leaves what people added; returns its id."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    sent: dict[str, str | bytes] = {
        file: str(version.path / file) for file in sorted(files) if file != CARD
    }
    pictures = {f"{_CHARTS}/{name}": picture for name, picture in charts.items()}
    theirs = _readme(api, repo, there)
    card = (version.path / CARD).read_text()
    readme = merged(theirs, card, repo, version.version, [*pictures])
    old = _old(api, repo, there, theirs)
    _check_strangers(repo, version, there, {*sent, *pictures}, old)
    sent |= pictures
    sent[CARD] = readme.encode()
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
    return made.oid


def _readme(api: HfApi, repo: str, there: _There) -> str:
    if CARD not in there.files:
        return ""
    try:
        return content(api, repo, there.commit, CARD).decode()
    except UnicodeDecodeError as error:
        raise CurateError(f"{CARD} of {repo} is not UTF-8: {error}", "Mend it there.") from error


def _old(api: HfApi, repo: str, there: _There, readme: str) -> set[str]:
    """The files of the version that is there now."""
    if not there.manifest or SUMS not in there.files:
        return set()
    named = {*listed(content(api, repo, there.commit, SUMS)), SUMS, *charts_in(readme, repo)}
    return (named & there.files) - {CARD}


def _check_strangers(
    repo: str, version: Version, there: _There, sent: set[str], old: set[str]
) -> None:
    """Raise CurateError where the repository holds other data that would be lost or mixed in."""
    name = there.manifest.get("name")
    if name not in (None, version.name):
        raise CurateError(
            f"{repo} holds another data set, {name}, which {version.name} would replace.",
            "Push to a repository of its own.",
        )
    strange = sorted(
        file
        for file in there.files - old - {*_OF_THE_HUB}
        if file in sent or fnmatch(file, _LOADED)
    )
    if strange:
        more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
        raise CurateError(
            f"{repo} holds files that no push of curate's wrote, and that would be overwritten or "
            f"mixed with the data: {', '.join(strange[:3])}{more}.",
            "Push to a repository of its own, or delete them there.",
        )
