"""`curate verify`: whether a version is what was published."""

from __future__ import annotations

from pathlib import Path

import click

from curate.commands.options import out_option


@click.command(name="verify")
@click.argument("name", metavar="NAME[@VERSION]|FOLDER")
@click.option(
    "--sha256",
    metavar="HASH",
    help="The hash of SHA256SUMS, as the run that published the version printed it.",
)
@click.option(
    "--pushed",
    is_flag=True,
    help="It was pulled or downloaded from the Hub: dropped.parquet may have been left out, and "
    "README.md may hold more than the card.",
)
@out_option
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(name: str, sha256: str | None, pushed: bool, out: Path, as_json: bool) -> int:
    """Verify a version: every file, the books, the digest and the card.

    Everything that is wrong is said, a line each, and the exit code is 1. NAME alone is its latest
    version; a path of a version's folder does too.
    """
    from curate.versions.open import find_version
    from curate.versions.verify import verify

    verified = verify(find_version(name, out), sha256, pushed=pushed)
    if as_json:
        import json
        from dataclasses import asdict

        click.echo(json.dumps({"ok": verified.ok, **asdict(verified), "path": str(verified.path)}))
        return 0 if verified.ok else 1
    for finding in verified.findings:
        click.echo(str(finding))
    for note in verified.notes:
        click.echo(note)
    if not verified.ok:
        count = len(verified.findings)
        things = "1 thing is" if count == 1 else f"{count} things are"
        click.echo(f"{verified.name} is not what was published: {things} wrong.")
        return 1
    rows = ", ".join(f"{rows:,} {fate}" for fate, rows in verified.books.items() if rows)
    click.echo(f"{verified.name} is what was published: {verified.path}")
    click.echo(f"files    {verified.files}, all as SHA256SUMS says")
    click.echo(f"rows     {rows}")
    click.echo(f"digest   {verified.digest}")
    click.echo(f"sums     {verified.sums}")
    return 0
