"""`curate show`: what a version is."""

from __future__ import annotations

from pathlib import Path

import click

from curate.commands.options import out_option


@click.command(name="show")
@click.argument("name", metavar="NAME[@VERSION]")
@out_option
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(name: str, out: Path, as_json: bool) -> None:
    """Show a version: funnel, shares, baselines, policies, rows around the last cut, and scores.

    NAME alone is its latest version; a path of a version's folder does too.
    """
    from curate.versions.open import open_version

    version = open_version(name, out)
    if not as_json:
        from curate.commands.printing import wide_console
        from curate.report.closing import show
        from curate.report.histograms import draw

        console = wide_console()
        show(version, console)
        draw(version, console)
        click.echo(f"\n{version.path}")
        return
    import json
    from dataclasses import asdict

    from curate.report.drawing import out_of
    from curate.report.near import near
    from curate.report.spreads import flags, of_scores
    from curate.versions.funnel import warnings

    around = near(version)
    shown = {
        "path": str(version.path),
        **version.manifest,
        "cut": asdict(around) if around else None,
        "scores": [*map(asdict, of_scores(version)), *map(asdict, flags(version))],
        "warnings": warnings(version.manifest, out_of(version)),
    }
    click.echo(json.dumps(shown))
