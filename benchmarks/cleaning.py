"""What `text.clean` changes in real data, rule by rule, and whether code still parses afterwards.

    python benchmarks/cleaning.py --data FOLDER [--samples 30] [--rule html]

All rules by default, those that are to be asked for too. Every text of a row of FOLDER/*.jsonl.gz
counts as a turn of one conversation. Prints the changes by file and rule, as many samples of each
rule (before > after, at the first change of a row), whether cleaning again changes anything, what
was left in code, and, for files of code, how many responses are the same program before and after:
Python that parses to the same tree.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import json
import re
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import xxhash

from curate_text.clean import REGIONS, RULES
from curate_text.cleaning import Cleaned, clean

CODE = {"gpteacher_codegen": "response", "codealpaca_2k": "output", "humaneval": "prompt"}
_FENCED = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)```", re.DOTALL | re.IGNORECASE)


def main() -> None:
    """Print the tables and the samples."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=0)
    parser.add_argument("--rule", choices=RULES, action="append")
    given = parser.parse_args()
    rules = given.rule or list(RULES)
    files = {path.name.split(".jsonl")[0]: path for path in sorted(given.data.glob("*.jsonl.gz"))}
    print("| file | rows | changed | " + " | ".join(rules) + " | not at rest | seconds |")
    print("|---" * (len(rules) + 5) + "|")
    left = Counter[str]()
    samples: dict[str, list[tuple[int, str]]] = {rule: [] for rule in rules}
    for name, path in files.items():
        rows = [_texts(row) for row in _rows(path)]
        start = time.perf_counter()
        cleaned = [_clean(row, rules) for row in rows]
        seconds = time.perf_counter() - start
        totals = sum((each.changes for each in cleaned), Counter[str]())
        left += sum((each.left for each in cleaned), Counter[str]())
        changed = [(row, new) for row, (new, *_) in zip(rows, cleaned, strict=True) if row != new]
        restless = sum(_clean(new, rules).texts != new for _, new in changed)
        cells = " | ".join(f"{totals[rule]:,}" for rule in rules)
        print(
            f"| {name} | {len(rows):,} | {len(changed):,} | {cells} | {restless} | {seconds:.1f} |"
        )
        for row, (_, changes, *_) in zip(rows, cleaned, strict=True):
            for rule in changes if given.samples else ():
                samples[rule] += _samples(name, row, rule)
    print("\nLeft in code:", *(f"{rule} {left[rule]:,}" for rule in rules if left[rule]))
    for rule, found in samples.items():
        if given.samples:
            print(f"\n## {rule}: {len(found):,} texts\n")
        for _, line in sorted(set(found))[: given.samples]:  # by a hash: spread over all files
            print(line)
    print("\nPython that parses before, and to the same tree after:\n")
    for name, field in CODE.items():
        if name in files:
            print(name, *_parsing(files[name], field, rules))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def _clean(texts: Sequence[str], rules: Sequence[str]) -> Cleaned:
    return clean(texts, rules, regions=REGIONS)


def _texts(row: dict[str, Any]) -> list[str]:
    return list(_strings(row))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def _samples(name: str, texts: Sequence[str], rule: str) -> Iterator[tuple[int, str]]:
    new = _clean(texts, [rule]).texts
    for before, after in zip(texts, new, strict=True):
        if before != after:
            pairs = zip(before, after, strict=False)
            at = next(
                (i for i, (a, b) in enumerate(pairs) if a != b), min(map(len, (before, after)))
            )
            old, now = (text[max(at - 40, 0) : at + 40] for text in (before, after))
            yield xxhash.xxh3_64_intdigest(before.encode()), f"{name}\n  - {old!r}\n  + {now!r}"


def _parsing(path: Path, field: str, rules: Sequence[str]) -> tuple[str, ...]:
    parsed = same = programs = 0
    for row in _rows(path):
        before = row[field]
        texts = _texts(row)
        after = _clean(texts, rules).texts[texts.index(before)]
        pairs = [(before, after)]
        fenced = _FENCED.findall(before)
        if fenced:
            pairs = list(zip(fenced, _FENCED.findall(after), strict=True))
        for old, new in pairs:
            programs += 1
            tree = _tree(old)
            if tree is not None:
                parsed += 1
                same += tree == _tree(new)
    return f"{programs:,} texts of code,", f"{parsed:,} parse,", f"{same:,} to the same tree after"


def _tree(code: str) -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in the strings of others' code
            return ast.dump(ast.parse(code))
    except (SyntaxError, ValueError):
        return None


if __name__ == "__main__":
    main()
