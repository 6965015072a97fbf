"""The block `llm:` on a command line, and what asking took in words: for commands that ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from curate.api import counted


def asking(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say whom to ask; `settings_of` reads them."""
    options = [
        click.option("--model", required=True, help="Who is asked, as the endpoint names it."),
        click.option("--max-tokens", type=click.IntRange(min=1), default=300, show_default=True),
        click.option(
            "--llm",
            "settings",
            multiple=True,
            metavar="KEY=VALUE",
            help="A key of the block `llm:`, such as base_url=... or budget={requests: 500}.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def settings_of(model: str, max_tokens: int, settings: tuple[str, ...]) -> dict[str, Any]:
    """The block `llm:` that the options mean.

    Raises:
        click.BadParameter: A setting is not KEY=VALUE, or its value no YAML.
    """
    given = dict(_value(text) for text in settings)
    return {"model": model, "max_tokens": max_tokens, **given}


def _value(text: str) -> tuple[str, Any]:
    """A key and a value as a recipe would write it."""
    import yaml

    name, sign, value = text.partition("=")
    if not sign or not name:
        raise click.BadParameter(f"'{text}' is not KEY=VALUE", param_hint="--llm")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise click.BadParameter(f"'{value}' is no YAML: {said}", param_hint="--llm") from error


def cost(llm: Mapping[str, Any]) -> str:
    """What was sent just now, and what all answers took together.

    Args:
        llm: What asking took, as a manifest records it.
    """
    used = llm["used"]
    if llm["kind"] == "record":
        return counted(used["answers"], "recorded answer")
    most = "at most " if used["unmetered"] else ""
    money = "" if used["money"] is None else f", {most}{float(used['money']):,.4f} in money"
    return (
        f"{counted(llm['sent'], 'request')} sent; all {used['answers']:,} answers, those of "
        f"earlier runs included: {most}{used['prompt_tokens']:,} + "
        f"{used['completion_tokens']:,} tokens{money}"
    )


def part(rows: int, of: int) -> str:
    """A number of rows and its share: `3 (37.5 %)`."""
    return f"{rows:,}" + (f" ({100 * rows / of:.1f} %)" if of else "")
