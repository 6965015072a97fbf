"""`curate growth`: growth curves fitted, shown and turned into a growth table."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

import click
from pydantic import ValidationError

from curate.api import hookimpl
from curate_sources.growth.saturation import Fit, FitParams, fit_curves

if TYPE_CHECKING:
    from curate_sources.growth.curves import Curves

CURATE_API = 1


def _options(function: Callable[..., None]) -> Callable[..., None]:
    """An option for each parameter of a fit, with its words and default."""
    for name, field in reversed(FitParams.model_fields.items()):
        choices = get_args(field.annotation) if get_origin(field.annotation) else ()
        function = click.option(
            f"--{name.replace('_', '-')}",
            type=click.Choice(choices) if choices else field.annotation,
            default=field.default,
            show_default=True,
            help=field.description,
        )(function)
    return function


def _params(given: Mapping[str, Any]) -> FitParams:
    try:
        return FitParams(**given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = f"--{str(first['loc'][0]).replace('_', '-')}"
        said = first["msg"].removeprefix("Input ")
        raise click.BadParameter(f"{first['input']}: {said}", param_hint=option) from error


@click.command("growth")
@click.argument("file", metavar="CURVES.csv", type=click.Path(path_type=Path))
@_options
@click.option("--plot", type=click.Path(path_type=Path), help="Draw into a .png, .svg or .html.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(file: Path, plot: Path | None, as_json: bool, **given: Any) -> None:
    """Fit growth curves, and print the `growth:` table of sources.growth that follows.

    CURVES.csv has the columns ability, rows, metric: a line for each run. The law fitted is a power
    law with or without a ceiling; it is this project's own choice.
    """
    from curate_sources.growth.curves import read_curves

    params = _params(given)
    if plot is not None:
        from curate_sources.growth.pictures import SUFFIXES, draw

        if plot.suffix not in SUFFIXES:
            said = f"'{plot}' ends in none of {', '.join(SUFFIXES)}"
            raise click.BadParameter(said, param_hint="--plot")
    curves: Curves = read_curves(file)
    fits = fit_curves(curves, params)
    if plot is not None:
        draw(fits, plot)
    if as_json:
        facts = {name: fit.facts() for name, fit in fits.items()}
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for ability, fit in fits.items():
        click.echo(_words(ability, fit) + "\n")
    click.echo(_table(fits), nl=False)
    if plot is not None:
        click.echo(f"\n{plot}", err=True)


def _words(ability: str, fit: Fit) -> str:
    points = len({rows for rows, _ in fit.runs})
    law = fit.law
    if law.r2 is None:
        spread = "all runs are equal"
    elif law.exact:
        spread = "the runs lie on the law"
    else:
        spread = f"R2 {law.r2:.3f}, residual {law.residual:.3g}, "
        spread += f"noise {law.noise:.3g} ({law.noise_of})"
    return "\n".join(
        (
            f"{ability}: {fit.pace}",
            f"  {fit.why}",
            f"  {len(fit.runs)} runs at {points} numbers of rows; law {law}",
            f"  {spread}",
        )
    )


def _table(fits: Mapping[str, Fit]) -> str:
    import yaml

    table = {ability: str(fit.pace) for ability, fit in fits.items()}
    text: str = yaml.safe_dump({"growth": table}, sort_keys=False, allow_unicode=True, width=1000)
    return text


@hookimpl
def register_commands(register: Callable[[click.Command], None]) -> None:
    """Offer the command."""
    register(command)
