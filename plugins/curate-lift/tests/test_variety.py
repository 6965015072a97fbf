"""`lift.variety` against the same computation with scikit-learn, and its properties."""

import gzip
import json
import os
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

import curate
from curate.api import Context, CurateError
from curate_lift import components
from curate_lift.variety import Variety, VarietyParams

DATA = Path(os.environ.get("CURATE_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")


def longhand(vectors, share=0.95, *, paper):
    """Row variances and number of components, as the authors' code computes them."""
    numbers = vectors.astype(np.float64)
    if not paper:
        deviations = numbers.std(axis=0)
        numbers = numbers[:, deviations >= 1e-6 * np.median(deviations)]
    scaled = StandardScaler().fit_transform(numbers)
    held = np.cumsum(PCA(svd_solver="full").fit(scaled).explained_variance_ratio_)
    count = int(np.argmax(held >= share)) + (not paper)
    projections = PCA(n_components=count, svd_solver="full").fit_transform(scaled)
    return projections.var(axis=1), count


def table(vectors, ids=None):
    vectors = np.asarray(vectors, dtype=np.float32)
    return pl.DataFrame(
        {
            "id": ids or [f"{at:06}" for at in range(len(vectors))],
            "vector": pl.Series(vectors, dtype=pl.Array(pl.Float32, vectors.shape[1])),
        }
    )


def run(rows, **params):
    """What the stage decides on rows that it is fitted on."""
    stage = Variety(VarietyParams.model_validate({"column": "vector"} | params), "variety")
    fits = {part: stage.fit(part, rows, None) for part in stage.fits()}
    return stage.filter(rows, Context(0, {}, fits, (), lambda name: None))


def clouds(rows, width, seed):
    """Vectors of correlated dimensions on very different scales."""
    draw = np.random.default_rng(seed)
    mixing = draw.normal(size=(width, width)) * np.exp(-np.arange(width) / 6)[:, None]
    scales = 10.0 ** draw.uniform(-2, 2, size=width)
    return (draw.normal(size=(rows, width)) @ mixing * scales + scales).astype(np.float32)


def check(vectors, share=0.95, percentile=80, *, paper, near=1e-9):
    """Equal to the longhand in every number and every decision."""
    decisions = run(table(vectors), variance=share, percentile=percentile, paper_exact=paper)
    expected, count = longhand(vectors, share, paper=paper)
    values = decisions.rows["value"].to_numpy()
    np.testing.assert_allclose(values, expected, rtol=near)
    assert decisions.facts["components"] == count
    threshold = np.percentile(expected, percentile)
    assert decisions.facts["threshold"] == pytest.approx(threshold, rel=near)
    assert decisions.rows["keep"].to_list() == (expected > threshold).tolist()
    return decisions


@pytest.mark.parametrize("paper", [True, False])
@pytest.mark.parametrize(("rows", "width"), [(500, 20), (40, 64), (5000, 7)])
def test_equals_scikit_learn(rows, width, paper):
    check(clouds(rows, width, seed=rows), paper=paper)


def test_equals_scikit_learn_at_other_shares_and_percentiles():
    for share in (0.5, 0.8, 0.99):
        for percentile in (0, 33.3, 97.5):
            check(clouds(300, 24, seed=3), share, percentile, paper=False)


def test_blocks_change_nothing_but_rounding(monkeypatch):
    vectors = clouds(500, 20, seed=1)
    whole = run(table(vectors))
    monkeypatch.setattr("curate_lift.vectors._BLOCK", 17)
    parts = run(table(vectors))
    np.testing.assert_allclose(parts.rows["value"], whole.rows["value"], rtol=1e-11)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """Embeddings of 2,000 real examples by all-MiniLM-L6-v2, float32 [2000, 384]."""
    path = DATA / "alpaca_cleaned.jsonl.gz"
    if not path.exists():
        pytest.skip(f"needs {path.name} in CURATE_TEST_DATA")
    folder = tmp_path_factory.mktemp("embedded")
    with gzip.open(path, "rt") as lines, (folder / "rows.jsonl").open("w") as out:
        out.writelines(islice(lines, 2000))
    recipe = {
        "name": "embedded",
        "sources": {"pool": {"path": str(folder / "rows.jsonl")}},
        "pipeline": [
            {
                "score": "embed.sentence",
                "with": {"text": "instruction", "max_length": 32, "dtype": "float32"},
            }
        ],
        "output": {"vectors": True},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CURATE_HOME", str(folder / "home"))
        version = curate.run(recipe, out=folder / "curated")
        return version.scores.sort("id")["embed_sentence_embedding"].to_numpy()


def test_real_embeddings_as_the_paper(embedded):
    decisions = check(embedded, paper=True)
    assert decisions.rows["keep"].sum() == 400
    assert decisions.facts["held"] < 0.95
    assert decisions.facts["dead"] == []


def test_real_embeddings_without_dead_dimensions(embedded):
    decisions = check(embedded, paper=False)
    assert decisions.rows["keep"].sum() == 400
    assert decisions.facts["held"] >= 0.95
    assert len(decisions.facts["dead"]) == 3
    assert "3 dead dimensions left out" in decisions.notes


def test_dead_dimensions_decide_unless_they_are_left_out():
    vectors = clouds(400, 12, seed=5)
    draw = np.random.default_rng(6)
    dead = np.float32(0.25) + draw.choice([0, 3e-8], size=(400, 1)).astype(np.float32)
    assert 0 < dead.astype(np.float64).std() < 1e-6 * np.median(vectors.std(axis=0))
    constant = np.full((400, 1), 0.1, dtype=np.float32)
    wide = np.hstack([dead, vectors, constant])
    alone, with_dead = run(table(vectors)), check(wide, paper=False)
    assert with_dead.facts["dead"] == [0, 13]
    assert with_dead.rows["keep"].equals(alone.rows["keep"])
    np.testing.assert_allclose(with_dead.rows["value"], alone.rows["value"], rtol=1e-9)
    # a share of the dead dimension's deviation is rounding, in either computation
    kept = check(wide, paper=True, near=1e-7).rows["keep"]
    assert (kept != run(table(vectors), paper_exact=True).rows["keep"]).any()


def test_the_paper_counts_one_component_less():
    vectors = clouds(400, 20, seed=8)
    ours, theirs = run(table(vectors)), run(table(vectors), paper_exact=True)
    assert theirs.facts["components"] == ours.facts["components"] - 1
    assert theirs.facts["held"] < 0.95 <= ours.facts["held"]


def test_signs_are_scikit_learns_and_matter():
    vectors = clouds(400, 20, seed=9)
    fit = components.principal(components.moments(vectors), keep_dead=False)
    turned = fit["components"]
    assert (turned[np.arange(20), np.abs(turned).argmax(axis=1)] > 0).all()
    scaled = StandardScaler().fit_transform(vectors.astype(np.float64))
    theirs = PCA(svd_solver="full").fit(scaled).components_
    np.testing.assert_allclose(turned, theirs, atol=1e-9)
    other = {**fit, "components": turned * np.where(np.arange(20) % 2, -1.0, 1.0)[:, None]}
    values = components.variances(vectors, fit, 12)
    assert np.abs(components.variances(vectors, other, 12) - values).max() > 0.01 * values.mean()


@settings(deadline=None, max_examples=25)
@given(st.randoms(use_true_random=False), st.integers(3, 90), st.integers(2, 9))
def test_order_changes_no_bit(random, rows, width):
    """Neither the order of rows nor their ids; equal vectors have equal values."""
    vectors = clouds(rows, width, seed=rows * 10 + width)
    vectors = np.vstack([vectors, vectors[: rows // 3]])
    order = random.sample(range(len(vectors)), len(vectors))
    here = run(table(vectors), variance=0.99999)
    there = run(table(vectors[order]), variance=0.99999)
    assert there.facts == here.facts
    assert there.margins == here.margins
    for name in ("value", "keep"):
        assert there.rows[name].to_list() == here.rows[name][order].to_list()
        assert here.rows[name][rows:].to_list() == here.rows[name][: len(vectors) - rows].to_list()


def test_a_large_mean_costs_no_digits():
    draw = np.random.default_rng(0)
    vectors = (draw.integers(-1000, 1000, size=(300, 6)) + 2**22).astype(np.float32)
    check(vectors, paper=False)
    np.testing.assert_allclose(
        run(table(vectors)).rows["value"], run(table(vectors - 2**22)).rows["value"], rtol=1e-9
    )


def test_it_keeps_outliers_and_copies():
    draw = np.random.default_rng(1)
    crowd = draw.normal(size=(200, 8))
    outliers = np.repeat(30 * np.eye(8)[:2], 10, axis=0)
    decisions = run(table(np.vstack([crowd, outliers])))
    assert decisions.rows["keep"][200:].all()


def test_kept_is_strictly_above():
    base = clouds(6, 5, seed=2)
    values = run(table(base), variance=0.999).rows["value"]
    # at percentile 40 of six rows the threshold is the value of the third
    decisions = run(table(base), variance=0.999, percentile=40)
    third = values.sort()[2]
    assert decisions.facts["threshold"] == third
    assert decisions.rows["keep"].to_list() == [value > third for value in values]
    margin = decisions.margins[1]
    assert margin.cut == "percentile 40"
    assert margin.distance == values.sort()[3] - third


def test_margin_of_the_number_of_components():
    vectors = clouds(300, 10, seed=4)
    held = np.cumsum(
        PCA(svd_solver="full")
        .fit(StandardScaler().fit_transform(vectors.astype(np.float64)))
        .explained_variance_ratio_
    )
    margin = run(table(vectors), variance=0.9).margins[0]
    assert margin.cut == "components 0.9"
    assert margin.distance == pytest.approx(np.abs(held - 0.9).min(), rel=1e-9)
    assert (margin.column, margin.factor) == ("vector", None)


def test_no_rows():
    decisions = run(table(np.empty((0, 4))))
    assert decisions.rows.is_empty()


@pytest.mark.parametrize("rows", [1, 5])
def test_rows_that_do_not_differ(rows):
    with pytest.raises(CurateError, match=rf"the vectors of its {rows} rows are all equal"):
        run(table(np.full((rows, 4), 0.1)))


def test_too_few_components():
    line = np.outer(np.arange(10), np.ones(4))
    with pytest.raises(CurateError, match=r"1 component to hold 0\.95"):
        run(table(line))
    with pytest.raises(CurateError, match=r"0 components to hold 0\.95") as error:
        run(table(line), paper_exact=True)
    assert "Raise `variance`" in error.value.remedy


def test_vectors_that_are_none():
    vectors = np.ones((4, 3))
    vectors[2, 1], vectors[3, 0] = np.nan, np.inf
    with pytest.raises(CurateError, match=r"2 rows have no finite vector in 'vector'.*000002"):
        run(table(vectors))
    rows = table(np.ones((2, 3))).with_columns(
        vector=pl.when(pl.col("id") == "000000").then("vector")
    )
    with pytest.raises(CurateError, match=r"1 row has no finite vector in 'vector'.*000001"):
        run(rows)
    with pytest.raises(CurateError, match="does not know which vectors") as error:
        run(table(np.ones((2, 3))), column=None)
    assert "Name a column of vectors" in error.value.remedy


@pytest.mark.parametrize(
    "params", [{"variance": 1.0}, {"variance": 0.0}, {"percentile": 100}, {"percentile": -1}]
)
def test_parameters_out_of_range(params):
    with pytest.raises(ValidationError):
        VarietyParams.model_validate(params)


class Pool:
    """A source whose rows have vectors, and recipes on it."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, vectors):
        vectors = np.asarray(vectors, dtype=np.float32)
        flat = pa.array(vectors.ravel(), pa.float32())
        columns = {
            "instruction": [f"Say {at}." for at in range(len(vectors))],
            "output": [f"It is {at}." for at in range(len(vectors))],
            "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
        }
        pq.write_table(pa.table(columns), self.folder / "pool.parquet")

    def run(self, *pipeline):
        recipe = {
            "name": "pool",
            "sources": {"pool": {"path": str(self.folder / "pool.parquet")}},
            "pipeline": [*pipeline],
        }
        return curate.run(recipe, out=self.folder / "curated")


@pytest.fixture
def pool(tmp_path, monkeypatch):
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    return Pool(tmp_path)


def entry(version):
    (found,) = (each for each in version.manifest["stages"] if each["id"] == "lift_variety")
    return found


def test_in_a_recipe(pool):
    vectors = clouds(200, 10, seed=11)
    pool.write(vectors)
    version = pool.run({"filter": "lift.variety"})
    said = entry(version)
    assert said["reasons"] == {"low_variance": 160}
    assert said["fits"] == {"components": "computed"}
    # the vectors are the source's own, so nothing may move them
    assert [margin["close"] for margin in said["margins"]] == [False, False]
    expected, _ = longhand(vectors, paper=False)
    kept = version.frame()["instruction"].to_list()
    assert sorted(kept) == sorted(
        f"Say {at}." for at in np.flatnonzero(expected > np.percentile(expected, 80))
    )
    assert len(version.scores["lift_variety_value"].drop_nulls()) == 200
    again = pool.run({"filter": "lift.variety", "with": {"percentile": 50, "variance": 0.9}})
    assert entry(again)["fits"] == {"components": "memo"}
    assert entry(again)["reasons"] == {"low_variance": 100}


def test_more_rows_are_a_new_pool(pool):
    vectors = clouds(200, 10, seed=12)
    pool.write(vectors)
    pool.run({"filter": "lift.variety"})
    more = np.vstack([vectors, clouds(20, 10, seed=13)])
    pool.write(more)
    said = entry(pool.run({"filter": "lift.variety"}))
    assert said["fits"] == {"components": "computed"}
    expected, _ = longhand(more, paper=False)
    assert said["facts"]["threshold"] == pytest.approx(np.percentile(expected, 80), rel=1e-9)


def test_the_pool_is_what_where_leaves(pool):
    vectors = clouds(200, 10, seed=14)
    pool.write(vectors)
    version = pool.run({"filter": "lift.variety", "where": "instruction < 'Say 2'"})
    inside = [at for at in range(200) if f"Say {at}." < "Say 2"]
    expected, _ = longhand(vectors[inside], paper=False)
    assert entry(version)["facts"]["threshold"] == pytest.approx(
        np.percentile(expected, 80), rel=1e-9
    )
    dropped = int((expected <= np.percentile(expected, 80)).sum())
    assert len(version.frame()) == 200 - dropped


def test_no_rows_in_a_recipe(pool):
    pool.write(clouds(20, 4, seed=15))
    version = pool.run({"filter": "lift.variety", "where": "instruction = 'none'"})
    assert len(version.frame()) == 20


def test_cuts_of_embeddings_are_called_close(tmp_path, monkeypatch):
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    rows = [{"instruction": f"Count to {at}.", "input": "", "output": "One."} for at in range(30)]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    version = curate.run(
        {
            "name": "close",
            "sources": {"pool": {"path": str(tmp_path / "pool.jsonl")}},
            "pipeline": [{"score": "embed.sentence"}, {"filter": "lift.variety"}],
        },
        out=tmp_path / "curated",
    )
    margins = entry(version)["margins"]
    assert [(margin["close"], margin["tolerance"]) for margin in margins] == [(True, None)] * 2
