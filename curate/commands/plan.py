"""`curate plan`: what a run would do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.commands.options import out_option, sets_option
from curate.printing import counted

if TYPE_CHECKING:
    from rich.table import Table

    from curate.run.plan import Plan, PlannedSplits


@click.command(name="plan")
@click.argument("recipe", type=click.Path(path_type=Path))
@sets_option
@out_option
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Plan for N rows a source.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def command(
    recipe: Path, sets: tuple[str, ...], out: Path, limit: int | None, as_json: bool
) -> None:
    """Show what running RECIPE would do, what is remembered, and what would be computed."""
    from dataclasses import asdict

    from curate.run.plan import plan
    from curate.versions.runs import find_run

    planned = plan(recipe, sets, limit=limit, out=out)
    made = None if limit else find_run(out, planned.name, planned.run_key)
    if as_json:
        import json

        up_to_date = made.version if made else None
        click.echo(json.dumps(asdict(planned) | {"up_to_date": up_to_date}))
        return
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    rows = ", ".join(f"{name} {count:,}" for name, count in planned.sources.items())
    console.print(f"[bold]{escape(planned.name)}[/]: {escape(rows)} rows")
    for name, digest in planned.models.items():
        console.print(f"model {escape(name)} [dim]sha256 {digest[:12]}[/]")
    console.print(_table(planned))
    if planned.splits is not None:
        console.print(f"output: {escape(_divides(planned.splits))}")
    for step in planned.steps:
        if step.changed:
            changed = escape(", ".join(step.changed))
            console.print(
                f"{escape(step.id)} is computed anew: where {escape(step.stage)} was last used "
                f"it had other values of {changed}"
            )
    for step in planned.steps:
        if step.llm is not None:
            console.print(f"{escape(step.id)} asks: {_asks(step.llm)}")
        elif step.unknown:
            console.print(
                f"[yellow]{escape(step.id)} asks a model, {_unknown(step.calls)}:[/] "
                "stages before it make its rows or what it reads"
            )
    if made:
        console.print(f"{escape(planned.name)}@{made.version} is up to date.")


def _table(planned: Plan) -> Table:
    """The rows of each stage, and what is remembered of them."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("stage", no_wrap=True)
    for name in ("rows at most", "distinct", "remembered", "anew at most"):
        table.add_column(name, justify="right")
    for step in planned.steps:
        counts: list[int] = []
        if step.distinct is not None and step.remembered is not None:
            counts = [step.distinct, step.remembered, step.distinct - step.remembered]
        table.add_row(
            f"[dim]{step.verb}[/] {escape(step.id)}",
            f"{step.rows:,}",
            *([f"{count:,}" for count in counts] or [""] * 3),
        )
    if planned.splits is not None:
        table.add_row("[dim]split[/] output", f"{planned.splits.rows:,}")
    return table


def _divides(splits: PlannedSplits) -> str:
    """Shares asked for, and what says which rows go to one split."""
    said = [", ".join(f"{name} {share}" for name, share in splits.shares.items())]
    if splits.keep_together:
        said.append(f"rows kept together by {', '.join(splits.keep_together)}")
    if splits.stratify is not None:
        said.append(f"shares hold within each {splits.stratify}")
    if splits.like is not None:
        said.append(f"rows of {splits.like} stay where they are there")
    return "; ".join(said)


def _unknown(calls: int | None) -> str:
    if calls is None:
        return "how much is not known"
    return f"{counted(calls, 'call')} at most, how many tokens is not known"


def _asks(llm: Mapping[str, Any]) -> str:
    """What asking takes at most, in words."""
    said = [f"{counted(llm['calls'], 'call')} at most"]
    if llm["reasks"]:
        said.append(f"{llm['reasks']:,} more, not counted here, if no answer has the right form")
    said.append(f"{counted(llm['journal'], 'answer')} in the journal")
    said.append(f"at most {llm['prompt_tokens']:,} + {llm['completion_tokens']:,} tokens")
    if llm["money"] is not None:
        said.append(f"{float(llm['money']):,.2f} in money")
    return ", ".join(said)
