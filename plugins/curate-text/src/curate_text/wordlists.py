"""Lists of words: those of the plugin by name and language, a user's own by path."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from curate.api import CurateError

Language = Literal["de", "en", "es", "fr", "zh"]
LISTS = Path(__file__).parent / "lists"


def shipped(name: str, language: Language) -> Path:
    """The file of a list that comes with the plugin.

    Args:
        name: `stopwords` or `flagged`.
        language: Whose words they are.
    """
    return LISTS / name / f"{language}.txt"


def entries(path: str | Path) -> list[str]:
    """The entries of a list: one a line; empty lines and those that begin with `#` say nothing.

    Raises:
        CurateError: It is no UTF-8 text, holds no entry, or one without a letter or digit.
    """
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CurateError(
            f"{path} cannot be read as a list of words: {error}",
            "Name a UTF-8 text file with one word a line.",
        ) from None
    found = {at: line.strip() for at, line in enumerate(lines, 1)}
    found = {at: line for at, line in found.items() if line and not line.startswith("#")}
    for at, line in found.items():
        if not any(map(str.isalnum, line)):
            raise CurateError(
                f"{path}:{at}: '{line}' has no letter and no digit, so that no word can be it",
                "Take the line out.",
            )
    if not found:
        raise CurateError(f"{path} holds no word", "Write one word a line.")
    return list(found.values())


@cache
def fingerprints() -> Mapping[str, str]:
    """Hex sha256 of each list that comes with the plugin, by `name/language`."""
    return {
        f"{file.parent.name}/{file.stem}": hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(LISTS.glob("*/*.txt"))
    }
