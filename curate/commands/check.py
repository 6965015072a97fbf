"""`curate check`: whether a recipe can run, without running it."""

from __future__ import annotations

from pathlib import Path

import click

from curate.commands.options import out_option, sets_option


@click.command(name="check")
@click.argument("recipe", type=click.Path(path_type=Path))
@sets_option
@out_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(recipe: Path, sets: tuple[str, ...], out: Path, as_json: bool) -> None:
    """Find every mistake in RECIPE without loading a model or the network."""
    import json
    from dataclasses import asdict

    from curate.errors import RecipeError
    from curate.plugins.registry import get_registry
    from curate.run.check import check

    try:
        checked = check(recipe, sets, get_registry(), out=out)
    except RecipeError as error:
        if not as_json:
            raise
        click.echo(json.dumps({"ok": False, "problems": [asdict(p) for p in error.problems]}))
        raise click.exceptions.Exit(error.exit_code) from None
    stages = [step.id for step in checked.steps]
    name, sources = checked.recipe.name, list(checked.schemas)
    if as_json:
        click.echo(json.dumps({"ok": True, "name": name, "sources": sources, "stages": stages}))
    else:
        click.echo(f"{name} is well: {', '.join(sources)} > {' > '.join(stages)}")
