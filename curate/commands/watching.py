"""Who watches a run that a command starts: a bar in a terminal, observers asked for by name."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from curate.run.observe import Watch

observe_option = click.option(
    "--observe",
    multiple=True,
    metavar="NAME[=TARGET]",
    help="Tell an observer what happens, such as events=FILE: a line of JSON for each event.",
)


@contextmanager
def watched(observe: Sequence[str], interrupted: str) -> Iterator[Watch]:
    """Watch what is done inside; says which observers failed, whatever becomes of it.

    Args:
        observe: Observers that were asked for.
        interrupted: What to say where the user ends it; the exit code is 130 then.
    """
    from curate.plugins.registry import get_registry
    from curate.printing import printable
    from curate.run.observe import Watch, named_observers

    named = named_observers(observe, get_registry())
    with ExitStack() as stack:
        observers = []
        if sys.stderr.isatty():
            from rich.console import Console

            from curate.run.progress import TerminalProgress

            observers.append(stack.enter_context(TerminalProgress(Console(stderr=True))))
        watch = Watch(observers, named)
        try:
            yield watch
        except KeyboardInterrupt:
            click.echo(interrupted, err=True)
            raise click.exceptions.Exit(130) from None
        finally:
            for word, error in watch.faults.items():
                said = f"Warning: the observer '{word}' failed and was told no more: {error}"
                click.echo(printable(said), err=True)
