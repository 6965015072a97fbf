"""`curate run`: a recipe in, a version out."""

from __future__ import annotations

from pathlib import Path

import click

from curate.commands.options import out_option, sets_option


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
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    recipe: Path,
    sets: tuple[str, ...],
    out: Path,
    engine: str,
    workers: int,
    limit: int | None,
    as_json: bool,
) -> None:
    """Run RECIPE and publish a version of the curated dataset."""
    import sys
    from contextlib import ExitStack

    from curate.versions.make import run_recipe

    with ExitStack() as stack:
        observers = []
        if sys.stderr.isatty():
            from rich.console import Console

            from curate.run.progress import TerminalProgress

            observers.append(stack.enter_context(TerminalProgress(Console(stderr=True))))
        result = run_recipe(
            recipe,
            sets,
            out=out,
            engine=engine,
            workers=workers,
            limit=limit,
            observers=observers,
        )
    if as_json:
        import json
        from dataclasses import asdict

        click.echo(json.dumps(asdict(result) | {"path": str(result.path)}))
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
