from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.run.outcome import Outcome
from curate.versions.open import Version
from curate.versions.store import publish, publish_preview

ROWS = 40
DUPLICATES, TOP = 8, 12


def _stage(
    id: str, verb: str, stage: str, of: str, entered: int, out: int, **other: Any
) -> dict[str, Any]:
    return {
        "id": id, "verb": verb, "stage": stage, "version": 1, "inputs": [of],
        "plugin": {"name": "p", "version": "1"}, "in": entered, "created": 0, "out": out,
        "dropped": entered - out, "failed": 0, "merged": 0, "untouched": 0, "reasons": {},
        "memo": None, "fits": {}, "flags": {}, "margins": [], "facts": {}, "params": {},
        "seconds": 1.5,
    } | other  # fmt: skip


@pytest.fixture
def make_version(tmp_path: Path) -> Callable[..., Version]:
    """Publishes 40 rows: the last 8 are near-duplicates, then the best 12 by `math` are kept.

    Row `n` has the score n / 100; `texts` replaces the question of a row, by its number; `scores` are
    functions of it that give more.
    """

    def make(
        *,
        texts: dict[int, str] | None = None,
        by: str | None = "math",
        lowest: bool = False,
        dropped: bool = True,
        preview: bool = False,
        stages: dict[str, dict[str, Any]] | None = None,
        sources: dict[str, int] | None = None,
        scores: dict[str, Callable[[int], Any]] | None = None,
        **manifest: Any,
    ) -> Version:
        numbers = list(range(ROWS))
        unique = numbers[: ROWS - DUPLICATES]
        best = unique[:TOP] if lowest else unique[-TOP:]
        frame = pl.DataFrame(
            {
                "id": [f"{n:032x}" for n in numbers],
                "messages": [
                    [
                        {"role": "user", "content": (texts or {}).get(n, f"Question {n}?")},
                        {"role": "assistant", "content": f"Answer {n}."},
                    ]
                    for n in numbers
                ],
                "source": ["mine"] * ROWS,
                "origin": ["human" if n % 2 else "synthetic" for n in numbers],
                "tokens": numbers,
                **{
                    name: pl.Series([None] * ROWS, dtype=pl.String)
                    for name in ("generator", "license", "ability")
                },
                "parents": pl.Series([[]] * ROWS, dtype=pl.List(pl.String)),
            }
        )
        stage_of = ["dedup" if n >= len(unique) else None if n in best else "top" for n in numbers]
        ledger = pl.DataFrame(
            {
                "id": frame["id"],
                "source": ["mine"] * ROWS,
                "file": ["mine.jsonl"] * ROWS,
                "line": [n + 1 for n in numbers],
                "fate": ["dropped" if stage else "kept" for stage in stage_of],
                "stage": stage_of,
                "parents": frame["parents"],
                **{
                    name: pl.Series([None] * ROWS, dtype=pl.String)
                    for name in ("reason", "detail", "ref")
                },
            }
        )
        given = pl.DataFrame(
            {
                "id": frame["id"],
                "math": [n / 100 for n in numbers],
                "dedup_value": [0.5 + n / 100 for n in numbers],
                **{name: list(map(of, numbers)) for name, of in (scores or {}).items()},
            }
        )
        changes = stages or {}
        entries = [
            _stage("dedup", "filter", "dedup.semantic", "mine", ROWS, len(unique))
            | {"reasons": {"duplicate": DUPLICATES}}
            | changes.get("dedup", {}),
            _stage("nait", "score", "nait.alignment", "dedup", len(unique), len(unique))
            | {"memo": {"distinct": 32, "hits": 30, "computed": 2}}
            | changes.get("nait", {}),
            _stage("top", "filter", "core.top", "nait", len(unique), TOP)
            | {"reasons": {"below_cut": len(unique) - TOP}}
            | {"params": {"by": by, "count": TOP, "lowest": lowest} if by else {}}
            | changes.get("top", {}),
        ]
        kept = frame[best]
        shares = {
            "source": {"before": sources or {"mine": ROWS}, "after": {"mine": TOP}},
            "origin": {
                "before": {"human": ROWS // 2, "synthetic": ROWS // 2},
                "after": dict(kept["origin"].value_counts().iter_rows()),
            },
            "generator": {"before": {"": ROWS}, "after": {"": TOP}},
            "ability": {"before": {"": ROWS}, "after": {"": TOP}},
        }
        file = {"file": "mine.jsonl", "sha256": "ab" * 32, "bytes": 1}
        outcome = Outcome(
            name="toy",
            data=kept,
            dropped=frame.filter(~pl.col("id").is_in(kept["id"].implode())) if dropped else None,
            ledger=ledger,
            scores=given,
            manifest={
                "run_key": "key", "created": "2026-11-20T10:00:00+00:00", "curate": "0.1.0",
                "seed": 0, "limit": None,
                "books": {
                    "sources": ROWS, "created": 0, "kept": TOP, "dropped": ROWS - TOP, "failed": 0,
                    "merged": 0,
                },
                "sources": {
                    "mine": {
                        "files": [file], "rows": ROWS, "unreadable": 0, "format": "alpaca",
                        "origin": None, "generator": None, "license": None, "dataset": None,
                        "revision": None, "facts": {},
                    }
                },
                "references": {}, "models": {}, "columns": [], "environment": {},
                "stages": entries, "shares": shares,
            } | manifest,
            recipe="name: toy\n",
            lock={},
            identity={},
        )  # fmt: skip
        root = tmp_path / "curated"
        published = (publish_preview if preview else publish)(outcome, root)
        return Version(published.path)

    return make
