"""The rows of the dedup benchmark: real ones, and copies of them planted among them."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

Row = dict[str, str]
"""instruction, input and output."""

FIELDS = ("instruction", "input", "output")
NEAR = 12
"""A near copy has from one edit to one in so many words."""
APART = 3
"""A variation has one edit in so many words: further from its original than any threshold."""


@dataclass(frozen=True)
class Planted:
    """A copy and what it is a copy of, by their places in the corpus.

    Args:
        copy: Place of the copy.
        original: Place of its original.
        edits: How many words of the copy were edited; 0 for an exact copy.
    """

    copy: int
    original: int
    edits: int


def read(data: Path) -> list[Row]:
    """The rows of alpaca_cleaned."""
    with gzip.open(data / "alpaca_cleaned.jsonl.gz") as lines:
        return [{name: row[name] for name in FIELDS} for row in map(json.loads, lines)]


def text_of(row: Row) -> str:
    """The text that is compared: the fields that are not empty, joined by newlines."""
    return "\n".join(row[name] for name in FIELDS if row[name])


def edited(row: Row, edits: int, vocabulary: Sequence[str], rng: random.Random) -> Row:
    """A copy of a row in which words were replaced, left out or put in; none becomes empty."""
    words = {name: row[name].split(" ") for name in FIELDS if row[name]}
    places = rng.choices(list(words), [len(found) for found in words.values()], k=edits)
    for name in places:
        found, at = words[name], rng.randrange(len(words[name]))
        way = rng.choice(("replace", "insert", "delete"))
        if way == "insert":
            found.insert(at, rng.choice(vocabulary))
        elif way == "delete" and len(found) > 1:
            del found[at]
        else:
            found[at] = rng.choice(vocabulary)
    return {**row, **{name: " ".join(found) for name, found in words.items()}}


def vocabulary_of(rows: Sequence[Row]) -> list[str]:
    """Words to edit with: those of some rows, as often as they occur."""
    return [word for row in rows[:2000] for word in row["output"].split()]


def near_edits(row: Row, rng: random.Random) -> int:
    """How many words of a near copy are edited."""
    return rng.randint(1, max(1, len(text_of(row).split()) // NEAR))


def planted(real: Sequence[Row], rows: int, seed: int) -> tuple[list[Row], list[Planted]]:
    """A corpus of which a tenth are exact and a tenth near copies of others, in random order.

    Args:
        real: Rows to begin with; the first 80 % of `rows` are used.
        rows: How many the corpus has.
        seed: Decides which rows are copied, how and where they stand.

    Raises:
        ValueError: There are too few real rows.
    """
    copies = rows // 10
    originals = rows - 2 * copies
    if originals > len(real):
        raise ValueError(f"{rows} rows need {originals} real ones, and there are {len(real)}")
    rng, vocabulary = random.Random(seed), vocabulary_of(real)
    made = [(row, -1, 0) for row in real[:originals]]
    for at in rng.sample(range(originals), copies):
        made.append((real[at], at, 0))
    for at in rng.sample(range(originals), copies):
        edits = near_edits(real[at], rng)
        made.append((edited(real[at], edits, vocabulary, rng), at, edits))
    order = list(range(rows))
    rng.shuffle(order)
    place = {was: now for now, was in enumerate(order)}
    pairs = [
        Planted(place[was], place[original], edits)
        for was, (_, original, edits) in enumerate(made)
        if original >= 0
    ]
    return [made[was][0] for was in order], sorted(pairs, key=lambda pair: pair.copy)


def grown(real: Sequence[Row], rows: int, seed: int) -> Iterator[Row]:
    """Rows without end of real ones: each as it is, then variations; a tenth are near copies.

    A variation differs from its original in so many words that the two are no near-duplicates.
    """
    rng, vocabulary = random.Random(seed), vocabulary_of(real)
    for at in range(rows):
        turn, row = at // len(real), real[at % len(real)]
        if at % 10 == 9:
            base = real[rng.randrange(min(at, len(real)))]
            yield edited(base, near_edits(base, rng), vocabulary, rng)
        elif turn == 0:
            yield row
        else:
            edits = max(3, len(text_of(row).split()) // APART)
            yield edited(row, edits, vocabulary, rng)


def write(folder: Path, rows: Sequence[Row], pairs: Sequence[Planted]) -> None:
    """Write a corpus as each tool reads it.

    `rows.jsonl` has the fields and `row`, the place; `texts.jsonl` has `text` instead of the
    fields; `halves/` has the same in two files; `planted.jsonl` names the pairs.
    """
    (folder / "halves").mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"row": at, "text": text_of(row)}) + "\n" for at, row in enumerate(rows)]
    contents = {
        "rows.jsonl": [json.dumps({"row": at, **row}) + "\n" for at, row in enumerate(rows)],
        "texts.jsonl": lines,
        "halves/0.jsonl": lines[: len(lines) // 2],
        "halves/1.jsonl": lines[len(lines) // 2 :],
        "planted.jsonl": [json.dumps(vars(pair)) + "\n" for pair in pairs],
    }
    for name, some in contents.items():
        with (folder / name).open("w", encoding="utf-8") as out:
            out.writelines(some)
