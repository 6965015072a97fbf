"""`curate pull`: a version from the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

import click

from curate.commands.options import out_option


@click.command(name="pull")
@click.argument("repo", metavar="OWNER/NAME")
@click.option(
    "--revision", metavar="TAG", help="Such as v3, or a commit; default: what was pushed last."
)
@click.option(
    "--sha256",
    metavar="HASH",
    help="The hash of SHA256SUMS, as the run that published the version printed it.",
)
@click.option(
    "--join", is_flag=True, help="Put it among versions here of which the repository has none."
)
@out_option
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(
    repo: str, revision: str | None, sha256: str | None, join: bool, out: Path, as_json: bool
) -> None:
    """Pull a version that was pushed, verify it, and put it where versions live.

    A version is never replaced: one that is there already is left as it is.
    """
    from curate.printing import one_line
    from curate.versions.hub.pull import pull

    pulled = pull(repo, out, revision=revision, sha256=sha256, join=join)
    if as_json:
        import json
        from dataclasses import asdict

        click.echo(json.dumps({**asdict(pulled), "path": str(pulled.path)}))
        return
    named = f"{pulled.name}@{pulled.version}"
    click.echo(
        f"{named} is here, and what was pushed: {pulled.path}"
        if pulled.new
        else f"{named} was here already, whole: {pulled.path}"
    )
    click.echo(f"commit   {pulled.commit}")
    click.echo(f"digest   {pulled.digest}")
    click.echo(f"sums     {pulled.sums}")
    if not pulled.dropped:
        click.echo("dropped.parquet was left out when it was pushed.")
    if pulled.others:
        click.echo(f"Not of the version, and left there: {one_line(', '.join(pulled.others))}")
