"""Rules of a recipe that span several keys, over data that may be wrong in other ways too."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from curate.recipe.names import VERBS
from curate.recipe.wiring import Link
from curate.recipe.words import Finding

WAYS = ("path", "dataset", "version")
"""The keys of a source that say where its rows are."""


_SECRETS = frozenset(
    [
        "apikey",
        "auth",
        "authorization",
        "credential",
        "credentials",
        "key",
        "password",
        "secret",
        "sig",
        "signature",
        "token",
    ]
)
"""Words in the names of query parameters that hold what opens a door."""


def url_rules(shown: Any, at: tuple[str | int, ...] = ()) -> Iterator[Finding]:
    """A URL writes out no secret in its query: recipes and versions are shared.

    Args:
        shown: The recipe, or a part of it, with `${...}` as it was written.
        at: Where the part stands.
    """
    if isinstance(shown, Mapping | list):
        inner = shown.items() if isinstance(shown, Mapping) else enumerate(shown)
        for key, value in inner:
            yield from url_rules(value, (*at, key))
    elif isinstance(shown, str) and "://" in shown:
        for part in shown.partition("?")[2].split("&"):
            name, _, value = part.partition("=")
            if value and "${" not in value and _SECRETS & set(re.split(r"[-_.]", name.lower())):
                message = f"the URL holds the secret `{name}`, which would end up in the version"
                yield Finding(at, message, f"Take it from the environment: {name}=${{NAME}}.")


def source_rules(source: Mapping[str, Any]) -> Iterator[Finding]:
    """A source has one way to its rows, and only the keys that belong to this way."""
    ways = [key for key in WAYS if source.get(key) is not None]
    if len(ways) > 1:
        both = " and ".join(f"`{way}`" for way in ways)
        message = f"both {both}" if len(ways) == 2 else both
        yield Finding((ways[1],), message, "Keep one of them.", key=True)
    elif not ways and not _misspelt(source, WAYS):
        remedy = "Say where the examples are."
        yield Finding((), "neither `path` nor `dataset` nor `version`", remedy)
    if len(ways) != 1:
        return
    for key in () if ways == ["dataset"] else ("split", "revision"):
        if source.get(key) is not None:
            remedy = "A revision of a file on the Hub stands in its URL: hf://...@revision/..."
            if ways == ["version"]:
                remedy = "A version says which it is: `version: name@v3`."
            yield Finding((key,), f"`{key}` belongs to `dataset`, not to `{ways[0]}`", remedy, True)
    for key in ("format", "columns", "types", "on_failure") if ways == ["version"] else ():
        if source.get(key) is not None:
            remedy = "The rows of a version have been read already; they are taken as they are."
            yield Finding((key,), f"`{key}` is not for a `version`", remedy, True)


def stage_rules(stage: Mapping[str, Any]) -> Iterator[Finding]:
    """A stage has one verb, and keys that fit the verb."""
    verbs = [key for key in stage if key in VERBS]
    if not verbs and not _misspelt(stage, VERBS):
        remedy = "Begin it with expand, score, filter or fuse: `filter: core.top`."
        yield Finding((), "a stage without a verb", remedy)
    if len(verbs) > 1:
        message = f"a stage has one verb; this has {' and '.join(verbs)}"
        yield Finding((verbs[1],), message, "Make two stages of it.", key=True)
    if len(verbs) != 1:
        return
    if stage.get("missing") == "drop" and verbs[0] not in ("filter", "fuse"):
        remedy = "Write error or keep, or drop the rows in a filter before it."
        yield Finding(("missing",), f"`missing: drop` is not for {verbs[0]} stages", remedy)
    several = stage.get("from")
    if isinstance(several, list) and (not several or (len(several) > 1 and verbs[0] != "fuse")):
        message = "several tables in `from`" if several else "`from` names no table"
        yield Finding(("from",), message, "One table, or several for a fuse stage.")


def id_rules(
    links: Sequence[Link], sources: Sequence[str], known: Sequence[str]
) -> Iterator[Finding]:
    """Ids are unique, and mistaken neither for a source nor for a key of the recipe."""
    seen: dict[str, int] = {}
    for link in links:
        path = ("pipeline", link.index, link.id_key)
        if link.id in seen:
            message = f"the id '{link.id}' is taken by stage {seen[link.id] + 1}"
            yield Finding(path, message, "Give one of them an `id:` of its own.")
        elif link.id in sources:
            message = f"the id '{link.id}' is the name of a source"
            yield Finding(path, message, "Choose another id.")
        elif link.id in known:
            message = f"the id '{link.id}' is a key of the recipe"
            yield Finding(path, message, "Choose another id.")
        seen.setdefault(link.id, link.index)


def _misspelt(data: Mapping[str, Any], names: Sequence[str]) -> bool:
    """Whether some key may stand for one of `names`; that it is unknown is reported elsewhere."""
    return any(get_close_matches(str(key), names, n=1, cutoff=0.6) for key in data)
