"""Everything that can be known about a recipe before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from packaging.requirements import InvalidRequirement, Requirement

from curate.contract.parameters import Reference
from curate.contract.stages import ExpandStage, Stage
from curate.errors import CurateError, PluginError, RecipeError, nearest
from curate.plugins.registry import Registry
from curate.recipe.document import KeyPath
from curate.recipe.load import Draft, Problems, draft_recipe, salvage
from curate.recipe.model import Recipe, StageSpec
from curate.recipe.rules import WAYS
from curate.recipe.where import Where
from curate.recipe.wiring import Link, Wired
from curate.run.flow import KINDS, NOTHING, ORIGINALS, Table, join
from curate.run.parameters import (
    Missing,
    Reader,
    check_files,
    check_inputs,
    conditions,
    make,
    validate,
    with_early,
    with_vector,
)
from curate.run.steps import Checked, Step
from curate.sources.hashes import home
from curate.sources.published import ROOT, split_files
from curate.sources.schema import Schema, inspect, inspect_rows

if TYPE_CHECKING:
    from curate.sources.load import Loaded

_Answer = TypeVar("_Answer")

_ARTICLES = {"expand": "an expand", "score": "a score", "filter": "a filter", "fuse": "a fuse"}


def check(
    source: str | Path | Mapping[str, Any] | Recipe,
    sets: Sequence[str] | Mapping[str, Any],
    registry: Registry,
    *,
    keep_rows: bool = False,
    told: Callable[[str, int], None] | None = None,
    out: Path | None = None,
) -> Checked:
    """Check a recipe: its keys and values, plugins, files, columns. Loads no model.

    Args:
        source: A file, a mapping or a model.
        sets: Assignments `address=value`, or values by address.
        registry: Where stages are found.
        keep_rows: Keep the rows of sources that have to be read, for a run that follows.
        told: Told the name of a source that is being read, and how many rows were.
        out: Where published versions live; by default `curated`.

    Raises:
        RecipeError: All problems at once.
        CurateError: There is no folder for what is remembered, and none can be made.
    """
    home()  # what is wrong with it would be said of each file
    beside = None if isinstance(source, Mapping | Recipe) else Path(source).parent
    walk = _Walk(
        draft_recipe(source, sets), registry, beside, keep_rows=keep_rows, told=told, out=out
    )
    walk.requirements()
    walk.sources()
    for wired, link in zip(walk.draft.wired, walk.draft.links, strict=True):
        walk.stage(wired, link)
    walk.output()
    walk.report_missing()
    recipe, problems = walk.draft.recipe, walk.problems.found
    if problems or recipe is None:
        raise RecipeError(problems)
    return Checked(recipe, walk.draft.document, tuple(walk.steps), walk.schemas, walk.loaded)


def stages_of(
    source: str | Path | Mapping[str, Any] | Recipe,
    sets: Sequence[str] | Mapping[str, Any],
    registry: Registry,
    prefix: str,
) -> tuple[Step, ...]:
    """Some stages of a recipe, made and checked without a look at data, files or other plugins.

    Args:
        source: As in `check`.
        sets: As in `check`.
        registry: As in `check`.
        prefix: What their names begin with, such as `sources.`.

    Raises:
        RecipeError: What is wrong with the recipe by itself and with these stages.
    """
    walk = _Walk(draft_recipe(source, sets), registry, files=False)
    draft, problems = walk.draft, walk.problems
    steps = []
    for wired, spec in zip(draft.wired, draft.stages, strict=True):
        if spec is None or not spec.stage.startswith(prefix):
            continue
        reader = Reader(("pipeline", wired.index), NOTHING, problems, walk.missing)
        where = draft.wheres.get(wired.index)
        if where is not None:
            reader.where((*reader.path, "where"), where)
        steps.append(walk.step(wired, spec, reader, where))
    if problems.found or draft.recipe is None:
        raise RecipeError(problems.found)
    return tuple(step for step in steps if step is not None)


class _Walk:
    """The state of one check: tables as they are made, and what was found."""

    def __init__(
        self,
        draft: Draft,
        registry: Registry,
        beside: Path | None = None,
        *,
        keep_rows: bool = False,
        files: bool = True,
        told: Callable[[str, int], None] | None = None,
        out: Path | None = None,
    ) -> None:
        self.draft = draft
        self.problems: Problems = draft.problems
        self.registry = registry
        self.beside = beside
        self.tables: dict[str, Table] = {}
        self.keep_rows = keep_rows
        self.files = files
        self.told = told
        self.out = out
        self.schemas: dict[str, Schema] = {}
        self.loaded: dict[str, Loaded] = {}
        self.steps: list[Step] = []
        self.missing: list[Missing] = []
        self.makers: dict[str, str] = {}  # score columns by the stage that writes them

    def requirements(self) -> None:
        """Check `requires:` against what is installed."""
        data = self.draft.document.data
        given = data.get("requires") if isinstance(data, Mapping) else None
        for at, text in enumerate(given if isinstance(given, list) else ()):
            try:
                wanted = Requirement(text)
                found = version(wanted.name)
            except (InvalidRequirement, TypeError):
                continue  # the model said so
            except PackageNotFoundError:
                message = f"{wanted.name} is not installed"
            else:
                if wanted.specifier.contains(found, prereleases=True):
                    continue
                message = f"{wanted.name} {found} is installed, which is not {wanted.specifier}"
            self.problems.add(("requires", at), message, f"pip install '{text}'")

    def sources(self) -> None:
        """Look at the sources' files for their columns."""
        data = self.draft.document.data
        sources = data.get("sources") if isinstance(data, Mapping) else None
        for name in sources if isinstance(sources, Mapping) else ():
            self.tables[name] = NOTHING
            source = self.draft.sources.get(name)
            ways = [way for way in WAYS if source is not None and getattr(source, way)]
            if source is None or len(ways) != 1:
                continue
            path = ("sources", name, ways[0])
            if source.version is not None and source.version == data.get("name"):
                message = f"the latest version of '{source.version}' is what this recipe makes"
                remedy = f"Say which: `version: {source.version}@v1`; or rename the recipe."
                self.problems.add(path, message, remedy)
                continue
            try:
                told = partial(self.told, name) if self.told else None
                schema, loaded = inspect_rows(name, source, self.beside, told, self.out)
            except CurateError as error:
                self.problems.add(path, error.message, error.remedy)
                continue
            self.schemas[name] = schema
            if self.keep_rows and loaded is not None:
                self.loaded[name] = loaded
            columns = {**ORIGINALS, **schema.columns}
            nulls = frozenset(schema.nulls) - ORIGINALS.keys()
            self.tables[name] = Table(columns, open=not schema.complete, nulls=nulls)

    def inspect(self, reference: Reference) -> Schema:
        """What a reference holds."""
        return inspect(reference, beside=self.beside)

    def stage(self, wired: Wired, link: Link) -> None:
        """Check one stage, and follow its tables to its result."""
        table, clashes = join({name: self.tables.get(name, NOTHING) for name in wired.inputs})
        for clash in clashes:
            first, second = (KINDS[kind] for kind in clash.kinds)
            source = clash.second in self.draft.sources
            self.problems.add(
                ("sources", clash.second) if source else ("pipeline", link.index),
                f"column '{clash.column}' holds {second}, and {first} in '{clash.first}'",
                f"Read both as text: `types: {{{clash.column}: string}}`.",
                key=True,
            )
        if not wired.inputs:
            table = NOTHING
        path = ("pipeline", link.index)
        reader = Reader(path, table, self.problems, self.missing)
        where = self.draft.wheres.get(link.index)
        if where is not None:
            reader.where((*path, "where"), where)
        spec = self.draft.stages[link.index]
        step = None if spec is None else self.step(wired, spec, reader, where)
        if step is None:
            written = self.draft.document.data["pipeline"][link.index]
            expands = isinstance(written, Mapping) and "expand" in written
            self.tables[wired.result] = table.without("" if expands else f"{link.id}_")
            return
        self.steps.append(step)
        self.lacked(step, table)
        if isinstance(step.stage, ExpandStage):
            table = table.grown(step.id, self.makers)
        self.makers.update(dict.fromkeys(step.adds, step.id))
        self.tables[wired.result] = table.after(step.adds)

    def output(self) -> None:
        """Check the columns by which the kept rows are split."""
        recipe = self.draft.recipe
        if recipe is None or not self.draft.wired:
            return
        output, last = recipe.output, self.draft.wired[-1].result
        reader = Reader(("output",), self.tables.get(last, NOTHING), self.problems, self.missing)
        for at, name in enumerate(output.keep_together):
            reader.column(("output", "keep_together", at), name, "plain")
        if output.stratify is not None:
            reader.column(("output", "stratify"), output.stratify, "plain")
        if output.like is not None:
            self.like(recipe.name, output.like, output.splits)

    def like(self, name: str, version: str, splits: Collection[str]) -> None:
        """Look for the version whose rows stay in their splits."""
        path = ("output", "like")
        if version == name:
            self.problems.add(
                path,
                f"the latest version of '{name}' is what this recipe makes",
                f"Say which: `like: {name}@v1`.",
            )
            return
        try:
            split_files(version, ROOT if self.out is None else self.out, splits)
        except CurateError as error:
            self.problems.add(path, error.message, error.remedy)

    def lacked(self, step: Step, table: Table) -> None:
        """Refuse to read scores that rows which a stage makes cannot have, before any are paid."""
        if step.where is not None or step.spec.missing != "error":
            return
        for name in step.strict:
            if name in table.lacked:
                maker, scorer = table.lacked[name], self.makers[name]
                self.problems.add(
                    ("pipeline", step.index, step.spec.verb),
                    f"reads '{name}', which rows that '{maker}' makes do not have: '{scorer}' "
                    "stands before it",
                    f"Put '{scorer}' after '{maker}'; or leave such rows out with `where:`, or say "
                    "what they mean with `missing:`.",
                )

    def step(
        self, wired: Wired, spec: StageSpec, reader: Reader, where: Where | None
    ) -> Step | None:
        """Make the stage and check its parameters; None if there can be none."""
        path, place = reader.path, (*reader.path, spec.verb)
        try:
            kind = self.registry.stage(spec.stage)
        except PluginError as error:
            self.problems.add(place, error.message, error.remedy)
            return None
        if kind.verb != spec.verb:
            message = f"{spec.stage} is {_ARTICLES[kind.verb]}, not {_ARTICLES[spec.verb]}"
            self.problems.add(place, message, f"Write `{kind.verb}: {spec.stage}`.", key=True)
        params = self.asked(place, lambda: validate(kind.Params, spec.with_, path, self.problems))
        if params is None:
            self.rest(kind, spec, path)
            return None
        before = len(self.problems.found)
        if self.files:
            check_files(params, path, self.problems, self.registry, self.inspect, self.beside)
        found = self.files and len(self.problems.found) == before
        if found:
            told = self.asked(place, partial(with_early, params, self.registry))
            if told is None:
                return None
            params = told
        named = set(reader.columns(params))
        parsed = conditions(params, reader)
        full = with_vector(params, reader, spec.verb)
        made = self.asked(place, lambda: make(kind, full or params, spec.stage_id))
        if made is None:
            return None
        if found:
            self.asked(place, made.stage.check_files)
        if full is not None:
            check_inputs(made, {*named, *reader.table.holding(("vector",))}, reader, spec.verb)
        for name in made.adds:
            if name in reader.table.columns and self.makers.get(name) != spec.stage_id:
                at = (*path, "id") if spec.id else place
                message = f"there already is a column '{name}'"
                self.problems.add(at, message, "Give this stage another `id:`.")
        return Step(
            wired.index,
            spec,
            made.stage,
            spec.stage_id,
            wired.inputs,
            wired.result,
            where,
            reader.table.columns,
            made.adds,
            parsed,
        )

    def rest(self, kind: type[Stage], spec: StageSpec, path: KeyPath) -> None:
        """Check the files of a stage some of whose parameters are wrong."""
        try:
            params = salvage(kind.Params, spec.with_)
        except Exception:  # a plugin's own code may raise anything, and was asked before
            return
        if params is None or not self.files:
            return
        before = len(self.problems.found)
        check_files(params, path, self.problems, self.registry, self.inspect, self.beside)
        if len(self.problems.found) == before:
            self.asked((*path, spec.verb), lambda: kind(params, spec.stage_id).check_files())

    def asked(self, place: KeyPath, ask: Callable[[], _Answer | None]) -> _Answer | None:
        """What a plugin's code answers; None, with a problem, where it raises."""
        try:
            return ask()
        except CurateError as error:
            self.problems.add(place, error.message, error.remedy)
        except Exception as error:  # a plugin's own code may raise anything; it becomes a problem
            message = f"the stage broke: {type(error).__name__}: {error}"
            self.problems.add(place, message, "This is a mistake in the plugin.")
        return None

    def report_missing(self) -> None:
        """Report columns that are not there, now that it is known who makes which."""
        for item in self.missing:
            if item.name in self.makers:
                maker = self.makers[item.name]
                message = f"column '{item.name}' is not there yet: '{maker}' makes it"
                remedy = f"Put this stage after '{maker}'."
            else:
                message = f"there is no column '{item.name}'"
                remedy = nearest(item.name, item.usable)
                outer, dot, inner = item.name.partition(".")
                if dot and outer in item.usable:
                    search = f"""contains({outer}, '"{inner}":...')"""
                    remedy = (
                        f"A field inside another cannot be named. Read '{outer}' as text with"
                        f" `types: {{{outer}: json}}` on the source, and write `{search}`; or make"
                        " it a column of the file."
                    )
                elif item.quoted and not remedy.startswith("Did"):
                    remedy = f"Text stands in single quotes: '{item.name}'."
            self.problems.add(item.path, message, remedy, offset=item.offset)
