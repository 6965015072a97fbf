from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl
import pytest

from curate.run.outcome import Outcome

FRAME = {
    "id": pl.String,
    "messages": pl.List(pl.Struct({"role": pl.String, "content": pl.String})),
    "source": pl.String,
    "origin": pl.String,
    "generator": pl.String,
    "license": pl.String,
    "ability": pl.String,
    "parents": pl.List(pl.String),
    "instruction": pl.String,
    "output": pl.String,
    "tokens": pl.Int64,
}
LEDGER = {
    "id": pl.String,
    "source": pl.String,
    "file": pl.String,
    "line": pl.Int64,
    "fate": pl.String,
    "stage": pl.String,
    "reason": pl.String,
    "detail": pl.String,
    "ref": pl.String,
    "parents": pl.List(pl.String),
}


def row(number: int, text: str, **other: Any) -> dict[str, Any]:
    plain = {
        "id": f"{number:032x}",
        "messages": [
            {"role": "user", "content": f"Ask {number}"},
            {"role": "assistant", "content": text},
        ],
        "source": "mine",
        "origin": "human",
        "generator": None,
        "license": "cc-by-4.0",
        "ability": None,
        "parents": [],
        "instruction": f"Ask {number}",
        "output": text,
        "tokens": number,
    }
    return plain | other


def build(
    texts: Sequence[str] = ("one", "two", "three"),
    *,
    dropped: Sequence[str] | None = ("four",),
    failed: int = 0,
    shards: int = 1,
    run_key: str = "key",
    name: str = "toy",
    manifest: Mapping[str, Any] | None = None,
    **other: Any,
) -> Outcome:
    """An outcome whose kept rows answer with `texts`; one stage, `short`, dropped the others."""
    gone = dropped or ()
    rows = [row(number, text, **other) for number, text in enumerate([*texts, *gone])]
    frame = pl.DataFrame(rows, schema=FRAME)
    kept = len(texts)
    ledger = [
        {
            "id": row["id"],
            "source": "mine",
            "file": "data/mine.jsonl",
            "line": at + 1,
            "fate": "kept" if at < kept else "dropped",
            "stage": None if at < kept else "short",
            "reason": None if at < kept else "condition",
            "detail": None,
            "ref": None,
            "parents": [],
        }
        for at, row in enumerate(rows)
    ]
    stage = {
        "id": "short", "verb": "filter", "stage": "core.where", "version": 1,
        "plugin": {"name": "curate-data", "version": "0.1.0"}, "inputs": ["mine"],
        "in": len(rows), "created": 0, "out": kept, "dropped": len(gone), "failed": 0, "merged": 0,
        "untouched": 0, "reasons": {"condition": len(gone)} if gone else {}, "memo": None,
        "fits": {}, "flags": {}, "margins": [], "facts": {}, "params": {}, "seconds": 0.1,
    }  # fmt: skip
    origin = {"human": len(rows)}
    facts = {
        "run_key": run_key,
        "created": "2026-11-20T10:00:00+00:00",
        "curate": "0.1.0",
        "seed": 0,
        "limit": None,
        "books": {
            "sources": len(rows), "created": 0, "kept": kept, "dropped": len(gone),
            "failed": failed, "merged": 0,
        },
        "sources": {
            "mine": {
                "files": [{"file": "data/mine.jsonl", "sha256": "ab" * 32, "bytes": 10}],
                "rows": len(rows), "unreadable": 0, "format": "alpaca", "origin": "human",
                "generator": None, "license": "cc-by-4.0", "dataset": None, "revision": None,
                "hub": {},
                "facts": {"empty_response": 0},
            }
        },
        "references": {}, "models": {}, "stages": [stage],
        "columns": [{"name": "length", "kind": "number", "stage": "short", "published": True}],
        "shares": {
            "source": {"before": {"mine": len(rows)}, "after": {"mine": kept}},
            "origin": {"before": origin, "after": {"human": kept}},
            "generator": {"before": {"": len(rows)}, "after": {"": kept}},
            "ability": {"before": {"": len(rows)}, "after": {"": kept}},
        },
        "environment": {"python": "3.11.0", "platform": "Linux", "packages": {}},
        **(manifest or {}),
    }  # fmt: skip
    identity = {"name": name, "seed": 0, "pipeline": [{"short": "cd" * 32}]}
    lock = {
        "lock_version": 2,
        "run_key": facts["run_key"],
        "sets": [],
        "recipe": {"name": name},
        "identity": identity,
        "sources": {"mine": {"files": facts["sources"]["mine"]["files"]}},
        "references": {},
        "models": {},
        "stages": {"short": {"stage": "core.where", "version": 1}},
    }
    scores = pl.DataFrame({"id": frame["id"], "length": [float(len(r["output"])) for r in rows]})
    return Outcome(
        name=name,
        data=frame[:kept],
        dropped=None if dropped is None else frame[kept:],
        ledger=pl.DataFrame(ledger, schema=LEDGER),
        scores=scores,
        manifest=facts,
        recipe=f"name: {name}\n",
        lock=lock,
        identity=identity,
        shards=shards,
    )


@pytest.fixture(scope="session")
def make_outcome() -> Callable[..., Outcome]:
    return build
