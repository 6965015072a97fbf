"""The README of a repository: what people wrote in it stays, and the card stands between marks.

Two parts of it are curate's, each between lines that are comments to Markdown: the card, word for
word as in the version, which is what `verify` compares; and below it what is true of the repository
only. Of the metadata, the fields that the card has are the card's, and all others stay; tags and
tasks that people added stay beside the card's own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml

from curate.errors import CurateError
from curate.versions.marks import CLOSES, OPENS, parted
from curate.versions.text import fenced

_CARD = (re.compile(re.escape(OPENS)), CLOSES)
_HUB = (re.compile(r"<!-- curate hub: (?P<fields>[\w ]*) -->"), "<!-- end of curate hub -->")
"""Its first line names the fields of the metadata that the card wrote: a later card takes away
those that it has no more, and never one that a person wrote."""

_ADDED_TO: Mapping[str, Collection[str]] = {
    "tags": ("curate", "synthetic"),
    "task_categories": ("text-generation",),
}
"""Lists that people may add to, each with what in it is the card's to say."""

_CHART = re.compile(r"!\[[^\]]*\]\((?P<file>charts/[\w.-]+)\)")


@dataclass(frozen=True)
class _Cut:
    """A text without the part between two marks; `inside` is empty where there is none."""

    before: str
    inside: str
    after: str


def merged(theirs: str, card: str, repo: str, tag: str, charts: Collection[str]) -> str:
    """The README of a repository with the card of a version.

    Args:
        theirs: The README as it is there; empty where there is none.
        card: Of the version.
        repo: `owner/name`.
        tag: Of the version.
        charts: Paths of pictures in the repository, in the order to show them in.

    Raises:
        CurateError: The README's metadata or marks are not in order.
    """
    head, text = _parts(theirs, repo)
    fields, body = parted(card)
    hub = _cut(text, *_HUB, repo)
    written = _HUB[0].match(hub.inside)
    former = written["fields"].split() if written else []
    around = _cut(_joined(hub.before, hub.after), *_CARD, repo)
    metadata = yaml.safe_dump(_metadata(head, fields, former), sort_keys=False, allow_unicode=True)
    ours = f"{OPENS}\n{body}\n{CLOSES}"
    whole = _joined(around.before, ours, _on_the_hub(repo, tag, fields, charts), around.after)
    return f"---\n{metadata}---\n\n{whole}\n"


def original(readme: str, repo: str) -> str:
    """The README of the version whose card a README holds, if that is as it was pushed.

    Raises:
        CurateError: The README's metadata or marks are not in order.
    """
    head, text = _parts(readme, repo)
    written = _HUB[0].match(_cut(text, *_HUB, repo).inside)
    fields = [field for field in written["fields"].split() if field in head] if written else []
    card = {
        field: [each for each in head[field] if each in _ADDED_TO[field]]
        if field in _ADDED_TO
        else head[field]
        for field in fields
    }
    body = "\n".join(_cut(text, *_CARD, repo).inside.split("\n")[1:-1])
    metadata = yaml.safe_dump(card, sort_keys=False, allow_unicode=True)
    return f"---\n{metadata}---\n\n{body}\n"


def charts_in(readme: str, repo: str) -> list[str]:
    """Paths of the pictures that an earlier push shows in a README; raises as `merged`."""
    inside = _cut(_parts(readme, repo)[1], *_HUB, repo).inside
    return [found["file"] for found in _CHART.finditer(inside)]


def _parts(readme: str, repo: str) -> tuple[dict[str, Any], str]:
    """Metadata and text of a README that may have neither."""
    readme = readme.replace("\r\n", "\n")
    if not readme.startswith("---\n"):
        return {}, readme.strip("\n")
    try:
        return parted(readme)
    except ValueError as error:
        raise CurateError(f"README.md of {repo}: {error}", "Mend it there.") from error


def _cut(text: str, opens: re.Pattern[str], closes: str, repo: str) -> _Cut:
    lines = text.split("\n")
    starts = [at for at, line in enumerate(lines) if opens.fullmatch(line.strip())]
    ends = [at for at, line in enumerate(lines) if line.strip() == closes]
    if not starts and not ends:
        return _Cut(text, "", "")
    if len(starts) != 1 or len(ends) != 1 or ends < starts:
        raise CurateError(
            f"README.md of {repo} does not hold the marks of one card: its beginning and the line "
            f"{closes}, once each and in this order.",
            "Mend it there, or take out all of these lines and what they enclose.",
        )
    inside = lines[starts[0] : ends[0] + 1]
    return _Cut(
        *("\n".join(part) for part in (lines[: starts[0]], inside, lines[ends[0] + 1 :])),
    )


def _joined(*parts: str) -> str:
    stripped = (part.strip("\n") for part in parts)
    return "\n\n".join(part for part in stripped if part)


def _metadata(
    theirs: Mapping[str, Any], card: Mapping[str, Any], former: Collection[str]
) -> dict[str, Any]:
    added = {}
    for field, own in _ADDED_TO.items():
        listed = theirs.get(field)
        listed = [listed] if isinstance(listed, str) else listed or []
        added[field] = [each for each in listed if each not in own]
    ours = {
        field: [*value, *(each for each in added[field] if each not in value)]
        if field in added
        else value
        for field, value in card.items()
    }
    return {**ours, **{f: theirs[f] for f in theirs if f not in card and f not in former}}


def _on_the_hub(repo: str, tag: str, fields: Mapping[str, Any], charts: Collection[str]) -> str:
    first, *others = (files["split"] for files in fields["configs"][0]["data_files"])
    split = "" if others else f' split="{first}",'
    load = (
        "from datasets import load_dataset\n\n"
        f'dataset = load_dataset("{repo}",{split} revision="{tag}")'
    )
    pictures = [f"![{PurePosixPath(chart).stem}]({chart})" for chart in charts]
    return _joined(
        f"<!-- curate hub: {' '.join(fields)} -->",
        "## On the Hub",
        fenced(load, "python"),
        "The whole version, with ledger and scores, verified:",
        fenced(f"curate pull {repo} --revision {tag}", "sh"),
        *pictures,
        _HUB[1],
    )
