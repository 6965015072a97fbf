"""The life of one row of a version. Heavy: import it where it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from curate.errors import UsageError
from curate.ledger import KEPT, MERGED
from curate.printing import one_line
from curate.versions.lineage import Lineage
from curate.versions.open import Version
from curate.versions.passage import known_of, passage
from curate.versions.references import reference_row
from curate.versions.rows import NUMBERS, Message, messages_of, values, whole
from curate.versions.splits import data_files
from curate.versions.wording import differences, first_difference, told

COMPARED = 20
"""Other rows whose differences are told; more are not looked at word by word."""

_BRIEF = 200

_LEDGER = ("source", "file", "line", "fate", "stage", "reason", "detail", "ref", "parents")


def explain(version: Version, id: str) -> dict[str, Any]:
    """Everything that a version knows of one row.

    Args:
        version: The version.
        id: The whole id.

    Returns:
        JSON values: the row's line of the ledger (`id`, `source`, `file`, `line`, `fate`, `stage`,
        `reason`, `detail`, `ref`, `parents`), `scores` (column > value) and

        - `row`: every column of the row; None where it is not published;
        - `earlier`: of a row that came from a published version that version, its `digest`, and the
          `source` that the row had there; None of others;
        - `split`: the split that it is in; None where it was not kept, or there is one only;
        - `unpublished`: why there is no text, None where there is one;
        - `percentiles`: score > `percentile` (percent of the rows with a value that lie below this
          one, those equal to it counted half), `below`, `equal`, `of`; of what is true or false
          `equal` and `of` alone, the others None;
        - `made`: whether a stage of this version made it; False for rows of the sources;
        - `made_by`: that stage; None where it cannot be told: several stages made rows, and this
          one is not published;
        - `stages`: what each stage decided on it, see `passage`;
        - `stands_for_it`: the row in `ref`, then the one in that row's `ref`, and so on;
        - `duplicates`: the rows that name this one as their `ref`;
        - `ancestors`, `descendants`: its family, each with `ancestors` or `descendants` of its own.

        Other rows have what the ledger says of them, `messages` (None where they are not published)
        and `differences`: how this row's text becomes theirs, or that of an ancestor this row's,
        see `wording.differences`; of more than 20 rows those of the first. A row of a reference
        table has what `reference_row` gives, and `differences`.

    Raises:
        UsageError: No example has this id.
    """
    lines = _Lines(version)
    if id not in lines:
        raise UsageError(
            f"{version.name}@{version.version} has seen no example with the id '{one_line(id)}'.",
            "Ids are in the column `id` of .frame(), .dropped and .ledger.",
        )
    lineage = Lineage(version)
    life, row, made_here = lines.line(id), whole(version, id), id in lineage.made
    scores = version.scores.filter(pl.col("id") == id).drop("id").to_dicts()
    scored: dict[str, Any] = scores[0] if scores else {}
    makers = lineage.makers([id, *lineage.children.get(id, [])])
    made: dict[str, list[str]] = {}
    for child in lineage.children.get(id, []):
        made.setdefault(makers[child] or "", []).append(child)
    chain = _chain(lines, life)
    named = version.ledger.filter(pl.col("ref") == id)["id"].to_list()
    trees = _tree(id, lineage.parents), _tree(id, lineage.children)
    texts = messages_of(version, [*chain, *named, *_ids(trees[0]), *_ids(trees[1])])
    own = None if row is None or row["messages"] is None else told(row["messages"])
    others = _Others(lines, texts, own)
    return {
        **life,
        "scores": scored,
        "row": row,
        "earlier": None if made_here else _earlier(version, life, row),
        "split": _split(version, id) if life["fate"] == KEPT else None,
        "unpublished": None if own is not None else _why_not(version, life),
        "percentiles": _percentiles(version, scored),
        "made": made_here,
        "made_by": makers[id],
        "stages": passage(version, life, known_of(row, scored), makers[id], made, made=made_here),
        "stands_for_it": [
            *map(others.tell, chain),
            *_reference(version, lines, [id, *chain], own),
        ],
        "duplicates": [others.tell(each) for each in named],
        "ancestors": others.tree(trees[0], "ancestors"),
        "descendants": others.tree(trees[1], "descendants"),
    }


def _earlier(
    version: Version, life: Mapping[str, Any], row: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """The version that a row came from, in which its life before is told."""
    source = version.manifest["sources"].get(life["source"], {})
    if "version" not in source:
        return None
    known = {name: source[name] for name in ("version", "digest")}
    return known | {"source": (row or {}).get("original_source")}


def _split(version: Version, id: str) -> str | None:
    """The split that holds a row; None where there is one only."""
    if len(version.splits) < 2:
        return None
    for name in version.splits:
        files = data_files(version.path, version.manifest, [name])
        rows = pl.scan_parquet(files, glob=False, hive_partitioning=False)
        if len(rows.filter(pl.col("id") == id).select("id").collect()):
            return name
    return None


def brief(version: Version, ids: Sequence[str]) -> list[dict[str, Any]]:
    """A short account of some rows.

    Returns:
        For each the line of the ledger, and

        - `text`: the first 200 characters of its conversation, None where it is not published;
        - `replaced_by`: of a row that gave way to others, these; empty of others, and where their
          maker cannot be told;
        - `change`: the first difference from the text of the first of these, see
          `wording.first_difference`; None where there is none to compare.
    """
    lines = _Lines(version)
    children = _replacing(version, {id: lines.line(id) for id in ids})
    texts = messages_of(version, [*ids, *(child for made in children.values() for child in made)])
    found = []
    for id in ids:
        messages = texts.get(id)
        text = (
            None if messages is None else " → ".join(turn["content"][:_BRIEF] for turn in messages)
        )
        made = children.get(id, [])
        pair = [texts.get(each) for each in (id, *made[:1])]
        known = [told(each) for each in pair if each is not None]
        found.append(
            {
                **lines.line(id),
                "text": None if text is None else text[:_BRIEF],
                "replaced_by": made,
                "change": first_difference(*known) if len(known) > 1 else None,
            }
        )
    return found


def _replacing(version: Version, lives: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """The rows in whose favour others gave way, by these."""
    gone = {id: life["stage"] for id, life in lives.items() if life["fate"] == MERGED}
    if not gone:
        return {}
    lineage = Lineage(version)
    born = {id: lineage.children.get(id, []) for id in gone}
    makers = lineage.makers([child for made in born.values() for child in made])
    return {id: [one for one in made if makers[one] == gone[id]] for id, made in born.items()}


class _Lines:
    """Lines of the ledger by id."""

    def __init__(self, version: Version) -> None:
        self._frame = version.ledger
        self._at = {id: at for at, id in enumerate(self._frame["id"].to_list())}

    def __contains__(self, id: object) -> bool:
        return id in self._at

    def line(self, id: str) -> dict[str, Any]:
        return self._frame.row(self._at[id], named=True)


def _why_not(version: Version, life: Mapping[str, Any]) -> str:
    """Why a row has no text."""
    if life["fate"] == "failed" and life["stage"] is None:
        return "it could not be read"
    if life["fate"] == "failed" and version.dropped is not None:
        return "it could not be made" if life["parents"] else "it could not be read"
    return "rows that were not kept are not published in this version"


def _percentiles(version: Version, scored: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Where each number stands among those of all rows that have one."""
    found: dict[str, dict[str, Any]] = {}
    for name in (c["name"] for c in values(version.manifest) if c["kind"] in NUMBERS):
        value = scored.get(name)
        if value is None:
            continue
        there = version.scores[name].drop_nulls().cast(pl.Float64)
        own = float(value)
        below, equal, of = int((there < own).sum()), int((there == own).sum()), len(there)
        found[name] = {"percentile": None, "below": None, "equal": equal, "of": of}
        if not isinstance(value, bool):
            found[name] |= {"percentile": 100 * (below + equal / 2) / of, "below": below}
    return found


def _chain(lines: _Lines, life: Mapping[str, Any]) -> list[str]:
    """The ids that `ref` leads to, one after another, as far as they are rows of the version."""
    found: list[str] = []
    ref = life["ref"]
    while ref in lines and ref not in found and ref != life["id"]:
        found.append(ref)
        ref = lines.line(ref)["ref"]
    return found


def _reference(
    version: Version, lines: _Lines, chain: list[str], own: str | None
) -> list[dict[str, Any]]:
    """The row of a reference table that the last row of a chain names, if it does."""
    last = lines.line(chain[-1])
    if last["ref"] is None or last["ref"] in lines:
        return []
    row = reference_row(version, last["stage"], last["ref"])
    known = own is not None and row["messages"] is not None
    return [
        {**row, "differences": differences(own or "", told(row["messages"])) if known else None}
    ]


class _Others:
    """Tells of other rows and how they differ from one."""

    def __init__(self, lines: _Lines, texts: Mapping[str, list[Message]], own: str | None) -> None:
        self._lines, self._texts, self._own = lines, texts, own
        self._left = COMPARED

    def tell(self, id: str, *, first: bool = False) -> dict[str, Any]:
        """A row; differences lead from the one row to this, or from this to the one (`first`)."""
        known = self._lines.line(id) if id in self._lines else {"parents": []}
        messages = self._texts.get(id)
        return {
            "id": id,
            **{name: known.get(name) for name in _LEDGER},
            "messages": messages,
            "differences": self._differences(messages, first=first),
        }

    def tree(self, tree: Tree, name: str) -> list[dict[str, Any]]:
        """Relatives, each with its own under the same name."""
        first = name == "ancestors"
        return [
            {**self.tell(id, first=first), name: self.tree(inner, name)}
            for id, inner in tree.items()
        ]

    def _differences(
        self, messages: list[Message] | None, *, first: bool
    ) -> list[tuple[str, str]] | None:
        if messages is None or self._own is None or not self._left:
            return None
        self._left -= 1
        texts = (told(messages), self._own)
        return differences(*(texts if first else texts[::-1]))


Tree = dict[str, "Tree"]


def _tree(id: str, relatives: Mapping[str, Sequence[str]]) -> Tree:
    """Relatives of a row, theirs below them; each row once."""
    seen = {id}

    def grow(at: str) -> Tree:
        new = [each for each in relatives.get(at, ()) if each not in seen]
        seen.update(new)
        return {each: grow(each) for each in new}

    return grow(id)


def _ids(tree: Tree) -> list[str]:
    return [each for id, inner in tree.items() for each in (id, *_ids(inner))]
