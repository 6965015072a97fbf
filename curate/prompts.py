"""Prompts as jinja2 templates: a plugin's own, or those that a recipe brings.

A template is code that a stranger may have written, so it runs in jinja2's sandbox, without a
loader: it can read no other file. The texts of rows are values in it: whatever they hold, they
are never read as a template. jinja2 is imported when a template is compiled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from curate.answers import AnswerError
from curate.errors import CurateError, nearest

if TYPE_CHECKING:
    import jinja2


@dataclass(frozen=True)
class Prompt:
    """A template of what a model is asked.

    Args:
        name: Its file, or its parameter, for messages.
        text: The template.
    """

    name: str
    text: str

    @classmethod
    def of_file(cls, path: str) -> Self:
        """The template in a file.

        Raises:
            CurateError: The file cannot be read.
        """
        try:
            return cls(path, Path(path).read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise CurateError(f"The template '{path}' cannot be read: {error}.") from error

    @classmethod
    def of_package(cls, package: str, *place: str) -> Self:
        """A template that a package carries.

        Args:
            package: Its import name.
            place: Folders and file inside it.
        """
        return cls(place[-1], files(package).joinpath(*place).read_text("utf-8"))

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of the template."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def check(self, values: Mapping[str, Any], fixed: Mapping[str, Any] | None = None) -> None:
        """Refuse a template that cannot be rendered.

        Args:
            values: An example of what it will be given of a row.
            fixed: What it will be given that is the same for all rows.

        Raises:
            CurateError: It is no template, uses what it is not given, or nothing of a row.
        """
        import jinja2
        from jinja2.meta import find_undeclared_variables

        rest = dict(fixed or {})
        known = [*values, *rest]
        try:
            template = _compiled(self.text)
            environment = template.environment
            unknown = find_undeclared_variables(environment.parse(self.text))
            unknown -= {*known, *environment.globals}
            if unknown:
                first = min(unknown)
                raise CurateError(
                    f"The template '{self.name}' uses '{first}', which it is not given.",
                    nearest(first, known) or f"It is given {', '.join(sorted(known))}.",
                )
            said = template.render({**values, **rest})
            same = said == template.render({**_otherwise(values), **rest})
        except jinja2.TemplateSyntaxError as error:
            raise CurateError(
                f"{self.name}:{error.lineno}: this is no jinja2 template: {error.message}."
            ) from error
        except Exception as error:  # the expressions of a template can raise anything
            if isinstance(error, CurateError):
                raise
            raise CurateError(f"The template '{self.name}' cannot be rendered: {error}.") from error
        if not said.strip():
            raise CurateError(f"The template '{self.name}' gives an empty prompt.")
        if same:
            raise CurateError(
                f"The template '{self.name}' gives the same prompt for every row.",
                f"Use what it is given: {', '.join('{{ ' + name + ' }}' for name in values)}.",
            )

    def render(self, values: Mapping[str, Any]) -> str:
        """A prompt, without white space at its ends.

        Args:
            values: By name.

        Raises:
            AnswerError: It cannot be rendered with these values, or gives nothing.
        """
        try:
            prompt = _compiled(self.text).render(values).strip()
        except Exception as error:  # the expressions of a template can raise anything
            raise AnswerError(f"the template cannot be rendered: {error}") from error
        if not prompt:
            raise AnswerError("the template gives an empty prompt for this row")
        return prompt


def _otherwise(value: Any) -> Any:
    """The same with every text, number and truth value in it another."""
    if isinstance(value, str):
        return f"{value} else"
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, Mapping):
        return {name: _otherwise(inner) for name, inner in value.items()}
    return value


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
