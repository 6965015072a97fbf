"""Imports one entry point in a process of its own and says what it found, as JSON.

`python -m curate.plugins.probe GROUP WORD DISTRIBUTION`; the answer is the last line of stdout.
"""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

from curate.contract import API_VERSION
from curate.errors import PluginError
from curate.plugins import loader

if TYPE_CHECKING:
    from curate.contract.stages import Stage


def summary(stage: type[Stage]) -> str:
    """The first line of a stage's docstring."""
    return (stage.__doc__ or "").strip().partition("\n")[0]


def examine(point: loader.Point) -> dict[str, Any]:
    """Load an entry point.

    Returns:
        `api`, `stages` (name, verb, version, summary) and `offers` (the words it can be used by),
        or `error` and `remedy`.
    """
    stages: list[dict[str, Any]] = []
    try:
        if point.group == "curate":
            found = loader.stages(point)
            offers = sorted(found)
            stages = [
                {"name": name, "verb": s.verb, "version": s.version, "summary": summary(s)}
                for name, s in sorted(found.items())
            ]
        elif point.group == "curate.models":
            offers = [f"{point.word}:{word}" for word in sorted(loader.aliases(point))]
        else:
            loader.single(point)
            offers = [point.word]
    except PluginError as error:
        return {"error": error.message, "remedy": error.remedy}
    return {"api": API_VERSION, "stages": stages, "offers": offers}


def main(group: str, word: str, distribution: str) -> None:
    """Print what `examine` says of one entry point; what the plugin prints goes to stderr."""
    wanted = (group, word, distribution)
    with redirect_stdout(sys.stderr):
        (point,) = (
            point
            for point in loader.discover()
            if (point.group, point.word, point.distribution) == wanted
        )
        answer = examine(point)
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
