"""`curate init`: from files to a recipe that runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from curate.commands.survey import Survey


@click.command(name="init")
@click.argument("data", nargs=-1, required=True)
@click.option("--name", help="Name of the dataset; by default that of the file.")
@click.option("--json", "as_json", is_flag=True, help="Print what was seen and written as JSON.")
def command(data: tuple[str, ...], name: str | None, as_json: bool) -> None:
    """Look at the files DATA, say what is in them, and write a recipe for them here."""
    from curate.commands.starter import starter, stem
    from curate.commands.survey import look_at
    from curate.errors import UsageError
    from curate.plugins.registry import get_registry
    from curate.run.check import check

    registry = get_registry()
    name = name or (stem(data[0]).replace("_", "-") if len(data) == 1 else "mix")
    if not re.fullmatch(r"[a-z0-9-]+", name):
        raise UsageError(
            f"'{name}' is no name for a dataset",
            "A name has lower-case letters, digits and dashes.",
        )
    recipe = Path(f"{name}.yaml")
    usable = {stage.partition(".")[0] for stage in registry.stages()}
    surveys = []
    for path in data:
        surveys.append(look_at(path))
        _say(surveys[-1])
    try:
        with recipe.open("x", encoding="utf-8") as file:
            file.write(starter(name, surveys, usable))
    except FileExistsError:
        raise UsageError(
            f"{recipe} is there already, and stays as it is", "Choose another --name."
        ) from None
    click.echo(f"wrote {recipe}", err=True)
    check(recipe, (), registry)
    if as_json:
        import json
        from dataclasses import asdict

        seen = [asdict(survey) for survey in surveys]
        run = ["curate", "run", str(recipe)]
        click.echo(json.dumps({"recipe": str(recipe), "sources": seen, "next": run}))
    else:
        click.echo(f"curate run {recipe}")


def _say(survey: Survey) -> None:
    """Print what is in a file, to stderr: the answer on stdout is the command to type."""
    from curate.printing import printable

    shape = survey.format
    if survey.mapping:
        pairs = (f"{field} = {column}" for field, column in survey.mapping.items())
        shape += f" with {', '.join(pairs)}"
    lines = [
        f"{survey.path}: {survey.rows:,} rows in the shape {shape}",
        f"  columns: {', '.join(survey.columns)}",
        f"  {survey.repeated:,} repeat another row's text, {survey.empty:,} have no response",
    ]
    if survey.fits:
        lines.append(f"  the columns would also fit {', '.join(survey.fits)}")
    if survey.unreadable:
        first = survey.unreadable[0]
        what = f"{first.file}:{first.line}: {first.error}"
        lines.append(f"  {len(survey.unreadable):,} cannot be read and are set aside; {what}")
    click.echo(printable("\n".join(lines)), err=True)
