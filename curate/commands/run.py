"""`curate run`: a recipe in, a version out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from curate.commands.options import out_option, sets_option

_INTERRUPTED = (
    "interrupted: no version was published\n"
    "  What was computed or paid for is kept: the same command goes on from there."
)


@click.command(name="run")
@click.argument("recipe", type=click.Path(path_type=Path))
@sets_option
@out_option
@click.option("--engine", default="local", show_default=True, help="Where the work is done.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Processes that score rows, each on a GPU of its own where there are several.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Take the first N rows of each source and publish a preview.",
)
@click.option(
    "--observe",
    multiple=True,
    metavar="NAME[=TARGET]",
    help="Tell an observer what happens, such as events=FILE: a line of JSON for each event.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    recipe: Path,
    sets: tuple[str, ...],
    out: Path,
    engine: str,
    workers: int,
    limit: int | None,
    observe: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run RECIPE and publish a version of the curated dataset."""
    import sys
    from contextlib import ExitStack

    from curate.plugins.registry import get_registry
    from curate.run.observe import Watch, named_observers
    from curate.versions.make import run_recipe

    named = named_observers(observe, get_registry())
    with ExitStack() as stack:
        observers = []
        if sys.stderr.isatty():
            from rich.console import Console

            from curate.run.progress import TerminalProgress

            observers.append(stack.enter_context(TerminalProgress(Console(stderr=True))))
        watch = Watch(observers, named)
        stack.callback(_say_faults, watch.faults)
        try:
            result = run_recipe(
                recipe, sets, out=out, engine=engine, workers=workers, limit=limit, watch=watch
            )
        except KeyboardInterrupt:
            click.echo(_INTERRUPTED, err=True)
            raise click.exceptions.Exit(130) from None
    if as_json:
        import json

        click.echo(json.dumps(result.facts() | {"observers_failed": watch.faults}))
    elif result.up_to_date:
        from curate.versions.runs import versions_of

        name = result.path.parent.name
        click.echo(f"{name}@{result.version} is up to date: {result.path}")
        latest = versions_of(result.path.parent)[-1]
        if latest != result.version:
            click.echo(f"The latest version is {latest}, of another recipe or other inputs.")
    else:
        from rich.console import Console

        from curate.report.closing import render
        from curate.versions.open import Version

        version = Version(result.path)
        render(version, Console())
        if not result.new:
            click.echo(f"The rows are those of {result.path}; no new version was made.")


def _say_faults(faults: Mapping[str, str]) -> None:
    """Print which observers failed, whatever became of the run."""
    from curate.commands.printing import plain

    for word, error in faults.items():
        click.echo(
            plain(f"Warning: the observer '{word}' failed and was told no more: {error}"), err=True
        )
