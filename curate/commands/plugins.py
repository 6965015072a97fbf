"""`curate plugins`: what is installed, whether it works, and what its stages do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from curate.plugins.health import Health


@click.group(name="plugins")
def command() -> None:
    """List plugins and explain their stages."""


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def list_plugins(as_json: bool) -> None:
    """List every installed plugin with its stages and its health.

    Each is imported in a process of its own, so that one which crashes is a line in the list.
    """
    from curate.commands import COMMANDS
    from curate.plugins.health import examine_all
    from curate.plugins.registry import get_registry

    found = examine_all(get_registry(), reserved=COMMANDS)
    if as_json:
        import json

        click.echo(json.dumps([_facts(health) for health in found], indent=2))
    else:
        _print_list(found)


def _facts(health: Health) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(health), "well": health.well}


def _print_list(found: list[Health]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from curate.commands.printing import wide_console
    from curate.printing import printable

    console = wide_console()
    table = Table(
        "plugin", "version", "API", "stages", "also", "health", box=None, header_style="dim"
    )
    for health in found:
        stages = [stage.name for finding in health.findings for stage in finding.stages]
        also = [
            f"{finding.group.removeprefix('curate.')}: {', '.join(finding.offers)}"
            for finding in health.findings
            if finding.offers and finding.group != "curate"
        ]
        state = "[green]well[/]" if health.well else "[red]broken[/]"
        api = ", ".join(sorted({str(f.api) for f in health.findings if f.api is not None}))
        cells = (health.name, health.version, api, ", ".join(stages), "; ".join(also))
        table.add_row(*(escape(printable(cell)) for cell in cells), state)
    console.print(table)
    for health in found:
        for finding in health.findings:
            if finding.error is not None:
                console.print(f"\n[red]{escape(printable(finding.error))}[/]")
                console.print(escape(printable(f"  {finding.remedy}".rstrip())))


@command.command(name="show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def show(name: str, as_json: bool) -> None:
    """Explain a stage (dedup.exact), or the stages of a prefix (dedup)."""
    from curate.plugins.describe import describe, describe_prefix
    from curate.plugins.registry import get_registry

    registry = get_registry()
    one = "." in name
    facts = describe(registry, name) if one else describe_prefix(registry, name)
    if as_json:
        import json

        click.echo(json.dumps(facts, indent=2))
    elif one:
        _print_stage(facts)
    else:
        _print_prefix(facts)


def _print_prefix(facts: dict[str, Any]) -> None:
    click.echo(f"{facts['prefix']}: {facts['distribution']} {facts['version']}")
    for stage in facts["stages"]:
        click.echo(f"  {stage['verb']}: {stage['stage']}  {stage['summary']}")


def _print_stage(facts: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from curate.commands.printing import wide_console
    from curate.printing import printable

    console = wide_console()
    head = f"{facts['verb']}: [bold]{escape(facts['stage'])}[/]"
    origin = f"{facts['distribution']} {facts['distribution_version']}"
    console.print(f"{head}  version {facts['version']}, from {escape(origin)}")
    console.print(f"\n{escape(printable(facts['doc']))}\n")
    table = Table("parameter", "type", "default", "meaning", box=None, header_style="dim")
    for parameter in facts["parameters"]:
        keys = ("name", "type", "default", "description")
        cells = ("none" if parameter[key] is None else str(parameter[key]) for key in keys)
        table.add_row(*(escape(printable(cell)) for cell in cells))
    console.print(table if facts["parameters"] else "It takes no parameters.")
    for title in ("reads", "services"):
        if facts[title]:
            console.print(f"\n{title}: {escape(', '.join(facts[title]))}")
    if facts["presets"]:
        console.print("\npresets: what is written besides wins")
        for name, preset in facts["presets"].items():
            console.print(f"  {escape(printable(name))}: {escape(printable(preset['source']))}")
            values = ", ".join(f"{key}: {json.dumps(v)}" for key, v in preset["values"].items())
            console.print(f"    {escape(printable(values))}", style="dim")
    for title in ("outputs", "reasons"):
        if facts[title]:
            console.print(f"\n{title}:")
            for key, text in facts[title].items():
                console.print(f"  {escape(printable(f'{key}: {text}'))}")
    if facts["value"]:
        console.print(f"\n<id>_value: {escape(printable(facts['value']))}")
    for name, text in facts["labels"].items():
        console.print(f"\n<id>_{name}: {escape(printable(text))}")
