"""A YAML text as a tree of nodes that know where they stand.

Built from parser events rather than by a YAML loader: a recipe may come from a stranger, so
anchors, tags and merge keys are refused, depth is bounded and a key may stand only once.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from curate.errors import Place, Problem
from curate.recipe.scalars import Scalar, resolve, substitute

MAX_DEPTH = 40
_WIDTH = 160
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # what YAML takes as the end of a line


@dataclass(frozen=True)
class Origin:
    """A text that nodes come from: a file, or one `--set`."""

    name: str
    lines: tuple[str, ...]

    @classmethod
    def of(cls, name: str, text: str) -> Origin:
        """Split `text` into lines as YAML does."""
        return cls(name, tuple(_BREAK.split(text)))

    def line(self, number: int) -> str:
        """The line of a 1-based number, empty beyond the end."""
        return self.lines[number - 1] if number <= len(self.lines) else ""

    def place(self, line: int, column: int) -> Place:
        """The place of a 1-based line and column, with as much of the line as fits a screen."""
        text = self.line(line)
        start = max(0, column - _WIDTH // 2) if len(text) > _WIDTH else 0
        shown, before = "", 0
        for at, char in enumerate(text[start : start + _WIDTH], start=start + 1):
            if at == column:
                before = _cells(shown)
            shown += _printable(char)
        if column > start + _WIDTH or column > len(text):
            before = _cells(shown)
        return Place(self.name, line, column, shown.rstrip(), before)


def _printable(char: str) -> str:
    if char == "\t":
        return " "
    return "" if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn") else char


def _cells(text: str) -> int:
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


@dataclass(frozen=True)
class Spot:
    """A 1-based line and column of an origin."""

    origin: Origin
    line: int
    column: int

    def place(self) -> Place:
        """The place to show."""
        return self.origin.place(self.line, self.column)


@dataclass(frozen=True)
class Node:
    """A value of the tree.

    Args:
        value: A scalar, or the nodes below.
        spot: Where the value begins.
        key: Where its key begins, below a mapping.
        raw: The text as written, where `${...}` in it was replaced.
        broken: A problem was reported about this very value; nothing more is said about it.
    """

    value: Scalar | dict[str, Node] | list[Node]
    spot: Spot
    key: Spot | None = None
    raw: str | None = None
    broken: bool = False

    def data(self, shown: bool = False) -> Any:
        """Plain data; with `shown`, text that came from the environment stays as written."""
        if isinstance(self.value, dict):
            return {key: node.data(shown) for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.data(shown) for node in self.value]
        return self.raw if shown and self.raw is not None else self.value


def parse(
    text: str, origin: Origin, environ: Mapping[str, str], problems: list[Problem]
) -> Node | None:
    """Read one YAML document; what is wrong goes to `problems`. None: nothing could be read."""
    try:
        return _Builder(text, origin, environ, problems).document()
    except _RefusedError:
        return None
    except yaml.reader.ReaderError as error:
        before = _BREAK.split(text[: error.position])
        place = origin.place(len(before), len(before[-1]) + 1)
        message = f"a character that YAML does not allow (U+{ord(text[error.position]):04X})"
        problems.append(Problem(message, place, "Remove it."))
    except yaml.MarkedYAMLError as error:
        problems.append(_syntax(error, origin))
    return None


class _RefusedError(Exception):
    """Reading stops; the reason is among the problems."""


class _Builder:
    def __init__(
        self, text: str, origin: Origin, environ: Mapping[str, str], problems: list[Problem]
    ) -> None:
        self.events: Iterator[Any] = yaml.parse(text, Loader=yaml.CSafeLoader)
        self.origin = origin
        self.environ = environ
        self.problems = problems

    def document(self) -> Node:
        next(self.events)  # start of the stream
        event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            node = Node(None, Spot(self.origin, 1, 1))
        else:
            node = self.node(next(self.events), None, 0)
            next(self.events)  # end of the document
            event = next(self.events)
            if not isinstance(event, yaml.StreamEndEvent):
                self.refuse(event, "a second document begins here", "One file holds one recipe.")
        return node

    def spot(self, event: Any) -> Spot:
        return Spot(self.origin, event.start_mark.line + 1, event.start_mark.column + 1)

    def report(self, event: Any, message: str, remedy: str) -> None:
        self.problems.append(Problem(message, self.spot(event).place(), remedy))

    def refuse(self, event: Any, message: str, remedy: str) -> None:
        self.report(event, message, remedy)
        raise _RefusedError

    def node(self, event: Any, key: Spot | None, depth: int) -> Node:
        if event.anchor:
            mark = "*" if isinstance(event, yaml.AliasEvent) else "&"
            self.refuse(
                event,
                f"'{mark}{event.anchor}': anchors and aliases are not allowed in a recipe",
                "Write the value out; quote it if it is text.",
            )
        if event.tag:
            message = f"the tag '{event.tag}': tags are not allowed in a recipe"
            self.refuse(event, message, "Remove it; quote the value if it is text.")
        if depth > MAX_DEPTH:
            self.refuse(event, f"nested more than {MAX_DEPTH} deep", "Flatten the recipe.")
        spot = self.spot(event)
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event, spot, key)
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(inner := next(self.events), yaml.SequenceEndEvent):
                items.append(self.node(inner, None, depth + 1))
            return Node(items, spot, key)
        return Node(self.mapping(depth), spot, key)

    def mapping(self, depth: int) -> dict[str, Node]:
        nodes: dict[str, Node] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self.refuse(event, "a key must be text", "Write `key: value`.")
            if event.value == "<<" and event.implicit[0]:
                self.refuse(event, "merge keys ('<<') are not allowed in a recipe", "Write it out.")
            key = self.spot(event)
            if event.anchor or event.tag:
                self.refuse(event, "a key takes no anchor and no tag", "Remove it.")
            value = self.node(next(self.events), key, depth + 1)
            if event.value in nodes:
                first = nodes[event.value].key
                line = first.line if first else key.line
                self.report(
                    event, f"'{event.value}' stands twice, first in line {line}", "Remove one."
                )
            else:
                nodes[event.value] = value
        return nodes

    def scalar(self, event: Any, spot: Spot, key: Spot | None) -> Node:
        plain = event.implicit[0]
        read: Callable[[str], Scalar] = resolve if plain else str
        if "${" not in event.value:
            return Node(read(event.value), spot, key)
        try:
            value = substitute(event.value, self.environ)
        except ValueError as error:
            self.report(event, str(error), "Set it, or give a default: ${NAME:-default}.")
            return Node(event.value, spot, key, event.value, broken=True)
        return Node(read(value), spot, key, event.value)


def _syntax(error: yaml.MarkedYAMLError, origin: Origin) -> Problem:
    """What the YAML parser found, in plainer words and at the most telling place."""
    found = error.problem or "not valid YAML"
    mark, start = error.problem_mark or error.context_mark, error.context_mark
    if mark is None:
        return Problem(f"not valid YAML: {found}", Place(origin.name, 1, 1))
    line = origin.line(mark.line + 1)
    char = line[mark.column : mark.column + 1]
    message = f"not valid YAML: {found}"
    remedy = "Check the indentation of this line and the one before, and the colons."
    if found == "found character that cannot start any token":
        if char == "\t":
            message = "a tab; YAML is indented with spaces"
            remedy = "Replace it with spaces."
        else:
            message, remedy = f"a value cannot begin with '{char}'", "Put the value in quotes."
    elif found == "mapping values are not allowed in this context":
        message = "no key can stand here"
        remedy = "Check the indentation; a value that holds ': ' needs quotes."
    elif found in ("did not find expected key", "did not find expected '-' indicator"):
        message = "this line does not belong to what is above it"
    elif start is not None and found.startswith("did not find expected ','"):
        mark, message = start, f"this '{'[' if ']' in found else '{'}' is not closed properly"
        remedy = "Close it, and separate its values by commas."
        if "${" in origin.line(start.line + 1):
            remedy = 'Inside [ ] and { } an environment variable needs quotes: "${NAME}".'
    elif start is not None and found == "found unexpected end of stream":
        mark, message, remedy = start, "this quote is not closed", "Close it."
    return Problem(message, origin.place(mark.line + 1, mark.column + 1), remedy)


def below(node: Node, part: str | int) -> Node | None:
    """The node under a key or an index, if there is one."""
    if isinstance(node.value, dict):
        return node.value.get(str(part))
    if isinstance(node.value, list) and str(part).isdecimal() and int(part) < len(node.value):
        return node.value[int(part)]
    return None
