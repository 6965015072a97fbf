"""Loads one entry point by itself, so that a fault is that plugin's and nobody else's.

Importing this costs little; what a plugin needs is imported when it is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from curate import hookspecs
from curate.errors import CurateError, PluginError

if TYPE_CHECKING:
    from curate.contract.stages import Stage

_HOOKS = {group: hook for hook, group in hookspecs.GROUPS.items()}
_WORD = re.compile(r"[a-z][a-z0-9_-]*")
_VERBS = ("expand", "score", "filter", "fuse")


@dataclass(frozen=True)
class Point:
    """One entry point of an installed distribution.

    Args:
        group: The entry-point group, such as `curate.models`.
        word: The entry point's name: what users write.
        entry: The entry point itself, unloaded.
        installed: The distribution that it belongs to.
    """

    group: str
    word: str
    entry: EntryPoint
    installed: Distribution

    @property
    def distribution(self) -> str:
        """The distribution's name."""
        return self.installed.name

    @property
    def hook(self) -> str:
        """The hook that is called on it."""
        return _HOOKS[self.group]

    def __str__(self) -> str:
        where = f"entry point {self.word} = {self.entry.value} in [{self.group}]"
        return f"plugin {self.distribution} {self.installed.version} ({where})"


def discover() -> list[Point]:
    """Every entry point in a group of ours, in the order of group, word and distribution."""
    points = [
        Point(entry.group, entry.name, entry, entry.dist)
        for group in _HOOKS
        for entry in entry_points(group=group)
        if entry.dist is not None
    ]
    return sorted(points, key=lambda point: (point.group, point.word, point.distribution))


@contextmanager
def blamed(point: Point, doing: str) -> Iterator[None]:
    """Turn whatever a plugin raises into a PluginError that names the plugin.

    Args:
        point: The plugin at work.
        doing: What it was doing, such as `failed while loading`.
    """
    try:
        yield
    except CurateError:
        raise
    except (Exception, SystemExit) as error:  # foreign code may raise anything; it is carried on
        text = f"{type(error).__name__}: {error}".rstrip(": ")
        raise PluginError(f"{point} {doing}: {text}", _mend(point)) from error


def _mend(point: Point) -> str:
    name = point.distribution
    return (
        f"Update it (pip install --upgrade {name}) or remove it (pip uninstall {name}); "
        "recipes that do not use it are not affected."
    )


def _refused(point: Point, why: str) -> PluginError:
    return PluginError(f"{point} {why}", _mend(point))


def offers(point: Point) -> list[tuple[Any, ...]]:
    """Import one entry point and collect what its hook registers, as argument tuples.

    Raises:
        PluginError: If it cannot be imported, was built for another interface, has no such hook,
            or raises.
    """
    from curate.contract import API_VERSION

    with blamed(point, "failed while being imported"):
        plugin = point.entry.load()
        api = getattr(plugin, "CURATE_API", None)
    if type(api) is not int:
        raise PluginError(
            f"{point} does not state the plugin interface it was built for",
            f"Its author adds `CURATE_API = {API_VERSION}` to {point.entry.value}.",
        )
    if api != API_VERSION:
        raise PluginError(
            f"{point} was built for plugin interface {api}; this curate has {API_VERSION}",
            f"Update the older one: pip install --upgrade {point.distribution} curate-data",
        )
    offered: list[tuple[Any, ...]] = []
    with blamed(point, f"failed in its hook {point.hook}"):
        manager = pluggy.PluginManager("curate")
        manager.add_hookspecs(hookspecs)
        manager.register(plugin)
        manager.check_pending()
        hook = getattr(manager.hook, point.hook)
        if not hook.get_hookimpls():
            raise _refused(point, f"has no function {point.hook} marked @hookimpl")
        hook(register=_collector(point.hook, offered))
    if not offered:
        raise _refused(point, f"registers nothing in {point.hook}")
    return offered


def _collector(hook: str, offered: list[tuple[Any, ...]]) -> Callable[..., None]:
    """A `register` that takes exactly what the hook's signature says."""

    def one(item: Any, /) -> None:
        offered.append((item,))

    def named(word: str, find: Callable[[], Path], /) -> None:
        offered.append((word, find))

    return named if hook == "register_models" else one


def single(point: Point) -> Any:
    """Load an entry point that offers one thing under its own name.

    Raises:
        PluginError: If it cannot be loaded or offers several.
    """
    found = offers(point)
    if len(found) > 1:
        raise _refused(point, f"registers {len(found)} things in {point.hook}, not one")
    return found[0][0]


def aliases(point: Point) -> dict[str, Callable[[], Path]]:
    """Load the model aliases of an entry point: word after the colon > finder of the folder.

    Raises:
        PluginError: If it cannot be loaded or names one alias twice.
    """
    found: dict[str, Callable[[], Path]] = {}
    for word, find in offers(point):
        if word in found:
            raise _refused(point, f"registers the model alias {word!r} twice")
        found[word] = find
    return found


def stages(point: Point) -> dict[str, type[Stage]]:
    """Load the stages of an entry point, by full name.

    Raises:
        PluginError: If it cannot be loaded or a stage does not keep the contract.
    """
    found: dict[str, type[Stage]] = {}
    for (offer,) in offers(point):
        stage = _checked(point, offer)
        if stage.name in found:
            raise _refused(point, f"registers the stage {stage.name} twice")
        found[stage.name] = stage
    return found


def _checked(point: Point, offer: Any) -> type[Stage]:
    """Return the offer if it is a stage that states name, version, verb and parameters."""
    from curate.contract.parameters import Params
    from curate.contract.stages import Stage

    if not (isinstance(offer, type) and issubclass(offer, Stage)):
        raise _refused(point, f"registers {offer!r} as a stage, which is no subclass of a verb")
    named = f"registers {offer.__qualname__}"
    name = getattr(offer, "name", None)
    if not isinstance(name, str):
        raise _refused(point, f"{named}, a stage without a name")
    prefix, dot, word = name.partition(".")
    if prefix != point.word or not dot or not _WORD.fullmatch(word):
        raise _refused(
            point, f"{named} as {name!r}; its name must be '{point.word}.' and a lower-case word"
        )
    version = getattr(offer, "version", None)
    if type(version) is not int or version < 1:
        raise _refused(point, f"{named} ({name}) without a version, a whole number from 1")
    if getattr(offer, "verb", None) not in _VERBS:
        raise _refused(point, f"{named} ({name}) without a verb; subclass ScoreStage or a sister")
    if not (isinstance(offer.Params, type) and issubclass(offer.Params, Params)):
        raise _refused(point, f"{named} ({name}), whose Params is no subclass of curate.api.Params")
    return offer
