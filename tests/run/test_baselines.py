"""What a selection is compared with: random picks of its size and the longest rows."""

import json
import statistics
from collections import Counter

import numpy as np
import polars as pl
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.examples import texts_of
from curate.run.baselines import BINS, SHARED, baselines

WORD = 2**64


class Rows:
    """As much of an arena as is read."""

    def __init__(self, rows):
        self.rows = pl.DataFrame(
            rows,
            schema={"id": pl.String, "@both": pl.String} | dict.fromkeys(SHARED, pl.String),
        )

    def frame(self, positions, columns):
        return self.rows.select("id", *columns)[pl.Series(positions, dtype=pl.UInt32)]


def compare(rows, kept, seed=0):
    """Baselines of the rows whose ids are kept; the pool is all of them."""
    positions = [at for at, row in enumerate(rows) if row["id"] in kept]
    return baselines(Rows(rows), np.arange(len(rows)), np.array(positions, dtype=np.int64), seed)


def row(number, length, **shared):
    values = dict.fromkeys(SHARED) | {"source": "mine"} | shared
    return {"id": xxhash.xxh3_128_hexdigest(str(number).encode()), "@both": "é" * length} | values


def finalized(word):
    """SplitMix64, one step from the state `word`, in whole numbers."""
    mixed = (word + 0x9E3779B97F4A7C15) % WORD
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 % WORD
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % WORD
    return mixed ^ mixed >> 31


def drawn(seed, pick, id):
    key = xxhash.xxh3_64_intdigest(f"{seed} {pick}".encode())
    return finalized(finalized(int(id[:16], 16) ^ key) ^ int(id[16:], 16))


def longhand(rows, picked, kept):
    lengths = sorted(len(row["@both"]) for row in rows if row["id"] in picked)
    bins = [0] * len(BINS)
    for length in lengths:
        bins[max(at for at, low in enumerate(BINS) if low <= length)] += 1

    def quantile(share):
        place = share * (len(lengths) - 1)
        low = int(place)
        high = min(low + 1, len(lengths) - 1)
        return lengths[low] + (place - low) * (lengths[high] - lengths[low])

    names = {"min": 0, "q1": 0.25, "median": 0.5, "q3": 0.75, "p90": 0.9, "max": 1}
    return {
        "size": len(picked),
        "overlap": len(picked & kept),
        "characters": {
            **{name: pytest.approx(quantile(share)) for name, share in names.items()},
            "mean": pytest.approx(statistics.fmean(lengths)),
            "bins": bins,
        },
        "shares": {
            name: dict(Counter(row[name] or "" for row in rows if row["id"] in picked))
            for name in SHARED
        },
    }


tables = st.lists(
    st.tuples(
        st.integers(0, 300),
        st.sampled_from(["human", "synthetic", None]),
        st.sampled_from(["math", "code", "", None]),
        st.booleans(),
    ),
    min_size=1,
    max_size=30,
)


@settings(deadline=None, max_examples=60)
@given(tables, st.integers(0, 3), st.randoms())
def test_all_of_it_equals_a_longhand_computation_in_any_order(table, seed, random):
    rows = [row(n, length, origin=o, ability=a) for n, (length, o, a, _) in enumerate(table)]
    kept = {each["id"] for each, (*_, keep) in zip(rows, table, strict=True) if keep}
    size, shuffled = len(kept), random.sample(rows, len(rows))
    found = compare(rows, kept, seed)
    assert compare(shuffled, kept, seed) == found
    if size in {0, len(rows)}:
        assert found is None
        return
    ids = [each["id"] for each in rows]
    lengths = {each["id"]: len(each["@both"]) for each in rows}
    longest = set(sorted(ids, key=lambda each: (-lengths[each], each))[:size])
    expected = {"share": size / len(rows), "rows": size * size / len(rows)}
    assert found == {
        "pool": len(rows),
        "expected": expected,
        "bins": list(BINS),
        "selection": longhand(rows, kept, kept),
        "random": [
            {"pick": pick}
            | longhand(
                rows, set(sorted(ids, key=lambda each: drawn(seed, pick, each))[:size]), kept
            )
            for pick in range(1, 6)
        ],
        "length": longhand(rows, longest, kept),
    }


def test_of_equally_long_rows_the_smaller_ids_are_picked():
    rows = sorted((row(n, 10) for n in range(4)), key=lambda each: each["id"])
    first, second, third, _ = (each["id"] for each in rows)
    for order in (rows, rows[::-1]):
        assert compare(order, {first, second})["length"]["overlap"] == 2
        assert compare(order, {second, third})["length"]["overlap"] == 1


def test_random_picks_differ_by_number_and_seed_and_share_what_is_expected():
    rows = [row(n, 10) for n in range(4000)]
    kept = {each["id"] for each in rows[:400]}
    overlaps = [
        pick["overlap"] for seed in range(8) for pick in compare(rows, kept, seed)["random"]
    ]
    # hypergeometric: mean 40, standard deviation 5.7
    assert len(set(overlaps)) > 10
    assert abs(statistics.fmean(overlaps) - 40) < 4 * 5.7 / 40**0.5
    assert all(abs(overlap - 40) < 5 * 5.7 for overlap in overlaps)


def numbered(count):
    return [
        {"instruction": f"Say {n}.", "output": "a" * (n + 1), "origin": "human" if n % 2 else None}
        for n in range(count)
    ]


def found_in(bench, *pipeline, **more):
    result = bench.run(*pipeline, **more)
    return json.loads((result.path / "manifest.json").read_text())["baselines"], result.path


TOP = {"filter": "core.top", "with": {"by": "core_length_characters", "count": 6}}
LENGTH = {"score": "core.length"}


def test_the_manifest_of_a_selection_holds_them(bench):
    bench.write(numbered(20))
    found, path = found_in(bench, LENGTH, TOP, seed=5)
    assert (found["pool"], found["selection"]["size"]) == (20, 6)
    assert found["expected"] == {"share": 0.3, "rows": 1.8}
    assert found["length"] == found["selection"], "the longest rows were selected"
    assert [pick["pick"] for pick in found["random"]] == [1, 2, 3, 4, 5]
    assert {pick["size"] for pick in found["random"]} == {6}
    assert found["selection"]["shares"]["origin"] == {"human": 3, "unknown": 3}
    data = pl.read_parquet(path / "data" / "*.parquet")
    lengths = texts_of(data["messages"])[2].str.len_chars()
    assert found["selection"]["characters"]["min"] == lengths.min()
    assert found["selection"]["characters"]["mean"] == lengths.mean()


def test_they_do_not_depend_on_the_order_of_lines(bench):
    bench.write(numbered(20))
    first, _ = found_in(bench, LENGTH, TOP)
    bench.write(numbered(20)[::-1])
    assert found_in(bench, LENGTH, TOP)[0] == first


def test_the_pool_is_what_the_stage_was_asked_about(bench):
    bench.write(numbered(20))
    found, path = found_in(bench, LENGTH, TOP | {"where": "origin = 'human'"})
    assert (found["pool"], found["selection"]["size"]) == (10, 6)
    assert len(pl.read_parquet(path / "data" / "*.parquet")) == 16
    for pick in (found["selection"], found["length"], *found["random"]):
        assert pick["shares"]["origin"] == {"human": 6}


@pytest.mark.parametrize("missing", ["keep", "drop"])
def test_rows_without_a_value_are_not_in_the_pool(bench, missing):
    bench.write(numbered(20))
    some = LENGTH | {"where": "origin = 'human'"}
    found, _ = found_in(bench, some, TOP | {"missing": missing})
    assert (found["pool"], found["selection"]["size"]) == (10, 6)


def test_a_fuse_that_leaves_rows_out_is_a_selection(bench):
    bench.write(numbered(20))
    fuse = {"fuse": "toys.pick", "with": {"most": 5}}
    found, _ = found_in(bench, fuse)
    assert (found["pool"], found["selection"]["size"]) == (20, 5)
    assert found_in(bench, fuse | {"with": {"most": 50}})[0] is None


def test_what_follows_a_selection_without_dropping_more_does_not_hide_it(bench):
    bench.write(numbered(20))
    alone, _ = found_in(bench, LENGTH, TOP)
    assert found_in(bench, LENGTH, TOP, {"score": "toys.count"})[0] == alone
    bench.write([*numbered(20), numbered(20)[0]])
    exact = {"filter": "core.where", "id": "few", "with": {"keep": "id > '00'"}}
    assert found_in(bench, LENGTH, TOP, exact)[0]["pool"] == 21


@pytest.mark.parametrize(
    "pipeline",
    [
        [LENGTH],
        [LENGTH, TOP | {"with": TOP["with"] | {"count": 20}}],
        [LENGTH, TOP, {"expand": "toys.double", "with": {"every": 1}}],
    ],
    ids=["score", "nothing dropped", "expand last"],
)
def test_what_does_not_end_in_a_selection_has_none(bench, pipeline):
    bench.write(numbered(20))
    assert found_in(bench, *pipeline)[0] is None
