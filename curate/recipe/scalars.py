"""Plain scalars of YAML 1.2, and `${NAME}` in them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

Scalar = str | int | float | bool | None

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,99})")
_FLOAT = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def resolve(text: str) -> Scalar:
    """Read an unquoted scalar: null, true, false, decimal numbers; all else is text.

    `yes`, `on`, dates, `012`, `0x1F`, `.inf` and numbers beyond a float stay text.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text


def substitute(text: str, environ: Mapping[str, str]) -> str:
    """Replace `${NAME}` and `${NAME:-default}` (taken where unset or empty); `$${` gives `${`.

    Raises:
        ValueError: A variable is unset and has no default, or a reference is malformed.
    """

    def value(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        if match[1] is None:
            raise ValueError("'${' is not closed; write $${ for the two characters themselves")
        name, dash, default = match[1].partition(":-")
        if not _NAME.fullmatch(name):
            raise ValueError(f"'{match[0]}' names no environment variable; write ${{NAME}}")
        found = environ.get(name, "")
        if found or (name in environ and not dash):
            return found
        if dash:
            return default
        raise ValueError(f"environment variable {name} is not set")

    return _VARIABLE.sub(value, text)
