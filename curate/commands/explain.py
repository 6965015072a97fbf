"""`curate explain`: the life of one row."""

from __future__ import annotations

from pathlib import Path

import click

from curate.commands.options import out_option


@click.command(name="explain")
@click.argument("name", metavar="NAME[@VERSION]")
@click.argument("words", metavar="[ID | TEXT]", required=False)
@click.option(
    "--where",
    metavar="SQL",
    help="A condition over columns, scores, and the ledger's fate, stage, reason, file, line.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Rows to list where several are found.",
)
@click.option("--full", is_flag=True, help="Show every text whole, and every relative.")
@out_option
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(
    name: str,
    words: str | None,
    where: str | None,
    limit: int,
    full: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Tell the life of one row: where it came from, what each stage decided on it, and why.

    A row is named by its ID (6 characters of its beginning suffice), by TEXT that it holds, or
    by a condition. Where several fit, they are listed.
    """
    from curate.versions.explain import brief, explain
    from curate.versions.find import find
    from curate.versions.open import open_version

    version = open_version(name, out)
    found = find(version, words, where)
    opened = f"{version.name}@{version.version}"
    facts = {
        "version": opened,
        "path": str(version.path),
        "found_by": found.how,
        "found": len(found.ids),
        "unpublished": found.unpublished,
    }
    single = len(found.ids) == 1
    life = explain(version, found.ids[0]) if single else None
    rows = [] if single else brief(version, found.ids[:limit])
    if as_json:
        from curate.commands.printing import json_text

        click.echo(json_text({**facts, "life": life, "rows": rows}))
        return
    from curate.commands.printing import wide_console
    from curate.report import lives

    console = wide_console()
    if life is not None:
        lives.life(life, opened, console, full=full)
    else:
        lives.briefs(rows, len(found.ids), found.how, console)
    if found.unpublished:
        click.echo(
            f"The text of {found.unpublished:,} rows is not published and was not searched.",
            err=True,
        )
