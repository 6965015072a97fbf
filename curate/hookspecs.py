"""The table of contents of the plugin interface: every hook, with the group that it is loaded from.

An entry point in a group below names a module (or any object) with `@hookimpl` functions. The
entry point's own name is the word that users write: the prefix of stages, `builtin` in
`builtin:minilm`, the format in `format: alpaca`. Only what a recipe names is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

    from curate.answers import Backend
    from curate.contract.stages import Stage
    from curate.engines.base import Engine
    from curate.run.observe import Observer
    from curate.sources.formats.base import Format

hookspec = pluggy.HookspecMarker("curate")
hookimpl = pluggy.HookimplMarker("curate")

GROUPS = {
    "register_stages": "curate",
    "register_models": "curate.models",
    "register_services": "curate.services",
    "register_llms": "curate.llm",
    "register_formats": "curate.readers",
    "register_engines": "curate.engines",
    "register_commands": "curate.commands",
    "register_observers": "curate.observers",
}
"""Hook > the entry-point group whose entry points it is called on."""


@hookspec
def register_stages(register: Callable[[type[Stage]], None]) -> None:
    """Offer stages; each one's name begins with the entry point's name and a dot."""


@hookspec
def register_models(register: Callable[[str, Callable[[], Path]], None]) -> None:
    """Offer model aliases: the word after the colon and a function that finds the folder."""


@hookspec
def register_services(register: Callable[[Callable[[], Any]], None]) -> None:
    """Offer the service of the entry point's name, as a function that makes it once a process."""


@hookspec
def register_llms(register: Callable[[type[Backend]], None]) -> None:
    """Offer the backend of the entry point's name: who answers where a stage asks a model."""


@hookspec
def register_formats(register: Callable[[Format], None]) -> None:
    """Offer the row shape of the entry point's name."""


@hookspec
def register_engines(register: Callable[[Callable[[int], Engine]], None]) -> None:
    """Offer the engine of the entry point's name, as a function from a number of workers to it."""


@hookspec
def register_commands(register: Callable[[click.Command], None]) -> None:
    """Offer the command of the entry point's name."""


@hookspec
def register_observers(register: Callable[[Callable[[str], Observer]], None]) -> None:
    """Offer the observer of the entry point's name, as a function from its target to it."""
