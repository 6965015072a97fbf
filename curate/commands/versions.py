"""`curate versions`: the versions of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from curate.commands.options import out_option


@click.command(name="versions")
@click.argument("name", required=False)
@out_option
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def command(name: str | None, out: Path, as_json: bool) -> None:
    """List the versions of the dataset NAME, oldest first; without a name, all datasets."""
    if name is None:
        _datasets(out, as_json=as_json)
        return
    from curate.versions.open import known_dataset
    from curate.versions.runs import PREVIEW, versions_of

    folder = known_dataset(name, out)
    names = versions_of(folder)
    if (folder / PREVIEW).is_dir():
        names.append(PREVIEW)
    found = [_facts(folder / version) for version in names]
    if as_json:
        import json

        click.echo(json.dumps(found))
        return
    from rich.table import Table
    from rich.text import Text

    from curate.commands.printing import wide_console

    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for head in ("version", "created", "kept", "of", "digest", "note"):
        table.add_column(head, justify="right" if head in ("kept", "of") else "left")
    for facts in found:
        table.add_row(facts["version"], *map(Text, _cells(facts)))
    wide_console().print(table)


def _datasets(out: Path, *, as_json: bool) -> None:
    """List the datasets of a folder with their versions."""
    from curate.sources.published import PREVIEW, datasets_of, versions_of

    found = {name: versions_of(out / name) for name in datasets_of(out)}
    for name, versions in found.items():
        if (out / name / PREVIEW).is_dir():
            versions.append(PREVIEW)
    if as_json:
        import json

        click.echo(json.dumps(found))
        return
    if not found:
        click.echo(f"There is no dataset in {out}.")
    for name, versions in found.items():
        click.echo(f"{name}  {', '.join(versions)}")


def _facts(path: Path) -> dict[str, Any]:
    """What the list says of a version; of one that cannot be read, why."""
    from curate.errors import CurateError
    from curate.versions.runs import read_manifest

    try:
        manifest = read_manifest(path)
    except CurateError as error:
        return {"version": path.name, "path": str(path), "error": str(error)}
    chosen = ("created", "digest", "parent", "limit", "books")
    return {"version": path.name, "path": str(path), **{key: manifest[key] for key in chosen}}


def _cells(facts: dict[str, Any]) -> tuple[str, ...]:
    if "error" in facts:
        return ("", "", "", "", facts["error"])
    books = facts["books"]
    notes = [f"{books['failed']:,} failed"] if books["failed"] else []
    if facts["limit"]:
        notes.append(f"first {facts['limit']:,} rows of each source")
    seen = books["sources"] + books["created"]
    created = facts["created"][:16].replace("T", " ")
    return (created, f"{books['kept']:,}", f"{seen:,}", facts["digest"][:12], ", ".join(notes))
