"""Options that several commands take."""

from __future__ import annotations

from pathlib import Path

import click

sets_option = click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a value: nait.with.model=..., sources.gpt4.path=..., seed=7.",
)

out_option = click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("curated"),
    show_default=True,
    help="Where versions live.",
)
