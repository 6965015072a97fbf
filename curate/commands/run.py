"""`curate run`: a recipe in, a version out; with `--locked`, a version made again."""

from __future__ import annotations

from pathlib import Path

import click

from curate.commands.options import out_option, sets_option
from curate.commands.watching import observe_option, watched

_INTERRUPTED = (
    "interrupted: no version was published\n"
    "  What was computed or paid for is kept: the same command goes on from there."
)
_INTERRUPTED_AGAIN = "interrupted: the version was not made again, and is as it was"


@click.command(name="run")
@click.argument("recipe")
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
    "--locked",
    is_flag=True,
    help="Make the version NAME@VERSION again from its lock, compare, and publish nothing.",
)
@observe_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    recipe: str,
    sets: tuple[str, ...],
    out: Path,
    engine: str,
    workers: int,
    limit: int | None,
    locked: bool,
    observe: tuple[str, ...],
    as_json: bool,
) -> int:
    """Run RECIPE and publish a version of the curated dataset.

    With --locked: make NAME@VERSION again from its own recipe and lock. It stops before any work
    where a plugin, file, model or paid answer is missing or differs; otherwise everything is
    computed anew and the digests are compared.
    """
    if locked:
        return _again(recipe, sets, out, engine, workers, limit, observe, as_json)

    from curate.versions.make import run_recipe

    with watched(observe, _INTERRUPTED) as watch:
        result = run_recipe(
            _existing(recipe),
            sets,
            out=out,
            engine=engine,
            workers=workers,
            limit=limit,
            watch=watch,
        )
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
        if result.damaged:
            missing = ", ".join(result.damaged)
            click.echo(f"This run had made a version that is damaged: {missing} is missing.")
        if not result.new:
            click.echo(f"The rows are those of {result.path}; no new version was made.")
    return 0


def _existing(recipe: str) -> Path:
    """The path of a recipe; a version in its place is a mistake that is worth a word of its own."""
    from curate.errors import UsageError

    path = Path(recipe)
    if "@" in path.name and not path.exists():
        raise UsageError(
            f"There is no recipe '{recipe}'.",
            f"To make a version again: curate run {recipe} --locked",
        )
    return path


def _again(
    name: str,
    sets: tuple[str, ...],
    out: Path,
    engine: str,
    workers: int,
    limit: int | None,
    observe: tuple[str, ...],
    as_json: bool,
) -> int:
    """Make a version again; returns the exit code."""
    from curate.errors import UsageError
    from curate.versions.open import find_version

    if Path(name).suffix in (".yaml", ".yml") or Path(name).is_file():
        raise UsageError(
            f"--locked takes a version, and '{name}' is a recipe.",
            "Write NAME@VERSION, such as nait-alpaca@v1; `curate versions NAME` lists them.",
        )
    if limit is not None:
        raise UsageError("--limit: a locked run takes the rows that the version was made of.")

    from curate.versions.reproduce import reproduce

    path = find_version(name, out)
    with watched(observe, _INTERRUPTED_AGAIN) as watch:
        made = reproduce(path, sets, engine=engine, workers=workers, watch=watch)
    if as_json:
        import json
        from dataclasses import asdict

        facts = {"same": made.same, **asdict(made), "path": str(made.path)}
        click.echo(json.dumps(facts | {"observers_failed": watch.faults}))
    elif made.same:
        click.echo(f"{made.name} was made again with the same digest: {made.digest}")
        for warning in made.warnings:
            click.echo(f"though {warning}")
    else:
        click.echo(f"{made.name} was made again, and the digest is another.")
        click.echo(f"published  {made.expected}")
        click.echo(f"now        {made.digest}")
        for line in made.differences:
            click.echo(f"- {line}")
        if made.warnings:
            click.echo("The same digest is promised with the same machine, settings and libraries:")
            for warning in made.warnings:
                click.echo(f"- {warning}")
    return 0 if made.same else 1
