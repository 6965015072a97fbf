"""`--set a.b.c=value`: values put into a recipe from outside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from curate.errors import Problem, UsageError, nearest
from curate.recipe.names import VERBS, default_id
from curate.recipe.nodes import Node, Origin, Spot, below, parse

_MAY_BEGIN = ("with", "output", "columns", "types", "on_failure")
"""Mappings that a set may bring into being; any other name on the way must be there already.
Inside `with` any may begin: its stage knows which there are, and names what it does not know."""


def apply(
    item: str,
    root: Node,
    known: Sequence[str],
    environ: Mapping[str, str],
    problems: list[Problem],
) -> None:
    """Put one `address=value` into the tree.

    Args:
        item: The address begins with a stage's id or with a key of the recipe.
        root: The tree, changed in place.
        known: The keys that a recipe may have at the top.
        environ: For `${NAME}` in the value.
        problems: What is wrong is added here.
    """
    item = item.rstrip("\n")
    address, equals, text = item.partition("=")
    place = Spot(Origin.of(f"--set {item}", item), 1, 1)
    parts = [part.strip() for part in address.split(".")]
    found: list[Problem] = []
    try:
        if not equals or not all(parts):
            raise UsageError(f"'{item}' is no assignment", "Write --set seed=7.")
        if text.lstrip().startswith(">"):  # a bound such as `>= 0.6`, no folded text
            text = json.dumps(text.strip())
        value = parse(text, place.origin, environ, found)
        if value is not None:
            holder, last = _find(parts, root, known, place)
            _put(holder, last, _moved(value, place))
    except UsageError as error:
        found.append(Problem(error.message, None, error.remedy))
    problems += [replace(problem, place=place.place()) for problem in found]


def _find(parts: list[str], root: Node, known: Sequence[str], spot: Spot) -> tuple[Node, str]:
    """The node that an address ends in, and the last name of the address."""
    first, stages, node = parts[0], _stages(root), root
    walked: list[str] = []
    if first in stages:
        node, walked, parts = stages[first], [first], parts[1:]
        if not parts:
            raise UsageError(f"'{first}' is a stage", f"Set a value in it: {first}.with.x=1.")
    elif first not in known:
        raise UsageError(
            f"'{first}' is neither a stage's id nor a key of the recipe",
            nearest(first, [*stages, *known]),
        )
    for part in parts[:-1]:
        walked.append(part)
        inner = below(node, part)
        if (inner is None or inner.value is None) and isinstance(node.value, dict):
            if part not in _MAY_BEGIN and "with" not in walked:
                name = ".".join(walked)
                raise UsageError(f"the recipe has no '{name}'", nearest(part, list(node.value)))
            inner = node.value[part] = Node({}, spot, spot)
        if inner is None or not isinstance(inner.value, dict | list):
            raise UsageError(f"'{'.'.join(walked)}' holds no further values", "Set it as a whole.")
        node = inner
    return node, parts[-1]


def _put(holder: Node, last: str, value: Node) -> None:
    if isinstance(holder.value, dict):
        holder.value[last] = value
    elif isinstance(holder.value, list) and below(holder, last) is not None:
        holder.value[int(last)] = value
    else:
        raise UsageError(f"the list has no item '{last}'", "Items are numbered from 0.")


def _moved(node: Node, spot: Spot) -> Node:
    """The node with every place in it at `spot`."""
    value = node.value
    if isinstance(value, dict):
        value = {key: _moved(inner, spot) for key, inner in value.items()}
    elif isinstance(value, list):
        value = [_moved(inner, spot) for inner in value]
    return replace(node, value=value, spot=spot, key=spot)


def _stages(root: Node) -> dict[str, Node]:
    """The stages of the tree by id, as far as they can be made out."""
    pipeline = below(root, "pipeline")
    stages = {}
    for stage in pipeline.value if pipeline and isinstance(pipeline.value, list) else []:
        named = below(stage, "id") or next((n for verb in VERBS if (n := below(stage, verb))), None)
        if named is not None and isinstance(named.value, str):
            stages[default_id(named.value)] = stage
    return stages
