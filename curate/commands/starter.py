"""The recipe that `curate init` writes: commented YAML that passes `check` and runs as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from curate.commands.survey import Survey

_ROW_FACTS = {
    "origin": "origin: unknown  # human | synthetic | mixed | unknown",
    "generator": "# generator: gpt-4  # the model that wrote the rows, if one did",
    "license": "# license: cc-by-4.0",
}


def stem(path: str) -> str:
    """The name of a file up to its first dot, in lower-case letters, digits and `_`."""
    name = Path(path).name.partition(".")[0].lower()
    return re.sub(r"[^a-z0-9]+", "_", name).strip("_") or "data"


def source_names(paths: Iterable[str]) -> list[str]:
    """A name for each source, made of the file's; `_2` and so on where several are alike."""
    names: list[str] = []
    for path in paths:
        wanted, name, count = stem(path), stem(path), 1
        while name in names:
            count += 1
            name = f"{wanted}_{count}"
        names.append(name)
    return names


def starter(name: str, surveys: Sequence[Survey], prefixes: Collection[str]) -> str:
    """The text of a recipe.

    Args:
        name: Name of the dataset.
        surveys: What its files hold.
        prefixes: Prefixes whose stages can be used; those of others are commented out.
    """
    sources = [
        _source(source, survey)
        for source, survey in zip(source_names(s.path for s in surveys), surveys, strict=True)
    ]
    taken = {column for survey in surveys for column in survey.columns}
    blocks = [
        f"# What each part means: `curate plugins show STAGE`.\nname: {_word(name)}\nseed: 0",
        "sources:\n" + "\n".join(sources),
        "pipeline:\n" + "\n\n".join(_pipeline(surveys, taken, prefixes)),
    ]
    return "\n\n".join(blocks) + "\n"


def _quoted(text: str) -> str:
    """A double-quoted YAML scalar; `${` stays as it is written."""
    return json.dumps(text, ensure_ascii=False).replace("${", "$${")


def _word(name: str) -> str:
    """A name as YAML reads it: bare where it cannot be taken for anything but text."""
    bare = re.fullmatch(r"[a-z][a-z0-9_-]*", name) and name not in ("true", "false", "null")
    return name if bare else _quoted(name)


def _source(name: str, survey: Survey) -> str:
    lines = [f"path: {_quoted(survey.path)}  # {survey.rows:,} rows"]
    if survey.fits or not survey.found:
        besides = f"  # the columns also fit {', '.join(survey.fits)}" if survey.fits else ""
        lines.append(f"format: {survey.format}{besides}")
    if survey.mapping:
        pairs = (f"{field}: {_quoted(column)}" for field, column in survey.mapping.items())
        lines.append(f"columns: {{{', '.join(pairs)}}}  # the format's field: the file's column")
    if survey.unreadable:
        count = len(survey.unreadable)
        lines.append(f"on_failure: {{set_aside: {count}}}  # so many rows cannot be read")
    lines += [
        f"# {fact}: as each row says" if fact in survey.columns else line
        for fact, line in _ROW_FACTS.items()
    ]
    return "\n".join([f"  {_word(name)}:", *(f"    {line}" for line in lines)])


def _pipeline(
    surveys: Sequence[Survey], taken: Collection[str], prefixes: Collection[str]
) -> list[str]:
    short = sum(survey.short for survey in surveys)
    length = next(
        name
        for name in ("response", *(f"response_{n}" for n in range(2, 1000)))
        if not {f"{name}_characters", f"{name}_words"} & set(taken)
    )
    exact = "# Of rows with the same text one stays; `prefer` says which.\n- filter: dedup.exact"
    semantic = (
        "# Rows that say almost the same: lower the threshold to drop more.\n"
        "- score: embed.sentence\n"
        "- filter: dedup.semantic\n"
        "  with: {threshold: 0.95, prefer: [longest]}"
    )
    lengths = (
        f"# Rows whose response is empty go; {short:,} have fewer than 3 words.\n"
        "- score: core.length\n"
        f"  id: {length}\n"
        "  with: {text: response}\n"
        "- filter: core.where\n"
        f'  with: {{keep: "{length}_words >= 1"}}'
    )
    nait = (
        "# Keep the tenth that aligns best with examples of what a model shall learn:\n"
        "# - score: nait.alignment\n"
        "#   id: nait\n"
        '#   with: {model: "builtin:minilm", targets: {math: examples_of_math.jsonl}}\n'
        "# - filter: core.top\n"
        "#   with: {by: nait_math, fraction: 0.10}"
    )
    return [
        _indented(_unless("dedup" in prefixes, exact, "curate-dedup")),
        _indented(lengths),
        _indented(
            _unless({"embed", "dedup"} <= set(prefixes), semantic, "curate-embed curate-dedup")
        ),
        _indented(nait if "nait" in prefixes else f"# pip install curate-nait\n{nait}"),
    ]


def _unless(installed: bool, block: str, distributions: str) -> str:
    """The block, commented out where the plugins that it needs are missing."""
    if installed:
        return block
    lines = (line if line.startswith("#") else f"# {line}" for line in block.splitlines())
    return "\n".join([f"# pip install {distributions}", *lines])


def _indented(block: str) -> str:
    return "\n".join(f"  {line}" for line in block.splitlines())
