"""The command line: a table of commands, each imported when it is called, and how errors end.

A handled error is one message on stderr and its exit code; anything else is a bug and shows its
traceback.
"""

from __future__ import annotations

import gc
import io
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from curate.errors import CurateError, RecipeError, UsageError, nearest
from curate.printing import printable

if TYPE_CHECKING:
    from curate.host import Host

COMMANDS = {
    "run": "Run a recipe and publish a version.",
    "check": "Find every mistake in a recipe.",
    "plan": "Show what a run would do.",
    "init": "Write a recipe for files of yours.",
    "schema": "Print the JSON Schema of recipes.",
    "versions": "List the versions of a dataset.",
    "show": "Show what a version holds and how it came about.",
    "report": "Write a version as a page for a browser.",
    "explain": "Tell the life of one row of a version.",
    "diff": "Say what differs between two versions, and why.",
    "verify": "Check that a version is what was published.",
    "export": "Write a version as training data, in the shape of a trainer.",
    "push": "Push a version to the Hugging Face Hub.",
    "pull": "Pull a version from the Hugging Face Hub.",
    "gc": "Show what is remembered between runs, and remove some of it.",
    "plugins": "List plugins and explain their stages.",
}
"""Core's commands: each the object `command` of the module of its name, beside its one line."""

INTERRUPTED = 130


class Commands(click.Group):
    """Core's commands from the table, then those of plugins, none imported before it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names in the order of the help; a plugin's command never hides one of core's."""
        return [*COMMANDS, *_from_plugins()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import one command."""
        if cmd_name in COMMANDS:
            command: click.Command = import_module(f"curate.commands.{cmd_name}").command
            return command
        if cmd_name in _from_plugins():
            from curate.plugins.registry import get_registry

            return get_registry().command(cmd_name)
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or name the one nearest to what was typed."""
        name = args[0]
        if not name.startswith("-") and name not in self.list_commands(ctx):
            near = nearest(name, self.list_commands(ctx))
            ctx.fail(f"there is no command '{name}'. {near}".rstrip())
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the lists of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        foreign = _from_plugins()
        if foreign:
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, f"from {dist}") for name, dist in foreign.items()])


def _from_plugins() -> dict[str, str]:
    from curate.plugins.registry import get_registry

    offered = get_registry().command_names()
    return {name: dist for name, dist in offered.items() if name not in COMMANDS}


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="curate-data", message="curate %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Curate instruction-tuning data: recipes in, versions that account for every row out."""
    from curate.commands.hosting import PluginHost

    host: Host = PluginHost()
    ctx.obj = host


def main() -> None:
    """Run the command line and end the process with its exit code."""
    # Rows are many small objects without cycles: looking through them again and again would take a
    # twentieth of a run.
    gc.set_threshold(100_000)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # texts of rows hold what an old terminal cannot
            stream.reconfigure(errors="replace")
    try:
        code = call()
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has gone: nothing is left to be said, nor at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def call(arguments: list[str] | None = None) -> int:
    """Run one command and show a handled error.

    Args:
        arguments: The command line without the program's name; None: that of the process.

    Where it asks for JSON, a handled error is an object on stdout too.

    Returns:
        The exit code.
    """
    as_json = "--json" in (sys.argv[1:] if arguments is None else arguments)
    try:
        result: Any = cli.main(arguments, prog_name="curate", standalone_mode=False)
    except CurateError as error:
        _show(error)
        if as_json:
            _print_json(error)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        if as_json:
            _print_json(UsageError(error.format_message()))
        return error.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        return INTERRUPTED
    return result if isinstance(result, int) else 0


def _show(error: CurateError) -> None:
    """Print a message, without control characters that data may have brought into it."""
    text = printable(str(error))
    if not isinstance(error, RecipeError):
        text = click.style("Error: ", fg="red", bold=True) + text
    click.echo(text, err=True)


def _print_json(error: CurateError) -> None:
    """Print `error`, `remedy` and `exit_code`, of a recipe its `problems`, for machines."""
    import json
    from dataclasses import asdict

    said = {"error": error.message, "remedy": error.remedy}
    facts: dict[str, Any] = {**said, "exit_code": error.exit_code}
    if isinstance(error, RecipeError):
        facts["problems"] = [asdict(problem) for problem in error.problems]
    click.echo(json.dumps(facts))
