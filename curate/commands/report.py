"""`curate report`: a version as a page."""

from __future__ import annotations

from pathlib import Path

import click

from curate.commands.options import out_option


@click.command(name="report")
@click.argument("name", metavar="NAME[@VERSION]")
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write; without it NAME/VERSION.html beside the version.",
)
@out_option
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def command(name: str, to: Path | None, out: Path, as_json: bool) -> None:
    """Write a version as a page: one file, to be opened in a browser and sent to others.

    It holds the funnel, scores and shares before and after, rows near the cut, duplicates, policies
    and the rows, with their texts: whoever gets the file can read them.
    """
    from curate.report.page import write
    from curate.versions.open import open_version

    written = write(open_version(name, out), to)
    if as_json:
        import json
        from dataclasses import asdict

        click.echo(json.dumps({**asdict(written), "path": str(written.path)}))
        return
    shown = f"{written.rows:,} of {written.of:,} rows"
    click.echo(f"{' '.join(written.headline)}\n", err=True)
    click.echo(f"{written.bytes / 1e6:.1f} MB, {shown}", err=True)
    click.echo(str(written.path))
