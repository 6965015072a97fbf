"""Shingles, bands and Jaccard similarities against plain Python sets."""

import random

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate_dedup.minhash import Bands, MinHashFinder, bands_for, jaccard, sets_of
from curate_dedup.pairs import collect
from curate_dedup.shingles import shingles_of
from curate_dedup.texts import distinct, keys_of, places

WORDS = st.sampled_from(["a", "b", "ab", "\u4e2d", "a.", "\u00a0x"])
SPACES = st.sampled_from([" ", "  ", "\n", "\t ", "\r\n"])
TEXTS = st.lists(st.tuples(SPACES, WORDS), max_size=9).map(
    lambda parts: "".join(space + word for space, word in parts)
)


def words_of(text):
    for space in "\n\t\r\v\f":
        text = text.replace(space, " ")
    return [word for word in text.split(" ") if word]


def longhand(tokens, size):
    if not tokens:
        return set()
    return {tuple(tokens[i : i + size]) for i in range(max(1, len(tokens) - size + 1))}


@given(st.lists(TEXTS, max_size=6), st.integers(1, 5), st.sampled_from(["word", "character"]))
def test_shingles_are_runs_of_tokens(texts, size, unit):
    found = shingles_of(pl.Series("t", texts, dtype=pl.String), unit, size)
    assert len(found) == len(texts)
    known = {}
    for i, text in enumerate(texts):
        expected = longhand(words_of(text) if unit == "word" else list(text), size)
        hashes = set(found.hashes[found.ends[i] : found.ends[i + 1]].tolist())
        assert len(hashes) == len(expected)
        # the same set of shingles everywhere has the same set of hashes, and no other has
        assert known.setdefault(frozenset(expected), hashes) == hashes
    assert len({frozenset(hashes) for hashes in known.values()}) == len(known)


@given(st.lists(TEXTS, min_size=1, max_size=6), st.data())
def test_shingles_can_be_taken_and_joined(texts, data):
    series = pl.Series("t", texts)
    whole = shingles_of(series, "word", 2)
    which = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=6))
    some = whole.take(np.array(which, dtype=np.int64))
    again = shingles_of(series.gather(which), "word", 2)
    assert some.hashes.tolist() == again.hashes.tolist()
    assert some.ends.tolist() == again.ends.tolist()
    both = shingles_of(pl.concat([series, series.gather(which)]), "word", 2)
    assert whole.then(some).hashes.tolist() == both.hashes.tolist()
    assert whole.then(some).ends.tolist() == both.ends.tolist()


def test_many_texts_are_cut_in_parts(monkeypatch):
    texts = pl.Series("t", [f"one two three {i}" for i in range(25)])
    whole = shingles_of(texts, "word", 3)
    monkeypatch.setattr("curate_dedup.shingles._BYTES", 100)
    parts = shingles_of(texts, "word", 3)
    assert parts.hashes.tolist() == whole.hashes.tolist()
    assert parts.ends.tolist() == whole.ends.tolist()


@given(st.lists(TEXTS, min_size=2, max_size=6), st.data())
def test_jaccard_is_that_of_sets(texts, data):
    ends = st.lists(st.integers(0, len(texts) - 1), min_size=3, max_size=3)
    left, right = (np.array(data.draw(ends)) for _ in range(2))
    found = jaccard(sets_of(shingles_of(pl.Series("t", texts), "word", 2)), left, right)
    for i, j, similarity in zip(left, right, found, strict=True):
        a, b = (longhand(words_of(texts[at]), 2) for at in (i, j))
        assert similarity == (len(a & b) / len(a | b) if a | b else 0.0)


@pytest.mark.parametrize("similarity", [0.3, 0.5, 0.7, 0.85, 0.95, 1.0])
@pytest.mark.parametrize("permutations", [16, 64, 128, 256])
def test_bands_are_the_most_selective_that_miss_few(similarity, permutations):
    found = bands_for(similarity, permutations)
    assert found.bands * found.rows <= permutations
    assert found.chance(similarity) == 1 - (1 - similarity**found.rows) ** found.bands
    enough = [
        rows
        for rows in range(1, permutations + 1)
        if Bands(permutations // rows, rows).chance(similarity) >= 0.99
    ]
    assert found.rows == max(enough, default=1)


def test_pairs_are_found_as_often_as_the_bands_promise():
    rng = random.Random(3)
    texts = []
    for _ in range(400):  # pairs of texts that share 17 of 23 shingles: similarity 17 / 23 = 0.74
        words = [f"w{rng.randrange(10**6)}" for _ in range(22)]
        edited = [*words]
        edited[10] = "x"
        texts += [" ".join(words), " ".join(edited)]
    shingles = shingles_of(pl.Series("t", texts), "word", 3)
    pairs = collect(MinHashFinder(shingles, 0.7, bands_for(0.7, 128)))
    assert set(zip(pairs.early.tolist(), pairs.late.tolist(), strict=True)) <= {
        (i, i + 1) for i in range(0, 800, 2)
    }
    assert set(pairs.similarity) == {17 / 23}
    assert len(pairs) >= 0.99 * 400


def test_signatures_are_the_same_in_every_company(monkeypatch):
    rng = random.Random(1)
    texts = [" ".join(rng.choice("abcdefgh") for _ in range(30)) for _ in range(60)]
    shingles = shingles_of(pl.Series("t", texts), "word", 1)
    whole = collect(MinHashFinder(shingles, 0.5, bands_for(0.5, 64))).sorted()
    monkeypatch.setattr("curate_dedup.minhash._ROWS", 7)
    monkeypatch.setattr("curate_dedup.minhash._CANDIDATES", 5)
    monkeypatch.setattr("curate_dedup.minhash._SHINGLES", 50)
    parts = collect(MinHashFinder(shingles, 0.5, bands_for(0.5, 64))).sorted()
    assert len(whole) > 100
    assert parts.late.tolist() == whole.late.tolist()
    assert parts.early.tolist() == whole.early.tolist()


@given(st.lists(st.sampled_from("abcdef"), max_size=12), st.lists(st.sampled_from("abcdefgh")))
def test_keys_find_their_places(texts, others):
    keys, first = distinct(keys_of(pl.Series("t", texts, dtype=pl.String)))
    named = [texts[at] for at in first]
    assert sorted(named) == sorted(set(texts))
    assert all(texts.index(text) == at for text, at in zip(named, first, strict=True))
    found = places(keys_of(pl.Series("t", others, dtype=pl.String)), keys)
    assert [named[at] if at >= 0 else None for at in found] == [
        text if text in texts else None for text in others
    ]
