"""`curate lift`: the rubric against people's judgement."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from curate.api import Host, hookimpl, one_line
from curate_llm.settings import asking, cost, part, settings_of

if TYPE_CHECKING:
    from curate_lift.coachlm import Report, Verdict

CURATE_API = 1

_FAILURES = 10
"""Failures that are printed."""


@click.group("lift")
def command() -> None:
    """LIFT: how its marks compare with people's."""


@command.command()
@click.argument("file")
@asking
@click.option("--paper-exact", is_flag=True, help="Ask for the total alone, as the paper does.")
@click.option("--sample", type=click.IntRange(min=1), help="Pairs to take; by default all.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--may-fail",
    type=click.IntRange(min=0),
    help="Versions that may stay without marks; by default a tenth of them.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def coachlm(
    host: Host,
    file: str,
    model: str,
    max_tokens: int,
    settings: tuple[str, ...],
    paper_exact: bool,
    sample: int | None,
    seed: int,
    may_fail: int | None,
    as_json: bool,
) -> None:
    """Mark raw examples and their revisions by experts, and say which have the higher marks.

    FILE is CoachLM's expert revision data set, or any file with the columns `Raw Instruction`,
    `Raw Input`, `Raw Response` and `Revised ...` of the same names. Answers are journalled: what
    was answered is not paid for again, however often the command is stopped.
    """
    from curate_lift.coachlm import compare

    llm = settings_of(model, max_tokens, settings)
    params = {"llm": llm, "paper_exact": paper_exact}
    report = compare(host, file, params, sample, seed, may_fail)
    if as_json:
        click.echo(json.dumps(asdict(report), indent=2))
    else:
        _print(report)


def _print(report: Report) -> None:
    marked = report.pairs - report.unchanged - report.failed
    click.echo(
        f"{report.pairs:,} pairs: {marked:,} marked, {report.unchanged:,} unchanged by the expert, "
        f"{report.failed:,} failed"
    )
    click.echo(f"{'part':<13}{'higher':>16}{'ties':>16}{'lower':>16}{'gain':>8}")
    for each in report.verdicts:
        click.echo(_line(each, marked))
    for failure in report.failures[:_FAILURES]:
        error = one_line(failure.error)  # it may quote what a model said
        click.echo(f"failed: {failure.version} version of pair {failure.pair}: {error}")
    if len(report.failures) > _FAILURES:
        click.echo(f"failed: {len(report.failures) - _FAILURES:,} more, which --json names")
    click.echo(cost(report.llm))


def _line(verdict: Verdict, marked: int) -> str:
    cells = "".join(
        f"{part(rows, marked):>16}" for rows in (verdict.higher, verdict.ties, verdict.lower)
    )
    return f"{verdict.part:<13}{cells}{verdict.gain:>+8.2f}"


@hookimpl
def register_commands(register: Callable[[click.Command], None]) -> None:
    """Offer the command."""
    register(command)
