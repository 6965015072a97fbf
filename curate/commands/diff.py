"""`curate diff`: what differs between two versions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from curate.commands.options import out_option

if TYPE_CHECKING:
    import polars as pl


@click.command(name="diff")
@click.argument("one", metavar="NAME[@VERSION]")
@click.argument("two", metavar="[NAME[@VERSION]]", required=False)
@click.option(
    "--rows",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.parquet",
    help="Write every row that changed, with its text before and after.",
)
@out_option
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(one: str, two: str | None, file: Path | None, out: Path, as_json: bool) -> None:
    """Say which rows were added, removed and changed between two versions, and what did it.

    With one version only, it is compared with the latest; the latest with the one before it. Paths
    of versions' folders do too.
    """
    from curate.versions.diff import Diff
    from curate.versions.open import open_pair

    if file is not None:
        _check(file)
    diff = Diff(*open_pair(one, two, out))
    if file is not None:
        _write(diff.full_rows(), file)
    if as_json:
        from curate.commands.printing import json_text

        click.echo(json_text(diff.facts()))
        return
    from curate.commands.printing import wide_console
    from curate.report.differing import differing

    differing(diff.facts(), wide_console())
    if file is not None:
        click.echo(f"\nrows  {file}")


def _check(file: Path) -> None:
    """Refuse what is not a new parquet file in a folder that is there."""
    from curate.errors import UsageError
    from curate.sources.published import check_outside

    if file.suffix != ".parquet":
        raise UsageError(f"--rows: '{file}' does not end in .parquet.")
    if file.exists():
        raise UsageError(f"--rows: {file} exists.", "Name a file that does not.")
    if not file.parent.is_dir():
        raise UsageError(f"--rows: there is no folder {file.parent}.")
    check_outside(file)


def _write(rows: pl.DataFrame, file: Path) -> None:
    from curate.versions.tables import write

    write(rows, file)
