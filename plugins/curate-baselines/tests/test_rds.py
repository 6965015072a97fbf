"""`baselines.rds` against the round-robin of RDS+, longhand."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.api import Context, CurateError
from curate.versions.make import run_recipe
from curate_baselines.rds import RDS, RDSParams


def cosine(a, b):
    lengths = sum(x * x for x in a) * sum(y * y for y in b)
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths**0.5 if lengths else 0.0


def taken(columns, size):
    """The first `size` rows of a round-robin over columns of row > number, all of which it takes.

    As the authors' code does: whoever has a turn takes the best row off its own list; a row that
    was taken before is not taken again, and the turn is over.
    """
    lists = [sorted(column, key=lambda row: (-column[row], row)) for column in columns]
    found = []
    while len(found) < size:
        for mine in lists:
            best = mine.pop(0)
            if best not in found:
                found.append(best)
            if len(found) == size:
                break
    return found


def longhand(rows, targets):
    """The columns that take turns: one for each sample of one target, or for each of several."""
    if len(targets) == 1:
        (samples,) = targets.values()
        return [{id: cosine(v, sample) for id, v in rows.items()} for sample in sorted(samples)]
    return [
        {id: max(cosine(v, sample) for sample in targets[name]) for id, v in rows.items()}
        for name in sorted(targets)
    ]


def frame(rows):
    return pl.DataFrame(
        {
            "id": list(rows),
            "vector": pl.Series(list(rows.values()), dtype=pl.Array(pl.Float32, 3)),
        }
    )


def run(rows, targets):
    stage = RDS(RDSParams(targets=dict.fromkeys(targets, "x.jsonl"), column="vector"), "rds")
    context = Context(0, {}, {}, (), lambda name: name)
    fits = {}
    for name, samples in targets.items():
        table = frame({f"{at:03}": sample for at, sample in enumerate(samples)})
        fits[name] = stage.fit(name, table[::-1], context)
    found = stage.score(frame(rows), Context(0, {}, fits, tuple(stage.outputs()), lambda n: n))
    return {row["id"]: row for row in found.to_dicts()}


# few different cosines, exact ones among them: ties and equal vectors are not rare
directions = st.lists(st.integers(0, 2), min_size=3, max_size=3)
targets_drawn = st.dictionaries(
    st.sampled_from(["math", "code", "a"]), st.lists(directions, min_size=1, max_size=4), min_size=1
)
# where rounding would decide between two cosines that are equal in truth, either may come first
axes = st.sampled_from(
    [[1, 0, 0], [0, 1, 0], [0, 0, 1], [3, 4, 0], [0, 4, 3], [4, 0, 3], [0, 0, 0]]
)
axis_targets = st.dictionaries(
    st.sampled_from(["math", "code", "a"]), st.lists(axes, min_size=1, max_size=4), min_size=1
)


@settings(deadline=None, max_examples=150)
@given(st.lists(axes, min_size=1, max_size=12), axis_targets, st.randoms())
def test_the_top_by_score_is_what_the_round_robin_takes_for_every_size(vectors, targets, random):
    rows = {f"{at:032x}": vector for at, vector in enumerate(vectors)}
    shuffled = dict(random.sample(list(rows.items()), len(rows)))
    found = run(shuffled, targets)
    ranked = sorted(found, key=lambda each: -found[each]["score"])
    columns = longhand(rows, targets)
    for size in range(1, len(rows) + 1):
        assert ranked[:size] == taken(columns, size)
    places = sorted((row["score"] for row in found.values()), reverse=True)
    assert places == [(len(rows) - at) / len(rows) for at in range(len(rows))]


def test_what_is_remembered_of_a_target_depends_on_its_vectors_alone():
    stage = RDS(RDSParams(targets={"t": "x.jsonl"}, column="vector"), "rds")
    samples = [[1, 0, 0], [0, 4, 3], [0, 1, 0], [0, 4, 3]]
    names = [f"{at:03}" for at in range(4)]
    context = Context(0, {}, {}, (), lambda name: name)
    one, other = (
        stage.fit("t", frame(dict(zip(ids, samples, strict=True))), context)["vectors"].tolist()
        for ids in (names, names[::-1])
    )
    assert one == other == sorted(samples)


@settings(deadline=None, max_examples=50)
@given(st.lists(directions, min_size=1, max_size=12), targets_drawn)
def test_a_target_is_the_cosine_to_its_nearest_sample(vectors, targets):
    rows = {f"{at:032x}": vector for at, vector in enumerate(vectors)}
    found = run(rows, targets)
    for id, vector in rows.items():
        for name, samples in targets.items():
            best = max(cosine(vector, sample) for sample in samples)
            assert found[id][name] == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("names", [("one",), ("one", "two", "three")])
def test_real_numbers_and_many_samples(names, monkeypatch):
    monkeypatch.setattr("curate_baselines.round_robin._CELLS", 500)  # several blocks of samples
    monkeypatch.setattr("curate_baselines.round_robin._CHUNK", 64)  # and of rows
    rng = np.random.default_rng(2)
    points = rng.normal(size=(200, 3)).astype(np.float32).tolist()
    points += points[:20]
    rows = {f"{at:032x}": point for at, point in enumerate(points)}
    targets = {name: rng.normal(size=(9, 3)).astype(np.float32).tolist() for name in names}
    found = run(rows, targets)
    ranked = sorted(found, key=lambda each: -found[each]["score"])
    assert ranked == taken(longhand(rows, targets), len(rows))


def test_mistakes_are_said():
    with pytest.raises(ValueError, match="cannot name a target"):
        RDSParams(targets={"score": "x.jsonl"})
    with pytest.raises(ValueError, match="at least 1 item"):
        RDSParams(targets={})
    with pytest.raises(CurateError, match="the target 'math' has no samples"):
        run({"a": [1, 0, 0]}, {"math": []})
    with pytest.raises(CurateError, match="1 row has no finite vector in 'vector'"):
        run({"a": [float("nan"), 0, 0], "b": [1, 0, 0]}, {"math": [[1, 0, 0]]})


def test_in_a_recipe_samples_are_embedded_as_the_pool_is(tmp_path):
    def write(name, texts):
        path = tmp_path / name
        rows = [{"instruction": text, "output": "Yes."} for text in texts]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    pool = ["Add 2 and 3.", "Name a river.", "What is 7 times 8?", "Describe a sunset."]
    recipe = {
        "name": "rds",
        "sources": {"pool": {"path": write("pool.jsonl", pool)}},
        "pipeline": [
            {"score": "embed.sentence"},
            {
                "score": "baselines.rds",
                "id": "rds",
                "with": {"targets": {"math": write("math.jsonl", ["What is 4 plus 9?", pool[0]])}},
            },
            {"filter": "core.top", "with": {"by": "rds_score", "count": 2}},
        ],
    }
    result = run_recipe(recipe, (), out=tmp_path / "curated", limit=None)
    data = pl.read_parquet(result.path / "data" / "*.parquet")
    assert data["instruction"].to_list() == [pool[0], pool[2]]
    scores = pl.read_parquet(result.path / "scores.parquet").join(data, on="id")
    assert scores.filter(instruction=pool[0])["rds_math"].item() == pytest.approx(1, abs=1e-6)
