"""Near vectors: exact to the last bit however they are cut, and what a partition misses."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curate_dedup.pairs import collect
from curate_dedup.semantic import SemanticDedup, SemanticParams
from curate_dedup.vectors import PartitionFinder, VectorFinder, cosines, keys_of


def cosine(a, b):
    a, b = [[float(x) for x in v] for v in (a, b)]
    dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
    lengths = math.sqrt(math.fsum(x * x for x in a) * math.fsum(x * x for x in b))
    return dot / lengths if lengths else 0.0


def listed(pairs):
    pairs = pairs.sorted()
    return list(
        zip(pairs.late.tolist(), pairs.early.tolist(), pairs.similarity.tolist(), strict=True)
    )


@given(st.data())
def test_all_near_pairs_are_found_however_they_are_cut(data):
    count = data.draw(st.integers(0, 14))
    small = st.integers(-2, 2).map(float)
    vectors = data.draw(hnp.arrays(np.float32, (count, 3), elements=small))
    floor = data.draw(st.sampled_from([0.31, 0.72, 0.913]))
    block, chunk = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    whole = listed(collect(VectorFinder(vectors, floor)))
    assert [pair[:2] for pair in whole] == [
        (i, j) for i in range(count) for j in range(i) if cosine(vectors[i], vectors[j]) >= floor
    ]
    assert listed(collect(VectorFinder(vectors, floor, block=block, chunk=chunk))) == whole


def test_pairs_at_the_floor_are_decided_in_float64():
    rng = np.random.default_rng(0)
    base = rng.standard_normal((1, 384))
    vectors = (base + 0.45 * rng.standard_normal((200, 384))).astype(np.float32)
    every = {(i, j): cosine(vectors[i], vectors[j]) for i in range(200) for j in range(i)}
    # Each floor is just above the cosine of a pair, so near that float32 alone would decide by luck
    for floor in [each + 1e-12 for each in sorted(every.values())[:: len(every) // 5]]:
        expected = {pair for pair, similarity in every.items() if similarity >= floor}
        for block, chunk in ((64, 128), (200, 8)):
            finder = VectorFinder(vectors, floor, block=block, chunk=chunk)
            assert {pair[:2] for pair in listed(collect(finder))} == expected
            assert finder.gap <= 1e-9


def test_cosines_are_those_of_the_two_vectors_alone():
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((50, 384)).astype(np.float32)
    left, right = rng.integers(50, size=(2, 300))
    together = cosines(vectors, left, right)
    for i, j, value in zip(left, right, together, strict=True):
        assert value == pytest.approx(cosine(vectors[i], vectors[j]), abs=1e-14)
        assert value == cosines(vectors, np.array([i]), np.array([j]))[0]
    same = np.arange(50)
    assert (cosines(vectors, same, same) == 1.0).all()


def crowd(count, seed=0):
    """Vectors in groups, half of them near copies of the others."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((40, 64))
    base = centres[rng.integers(40, size=count // 2)] + rng.standard_normal((count // 2, 64))
    noise = rng.standard_normal(base.shape) * rng.uniform(0.05, 0.6, (len(base), 1))
    vectors = np.concatenate([base, base + noise]).astype(np.float32)
    return vectors[rng.permutation(len(vectors))]


@pytest.mark.parametrize("recall", [0.9, 0.99])
def test_a_partition_finds_what_it_is_asked_to_and_says_so(recall):
    vectors = crowd(6000)
    exact = {pair[:2] for pair in listed(collect(VectorFinder(vectors, 0.9)))}
    finder = PartitionFinder(vectors, 0.9, recall)
    pairs = collect(finder)
    found = {pair[:2] for pair in listed(pairs)}
    assert len(pairs) == len(found)  # each once
    assert found <= exact
    assert len(found) >= recall * len(exact) > 500
    told = finder.partition
    assert told.sampled > 100
    assert told.missed / told.sampled <= 1 - recall + 0.02
    assert told.probed.shape[1] < 32  # it was not the exact search after all


def test_a_partition_is_the_same_every_time():
    one, other = (PartitionFinder(crowd(2000), 0.9, 0.99) for _ in range(2))
    assert np.array_equal(one.partition.probed, other.partition.probed)
    assert listed(collect(one)) == listed(collect(other))


def test_a_partition_of_few_vectors():
    for count in (0, 1, 2, 3):
        vectors = np.ones((count, 4), dtype=np.float32)
        assert len(collect(PartitionFinder(vectors, 0.9, 0.99))) == count * (count - 1) // 2


def test_auto_is_exact_up_to_its_limit(tools, monkeypatch):
    rows = tools.vectors(crowd(400)[:, :2].tolist())
    params = {"column": "v", "threshold": 0.999, "search": 0.999}
    stage = SemanticDedup(SemanticParams(**params), "near")
    assert type(stage.finder(stage.items(rows), 0.999)) is VectorFinder
    exact, decisions = tools.decide(SemanticDedup, rows, **params)
    assert "cells" not in decisions.facts
    monkeypatch.setattr("curate_dedup.vectors.EXACT", 399)
    found, decisions = tools.decide(SemanticDedup, rows, **params)
    assert decisions.facts["cells"] > 1
    assert decisions.facts["sampled_pairs"] > 0
    assert decisions.facts["sampled_pairs_missed"] <= decisions.facts["sampled_pairs"] * 0.03
    agree = sum(found[id]["keep"] == exact[id]["keep"] for id in exact)
    assert agree >= 390
    forced, _ = tools.decide(SemanticDedup, rows, method="exact", **params)
    assert forced == exact


def test_keys_tell_vectors_apart_by_their_bits():
    vectors = np.array([[1, 2], [1, 2], [1, 2.0000002]], dtype=np.float32)
    keys = keys_of(vectors)
    assert (keys[0] == keys[1]).all()
    assert (keys[0] != keys[2]).any()
    assert keys_of(vectors[:0]).shape == (0, 2)
