"""The lock of a version, held against this machine before any work is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from curate.contract import API_VERSION
from curate.contract.parameters import Reference
from curate.errors import CurateError, PluginError, RecipeError, UsageError
from curate.memo.answers import Journal
from curate.plugins.registry import Registry
from curate.recipe.document import read_document
from curate.recipe.load import KEYS
from curate.recipe.model import Source
from curate.recipe.names import VERBS, default_id
from curate.run.locking import environment
from curate.run.resolved import Resolved
from curate.services.models import bare
from curate.services.models import resolve as resolve_model
from curate.sources.files import artifact_file, resolve_files
from curate.sources.published import version_files
from curate.versions.lock import automatic, pinned, read_lock

_AS_LOCKED = "Do ${...} or --set say something else?"

_GROUPS = {
    "stages": "curate",
    "services": "curate.services",
    "llm": "curate.llm",
    "formats": "curate.readers",
    "models": "curate.models",
}
Files = Sequence[tuple[str, str]]
"""Files in their order: sha256, and the name to show."""

_SHOWN = 16
"""Characters of a hash in a message."""


@dataclass(frozen=True)
class Difference:
    """Something that is not here as the lock says: what, what is here, and what to do."""

    what: str
    here: str
    remedy: str = ""

    def __str__(self) -> str:
        said = f"{self.what}: {self.here}"
        return f"{said}\n    {self.remedy}" if self.remedy else said


class LockedError(CurateError):
    """A version cannot be made again here as it was; every difference is named."""

    def __init__(self, name: str, differences: Sequence[Difference]) -> None:
        self.differences = tuple(differences)
        count = len(differences)
        things = "1 thing is" if count == 1 else f"{count} things are"
        listed = "\n".join(f"  {difference}" for difference in differences)
        super().__init__(
            f"{name} cannot be made again here: {things} missing or not as its lock says. "
            f"Nothing was computed.\n{listed}"
        )


class Locked:
    """A version's recipe and lock, and what of them this machine has.

    Args:
        path: Folder of the version.
        sets: Overrides that the digest does not see, such as where a file lies now.
        registry: Where plugins are found.
        paid: Folder of the memo that holds the journal of answers.

    Attributes:
        out: Where versions live.
        lock: The lock.
        recipe: The version's recipe.
        sets: All overrides: those of the run, what the Hub's names and `auto` came to, those given.
        commits: Model of the Hub > its commit.

    Raises:
        CurateError: The lock cannot be read.
        RecipeError: The recipe cannot be read here, say for a variable that is not set.
    """

    def __init__(self, path: Path, sets: Sequence[str], registry: Registry, paid: Path) -> None:
        self.out = path.parent.parent
        self.lock = read_lock(path)
        self.recipe = path / "recipe.yaml"
        self.registry = registry
        self.paid = paid
        self.given = tuple(sets)
        asked = list(self.lock["sets"])
        before, _ = read_document(self.recipe, asked, KEYS)
        self.sets = [*asked, *pinned(self.lock, before.data), *automatic(self.lock), *sets]
        document, problems = read_document(self.recipe, self.sets, KEYS)
        if problems:
            raise RecipeError(problems)
        self.data = document.data
        self.commits = {
            name: model["commit"] for name, model in self.lock["models"].items() if model["commit"]
        }

    def differences(self) -> list[Difference]:
        """What is missing or differs, as far as it can be seen without the plugins' code."""
        return [*self._plugins(), *self._files(), *self._models(), *self._answers()]

    def unlike(self, resolved: Resolved) -> list[Difference]:
        """In what the resolved recipe is not the one that was locked."""
        there, here = self.lock["identity"], resolved.prints
        found = [
            Difference(f"source '{name}'", "its options or its files are not as the lock says")
            for name in {**there["sources"], **here["sources"]}
            if there["sources"].get(name) != here["sources"].get(name)
        ]
        known = {model["digest"] for model in self.lock["models"].values()}
        for name, model in resolved.models_facts().items():
            if model["digest"] not in known:
                found.append(Difference(f"model {name}", "its files are none that the lock names"))
        was, now = (
            {id: sum_ for step in prints["pipeline"] for id, sum_ in step.items()}
            for prints in (there, here)
        )
        for id in {**was, **now}:
            if was.get(id) == now.get(id):
                continue
            before = self.lock["stages"].get(id, {}).get("version")
            version = next((r.step.stage.version for r in resolved.steps if r.step.id == id), None)
            said = "its parameters, or what they name, are not as the lock says"
            if before != version:
                said = f"it has version {version} here, the lock says {before}"
            found.append(Difference(f"stage '{id}'", said, _AS_LOCKED))
        if not found and here != there:
            said = "name, seed, order or output are not as locked"
            found.append(Difference("the recipe", said, _AS_LOCKED))
        if not found and resolved.run_key != self.lock["run_key"]:
            found.append(Difference("the run", "its key is not the one that the lock says"))
        return found

    def other_model(self, error: CurateError) -> Difference | None:
        """What to say where a model cannot be found that only a set can have named."""
        names = [item.partition("=") for item in self.given]
        asked = [
            key for key, _, value in names if ".with." in key and f"'{value}'" in error.message
        ]
        if not asked or not self.lock["models"]:
            return None
        return Difference(
            f"--set {asked[0]}",
            error.message,
            f"The lock names {', '.join(self.lock['models'])}: a set may say the folder where its "
            "files are, and no other model.",
        )

    def warnings(self) -> list[str]:
        """Versions of Python and libraries that differ: results may, by as much as tolerances."""
        here = environment(name for name in self.lock["plugins"] if _installed(name))
        found = [
            f"{name} {here[name]} here, {self.lock[name]} then"
            for name in ("python", "platform")
            if here[name] != self.lock[name]
        ]
        for name, version in self.lock["packages"].items():
            there = here["packages"].get(name)
            if there != version and name not in self.lock["plugins"]:
                found.append(f"{name} {there or 'not installed'} here, {version} then")
        return found

    def _plugins(self) -> Iterator[Difference]:
        for name, entry in self.lock["plugins"].items():
            what, remedy = f"plugin {name}", f"pip install '{name}=={entry['version']}'"
            here = _installed(name)
            if here is None:
                said = f"is not installed; the lock says {entry['version']}"
                yield Difference(what, said, remedy)
                continue
            if here != entry["version"]:
                said = f"{here} is installed; the lock says {entry['version']}"
                yield Difference(what, said, remedy)
                continue
            if entry["api_version"] != API_VERSION:
                said = f"the interface is {API_VERSION} here; the lock says {entry['api_version']}"
                yield Difference(what, said, "Take the curate that the lock names.")
            yield from self._provided(what, remedy, entry["provides"])

    def _provided(
        self, what: str, remedy: str, provides: Mapping[str, Mapping[str, str | None]]
    ) -> Iterator[Difference]:
        """What a distribution gave then, against what is here under the same words."""
        changed: list[str] = []
        for kind, words in provides.items():
            for word, source in words.items():
                try:
                    here = self.registry.distribution(_GROUPS[kind], word)
                except PluginError as error:
                    yield Difference(f"{what}, {kind} {word}", error.message, error.remedy)
                    continue
                if f"plugin {here.name}" != what:
                    said = f"comes from {here.name} here"
                    yield Difference(f"{what}, {kind} {word}", said, f"pip uninstall {here.name}")
                elif here.editable != source:
                    changed.append(f"{kind} {word}")
                    if source is not None:
                        remedy = "It was installed in editable mode: check out the source of then."
        if changed:
            yield Difference(what, f"its source differs ({', '.join(changed)})", remedy)

    def _like(self) -> Iterator[Difference]:
        """Files of the version whose rows stay in their splits."""
        if "like" not in self.lock:
            return
        expected = [(file["sha256"], file["file"]) for file in self.lock["like"]["files"]]
        what, where = "the version of `output.like`", "output.like"
        try:
            files = version_files(self.data["output"]["like"], self.out)
        except (CurateError, KeyError) as error:
            yield _missing(what, error, expected, where)
        else:
            here = [(file.sha256, file.shown) for file in files]
            yield from _compared(what, here, expected, where)

    def _files(self) -> Iterator[Difference]:
        """Files of sources and references, and those that parameters name."""
        for name, entry in self.lock["sources"].items():
            expected = [(file["sha256"], file["file"]) for file in entry["files"]]
            where = f"sources.{name}.{'version' if 'version' in entry else 'path'}"
            try:
                source = Source.model_validate(self.data["sources"][name])
                files = resolve_files(source, None, self.out)
                here = [(file.sha256, file.shown) for file in files]
            except (CurateError, ValidationError, KeyError) as error:
                yield _missing(f"source '{name}'", error, expected, where)
            else:
                yield from _compared(f"source '{name}'", here, expected, where)
        yield from self._like()
        stages = _stages(self.data)
        tables = [(key, entry["files"]) for key, entry in self.lock["references"].items()]
        tables += [(key, [entry]) for key, entry in self.lock["files"].items()]
        for key, files in tables:
            id, _, at = key.partition(".")
            expected = [(file["sha256"], file["file"]) for file in files]
            value = stages.get(id, {}).get("with", {})
            for part in at.split("."):
                value = value.get(part) if isinstance(value, Mapping) else None
            if value is None:
                continue  # not in the recipe as a path: what it resolves to is compared
            where = f"{id}.with.{at}"
            try:
                reference = Reference.model_validate(value)
                options = self.lock["references"].get(key, {}).get("options", {})
                rows = "format" in options  # a table; anything else is a file of any kind
                found = resolve_files(reference) if rows else [artifact_file(reference.path)]
                here = [(file.sha256, file.shown) for file in found]
            except (CurateError, ValidationError) as error:
                yield _missing(f"'{key}'", error, expected, where)
            else:
                yield from _compared(f"'{key}'", here, expected, where)

    def _models(self) -> Iterator[Difference]:
        """Models by name; where sets name others, what they resolve to is compared."""
        if any(".with." in item.partition("=")[0] for item in self.given):
            return
        for name, locked in self.lock["models"].items():
            commit = locked["commit"]
            remedy = "Bring its files back, or name the folder that has them with --set."
            if commit:
                remedy = f"hf download {bare(name).partition('@')[0]} --revision {commit}"
            try:
                here = resolve_model(name, self.registry, download=True, commit=commit)
            except CurateError as error:
                said = f"{error.message} The lock says {_short(locked['digest'])}."
                yield Difference(f"model {name}", said, error.remedy or remedy)
                continue
            if here.digest != locked["digest"]:
                said = (
                    f"its files have the digest {_short(here.digest)}; "
                    f"the lock says {_short(locked['digest'])}"
                )
                yield Difference(f"model {name}", said, remedy)

    def _answers(self) -> Iterator[Difference]:
        for id, locked in self.lock["answers"].items():
            journal = Journal(self.paid, locked["address"], locked["model"])
            here = journal.prints()
            journal.close()
            entries = [(entry[:16], entry) for entry in locked["entries"]]
            missing = sum(key not in here for key, _ in entries)
            other = sum(key in here and here[key] != entry for key, entry in entries)
            said = []
            if missing:
                said.append(f"{missing:,} of {len(entries):,} paid answers are missing")
            if other:
                said.append(f"{other:,} of {len(entries):,} paid answers are others")
            if said:
                yield Difference(
                    f"stage '{id}'",
                    f"{' and '.join(said)} ({locked['model']} at {locked['address']})",
                    "Copy memo/llm from the CURATE_HOME of the machine that has them; a run "
                    "without --locked asks, and pays, again.",
                )


def _stages(data: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The stages of a recipe by id."""
    return {
        stage.get("id") or default_id(next(stage[verb] for verb in VERBS if verb in stage)): stage
        for stage in data["pipeline"]
    }


def _missing(what: str, error: Exception, expected: Files, where: str) -> Difference:
    said = error.message if isinstance(error, CurateError) else str(error)
    sums = ", ".join(_short(sum_) for sum_, _ in expected)
    gone = said.endswith(("no such file", "no file matches"))
    remedy = ""  # of a version that is not there: what there is instead is no help
    if isinstance(error, CurateError) and not isinstance(error, UsageError) and not gone:
        remedy = error.remedy
    ours = f"Bring it back, or say where it is now: --set {where}=PATH"
    return Difference(what, f"{said.rstrip('.')}; the lock says sha256 {sums}", remedy or ours)


def _compared(what: str, here: Files, expected: Files, where: str) -> Iterator[Difference]:
    """Files by sha256, in their order, each as often as it is named."""
    sums, locked = [sum_ for sum_, _ in here], [sum_ for sum_, _ in expected]
    if sums == locked:
        return
    remedy = f"Bring back the file of then, or say where it is now: --set {where}=PATH"
    missing, added = _beyond(expected, sums), _beyond(here, locked)
    if not missing and not added:
        yield Difference(what, "its files stand in another order", remedy)
    alone = len(missing) == len(added) == 1  # a file in place of one that had another name
    for sum_, shown in missing:
        same = next((one for one in added if alone or one[1] == shown), None)
        if same is None:
            yield Difference(what, f"{shown} is not there; the lock says {_short(sum_)}", remedy)
            continue
        added.remove(same)
        says = _short(sum_) if same[1] == shown else f"{_short(sum_)} of {shown}"
        said = f"{same[1]} has sha256 {_short(same[0])}; the lock says {says}"
        yield Difference(what, said, remedy)
    if added:
        names = ", ".join(shown for _, shown in added)
        yield Difference(what, f"the lock does not name {names}", "Move it elsewhere.")


def _beyond(files: Files, known: Iterable[str]) -> list[tuple[str, str]]:
    """Files whose sums are not among others; one that is there more often counts so often."""
    left, found = Counter(known), []
    for sum_, shown in files:
        left[sum_] -= 1
        if left[sum_] < 0:
            found.append((sum_, shown))
    return found


def _short(hash_: str) -> str:
    return f"{hash_[:_SHOWN]}..."


def _installed(name: str) -> str | None:
    try:
        return installed_version(name)
    except PackageNotFoundError:
        return None
