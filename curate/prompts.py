"""Prompts as jinja2 templates: a plugin's own, or those that a recipe brings.

A template is code that a stranger may have written, so it runs in jinja2's sandbox, without a
loader: it can read no other file. The texts of rows are values in it: whatever they hold, they
are never read as a template. jinja2 is imported when a template is compiled.
"""

from __future__ import annotations

import datetime
import hashlib
import re
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from curate.answers import AnswerError
from curate.errors import CurateError, nearest

if TYPE_CHECKING:
    import jinja2

MARK = "mark"
"""What every template is given besides; see `Prompt.render`."""
_NO_MARK = "0" * 16
LONGEST = 10_000_000
"""Characters of a prompt, at most."""
_TOO_LONG = f"it grows longer than {LONGEST:,} characters"
_POWER = 1000
_ADDRESS = re.compile(r"<[^<>]* at 0x[0-9A-Fa-f]+>")


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
            CurateError: It is no template, uses what it is not given, or nothing of a row; or a
                prompt holds an address of Python's, which is another one in every run.
        """
        import jinja2
        from jinja2.meta import find_undeclared_variables

        rest = {MARK: _NO_MARK, **(fixed or {})}
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
            said = _rendered(template, {**values, **rest})
            same = said == _rendered(template, {**_otherwise(values), **rest})
        except jinja2.TemplateSyntaxError as error:
            raise CurateError(
                f"{self.name}:{error.lineno}: this is no jinja2 template: {error.message}."
            ) from error
        except Exception as error:  # the expressions of a template can raise anything
            if isinstance(error, CurateError):
                raise
            raise CurateError(
                f"The template '{self.name}' cannot be rendered: {_reason(error)}."
            ) from error
        if not said.strip():
            raise CurateError(f"The template '{self.name}' gives an empty prompt.")
        if address := _ADDRESS.search(said):
            raise CurateError(
                f"The template '{self.name}' gives a prompt with {address[0]} in it, which is "
                "another one in every run."
            )
        if same:
            raise CurateError(
                f"The template '{self.name}' gives the same prompt for every row.",
                f"Use what it is given: {', '.join('{{ ' + name + ' }}' for name in values)}.",
            )

    def render(self, values: Mapping[str, Any]) -> str:
        """A prompt, without white space at its ends.

        Args:
            values: By name. The template is given `mark` besides: 16 hex characters that depend on
                the whole prompt but for them, so that no text in it can know them beforehand and
                pretend to end where the template says that it ends.

        Raises:
            AnswerError: It cannot be rendered with these values, or gives nothing.
        """
        try:
            template = _compiled(self.text)
            prompt = _rendered(template, {MARK: _NO_MARK, **values})
            if MARK in self.text:
                prompt = _rendered(template, {MARK: _mark(prompt), **values})
        except Exception as error:  # the expressions of a template can raise anything
            raise AnswerError(f"the template cannot be rendered: {_reason(error)}") from error
        if not prompt.strip():
            raise AnswerError("the template gives an empty prompt for this row")
        return prompt.strip()


def _mark(prompt: str) -> str:
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _rendered(template: jinja2.Template, values: Mapping[str, Any]) -> str:
    parts, size = [], 0
    for part in template.generate(values):
        size += len(part)
        if size > LONGEST:
            raise ValueError(_TOO_LONG)
        parts.append(part)
    return "".join(parts)


def _reason(error: Exception) -> str:
    """What an exception says (its name, where it says nothing), and where in the template."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == "<template>"]
    return (str(error) or type(error).__name__) + (f" (line {lines[-1]})" if lines else "")


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


def _plain(value: Any) -> Any:
    """What may stand in a prompt; methods, generators and the like have addresses for a text."""
    import jinja2

    if value is None or isinstance(value, str | bool | int | float | bytes | jinja2.Undefined):
        return value
    if isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            _plain(inner)
        return value
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta | Decimal):
        return value
    name = getattr(value, "__name__", "")
    said = f"'{name}' is" if name else "a value is"
    raise TypeError(f"{said} a {type(value).__name__}, which is no text")


@cache
def _compiled(text: str) -> jinja2.Template:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Environment(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset({"*", "**"})

        def getattr(self, obj: Any, attribute: str) -> Any:
            """`row.values` is the column of that name, if there is one, not a method."""
            if isinstance(obj, Mapping) and attribute in obj:
                return obj[attribute]
            return super().getattr(obj, attribute)

        def call_binop(
            self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any
        ) -> Any:
            """Multiply within bounds: a few characters could ask for all of the memory."""
            if operator == "*" and isinstance(left, Sequence) != isinstance(right, Sequence):
                many, times = (left, right) if isinstance(left, Sequence) else (right, left)
                if len(many) * times > LONGEST:
                    raise ValueError(_TOO_LONG)
            if operator == "**" and max(abs(left), abs(right)) > _POWER:
                raise ValueError(f"no number above {_POWER:,} is raised to a power, or is one")
            return super().call_binop(context, operator, left, right)

    # prompts are plain text: nothing in them is escaped for a page
    environment = Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        finalize=_plain,
    )
    # a prompt is a key of what was paid for: it has to be the same in every run
    environment.globals.pop("lipsum")
    environment.filters.pop("random")
    return environment.from_string(text)
