"""The README of a repository: what people wrote in it stays, and the card stands between marks.

Two parts of its text are curate's, each between lines that are comments to Markdown: the card, word
for word as in the version; and below it what is true of the repository only. The first line of the
latter says which fields of the metadata the card wrote, and a sum over all that curate wrote, so
that the version's own README can be had back to the byte, and that an edit of it is noticed. Of the
metadata every other field keeps the very text that it had.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml

from curate.errors import CurateError
from curate.printing import fenced, one_line
from curate.versions.marks import CLOSES, OPENS, parted
from curate.versions.splits import TRAIN

_CARD = (re.compile(re.escape(OPENS)), CLOSES)
_HUB = (
    re.compile(r"<!-- curate hub: (?P<fields>[\w =,.-]*?)( \| (?P<sum>[0-9a-f]{16}))? -->"),
    "<!-- end of curate hub -->",
)
_SHARED = ("tags", "task_categories")
"""Lists that people may add to: the first line names the card's own items, as in `tags=curate`."""

_OF_LICENSE = ("license", "license_name", "license_link", "license_details")
"""Fields that are true of one licence together."""

_CHART = re.compile(r"!\[[^\]]*\]\((?P<file>charts/[\w.-]+)\)")


@dataclass(frozen=True)
class Merged:
    """A README with a card in it, and the fields of people that the card took the place of."""

    text: str
    replaced: tuple[str, ...]


@dataclass(frozen=True)
class _Cut:
    """A text without the part between two marks; `inside` is empty where there is none."""

    before: str
    inside: str
    after: str


@dataclass(frozen=True)
class _Readme:
    """The parts of a README.

    Attributes:
        head: Its metadata as text; empty where it has none.
        before: Text above the card.
        card: Text of the card, without its marks; None where there are none.
        hub: What is true of the repository, with its marks.
        after: Text below it.
        wrote: Fields that the card wrote; of shared lists its items, of others none.
        sum: Over what curate wrote, as it was pushed.
    """

    head: str
    before: str
    card: str | None
    hub: str
    after: str
    wrote: Mapping[str, list[str]]
    sum: str | None

    def own(self) -> str:
        """The README of the version that the card is of."""
        values = _values(self.head)
        fields = {
            field: [item for item in items if item in _items(values[field])]
            if items
            else values[field]
            for field, items in self.wrote.items()
            if field in values
        }
        return f"---\n{_dumped(fields)}---\n\n{self.card}\n"


def merged(
    theirs: str, card: str, repo: str, tag: str, charts: Collection[str], *, replace: bool = False
) -> Merged:
    """The README of a repository with the card of a version.

    Args:
        theirs: The README as it is there; empty where there is none.
        card: The README of the version.
        repo: `owner/name`.
        tag: Of the version.
        charts: Paths of pictures in the repository, in the order to show them in.
        replace: Also where that takes away what people wrote into the card, or their `configs`.

    Raises:
        CurateError: The README's metadata or marks are not in order, or something would be lost.
    """
    with _mendable(repo):
        readme = _read(theirs)
        if not replace:
            _check_lost(readme, repo)
        fields, body = parted(card)
        head, replaced = _head(readme, fields)
        below = _on_the_hub(repo, tag, fields, charts)
        names = " ".join(
            f"{field}={','.join(value)}" if field in _SHARED else field
            for field, value in fields.items()
        )
        hub = f"<!-- curate hub: {names} | {_sum(card, below)} -->\n{below}"
        whole = _joined(readme.before, f"{OPENS}\n{body}\n{CLOSES}", hub, readme.after)
        text = f"---\n{head}---\n\n{whole}\n"
        if own(text) != card:
            raise ValueError("with it the card of the version would not be found again")
    return Merged(text, replaced)


def own(readme: str) -> str:
    """The version's own README, out of that of a repository; without marks it is that itself.

    Raises:
        ValueError: The README's metadata or marks are not in order.
    """
    read = _read(readme)
    return readme if read.card is None else read.own()


def charts_in(readme: str, repo: str) -> list[str]:
    """Paths of the pictures that an earlier push shows in a README; raises as `merged`."""
    with _mendable(repo):
        return [found["file"] for found in _CHART.finditer(_read(readme).hub)]


@contextmanager
def _mendable(repo: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise CurateError(f"README.md of {repo}: {error}", "Mend it there.") from error


def _read(readme: str) -> _Readme:
    """Take a README apart; raises ValueError where its metadata or marks are not in order."""
    lines = readme.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    head, text = "", lines
    if lines[0].rstrip() == "---":
        ends = [at for at, line in enumerate(lines[1:], 1) if line.rstrip() == "---"]
        if not ends:
            raise ValueError("its metadata do not end with a line of ---")
        head, text = "".join(f"{line}\n" for line in lines[1 : ends[0]]), lines[ends[0] + 1 :]
    _values(head)
    hub = _cut("\n".join(text), *_HUB)
    around = _cut(_joined(hub.before, hub.after), *_CARD)
    first = _HUB[0].match(hub.inside)
    wrote = [field.partition("=") for field in first["fields"].split()] if first else []
    return _Readme(
        head,
        around.before,
        "\n".join(around.inside.split("\n")[1:-1]) if around.inside else None,
        hub.inside,
        around.after,
        {field: items.split(",") if items else [] for field, _, items in wrote},
        first["sum"] if first else None,
    )


def _values(head: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(head)
    except yaml.YAMLError as error:
        raise ValueError(f"its metadata cannot be read: {one_line(str(error))}") from error
    if values is not None and not isinstance(values, dict):
        raise ValueError("its metadata are no mapping")
    return values or {}


def _cut(text: str, opens: re.Pattern[str], closes: str) -> _Cut:
    lines = text.split("\n")
    starts = [at for at, line in enumerate(lines) if opens.fullmatch(line.strip())]
    ends = [at for at, line in enumerate(lines) if line.strip() == closes]
    if not starts and not ends:
        return _Cut(text, "", "")
    if len(starts) != 1 or len(ends) != 1 or ends < starts:
        raise ValueError(
            f"it does not hold the marks of one card: its beginning and the line {closes}, once "
            "each and in this order. Take out all of these lines and what they enclose."
        )
    inside = lines[starts[0] : ends[0] + 1]
    return _Cut(
        *("\n".join(part) for part in (lines[: starts[0]], inside, lines[ends[0] + 1 :])),
    )


def _joined(*parts: str) -> str:
    stripped = (part.strip("\n") for part in parts)
    return "\n\n".join(part for part in stripped if part)


def _sum(card: str, below: str) -> str:
    """A short sum over all that curate writes into a README."""
    return hashlib.sha256(f"{card}\n{below}".encode()).hexdigest()[:16]


def _check_lost(readme: _Readme, repo: str) -> None:
    """Raise CurateError where a new card would take away what people wrote."""
    below = readme.hub.partition("\n")[2]
    marks = readme.card is not None or readme.hub
    if marks and (readme.card is None or _sum(readme.own(), below) != readme.sum):
        raise CurateError(
            f"In README.md of {repo} something was changed that curate wrote, and that this push "
            "would overwrite: text between its marks, or in the metadata one of "
            f"{', '.join(readme.wrote) or 'the fields of the card'}.",
            "Move what is yours out of the marks; or overwrite it, with --replace.",
        )
    configs = _values(readme.head).get("configs")
    names = {
        str(each.get("config_name", "default"))
        for each in (configs if isinstance(configs, list) else ())
        if isinstance(each, dict)
    }
    if lost := sorted(names - {"default"}):
        raise CurateError(
            f"README.md of {repo} has the configs {one_line(', '.join(lost))}, in whose place the "
            "card would put its own.",
            "Push to a repository of its own; or overwrite them, with --replace.",
        )


def _head(readme: _Readme, card: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The metadata with the card's fields, each in its place, and whose of people had to go."""
    blocks = _blocks(readme.head)
    theirs = _values(readme.head)
    # as written: `no` is a language, and 1.10 a tag
    written = yaml.load(readme.head, Loader=yaml.BaseLoader) or {}  # noqa: S506 - makes strings only
    ours: dict[str, Any] = dict(card)
    for field in _SHARED:
        own_items, former = list(card.get(field, ())), readme.wrote.get(field, [])
        added = [i for i in _items(written.get(field)) if i not in (*own_items, *former)]
        if (own_items or former) and (own_items or added):
            ours[field] = [*own_items, *added]
    gone = {field for field in readme.wrote if field not in ours}
    if any(theirs.get(field) != card.get(field) for field in ("license", "license_name")):
        gone |= {field for field in _OF_LICENSE if field not in card}
    replaced = []
    lines = []
    for field, text in blocks:
        value = ours.pop(field, None)
        if field in gone or (value is not None and not _holds(field, theirs, written, value)):
            if field not in readme.wrote and field not in _SHARED:
                replaced.append(field)
            text = "" if field in gone else _dumped({field: value})  # noqa: PLW2901 - what is to stand there
        lines.append(text)
    return "".join([*lines, _dumped(ours)]), tuple(replaced)


def _holds(field: str, theirs: Mapping[str, Any], written: Mapping[str, Any], value: Any) -> bool:
    """Whether a field says already what it is to say."""
    if field in _SHARED:
        there = _items(theirs[field])
        return there == _items(written[field]) and sorted(map(str, there)) == sorted(value)
    return _dumped({field: theirs[field]}) == _dumped({field: value})


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def _dumped(fields: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(dict(fields), sort_keys=False, allow_unicode=True) if fields else ""
    return text


def _blocks(head: str) -> list[tuple[str, str]]:
    """The fields of metadata, each with its text; what stands between them has no name."""
    root = yaml.compose(head, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        return [("", head)]
    if root.flow_style:
        raise ValueError("its metadata are in braces; write each field on a line of its own")
    starts = [key.start_mark.index - key.start_mark.column for key, _ in root.value]
    blocks = [("", head[: starts[0]])]
    for (key, _), start, end in zip(root.value, starts, [*starts[1:], len(head)], strict=True):
        lines = head[start:end].splitlines(keepends=True)
        stop = len(lines)
        while stop > 1 and (lines[stop - 1].startswith("#") or not lines[stop - 1].strip()):
            stop -= 1
        blocks += [(str(key.value), "".join(lines[:stop])), ("", "".join(lines[stop:]))]
    return blocks


def _on_the_hub(repo: str, tag: str, fields: Mapping[str, Any], charts: Collection[str]) -> str:
    files = (each for config in fields.get("configs", ()) for each in config["data_files"])
    splits = [each["split"] for each in files] or [TRAIN]
    split = "" if len(splits) > 1 else f' split="{splits[0]}",'
    load = (
        "from datasets import load_dataset\n\n"
        f'dataset = load_dataset("{repo}",{split} revision="{tag}")'
    )
    pictures = [f"![{PurePosixPath(chart).stem}]({chart})" for chart in charts]
    return _joined(
        "## On the Hub",
        fenced(load, "python"),
        "The whole version, with ledger and scores, verified:",
        fenced(f"curate pull {repo} --revision {tag}", "sh"),
        *pictures,
        _HUB[1],
    )
