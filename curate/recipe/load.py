"""From a file or a mapping to a recipe, or to everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from curate.errors import Problem
from curate.recipe.document import Document, KeyPath, read_document
from curate.recipe.model import Recipe, Source, StageSpec
from curate.recipe.rules import id_rules, source_rules, stage_rules, url_rules
from curate.recipe.where import Where, WhereError, parse_where
from curate.recipe.wiring import Link, Wired, wire
from curate.recipe.words import Finding, explain

KEYS = tuple(Recipe.model_fields)

_Model = TypeVar("_Model", bound=BaseModel)


class Problems:
    """Problems of one document, each value being blamed once for what it cannot help.

    Args:
        document: What the problems are about.
        found: Problems there are already.
    """

    def __init__(self, document: Document, found: Iterable[Problem] = ()) -> None:
        self.document = document
        self.found = list(found)

    def add(
        self, path: KeyPath, message: str, remedy: str = "", *, key: bool = False, offset: int = 0
    ) -> None:
        """Add a problem; see `Document.problem`. Broken values were reported before."""
        if not self.document.broken(path):
            problem = self.document.problem(path, message, remedy, key=key, offset=offset)
            self.found.append(problem)

    def extend(self, base: KeyPath, findings: Iterable[Finding]) -> None:
        """Add findings whose paths are relative to `base`."""
        for finding in findings:
            self.add((*base, *finding.path), finding.message, finding.remedy, key=finding.key)

    def condition(self, path: KeyPath, text: str) -> Where | None:
        """Parse a condition that stands at `path`; None if that is a problem."""
        try:
            return parse_where(text)
        except WhereError as error:
            self.add(path, error.message, error.remedy, offset=error.offset)
            return None


@dataclass(frozen=True)
class Draft:
    """A recipe as far as it could be read.

    Attributes:
        document: Text, data and places.
        problems: Everything wrong so far.
        recipe: The recipe, if its model has no complaint; there may be problems all the same.
        sources: By name, without the keys that are wrong.
        stages: In order, without the keys that are wrong; None where no stage is left.
        links: What each stage says about its place in the tree.
        wired: The tables of each stage, as far as they are known.
        wheres: Conditions of the stages by index, where they could be read.
    """

    document: Document
    problems: Problems
    recipe: Recipe | None
    sources: Mapping[str, Source]
    stages: tuple[StageSpec | None, ...]
    links: tuple[Link, ...]
    wired: tuple[Wired, ...]
    wheres: Mapping[int, Where]


def load_recipe(
    source: str | Path | Mapping[str, Any] | Recipe, sets: Sequence[str] | Mapping[str, Any] = ()
) -> tuple[Recipe | None, Document, list[Problem]]:
    """Load a recipe and find what is wrong with it, without looking at plugins or data.

    Args:
        source: A file, a mapping or a model.
        sets: Assignments `address=value`, or values by address.

    Returns:
        The recipe (None if it cannot be made out), the document, and all problems.
    """
    draft = draft_recipe(source, sets)
    return draft.recipe, draft.document, draft.problems.found


def draft_recipe(
    source: str | Path | Mapping[str, Any] | Recipe, sets: Sequence[str] | Mapping[str, Any] = ()
) -> Draft:
    """Like `load_recipe`, with all parts that could be read although others are wrong."""
    if isinstance(source, Recipe):
        source = source.model_dump(by_alias=True, exclude_defaults=True)
    document, found = read_document(source, sets, KEYS)
    problems = Problems(document, found)
    data = document.data
    recipe = None
    try:
        recipe = Recipe.model_validate(data)
    except ValidationError as error:
        problems.extend((), explain(error, Recipe, document.shown()))

    problems.extend((), url_rules(document.shown()))
    top: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    tables = top["sources"] if isinstance(top.get("sources"), Mapping) else {}
    pipeline = top["pipeline"] if isinstance(top.get("pipeline"), list) else []
    for name, item in tables.items():
        if isinstance(item, Mapping):
            problems.extend(("sources", name), source_rules(item))
    stages: list[StageSpec | None] = []
    wheres: dict[int, Where] = {}
    for index, item in enumerate(pipeline):
        if not isinstance(item, Mapping):
            stages.append(None)
            continue
        problems.extend(("pipeline", index), stage_rules(item))
        spec = salvage(StageSpec, item)
        stages.append(spec if spec and len(spec.verbs) == 1 else None)
        text = item.get("where")
        if isinstance(text, str) and text:
            where = problems.condition(("pipeline", index, "where"), text)
            if where is not None:
                wheres[index] = where
    links = tuple(Link.read(index, item) for index, item in enumerate(pipeline))
    problems.extend((), id_rules(links, tuple(tables), KEYS))
    wired, findings = wire(tuple(tables), links)
    problems.extend((), findings)
    sources = {name: part for name, item in tables.items() if (part := salvage(Source, item))}
    return Draft(document, problems, recipe, sources, tuple(stages), links, tuple(wired), wheres)


def salvage(model: type[_Model], data: Any) -> _Model | None:
    """The model without the keys that are wrong, so that the others can be checked further.

    What is wrong was reported with the whole recipe.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        wrong = {item["loc"][0] for item in error.errors() if item["loc"]}
        if not isinstance(data, Mapping) or not wrong & data.keys():
            return None
        return salvage(model, {key: value for key, value in data.items() if key not in wrong})
