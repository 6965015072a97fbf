"""What a repository holds before and after a push, and what must not happen to it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import CurateError
from curate.printing import one_line
from curate.versions.hub.client import content, label_of, listed, look, stored
from curate.versions.hub.readme import charts_in, own
from curate.versions.open import Version
from curate.versions.verify import CARD, DROPPED, SUMS

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_MANIFEST = "manifest.json"
_OF_THE_HUB = (".gitattributes", CARD)
"""Files that may be in a repository before a version is."""


@dataclass(frozen=True)
class There:
    """A commit of a repository: its files, and the manifest of a version among them, if any."""

    commit: str
    files: frozenset[str]
    manifest: Mapping[str, Any]

    @property
    def number(self) -> int:
        """Of the version that it holds; 0 where there is none."""
        return int(self.manifest.get("version", "v0")[1:])


def look_at(api: HfApi, repo: str, revision: str | None) -> There:
    """What a revision (None: `main`) of a repository holds."""
    commit, files = look(api, repo, revision)
    has = _MANIFEST in files
    return There(commit, files, label_of(content(api, repo, commit, _MANIFEST)) if has else {})


def check_tag(there: There, version: Version, repo: str, dropped: bool) -> None:
    """Raise CurateError where the tag is not of this version, or lacks what is asked for."""
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


def differing(
    api: HfApi, repo: str, there: There, version: Version, files: Collection[str]
) -> tuple[str, ...]:
    """The files of a version that a commit has not, or with other bytes.

    Of README.md counts what curate wrote.
    """
    known = stored(api, repo, there.commit)
    found = {
        file for file in files if file != CARD and known.get(file) not in _ids(version.path / file)
    }
    try:
        card = own(readme_of(api, repo, there))
    except ValueError:
        card = ""
    if card != own_card(version):
        found.add(CARD)
    return tuple(sorted(found))


def own_card(version: Version) -> str:
    """The README of a version, also where its folder is a copy of a repository."""
    return own((version.path / CARD).read_bytes().decode())


def _ids(file: Path) -> tuple[str, str]:
    """What the Hub may know a file by; see `stored`."""
    with file.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        git = hashlib.sha1(b"blob %d\0" % file.stat().st_size, usedforsecurity=False)
        content.seek(0)
        while chunk := content.read(1 << 20):
            git.update(chunk)
    return sha256, git.hexdigest()


def check_whole(there: There, repo: str, files: Collection[str]) -> None:
    """Raise CurateError where a commit lacks files that were sent with it."""
    missing = sorted({*files} - there.files)
    if missing:
        raise CurateError(
            f"{repo} did not take {one_line(', '.join(missing))}, so that no version was tagged.",
            "Its .gitignore leaves them out; mend it there and push again.",
        )


def readme_of(api: HfApi, repo: str, there: There) -> str:
    """The README of a repository; empty where there is none."""
    if CARD not in there.files:
        return ""
    try:
        return content(api, repo, there.commit, CARD).decode()
    except UnicodeDecodeError as error:
        raise CurateError(f"{CARD} of {repo} is not UTF-8: {error}", "Mend it there.") from error


def files_before(api: HfApi, repo: str, there: There, readme: str) -> set[str]:
    """The files of the version that is there now."""
    if not there.manifest or SUMS not in there.files:
        return set()
    named = {*listed(content(api, repo, there.commit, SUMS)), SUMS, *charts_in(readme, repo)}
    return (named & there.files) - {CARD}


def check_strangers(
    repo: str, version: Version, there: There, sent: set[str], old: set[str]
) -> None:
    """Raise CurateError where the repository holds other data that would be lost or mixed in."""
    name = there.manifest.get("name")
    if name not in (None, version.name):
        raise CurateError(
            f"{repo} holds another data set, {name}, which {version.name} would replace.",
            "Push to a repository of its own.",
        )
    # what the card tells the Hub to load: there must be no other version's file among them
    loaded = [f"data/{split}-*.parquet" for split in version.splits]
    strange = sorted(
        file
        for file in there.files - old - {*_OF_THE_HUB}
        if file in sent or any(fnmatch(file, pattern) for pattern in loaded)
    )
    if strange:
        more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
        raise CurateError(
            f"{repo} holds files that no push of curate's wrote, and that would be overwritten or "
            f"mixed with the data: {one_line(', '.join(strange[:3]))}{more}.",
            "Push to a repository of its own, or delete them there.",
        )
