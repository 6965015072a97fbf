"""`curate judge`: which of two responses a model prefers, and whether the order decides."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from curate.api import Host, counted, hookimpl, one_line
from curate_llm.settings import asking, cost, part, settings_of

if TYPE_CHECKING:
    from curate_llm.compare import Report

CURATE_API = 1

_ERRORS = 10
"""Reasons of failures that are printed."""


@click.command("judge")
@click.argument("file")
@click.option("--a", required=True, metavar="COLUMN", help="Column of the first responses.")
@click.option("--b", required=True, metavar="COLUMN", help="Column of the second responses.")
@click.option("--instruction", metavar="COLUMN", help="Column of the instructions.")
@click.option("--input", "given", metavar="COLUMN", help="Column of their inputs.")
@click.option("--format", "shape", default="auto", show_default=True, help="Of FILE, as a source.")
@click.option("--preset", default="preference", show_default=True, help="Of `llm.judge`.")
@click.option("--template", metavar="FILE", help="A jinja2 file in place of the preset's prompt.")
@asking
@click.option("--sample", type=click.IntRange(min=1), help="Pairs to take; by default all.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--may-fail",
    type=click.IntRange(min=0),
    help="Pairs that may stay without verdicts; by default a tenth of them.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    host: Host,
    file: str,
    a: str,
    b: str,
    instruction: str | None,
    given: str | None,
    shape: str,
    preset: str,
    template: str | None,
    model: str,
    max_tokens: int,
    settings: tuple[str, ...],
    sample: int | None,
    seed: int,
    may_fail: int | None,
    as_json: bool,
) -> None:
    """Let a model compare two responses to each instruction of FILE, in both orders.

    FILE is a data set with two columns of responses. A win counts where both orders agree on it;
    how often swapping the order changes the verdict is counted apart. Answers are journalled: what
    was answered is not paid for again, however often the command is stopped.
    """
    from curate_llm.compare import compare

    table: dict[str, Any] = {"path": file, "format": shape}
    if instruction is not None:
        named = {"instruction": instruction, "input": given, "output": a}
        table["columns"] = {field: column for field, column in named.items() if column is not None}
    elif given is not None:
        raise click.UsageError("--input goes with --instruction")
    params: dict[str, Any] = {"llm": settings_of(model, max_tokens, settings), "preset": preset}
    if template is not None:
        params["template"] = template
    report = compare(host, table, (a, b), params, sample, seed, may_fail)
    if as_json:
        click.echo(json.dumps(asdict(report), indent=2))
    else:
        _print(report, a, b)


def _print(report: Report, a: str, b: str) -> None:
    judged = report.judged
    click.echo(
        f"{report.pairs:,} pairs: {judged:,} judged, {report.equal:,} with equal responses, "
        f"{report.failed:,} failed"
    )
    click.echo(f"a: {a}\nb: {b}")
    click.echo(f"{'':<24}{'a':>16}{'b':>16}{'tie':>16}")
    agreed = {"a": report.a, "b": report.b, "tie": report.ties}
    lines = (
        ("a stands first", report.straight),
        ("b stands first", report.swapped),
        ("both orders agree", agreed),
    )
    for name, rows in lines:
        cells = "".join(f"{part(rows[side], judged):>16}" for side in ("a", "b", "tie"))
        click.echo(f"{name:<24}{cells}")
    click.echo(
        f"both orders agree on {part(judged - report.changed, judged)}; swapping the order changes "
        f"the verdict of {part(report.changed, judged)}"
    )
    click.echo(
        f"  of these the winner is the other one in {report.reversed:,}, "
        f"{report.stands_first:,} times whichever stands first"
    )
    decided = report.a + report.b
    click.echo(f"where both orders name the same winner, it is b in {part(report.b, decided)}")
    for error, pairs in [*report.errors.items()][:_ERRORS]:
        # an error may quote what a model said
        click.echo(f"failed, {counted(pairs, 'pair')}: {one_line(error)}")
    if len(report.errors) > _ERRORS:
        click.echo(f"failed for {len(report.errors) - _ERRORS:,} more reasons, which --json names")
    click.echo(cost(report.llm))


@hookimpl
def register_commands(register: Callable[[click.Command], None]) -> None:
    """Offer the command."""
    register(command)
