"""Two responses to each instruction of a file, compared in both orders.

Imported when the command runs.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import xxhash

from curate.api import AnswerError, CurateError, Host
from curate_llm.judge import SWAPPED, TIE, answer_of


@dataclass(frozen=True)
class Report:
    """What came of a comparison.

    Args:
        pairs: In the file, or the sample of it.
        equal: Pairs whose two responses are the same; they are not judged.
        failed: Pairs that could not be judged.
        errors: Why, each with the number of pairs.
        a: Judged pairs of which both orders prefer the first column.
        b: The same for the second one.
        ties: Those that both orders call a tie.
        changed: Those of which the other order has another verdict.
        reversed: Of these, those in which the two orders name different winners.
        stands_first: Of the reversed ones, those in which each order prefers what stands first.
        straight: Verdicts while a stands first: `a`, `b`, `tie` > pairs.
        swapped: The same while b stands first.
        llm: What asking took, as a manifest records it.
    """

    pairs: int
    equal: int
    failed: int
    errors: Mapping[str, int]
    a: int
    b: int
    ties: int
    changed: int
    reversed: int
    stands_first: int
    straight: Mapping[str, int]
    swapped: Mapping[str, int]
    llm: Mapping[str, Any]

    @property
    def judged(self) -> int:
        """Pairs with verdicts of both orders."""
        return self.a + self.b + self.ties + self.changed


def compare(
    host: Host,
    table: Mapping[str, Any],
    pair: tuple[str, str],
    params: Mapping[str, Any],
    sample: int | None,
    seed: int,
    may_fail: int | None = None,
) -> Report:
    """Judge pairs by `llm.judge`, through the memo and the journal.

    Args:
        host: Core.
        table: The file, as a source.
        pair: The columns of a and b.
        params: Of the stage, without `pair`.
        sample: Pairs to take, by a seeded hash of their ids; None: all.
        seed: For the sample.
        may_fail: How many pairs may stay without verdicts; None: a tenth of them, rounded up.

    Raises:
        CurateError: The file cannot be read, more pairs fail than may, or the run has to stop.
    """
    rows = host.examples(table)
    for name in pair:
        if name not in rows.columns:
            known = ", ".join(name for name in rows.columns if not name.startswith("@"))
            raise CurateError(f"{table['path']} has no column '{name}'.", f"It has {known}.")
    if sample is not None:
        order = [xxhash.xxh3_64_intdigest(id.encode(), seed=seed) for id in rows["id"]]
        rows = rows.with_columns(pl.Series("@order", order, dtype=pl.UInt64))
        rows = rows.sort("@order", "id").head(sample)
    lines, equal = [], 0
    for row in rows.iter_rows(named=True):
        a, b = (_text(row[name]) for name in pair)
        if a == b:
            equal += 1
        else:
            said = {"instruction": row["@instruction"], "output": a, "a": a, "b": b}
            lines.append({**said, "of": row["id"]})
    if not lines:
        raise CurateError(f"{table['path']}: the two responses of every pair are the same.")
    if may_fail is None:
        may_fail = -(-len(lines) // 10)
    scores, llm = _judged(host, lines, params, may_fail)
    verdicts = scores.filter(pl.col("error").is_null())
    straight, swapped = verdicts["straight"].to_list(), verdicts[SWAPPED].to_list()
    both = list(zip(straight, swapped, strict=True))
    opposite = [each for each in both if set(each) == {"a", "b"}]
    return Report(
        pairs=len(rows),
        equal=equal,
        failed=len(lines) - len(both),
        errors=dict(Counter(scores["error"].drop_nulls().to_list()).most_common()),
        a=both.count(("a", "a")),
        b=both.count(("b", "b")),
        ties=both.count((TIE, TIE)),
        changed=sum(first != second for first, second in both),
        reversed=len(opposite),
        stands_first=opposite.count(("a", "b")),
        straight={side: straight.count(side) for side in ("a", "b", TIE)},
        swapped={side: swapped.count(side) for side in ("a", "b", TIE)},
        llm=llm,
    )


def _text(value: Any) -> str:
    """The response in a column; "" where there is none, which fails its pair."""
    try:
        return answer_of(value)
    except AnswerError:
        return ""


def _judged(
    host: Host, lines: list[dict[str, str]], params: Mapping[str, Any], may_fail: int
) -> tuple[pl.DataFrame, Mapping[str, Any]]:
    """The outputs of the stage, or the error, of each pair; what asking took."""
    llm: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pairs.jsonl")
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        try:
            scores = host.score(
                "llm.judge",
                {**params, "pair": ["a", "b"]},
                {"path": str(path), "format": "alpaca"},
                may_fail=may_fail,
                account=lambda services: llm.update(services["llm"]),
            )
        except CurateError as error:
            place = re.search(re.escape(str(path)) + r":(\d+)( \(id \w+\))?", error.message)
            if place is None:
                raise
            message = error.message.replace(place[0], f"pair {lines[int(place[1]) - 1]['of']}")
            raise CurateError(message, "Let more of them fail: `--may-fail N`.") from error
    return scores, llm
