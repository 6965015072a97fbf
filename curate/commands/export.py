"""`curate export`: a version as a trainer reads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from curate.commands.options import out_option

if TYPE_CHECKING:
    from curate.versions.export import Exported


@click.command(name="export")
@click.argument("name", metavar="NAME[@VERSION]")
@click.option(
    "--format",
    "shape",
    required=True,
    metavar="FORMAT",
    help="messages, alpaca, sharegpt, prompt-completion, preference, unpaired-preference, text, "
    "or that of a plugin.",
)
@click.option(
    "--to",
    required=True,
    metavar="PATH",
    help="A .jsonl (also .gz, .zst) or .parquet file, or a folder.",
)
@click.option(
    "--split",
    "splits",
    multiple=True,
    metavar="NAME",
    help="The rows of this split (may be given again); needed where there are several.",
)
@click.option("--scores", is_flag=True, help="Add the score columns.")
@click.option(
    "--provenance",
    is_flag=True,
    help="Add id, source, origin, generator, license, ability and parents.",
)
@click.option("--columns", default="", metavar="A,B", help="Add these columns too.")
@click.option("--skip", is_flag=True, help="Leave out rows that the format cannot say.")
@out_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    name: str,
    shape: str,
    to: str,
    splits: tuple[str, ...],
    scores: bool,
    provenance: bool,
    columns: str,
    skip: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Write the kept rows of a version as training data, and say how trainers load them.

    In a folder the entry for LLaMA-Factory is written to dataset_info.json beside the data, and
    that for axolotl to a file of its own.
    """
    import json

    from curate.versions.export import export, target
    from curate.versions.open import open_version
    from curate.versions.snippets import Beside

    version = open_version(name, out)
    file = target(version, Path(to), folder=to.endswith("/"), splits=splits)
    beside = Beside.look(file, folder=file != Path(to))
    exported = export(
        version,
        file,
        shape,
        scores=scores,
        provenance=provenance,
        columns=[column.strip() for column in columns.split(",") if column.strip()],
        skip=skip,
        splits=splits,
    )
    snippets = beside.written(exported)
    if as_json:
        click.echo(json.dumps(_facts(exported) | snippets.facts()))
        return
    click.echo(_summary(exported), err=True)
    for line in snippets.notes():
        click.echo(line, err=True)
    if text := snippets.text():
        click.echo(text)


def _facts(exported: Exported) -> dict[str, object]:
    return {
        "path": str(exported.path),
        "format": exported.format,
        "rows": exported.rows,
        "unchanged": exported.unchanged,
        "rewritten": dict(exported.rewritten),
        "skipped": exported.skipped,
        "lost": dict(exported.lost),
        "nulled": dict(exported.nulled),
        "fields": list(exported.fields),
    }


def _summary(exported: Exported) -> str:
    from curate.printing import counted
    from curate.versions.export import REJECTED

    kinds = {"as they came": exported.unchanged}
    kinds |= {f"rewritten by {stage}": rows for stage, rows in exported.rewritten.items()}
    kinds["converted"] = exported.rows - sum(kinds.values())
    there = {kind: rows for kind, rows in kinds.items() if rows}
    how = ", ".join(f"{rows:,} {kind}" for kind, rows in there.items())
    if len(there) == 1:
        how = f"all {next(iter(there))}"
    lines = [f"wrote {exported.path}: {counted(exported.rows)}, {how}"]
    if exported.skipped:
        lines.append(f"left out: {counted(exported.skipped)} that {exported.format} cannot say")
    lines += [
        f"left out of {counted(rows)}: "
        + ("the rejected answer" if key == REJECTED else f"what their turns hold under {key}")
        for key, rows in sorted(exported.lost.items())
    ]
    lines += [
        f"null in {counted(rows)}: {name}, NaN or infinite there, for which JSON has no word"
        for name, rows in exported.nulled.items()
    ]
    return "\n".join(lines)
