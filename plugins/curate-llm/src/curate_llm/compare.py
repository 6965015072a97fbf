"""Two responses to each instruction of a file, compared in both orders.

Imported when the command runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from curate.api import AnswerError, CurateError, Host
from curate_llm.judge import STRAIGHT, SWAPPED, TIE, answer_of
from curate_llm.scoring import sampled, scored


@dataclass(frozen=True)
class Report:
    """What came of a comparison.

    Args:
        pairs: In the file, or the sample of it.
        equal: Pairs whose two responses are the same text; they are not judged.
        failed: Pairs that could not be judged, those among them of which a response is missing,
            blank or no text.
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
    rows = sampled(rows, sample, seed)
    lines, names, equal = list[dict[str, str]](), list[str](), 0
    for row in rows.iter_rows(named=True):
        a, b = (_text(row[name]) for name in pair)
        if a and a == b:
            equal += 1
        else:
            lines.append({"instruction": row["@instruction"], "output": a, "a": a, "b": b})
            names.append(f"pair {row['id']}")
    if not lines:
        raise CurateError(f"{table['path']}: the two responses of every pair are the same.")
    given = {**params, "pair": ["a", "b"]}
    scores, llm = scored(host, "llm.judge", given, lines, names, may_fail)
    verdicts = scores.filter(pl.col("error").is_null())
    straight, swapped = verdicts[STRAIGHT].to_list(), verdicts[SWAPPED].to_list()
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
    """The response in a column; "" where there is none, or a blank one: its pair fails."""
    try:
        return answer_of(value)
    except AnswerError:
        return ""
