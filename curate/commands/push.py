"""`curate push`: a version on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

import click

from curate.commands.options import out_option


@click.command(name="push")
@click.argument("name", metavar="NAME[@VERSION]")
@click.argument("repo", metavar="OWNER/NAME")
@click.option("--private", is_flag=True, help="Make the repository a private one.")
@click.option("--dropped", is_flag=True, help="Push dropped.parquet too: the rows not kept, whole.")
@click.option("--message", metavar="TEXT", help="Of the commit; default: NAME and version.")
@click.option(
    "--replace",
    is_flag=True,
    help="Push also where people wrote into the card there, or have configs of other names.",
)
@out_option
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(
    name: str,
    repo: str,
    private: bool,
    dropped: bool,
    message: str | None,
    replace: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Push a version to a data set on the Hugging Face Hub: one commit, and a tag such as v3.

    The repository is made if it is missing. Of a README that is there, what people wrote stays;
    the card stands between marks in it. The token is that of `hf auth login`, or HF_TOKEN. Pushing
    again does what is left to do, and nothing where the version is there.
    """
    from curate.printing import one_line
    from curate.versions.hub.client import connect
    from curate.versions.hub.push import push
    from curate.versions.open import Version, open_version

    version = open_version(name, out)
    connect(repo, writes=True)  # before anything is drawn

    def charts(version: Version) -> dict[str, bytes]:
        from curate.errors import CurateError

        try:
            from curate.report.charts import pngs
        except CurateError as error:
            click.echo(f"Pushed without charts. {error}", err=True)
            return {}
        return dict(pngs(version))

    pushed = push(
        version,
        repo,
        private=private,
        dropped=dropped,
        message=message,
        replace=replace,
        charts=charts,
    )
    if as_json:
        import json
        from dataclasses import asdict

        click.echo(json.dumps(asdict(pushed)))
        return
    named = f"{version.name}@{pushed.version}"
    click.echo(f"{named} is at {repo}." if pushed.new else f"{named} was at {repo} already.")
    if pushed.differs:
        differs = ", ".join(pushed.differs)
        click.echo(f"Only the digest agrees: published twice, it has other bytes in {differs}.")
    if pushed.newer:
        click.echo(f"main was {pushed.newer} there, and is {pushed.version} now.")
    if pushed.replaced:
        fields = one_line(", ".join(pushed.replaced))
        click.echo(f"Of README.md there, the card took the place of: {fields}")
    left_out = "" if pushed.dropped else ", without dropped.parquet"
    click.echo(f"files    {pushed.files}{left_out}; {pushed.charts} charts")
    click.echo(f"tag      {pushed.version}, commit {pushed.commit}")
    click.echo(f"digest   {pushed.digest}")
    click.echo(f"sums     {pushed.sums}")
    click.echo(pushed.url)
