"""The chain is a tree: which table each stage takes, and what it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from curate.errors import nearest
from curate.recipe.names import VERBS, default_id
from curate.recipe.words import Finding

if TYPE_CHECKING:
    from curate.recipe.model import Recipe


@dataclass(frozen=True)
class Link:
    """What a stage says about its place in the tree, read from data that may be wrong.

    Args:
        index: 0-based, in the pipeline.
        id: Given or by default.
        id_key: The key that the id stands at or comes from.
        inputs: What `from:` names, if it is there.
        single: `from:` is one name, not a list.
        result: What `as:` names.
    """

    index: int
    id: str
    id_key: str
    inputs: tuple[str, ...] | None
    single: bool
    result: str | None

    @classmethod
    def read(cls, index: int, stage: Any) -> Link:
        """Read what can be made out of a stage's data."""
        data: Mapping[str, Any] = stage if isinstance(stage, Mapping) else {}
        verb = next((verb for verb in VERBS if isinstance(data.get(verb), str)), "")
        name, given, tables, result = (
            data.get(verb),
            data.get("id"),
            data.get("from"),
            data.get("as"),
        )
        inputs = (
            [tables] if isinstance(tables, str) else tables if isinstance(tables, list) else None
        )
        return cls(
            index,
            given if isinstance(given, str) else default_id(name) if name else f"stage_{index + 1}",
            "id" if isinstance(given, str) else verb,
            None if inputs is None else tuple(name for name in inputs if isinstance(name, str)),
            isinstance(tables, str),
            result if isinstance(result, str) else None,
        )


@dataclass(frozen=True)
class Wired:
    """A stage's tables: names of sources, of `as:`, or ids of stages.

    Args:
        index: 0-based, in the pipeline.
        inputs: The tables that it consumes.
        result: The table that it makes.
    """

    index: int
    inputs: tuple[str, ...]
    result: str


def wiring(recipe: Recipe) -> list[Wired]:
    """The tables of every stage of a recipe that `load_recipe` found well."""
    stages = [spec.model_dump(by_alias=True) for spec in recipe.pipeline]
    links = [Link.read(index, stage) for index, stage in enumerate(stages)]
    return wire(tuple(recipe.sources), links)[0]


def wire(sources: Sequence[str], links: Sequence[Link]) -> tuple[list[Wired], list[Finding]]:
    """Follow the tables through the pipeline.

    Returns:
        The tables of every stage as far as they are known, and where the chain is no tree.
    """
    tree = _Tree(sources, links)
    for link in links:
        tree.add(link)
    tree.close()
    return tree.wired, tree.findings


class _Tree:
    def __init__(self, sources: Sequence[str], links: Sequence[Link]) -> None:
        self.links = links
        self.sources = sources
        self.makers: dict[str, Link | None] = dict.fromkeys(sources)  # tables by who made them
        self.users: dict[str, Link] = {}
        self.guesses: set[str] = set()  # what misspelt names may mean: not called unused as well
        self.wired: list[Wired] = []
        self.findings: list[Finding] = []

    def add(self, link: Link) -> None:
        if link.inputs is not None:
            inputs = self.named(link, link.inputs)
        elif self.wired:
            inputs = [self.wired[-1].result]
            self.use(link, inputs[0], "the previous result", link.id_key)
        else:
            inputs = self.unnamed(link)
        if link.result is not None and (
            link.result in self.makers
            or any(link.result == other.id for other in self.links if other is not link)
        ):
            message = f"'{link.result}' is already the name of a source, a stage or a result"
            self.report(link, ("as",), message, "Choose another name.")
        result = link.result or link.id
        while result in self.makers:  # a name taken twice is reported, and blamed for nothing else
            result += "'"
        self.makers[result] = link
        self.wired.append(Wired(link.index, tuple(inputs), result))

    def named(self, link: Link, names: Sequence[str]) -> list[str]:
        known = []
        for at, name in enumerate(names):
            place = ("from",) if link.single else ("from", at)
            maker = self.makers.get(name)
            if name in self.makers and (maker is None or maker.result == name):
                known.append(name)
                self.use(link, name, f"'{name}'", *place)
            elif maker is not None:
                message = f"'{name}' is a stage whose result has no name"
                self.report(link, place, message, "Name its result with `as:`, and use that name.")
                self.guesses.add(name)
            elif any(name == other.result for other in self.links):
                message = f"'{name}' is made by this or a later stage"
                self.report(link, place, message, "Move the stage that makes it up.")
            else:
                tables = [n for n, m in self.makers.items() if m is None or m.result == n]
                message = f"no source and no earlier `as:` is named '{name}'"
                self.report(link, place, message, nearest(name, tables))
                self.guesses.update(get_close_matches(name, tables, n=1, cutoff=0.6))
        return known

    def unnamed(self, link: Link) -> list[str]:
        """All sources that no `from:` names, for the first stage."""
        taken = {name for other in self.links for name in other.inputs or ()}
        inputs = [name for name in self.sources if name not in taken]
        for name in inputs:
            self.use(link, name, f"'{name}'", link.id_key)
        if self.sources and not inputs:
            message = "every source is named by a later `from:`, and none is left for this stage"
            self.report(link, (link.id_key,), message, "Give this stage a `from:` too.")
        return inputs

    def use(self, link: Link, name: str, words: str, *place: str | int) -> None:
        if name in self.users:
            message = f"{words} is already taken by '{self.users[name].id}'"
            remedy = "A table is used once; say with `from:` which table this stage takes."
            self.report(link, place, message, remedy)
        self.users.setdefault(name, link)

    def close(self) -> None:
        last = self.wired[-1].result if self.wired else None
        remedy = "Name it in the `from:` of a fuse stage"
        for name, maker in self.makers.items():
            if name in self.users or name in self.guesses or name == last:
                continue
            if maker is not None:
                place = "as" if maker.result else maker.id_key
                message = f"the result of '{maker.id}' is used by no stage"
                self.report(maker, (place,), message, f"{remedy}.")
            elif self.links:
                message = f"the source '{name}' is used by no stage"
                path = ("sources", name)
                self.findings.append(Finding(path, message, f"{remedy}, or remove it.", key=True))

    def report(self, link: Link, place: tuple[str | int, ...], message: str, remedy: str) -> None:
        self.findings.append(Finding(("pipeline", link.index, *place), message, remedy))
