"""`baselines.diverse` against DEITA's walk, longhand."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.api import Context, CurateError
from curate.versions.make import run_recipe
from curate_baselines.diverse import Diverse, DiverseParams
from curate_baselines.walk import walk

CONTEXT = Context(0, {}, {}, (), lambda name: name)


def cosine(a, b):
    lengths = sum(x * x for x in a) * sum(y * y for y in b)
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths**0.5 if lengths else 0.0


def longhand(rows, threshold, budget):
    """Id > (reason, ref, cosine) of rows (id, score, vector), one after another."""
    kept, said = [], {}
    for id, _, vector in sorted(rows, key=lambda row: (-row[1], row[0])):
        if budget is not None and len(kept) >= budget:
            said[id] = ("over_budget", None, None)
            continue
        near = [(other, cosine(vector, v)) for other, v in kept if cosine(vector, v) > threshold]
        said[id] = ("near_kept", *near[0]) if near else (None, None, None)
        if not near:
            kept.append((id, vector))
    return said


def table(rows):
    return pl.DataFrame(
        {
            "id": [id for id, *_ in rows],
            "points": pl.Series([float(points) for _, points, _ in rows]),
            "vector": pl.Series([vector for *_, vector in rows], dtype=pl.Array(pl.Float32, 3)),
        }
    )


def decide(rows, **params):
    stage = Diverse(DiverseParams(by="points", column="vector", **params), "diverse")
    return stage.filter(table(rows), CONTEXT)


# whole numbers: products are exact, so that cosines equal to the threshold are not rare
vectors = st.lists(st.integers(-3, 3), min_size=3, max_size=3)
drawn = st.lists(st.tuples(st.integers(0, 3), vectors), min_size=1, max_size=25)


@settings(deadline=None, max_examples=150)
@given(drawn, st.sampled_from([0.5, 0.6, 0.9, 1.0]), st.none() | st.integers(1, 8), st.randoms())
def test_it_is_the_walk_whatever_the_order_of_rows(table, threshold, budget, random):
    rows = [(f"{n:032x}", points, vector) for n, (points, vector) in enumerate(table)]
    shuffled = random.sample(rows, len(rows))
    found = {
        row["id"]: row
        for row in decide(shuffled, threshold=threshold, count=budget).rows.to_dicts()
    }
    expected = longhand(rows, threshold, budget)
    assert found.keys() == expected.keys()
    for id, (reason, ref, value) in expected.items():
        row = found[id]
        assert (row["keep"], row["reason"], row["ref"]) == (reason is None, reason, ref)
        assert row["value"] == (value if value is None else pytest.approx(value, abs=1e-12))


@pytest.mark.parametrize("budget", [None, 1, 40, 500])
def test_blocks_change_nothing(budget):
    rng = np.random.default_rng(4)
    centres = rng.normal(size=(30, 16))
    points = centres[rng.integers(30, size=400)] + rng.normal(scale=0.35, size=(400, 16))
    points = points.astype(np.float32)
    one = walk(points, 0.8, budget)
    many = walk(points, 0.8, budget, block=7)
    assert np.array_equal(one.blocker, many.blocker)
    assert np.array_equal(one.cosine, many.cosine, equal_nan=True)
    assert one.end == many.end
    walked = np.arange(400) < one.end
    kept = walked & (one.blocker < 0)
    unit = points.astype(np.float64) / np.linalg.norm(points.astype(np.float64), axis=1)[:, None]
    among = unit[kept] @ unit[kept].T - np.eye(kept.sum())
    assert among.max() <= 0.8
    if budget in {None, 500}:
        assert one.end == 400
        assert 0 < (~kept).sum() < 400
    else:
        assert kept.sum() == budget


def test_the_threshold_itself_is_not_too_near():
    rows = [("a", 2, [1, 0, 0]), ("b", 1, [3, 4, 0])]  # their cosine is 0.6
    assert decide(rows, threshold=0.6).rows["keep"].all()
    assert not decide(rows, threshold=0.59).rows["keep"].all()


def test_a_fraction_is_of_all_rows_and_margins_say_how_close_it_was():
    rows = [("a", 9, [1, 0, 0]), ("b", 7, [9, 1, 0]), ("c", 6, [0, 1, 0]), ("d", 2, [0, 0, 1])]
    decided = decide(rows, fraction=0.5)
    assert decided.rows["reason"].to_list() == [None, "near_kept", None, "over_budget"]
    near, order, budget = decided.margins
    assert (near.cut, near.column, near.factor) == ("similarity 0.9", "vector", 2.0)
    assert (order.distance, order.column) == (2.0, "points")
    assert (budget.cut, budget.distance) == ("top fraction 0.5 by points", 4.0)
    assert decided.facts == {"walked": 3}
    assert decide(rows, count=4).facts == {"walked": 4, "asked": 4, "had": 3}


def test_mistakes_are_said():
    with pytest.raises(ValueError, match="one of count and fraction"):
        DiverseParams(by="points", count=1, fraction=0.1)
    with pytest.raises(CurateError, match="only finite numbers have an order"):
        decide([("a", float("inf"), [1, 0, 0])])
    with pytest.raises(CurateError, match="1 row has no finite vector in 'vector'"):
        decide([("a", 1, [1, 0, 0]), ("b", 1, [float("nan"), 0, 0])])


def test_in_a_recipe(tmp_path):
    pool = tmp_path / "pool.jsonl"
    texts = ["Name a river.", "Name a river!", "Add 2 and 3.", "Write a poem about rain."]
    pool.write_text("".join(json.dumps({"instruction": t, "output": "Yes."}) + "\n" for t in texts))

    def run(**params):
        recipe = {
            "name": "deita",
            "sources": {"pool": {"path": str(pool)}},
            "pipeline": [
                {"score": "embed.sentence"},
                {"score": "core.length"},
                {
                    "filter": "baselines.diverse",
                    "with": {"by": "core_length_characters"} | params,
                },
            ],
        }
        path = run_recipe(recipe, (), out=tmp_path / "curated", limit=None).path
        ledger = pl.read_parquet(path / "ledger.parquet").sort("line")
        return ledger, pl.read_parquet(path / "scores.parquet")

    ledger, scores = run(count=3)
    first, second = sorted(ledger["id"][:2])  # equally long: the smaller id is kept
    dropped = ledger.row(by_predicate=pl.col("id") == second, named=True)
    assert (dropped["reason"], dropped["ref"]) == ("near_kept", first)
    assert ledger["fate"].to_list().count("kept") == 3
    values = dict(scores.select("id", "baselines_diverse_value").iter_rows())
    assert 0.9 < values.pop(second) < 1
    assert set(values.values()) == {None}
    ledger, _ = run(count=1)
    assert ledger["reason"].to_list() == ["over_budget"] * 3 + [None]
