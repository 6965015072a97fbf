"""How often `text.language` is right, by language and length, and what it leaves undetermined.

    python benchmarks/language.py --data FOLDER

FOLDER holds xquad.jsonl.gz (`file` names the language, `question` and `context` the text) and
alpaca_zh_machine.jsonl.gz (`instruction`, `input`, `output`). Texts are cut to so many characters;
longer ones than a row has are left out. Texts below the stage's bound of 20 letters are told in a
table of their own, without that bound: what it spares. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from curate.api import Context
from curate_text.language import UNKNOWN, Language, LanguageParams

LENGTHS = (25, 30, 40, 60, 80, 160)
SHORT = (5, 10, 15, 20, 25, 30)
"""Characters below the stage's own bound, or about it: told with `min_letters: 1`."""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    folder = parser.parse_args().data
    texts = _xquad(folder)
    print("Share right of those told, and undetermined, by characters (xquad):\n")
    _table(texts, (*LENGTHS, None), LanguageParams())
    print("\nThe same of shorter ones, with min_letters: 1:\n")
    _table(texts, SHORT, LanguageParams(min_letters=1))
    print("\nalpaca_zh_machine, rows by characters of instruction, input and output:\n")
    rows = [
        "\n".join(filter(None, (row["instruction"], row["input"], row["output"])))
        for row in _rows(folder / "alpaca_zh_machine.jsonl.gz")
    ]
    print(_head(["characters", "rows", "zh", UNKNOWN, "others"]))
    for low, high in ((0, 20), (20, 40), (40, 80), (80, 160), (160, 10**9)):
        part = [row for row in rows if low <= len(row) < high]
        found = Counter(_told(part, LanguageParams()))
        others = ", ".join(
            f"{name} {n}" for name, n in found.most_common() if name not in ("zh", UNKNOWN)
        )
        shown = f"{low} to {high - 1}" if high < 10**9 else f"{low} and more"
        print(f"| {shown} | {len(part):,} | {found['zh']:,} | {found[UNKNOWN]:,} | {others} |")
    start = time.perf_counter()
    _told(rows, LanguageParams())
    print(f"\n{len(rows) / (time.perf_counter() - start):,.0f} rows a second")


def _table(
    texts: Mapping[str, Sequence[str]], lengths: Sequence[int | None], params: LanguageParams
) -> None:
    """A line for each language, a column for each length; None: the whole text."""
    print(_head(["language", *(str(length or "whole") for length in lengths)]))
    tallies = {
        language: [_tally(language, _cut(texts[language], length), params) for length in lengths]
        for language in sorted(texts)
    }
    every = [sum(column, Counter()) for column in zip(*tallies.values(), strict=True)]
    for language, cells in (*tallies.items(), ("all", every)):
        print(f"| {language} | {' | '.join(map(_cell, cells))} |")


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def _xquad(folder: Path) -> dict[str, list[str]]:
    """Questions and distinct contexts by language."""
    texts: dict[str, dict[str, None]] = {}
    for row in _rows(folder / "xquad.jsonl.gz"):
        language = row["file"].split(".")[1]
        texts.setdefault(language, {}).update({row["question"]: None, row["context"]: None})
    return {language: list(found) for language, found in texts.items()}


def _cut(texts: Sequence[str], length: int | None) -> list[str]:
    return [text[:length] for text in texts if length is None or len(text) >= length]


def _told(texts: Sequence[str], params: LanguageParams) -> list[str]:
    stage = Language(params, "language")
    context = Context(0, {}, {}, ("language",), lambda name: name)
    rows = pl.DataFrame({"id": [str(at) for at in range(len(texts))], "@both": texts})
    return stage.score(rows, context)["language"].to_list()


def _tally(language: str, texts: Sequence[str], params: LanguageParams) -> Counter[str]:
    told = _told(texts, params)
    unknown = told.count(UNKNOWN)
    right = told.count(language)
    return Counter(right=right, unknown=unknown, wrong=len(told) - right - unknown)


def _cell(tally: Counter[str]) -> str:
    told = tally["right"] + tally["wrong"]
    right = f"{100 * tally['right'] / told:.1f}" if told else "-"
    unknown = f"{100 * tally['unknown'] / tally.total():.1f}"
    return f"{right}, {unknown}"


def _head(names: Sequence[str]) -> str:
    return f"| {' | '.join(names)} |\n|{'---|' * len(names)}"


if __name__ == "__main__":
    main()
