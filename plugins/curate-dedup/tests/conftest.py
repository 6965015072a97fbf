"""Stages run as the runner would run them, without a recipe."""

from dataclasses import replace

import polars as pl
import pytest

from curate.api import Context

CONTEXT = Context(seed=0, models={}, fits={}, wanted=(), service=lambda name: None)


def decide(kind, rows, references=None, **params):
    """Fit a stage on rows and references, and let it decide: rows by id, and the decisions."""
    given = {name: {"path": "unread"} for name in references or {}}
    stage = kind(kind.Params(against=given, **params), "near")
    fits = {}
    for part, target in stage.fits().items():
        name = part.removeprefix("against.")
        table = rows if target == "pool" else references[name]
        needed = {each: fits[each] for each in stage.fit_needs(part)}
        columns = ["id", *stage.fit_inputs(part)]
        fits[part] = stage.fit(part, table.select(columns), replace(CONTEXT, fits=needed))
    decisions = stage.filter(rows, replace(CONTEXT, fits=fits))
    assert set(decisions.rows["reason"].drop_nulls()) <= set(stage.reasons)
    found = {row["id"]: row for row in decisions.rows.to_dicts()}
    assert sorted(found) == sorted(rows["id"])
    for row in found.values():
        assert row["keep"] == (row["reason"] is None) == (row["ref"] is None)
        assert row.get("value") is None or not row["keep"] or not params.get("drop", True)
    return found, decisions


def texts(values, asked=None, ids=None, **columns):
    """A table of texts."""
    return pl.DataFrame(
        {
            "id": ids or [f"{i:02}" for i in range(len(values))],
            "@asked": asked or [True] * len(values),
            "@both": values,
            **columns,
        },
        schema_overrides={"id": pl.String, "@asked": pl.Boolean, "@both": pl.String},
    )


def vectors(values, asked=None, ids=None, width=2, **columns):
    """A table of vectors."""
    return pl.DataFrame(
        {
            "id": ids or [f"{i:02}" for i in range(len(values))],
            "@asked": asked or [True] * len(values),
            "v": pl.Series(values, dtype=pl.Array(pl.Float32, width)),
            **columns,
        },
        schema_overrides={"id": pl.String, "@asked": pl.Boolean},
    )


def kept(found):
    """Ids of the rows that stay."""
    return sorted(id for id, row in found.items() if row["keep"])


@pytest.fixture(scope="session")
def tools():
    """The functions above: test modules of a plugin share no imports."""

    class Tools:
        pass

    Tools.decide, Tools.texts, Tools.vectors = map(staticmethod, (decide, texts, vectors))
    Tools.kept = staticmethod(kept)
    return Tools
