"""Prompts as jinja2 templates: the plugin's own, or a file that a recipe names in their place.

A template is code that a stranger may have written, so it runs in jinja2's sandbox, without a
loader: it can read no other file. The texts of rows are values in it: whatever they hold, they
are never read as a template.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.api import AnswerError, CurateError, nearest

if TYPE_CHECKING:
    import jinja2


def source(name: str, override: str | None) -> str:
    """The text of a template.

    Args:
        name: Of the plugin's own, such as `general`.
        override: The path of a file in its place.

    Raises:
        CurateError: The file cannot be read.
    """
    if override is None:
        return _own(name)
    try:
        return Path(override).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CurateError(f"The template '{override}' cannot be read: {error}.") from error


def fingerprint(name: str) -> str:
    """Hex sha256 of a template of the plugin's own."""
    return hashlib.sha256(_own(name).encode()).hexdigest()


def check(name: str, override: str | None, values: Mapping[str, Any]) -> None:
    """Refuse a template that cannot be rendered.

    Args:
        name: As in `source`.
        override: As in `source`.
        values: An example of what it will be given.

    Raises:
        CurateError: It is no template, or uses what it is not given.
    """
    import jinja2
    from jinja2.meta import find_undeclared_variables

    where, text = override or f"{name}.j2", source(name, override)
    try:
        template = _compiled(text)
        environment = template.environment
        unknown = find_undeclared_variables(environment.parse(text))
        unknown -= {*values, *environment.globals}
        if unknown:
            first = min(unknown)
            raise CurateError(
                f"The template '{where}' uses '{first}', which it is not given.",
                nearest(first, list(values)) or f"It is given {', '.join(sorted(values))}.",
            )
        said = template.render(values)
        same = said == template.render(_otherwise(values))
    except jinja2.TemplateSyntaxError as error:
        raise CurateError(
            f"{where}:{error.lineno}: this is no jinja2 template: {error.message}."
        ) from error
    except Exception as error:  # the expressions of a template can raise anything
        if isinstance(error, CurateError):
            raise
        raise CurateError(f"The template '{where}' cannot be rendered: {error}.") from error
    if not said.strip():
        raise CurateError(f"The template '{where}' gives an empty prompt.")
    if same:
        raise CurateError(
            f"The template '{where}' gives the same prompt for every row.",
            f"Use what it is given: {', '.join('{{ ' + name + ' }}' for name in values)}.",
        )


def _otherwise(value: Any) -> Any:
    """The same with every text in it another."""
    if isinstance(value, str):
        return f"{value} else"
    if isinstance(value, Mapping):
        return {name: _otherwise(inner) for name, inner in value.items()}
    return value


def render(text: str, values: Mapping[str, Any]) -> str:
    """A prompt, without white space at its ends.

    Args:
        text: Of the template.
        values: By name.

    Raises:
        AnswerError: It cannot be rendered with these values, or gives nothing.
    """
    try:
        prompt = _compiled(text).render(values).strip()
    except Exception as error:  # the expressions of a template can raise anything
        raise AnswerError(f"the template cannot be rendered: {error}") from error
    if not prompt:
        raise AnswerError("the template gives an empty prompt for this row")
    return prompt


@cache
def _own(name: str) -> str:
    return files("curate_lift").joinpath("prompts", f"{name}.j2").read_text("utf-8")


@cache
def _compiled(text: str) -> jinja2.Template:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # prompts are plain text: nothing in them is escaped for a page
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    # a prompt is a key of what was paid for: it has to be the same in every run
    environment.globals.pop("lipsum")
    environment.filters.pop("random")
    return environment.from_string(text)
