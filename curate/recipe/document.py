"""A recipe as written: plain data, with the place of every key and value."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from curate.errors import Place, Problem, UsageError, nearest
from curate.recipe.nodes import Node, Origin, Spot, below, parse
from curate.recipe.scalars import resolve
from curate.recipe.sets import apply

KeyPath = tuple[str | int, ...]

MAX_BYTES = 1_000_000


class Document:
    """A recipe's text, its data, and where everything stands.

    Attributes:
        file: Name of the file as given; `<recipe>` for a mapping from Python.
        text: What was read, or the mapping as YAML; sets are not in it.
        sets: The sets, each `address=value` as written.
        data: Plain data with environment variables and sets applied.
    """

    def __init__(
        self, file: str, text: str, root: Node, *, placed: bool, sets: Sequence[str] = ()
    ) -> None:
        self.file = file
        self.text = text
        self.sets = tuple(item.rstrip("\n") for item in sets)
        self.data: Any = root.data()
        self._root = root
        self._placed = placed

    def shown(self) -> Any:
        """The same tree as `data`, but text that holds `${...}` as it was written."""
        return self._root.data(shown=True)

    def shown_at(self, path: KeyPath) -> Any:
        """The part of `shown()` at a path that exists."""
        return self._nodes(path)[-1].data(shown=True)

    def raw(self, path: KeyPath) -> str | None:
        """The text at a path as written, where `${...}` in it was replaced; otherwise None."""
        nodes = self._nodes(path)
        return nodes[-1].raw if len(nodes) == len(path) + 1 else None

    def broken(self, path: KeyPath) -> bool:
        """Whether a problem was already reported about the very value at `path`."""
        return self._nodes(path)[-1].broken

    def problem(
        self,
        path: KeyPath,
        message: str,
        remedy: str = "",
        *,
        key: bool = False,
        offset: int = 0,
    ) -> Problem:
        """A problem at a value.

        Args:
            path: Keys and indexes from the top; where it ends nowhere, its nearest ancestor.
            message: What is wrong.
            remedy: What to do about it.
            key: Point at the key rather than the value.
            offset: Characters into the text of the value; used where the value stands in one
                line as it is.
        """
        nodes = self._nodes(path)
        node = nodes[-1]
        whole = len(nodes) == len(path) + 1
        spot = node.key if key and whole and node.key else node.spot
        if not self._placed and spot.origin.name == self.file:
            where = ".".join(str(part) for part in path)
            return Problem(f"{where}: {message}" if where else message, None, remedy)
        if offset and isinstance(node.value, str):
            line = spot.origin.line(spot.line)
            quote = int(line[spot.column - 1 : spot.column] in ("'", '"'))
            start = spot.column - 1 + quote
            if line[start : start + len(node.value)] == node.value:
                spot = replace(spot, column=start + offset + 1)
        return Problem(message, spot.place(), remedy)

    def _nodes(self, path: KeyPath) -> list[Node]:
        nodes = [self._root]
        for part in path:
            found = below(nodes[-1], part)
            if found is None:
                break
            nodes.append(found)
        return nodes


def read_document(
    source: str | Path | Mapping[str, Any],
    sets: Sequence[str] | Mapping[str, Any],
    known: Sequence[str],
) -> tuple[Document, list[Problem]]:
    """Read a recipe and apply sets to it.

    Args:
        source: A file, or a mapping from Python.
        sets: `address=value`, or values by address; an address begins with a stage's id or a key
            of the recipe.
        known: The keys that a recipe may have at the top.

    Returns:
        The document, empty where nothing could be read, and everything wrong with its syntax.
    """
    problems: list[Problem] = []
    placed = not isinstance(source, Mapping)
    file = "<recipe>" if isinstance(source, Mapping) else str(source)
    text, root = "", None
    try:
        text = dump(source) if isinstance(source, Mapping) else _read(Path(source))
    except UsageError as error:
        problems.append(Problem(error.message, Place(file, 1, 1) if placed else None, error.remedy))
    else:
        root = parse(text, Origin.of(file, text), os.environ, problems)
        if root is not None and root.value is None:
            problems.append(Problem("the recipe is empty", root.spot.place()))
            root = None
        elif root is not None and (place := _operators(root)):
            message = "this looks like a recipe for data-juicer"
            remedy = "What each part of it is here: docs/from-data-juicer.md."
            problems.append(Problem(message, place.place(), remedy))
            root = None
    if not placed:  # nobody has seen the text that these places are in
        problems = [replace(problem, place=None) for problem in problems]
    if isinstance(sets, Mapping):
        sets = [f"{address}={dump(value)}" for address, value in sets.items()]
    if root is None:
        root = Node(None, Spot(Origin.of(file, text), 1, 1), broken=True)
    else:
        for item in sets:
            apply(item, root, known, os.environ, problems)
    return Document(file, text, root, placed=placed, sets=sets), problems


def _operators(root: Node) -> Spot | None:
    """Where the operators of a recipe for data-juicer begin; None if it is none."""
    process = below(root, "process")
    others = any(below(root, key) for key in ("sources", "pipeline"))
    return process.key if process and isinstance(process.value, list) and not others else None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        close = nearest(path.name, [p.name for p in path.parent.glob("*.y*ml")])
        raise UsageError(f"cannot read the recipe: {error.strerror}", close) from None
    if len(content) > MAX_BYTES:
        raise UsageError("the file is larger than 1 MB, and so no recipe")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"line {line} is not UTF-8 text", "Save the file as UTF-8.") from None


class _Dumper(yaml.SafeDumper):
    """Writes values from Python so that `parse` reads them back as they were."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        """Write repeated values out: recipes have no aliases."""
        return True


def _represent(dumper: yaml.SafeDumper, data: str | Path) -> yaml.ScalarNode:
    text = str(data)
    style = None if isinstance(resolve(text), str) else "'"
    if any(mark in text for mark in "\x85\u2028\u2029"):
        style = '"'  # line ends that are read back as such only where they are escaped
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _represent)
_Dumper.add_multi_representer(Path, _represent)


def dump(value: Any) -> str:
    """Write a value from Python as YAML.

    Raises:
        UsageError: It holds something that YAML has no word for.
    """
    try:
        return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
    except (yaml.YAMLError, RecursionError) as error:
        reason = error.args[0] if error.args else type(error).__name__
        raise UsageError(
            f"the recipe cannot be written as YAML: {reason}",
            "Use mappings, lists, text, numbers, booleans and paths.",
        ) from None
