"""A stage's parameters against its model and against what a recipe's tables hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from curate.contract.columns import BY_FORMAT, REJECTED, TEXTS, Kind
from curate.contract.marks import (
    Auto,
    Condition,
    InputFile,
    ModelName,
    Prefers,
    Reads,
    Served,
    marker,
)
from curate.contract.parameters import Artifact, Params, Reference, given
from curate.contract.stages import Stage
from curate.errors import CurateError, nearest
from curate.plugins.registry import Registry
from curate.prefer import columns_of, numbers_of
from curate.recipe.document import KeyPath
from curate.recipe.load import Problems
from curate.recipe.model import check_url
from curate.recipe.where import Where
from curate.recipe.words import explain
from curate.run.flow import KINDS, Table, added
from curate.services.models import find_problem, locate, name_for
from curate.sources.files import artifact_file, beside_hint

_ACCEPTED: Mapping[str, tuple[Kind, ...]] = {
    "any": tuple(KINDS),
    "string": ("string",),
    "number": ("integer", "number"),
    "vector": ("vector",),
    "plain": ("integer", "number", "boolean", "string"),
    "text of a preference": ("string", "integer", "number", "boolean"),
}


@dataclass(frozen=True)
class Missing:
    """A column that is read and not there; reported once all stages are known."""

    path: KeyPath
    name: str
    usable: tuple[str, ...]
    offset: int = 0
    quoted: bool = False


class Reader:
    """What one stage reads.

    Args:
        path: The stage's place in the recipe.
        table: The columns that it receives.
        problems: What is wrong is added here.
        missing: So are columns that are not there.
    """

    def __init__(
        self, path: KeyPath, table: Table, problems: Problems, missing: list[Missing]
    ) -> None:
        self.path = path
        self.table = table
        self.problems = problems
        self.missing = missing

    def where(self, path: KeyPath, where: Where) -> None:
        """Check the columns and types of a condition."""
        for column in where.named:
            if not self.table.may_hold(column.name):
                known = tuple(self.table.columns)
                self.missing.append(Missing(path, column.name, known, column.offset, column.quoted))
        for error in where.check_types(self.table.columns):
            self.problems.add(path, error.message, error.remedy, offset=error.offset)

    def column(self, path: KeyPath, name: str, accepts: str) -> None:
        """Check one column that a parameter or the stage names."""
        if name == REJECTED and accepts == "any":
            return  # made for whoever reads it
        kinds = _ACCEPTED[accepts]
        usable = tuple(self.table.holding(kinds))
        if name not in self.table.columns:
            if not self.table.may_hold(name):
                self.missing.append(Missing(path, name, usable))
        elif (kind := self.table.columns[name]) not in kinds:
            wanted = KINDS[kinds[-1]] if accepts in ("number", "vector") else "text"
            message = f"column '{name}' holds {KINDS[kind]}, not {wanted}"
            remedy = nearest(name, usable) if usable else f"No column here holds {wanted}."
            self.problems.add(path, message, remedy)

    def columns(self, params: Params) -> Iterator[str]:
        """Check the columns that parameters name; yields their names."""
        for each in given(params):
            value, path = each.value, (*self.path, "with", *each.path)
            reads = each.mark(Reads)
            if value is None:
                continue
            if reads:
                for place, column in each.columns():
                    yield column
                    self.column((*path, *place), column, reads.kind)
            elif each.mark(Prefers):
                for at, term in enumerate(value):
                    accepts = "number" if numbers_of([term]) else "text of a preference"
                    for column in columns_of([term]):
                        yield column
                        self.column((*path, at), column, accepts)


def validate(
    model: type[Params], given: Mapping[str, Any], path: KeyPath, problems: Problems
) -> Params | None:
    """Make the parameters; None, with problems, if they are wrong."""
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        shown = problems.document.shown_at((*path, "with")) if given else {}
        problems.extend((*path, "with"), explain(error, model, shown))
        return None


def with_vector(params: Params, reader: Reader, verb: str) -> Params | None:
    """Name the only vector column where a parameter that reads one is not given.

    Returns:
        The parameters, or None if no column or several could be meant.
    """
    for name in type(params).model_fields:
        value = getattr(params, name)
        if isinstance(value, Params):
            inner = with_vector(value, reader, verb)
            if inner is None:
                return None
            params = params.model_copy(update={name: inner})
            continue
        reads = marker(type(params), name, Reads)
        if reads is None or reads.kind != "vector" or value is not None:
            continue
        found = reader.table.holding(("vector",))
        if len(found) != 1:
            if found:
                message = f"there are several vector columns: {', '.join(found)}"
                remedy = f"Name one of them: `with: {{{name}: {found[-1]}}}`."
            else:
                message = "there is no vector column here"
                remedy = "Put a stage that makes one before it, such as `score: embed.sentence`."
            if found or not reader.table.hidden:
                reader.problems.add((*reader.path, verb), message, remedy)
            return None
        params = params.model_copy(update={name: found[0]})
    return params


def conditions(params: Params, reader: Reader) -> dict[str, Where]:
    """Parse and check the conditions among parameters, by parameter, at any depth."""
    found = {}
    for each in given(params):
        if each.value is None or not each.mark(Condition):
            continue
        path = (*reader.path, "with", *each.path)
        where = reader.problems.condition(path, each.value)
        if where is not None:
            reader.where(path, where)
            found[each.name] = where
    return found


def check_files(
    params: Params,
    path: KeyPath,
    problems: Problems,
    registry: Registry,
    inspect: Callable[[Reference], object],
    beside: Path | None,
) -> None:
    """Check that references, files and models that parameters name can be found."""
    for at, reference in references(params):
        place = (*path, "with", *at)
        try:
            if isinstance(reference, Artifact):
                artifact_file(reference.path, beside)
                continue
            check_url(reference.path)
            inspect(reference)
        except ValueError as error:
            problems.add(place, str(error))
        except CurateError as error:
            problems.add((*place, "path"), error.message, error.remedy)
    for name in type(params).model_fields:
        value = getattr(params, name)
        place = (*path, "with", name)
        served = marker(type(params), name, Served)
        if served is not None:
            try:
                registry.service(served.service).check(value)
            except CurateError as error:
                problems.add(place, error.message, error.remedy)
        if not isinstance(value, str):
            continue
        named = marker(type(params), name, ModelName)
        if named is not None:
            found = find_problem(name_for(named, value), registry)
            if found:
                message, _, remedy = found.partition("\n")
                problems.add(place, message, remedy.strip())
        elif marker(type(params), name, InputFile) and not Path(value).is_file():
            hint = beside_hint(value, beside, is_glob=False)
            problems.add(place, f"there is no file '{value}'", hint)


def with_early(params: Params, registry: Registry) -> Params:
    """Ask services for what is left to them and decides on columns; see `Auto.early`.

    Raises:
        CurateError: A model that is asked about is not on this machine, or does not say it.
    """
    kind = type(params)
    asked: dict[str, Auto] = {}
    for name in kind.model_fields:
        auto = marker(kind, name, Auto)
        if auto is not None and auto.early and getattr(params, name) == "auto":
            asked[name] = auto
    if not asked:
        return params
    try:
        models = {
            name: locate(name_for(mark, getattr(params, name)), registry)
            for name in kind.model_fields
            if (mark := marker(kind, name, ModelName)) and getattr(params, name) is not None
        }
    except CurateError as error:
        said = " and ".join(f"`{name}`" for name in asked)
        raise CurateError(
            f"{said} cannot be told before the model is here: {error.message}",
            f"Write {said} in the recipe, or do this first: {error.remedy}",
        ) from error
    found = {
        name: registry.service(auto.service).auto(name, params, models)
        for name, auto in asked.items()
    }
    return params.model_copy(update=found)


def references(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Reference | Artifact]]:
    """The reference tables and artifacts inside parameters, each with its path."""
    if isinstance(value, Reference | Artifact):
        yield path, value
        return
    inner: Mapping[Any, Any] = {}
    if isinstance(value, BaseModel):
        inner = {name: getattr(value, name) for name in type(value).model_fields}
    elif isinstance(value, Mapping):
        inner = value
    elif isinstance(value, list | tuple):
        inner = dict(enumerate(value))
    for key, part in inner.items():
        yield from references(part, (*path, key))


@dataclass(frozen=True)
class Made:
    """What a stage's own code says: the instance, its inputs, and the columns that it adds."""

    stage: Stage
    inputs: tuple[str, ...]
    adds: Mapping[str, Kind]


def make(kind: type[Stage], params: Params, id: str) -> Made:
    """Make a stage and ask what it reads and writes; raises whatever the plugin raises."""
    stage = kind(params, id)
    return Made(stage, stage.inputs(), added(stage))


def check_inputs(made: Made, named: set[str], reader: Reader, verb: str) -> None:
    """Check the columns that a stage reads without a parameter that names them."""
    own = {*TEXTS, *BY_FORMAT, *(f"@{each.name}" for each in given(made.stage.params))}
    for name in made.inputs:
        if name not in named and name not in own:
            reader.column((*reader.path, verb), name, "any")
