"""`curate policy`: how a policy was met, and whether finished data meet one."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curate.api import (
    Clause,
    CurateError,
    Host,
    PolicyError,
    RecipeStage,
    UsageError,
    counted,
    hookimpl,
    nearest,
    one_line,
    printable,
)
from curate_sources.mix.stage import Mix

if TYPE_CHECKING:
    import polars as pl

    from curate.api import OpenVersion
    from curate_sources.mix.checking import Finding

CURATE_API = 1

_FILES = {".parquet", ".csv", ".jsonl", ".json", ".gz", ".zst"}


@click.command("policy")
@click.argument("data", metavar="NAME")
@click.argument("recipe", required=False, type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Check NAME against the policy of RECIPE.")
@click.option("--set", "sets", multiple=True, metavar="K=V", help="Override a value of RECIPE.")
@click.option("--stage", metavar="ID", help="Only the policy of this stage.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("curated"),
    show_default=True,
    help="Where versions live.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    host: Host,
    data: str,
    recipe: Path | None,
    check: bool,
    sets: tuple[str, ...],
    stage: str | None,
    out: Path,
    as_json: bool,
) -> None:
    """Print the certificate of a version, or check data against the policy of a recipe.

    NAME is a version (NAME@v2, or NAME for the latest) or, with --check, any data file (.parquet,
    .jsonl, .csv) that has the columns of the policy. With --check every clause is counted again
    from the rows; what was there to take is known of versions whose dropped rows are beside them.
    The exit code is 3 if a clause is missed, or if the rows do not tell whether it is met.
    """
    if check != (recipe is not None):
        message = "--check needs a recipe" if check else "a recipe is for --check"
        raise click.UsageError(f"{message}: curate policy --check NAME@v recipe.yaml")
    if recipe is None:
        _certificates(host.version(data, out), stage, as_json=as_json)
        return
    policies = [
        each
        for each in host.stages(recipe, sets, prefix="sources.")
        if isinstance(each.stage, Mix) and stage in (None, each.id)
    ]
    if not policies:
        asked = f"stage '{stage}' with a policy" if stage else "policy: no stage is sources.mix"
        raise UsageError(f"{recipe} has no {asked}.")
    *earlier, last = policies
    for each in earlier:
        said = (
            f"'{each.id}' is not checked: '{last.id}' mixes again. Its certificate: curate policy"
        )
        click.echo(f"{said} {data}; to check all rows against it: --stage {each.id}", err=True)
    found = {last.id: _check(host, data, last, out)}
    _print_findings(found, as_json=as_json)
    findings = [each for some in found.values() for each in some]
    wrong = [each for each in findings if each.state != "met"]
    if wrong:
        said = "; ".join(_sentence(each) for each in wrong)
        error = PolicyError(f"Of {len(findings)} clauses {len(wrong)} are not met: {said}.")
        if as_json:  # the findings are the one answer on stdout
            click.echo(printable(str(error)), err=True)
            raise click.exceptions.Exit(error.exit_code)
        raise error


def _sentence(finding: Finding) -> str:
    if finding.slack is None:
        return f"{finding.clause}: the rows do not tell what there was"
    return f"{finding.clause} ({finding.asked}) is missed by {counted(-finding.slack)}"


def _certificates(version: OpenVersion, stage: str | None, *, as_json: bool) -> None:
    """Print what the manifest records."""
    found = {
        entry["id"]: entry["certificate"]
        for entry in version.manifest["stages"]
        if entry.get("certificate") and stage in (None, entry["id"])
    }
    if not found:
        of = f"a stage '{stage}' with a policy" if stage else "a policy"
        raise UsageError(f"{version.name}@{version.version} was made without {of}.")
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for id, clauses in found.items():
        rows = [Clause(**clause).words() for clause in clauses]
        _table(f"{version.name}@{version.version}, policy of {id}", rows)


def _print_findings(found: Mapping[str, Sequence[Finding]], *, as_json: bool) -> None:
    if as_json:
        plain = {
            id: [asdict(each) | {"state": each.state} for each in some]
            for id, some in found.items()
        }
        click.echo(json.dumps(plain, indent=2, ensure_ascii=False))
        return
    for id, some in found.items():
        rows = [each.words() for each in some]
        _table(f"policy of {id}, counted again", rows)


def _table(title: str, rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table without cutting anything: it is to be read, copied and compared."""
    head = Clause.HEAD
    plain = [tuple(one_line(cell) for cell in row) for row in (head, *rows)]
    widths = [max(len(row[at]) for row in plain) for at in range(len(head))]
    click.echo(one_line(title))
    for row in plain:
        cells = [
            cell.rjust(width) if name in ("achieved", "available") else cell.ljust(width)
            for name, cell, width in zip(head, row, widths, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


def _check(host: Host, data: str, policy: RecipeStage, out: Path) -> tuple[Finding, ...]:
    from curate_sources.mix.checking import check_rows

    params = policy.stage.params
    needed = tuple(dict.fromkeys([*params.columns, *policy.where_reads]))
    path = Path(data)
    if set(path.suffixes) & _FILES:
        whole = _read(path, [name for name in params.named if name not in policy.where_reads])
        _warn_of_repetition(whole, data)
        rows, left = _with(whole, needed, params.named, data), None
    else:
        version = host.version(path if path.is_dir() else data, out)
        rows = _with(_joined(version, version.frame()), needed, params.named, data)
        left = _left(version, policy.id, needed, params.named)
    if policy.where is not None:
        rows = rows.filter(policy.where)
        left = None if left is None else left.filter(policy.where)
    if rows.is_empty():
        raise PolicyError(f"{data} has no row that the policy of '{policy.id}' is about.")
    return check_rows(rows, params, left)


def _left(
    version: OpenVersion, stage: str, needed: Sequence[str], named: Collection[str]
) -> pl.DataFrame | None:
    """The rows that the stage of this name could take besides; None where nobody knows."""
    import polars as pl

    stages = [entry["id"] for entry in version.manifest["stages"]]
    if stage not in stages or version.dropped is None:
        return None
    later = version.manifest["stages"][stages.index(stage) + 1 :]
    if any(len(entry["inputs"]) > 1 for entry in later):
        return None  # rows that other branches dropped were never there to take
    # what the stage took and a later one dropped was there, too
    here = version.ledger.filter(
        pl.col("stage").is_in([stage, *(entry["id"] for entry in later)]),
        pl.col("reason").is_null() | (pl.col("reason") != "unranked"),
    )
    rows = version.dropped.join(here.select("id"), on="id", how="semi")
    return _with(_joined(version, rows), needed, named, version.name)


def _joined(version: OpenVersion, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with their scores beside them."""
    scores = version.scores
    extra = [name for name in scores.columns if name == "id" or name not in rows.columns]
    return rows.join(scores.select(extra), on="id", how="left")


def _with(
    rows: pl.DataFrame, needed: Sequence[str], named: Collection[str], data: str
) -> pl.DataFrame:
    """The columns needed; a `source` that no clause names may be missing."""
    import polars as pl

    for name in needed:
        if name not in rows.columns:
            if name == "source" and name not in named:
                rows = rows.with_columns(pl.lit(None, dtype=pl.String).alias(name))
                continue
            raise UsageError(
                f"{data} has no column '{name}', which the policy is about.",
                nearest(name, rows.columns),
            )
    return rows.select(needed)


def _read(path: Path, text: Sequence[str]) -> pl.DataFrame:
    """Any data file as a table; in a CSV these columns hold text."""
    import polars as pl

    if not path.is_file():
        raise UsageError(f"There is no file '{path}'.")
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path, glob=False, hive_partitioning=False)
        if ".csv" in path.suffixes:
            types = dict.fromkeys(text, pl.String)
            names = pl.read_csv(path, n_rows=0, glob=False).columns
            types = {name: kind for name, kind in types.items() if name in names}
            return pl.read_csv(path, schema_overrides=types, infer_schema_length=None, glob=False)
        return pl.scan_ndjson(path, infer_schema_length=None).collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise CurateError(f"{path} cannot be read: {error}") from error


def _warn_of_repetition(rows: pl.DataFrame, data: str) -> None:
    """Say if rows stand more than once: a policy counts them, and a version never holds them."""
    if "id" in rows.columns and rows["id"].n_unique() < len(rows):
        times = len(rows) - rows["id"].n_unique()
        click.echo(f"{data} repeats ids: {counted(times)} stand in it again.", err=True)


@hookimpl
def register_commands(register: Callable[[click.Command], None]) -> None:
    """Offer the command."""
    register(command)
