"""Names to plugins: every lookup by a word that a recipe or a command line names.

Only what is named is imported. Importing this module needs importlib.metadata and pluggy alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from curate.errors import PluginError, nearest
from curate.plugins import loader
from curate.plugins.loader import Point
from curate.plugins.source import editable_hash

if TYPE_CHECKING:
    import click

    from curate.answers import Backend
    from curate.contract.stages import Stage
    from curate.engines.base import Engine
    from curate.run.observe import Observer
    from curate.sources.formats.base import Format

T = TypeVar("T")

_OURS: Mapping[str, Mapping[str, str]] = {
    "curate": {
        word: f"curate-{word}"
        for word in ("baselines", "dedup", "embed", "lift", "llm", "nait", "sources", "text")
    }
    | {"hf": "curate-embed"},
    "curate.models": {"builtin": "curate-embed"},
    "curate.services": {"forward": "curate-embed"},
    "curate.llm": {"transformers": "curate-embed"},
    "curate.observers": {"mlflow": "curate-mlflow"},
}
"""Distributions of this project by group and word, for the remedy when one is not installed."""

_KINDS = {
    "curate": "stage prefix",
    "curate.models": "model alias",
    "curate.services": "service",
    "curate.llm": "llm backend",
    "curate.readers": "format",
    "curate.engines": "engine",
    "curate.commands": "command",
    "curate.observers": "observer",
}


@dataclass(frozen=True)
class Dist:
    """The distribution behind a word.

    Args:
        name: As on the package index.
        version: As installed.
        editable: Hash of its source where installed in editable mode (part of keys), else None.
    """

    name: str
    version: str
    editable: str | None


class Registry:
    """What is installed, by group and word; each entry point is loaded at most once."""

    def __init__(self, points: Iterable[Point]) -> None:
        self.points = tuple(points)
        self._loaded: dict[tuple[str, str, str], Any] = {}
        self._services: dict[str, Any] = {}
        self._broken: dict[tuple[str, str], PluginError] = {}

    def words(self, group: str) -> list[str]:
        """The words that installed plugins claim in a group, sorted."""
        return sorted({point.word for point in self.points if point.group == group})

    def prefixes(self) -> list[str]:
        """The prefixes of stages that installed plugins claim."""
        return self.words("curate")

    def point(self, group: str, word: str) -> Point:
        """The one entry point that owns a word.

        Raises:
            PluginError: If nothing installed claims the word, or several distributions do.
        """
        found = [p for p in self.points if p.group == group and p.word == word]
        if len(found) == 1:
            return found[0]
        if found:
            names = [p.distribution for p in found]
            raise PluginError(
                f"the {_KINDS[group]} '{word}' is claimed by {' and '.join(names)}",
                f"Uninstall all but one: pip uninstall {names[-1]}",
            )
        ours = _OURS.get(group, {})
        if word in ours:
            remedy = f"It comes with a plugin that is not installed: pip install {ours[word]}"
        else:
            remedy = nearest(word, self.words(group)) or "Is its plugin installed here?"
        raise PluginError(f"there is no {_KINDS[group]} '{word}'", remedy)

    def distribution(self, group: str, word: str) -> Dist:
        """The distribution that owns a word, without importing it."""
        point = self.point(group, word)
        installed = point.installed
        return Dist(installed.name, installed.version, editable_hash(installed, point.entry.module))

    def _load(self, load: Callable[[Point], T], point: Point) -> T:
        """Load an entry point once; a fault is remembered and raised to every user."""
        key = (point.group, point.word, point.distribution)
        if key not in self._loaded:
            try:
                self._loaded[key] = load(point)
            except PluginError as error:
                self._loaded[key] = self._broken[point.group, point.word] = error
        found = self._loaded[key]
        if isinstance(found, PluginError):
            raise PluginError(found.message, found.remedy) from found.__cause__
        return found  # type: ignore[no-any-return]  # the cache holds every kind of offer

    def _all(self, group: str, load: Callable[[Point], T]) -> dict[str, T]:
        """Load all of a group that loads; the rest is in `broken`."""
        found = {}
        for word in self.words(group):
            try:
                found[word] = self._load(load, self.point(group, word))
            except PluginError as error:
                self._broken[group, word] = error
        return found

    def broken(self) -> dict[tuple[str, str], PluginError]:
        """The faults met so far, by group and word."""
        return dict(self._broken)

    def stage(self, name: str) -> type[Stage]:
        """The stage of a full name such as `dedup.exact`.

        Raises:
            PluginError: If there is none, with the nearest name or the distribution to install;
                or if its plugin is broken.
        """
        prefix, _, word = name.partition(".")
        if not prefix or not word:
            known = self.stages_of(prefix) if prefix else {}
            raise PluginError(
                f"'{name}' is no stage name",
                f"A stage is a plugin's prefix, a dot and a word. {_listed(known)}".strip(),
            )
        if prefix not in self.prefixes() and prefix not in _OURS["curate"]:
            raise PluginError(
                f"there is no stage '{name}': no installed plugin has the prefix '{prefix}'",
                self._near_prefix(name, prefix),
            )
        found = self.stages_of(prefix)
        if name not in found:
            raise PluginError(
                f"there is no stage '{name}'", nearest(name, list(found)) or _listed(found)
            )
        return found[name]

    def _near_prefix(self, name: str, prefix: str) -> str:
        close = get_close_matches(prefix, [*self.prefixes(), *_OURS["curate"]], n=1, cutoff=0.6)
        if not close:
            return f"Known prefixes: {', '.join(self.prefixes())}. Is its plugin installed here?"
        right = f"{close[0]}.{name.partition('.')[2]}"
        if close[0] not in self.prefixes():
            return f"Did you mean '{right}'? pip install {_OURS['curate'][close[0]]}"
        return nearest(right, list(self.stages_of(close[0])))

    def stages_of(self, prefix: str) -> dict[str, type[Stage]]:
        """The stages of one prefix, by full name.

        Raises:
            PluginError: If nothing installed owns the prefix, or its plugin is broken.
        """
        return self._load(loader.stages, self.point("curate", prefix))

    def stages(self) -> dict[str, type[Stage]]:
        """Every stage of every plugin that loads, by full name, sorted."""
        every = self._all("curate", loader.stages)
        return dict(sorted(item for found in every.values() for item in found.items()))

    def service(self, name: str) -> Any:
        """The service of a name, made once a process."""
        if name not in self._services:
            point = self.point("curate.services", name)
            make = self._load(loader.single, point)
            with loader.blamed(point, "failed while making its service"):
                self._services[name] = make()
        return self._services[name]

    def llm(self, name: str) -> type[Backend]:
        """The backend of a name such as `openai`, for stages that ask a model."""
        found: type[Backend] = self._load(loader.single, self.point("curate.llm", name))
        return found

    def model_alias(self, prefix: str, word: str) -> Path:
        """The folder of a model alias such as `builtin:minilm` (prefix and word apart).

        Raises:
            PluginError: If there is no such alias, or it does not lead to a folder.
        """
        point = self.point("curate.models", prefix)
        found = self._load(loader.aliases, point)
        if word not in found:
            names = [f"{prefix}:{known}" for known in found]
            raise PluginError(
                f"there is no model '{prefix}:{word}'", nearest(f"{prefix}:{word}", names)
            )
        with loader.blamed(point, f"failed while looking for the model '{prefix}:{word}'"):
            return found[word]()

    def format(self, name: str) -> Format:
        """The row shape of a name such as `alpaca`."""
        found: Format = self._load(loader.single, self.point("curate.readers", name))
        return found

    def formats(self) -> dict[str, Format]:
        """Every row shape that loads, by name."""
        return self._all("curate.readers", loader.single)

    def engine(self, name: str, workers: int = 1) -> Engine:
        """A new engine of a name such as `local`, with so many workers."""
        point = self.point("curate.engines", name)
        make = self._load(loader.single, point)
        with loader.blamed(point, "failed while making its engine"):
            engine: Engine = make(workers)
        return engine

    def observer(self, name: str, target: str = "") -> Observer:
        """A new observer of a name such as `events`.

        Args:
            name: The word.
            target: What the user wrote behind `NAME=`: a file, an address.

        Raises:
            CurateError: There is none, or it cannot watch this target.
        """
        point = self.point("curate.observers", name)
        make = self._load(loader.single, point)
        with loader.blamed(point, "failed while making its observer"):
            observer: Observer = make(target)
        return observer

    def command_names(self) -> dict[str, str]:
        """Commands that plugins offer, unimported: word > the distributions that claim it."""
        claims: dict[str, list[str]] = {}
        for point in self.points:
            if point.group == "curate.commands":
                claims.setdefault(point.word, []).append(point.distribution)
        return {word: " and ".join(names) for word, names in claims.items()}

    def command(self, name: str) -> click.Command:
        """The command of a name."""
        found: click.Command = self._load(loader.single, self.point("curate.commands", name))
        return found


def _listed(found: Iterable[str]) -> str:
    names = sorted(found)
    return f"Known: {', '.join(names)}." if names else ""


@cache
def get_registry() -> Registry:
    """The registry of what is installed, made once a process."""
    return Registry(loader.discover())
