"""Core's stages against longhand references, on rows in any order."""

import random
import re
from decimal import Decimal
from fractions import Fraction

import polars as pl
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.api import Context, CurateError
from curate.stages.concat import Concat
from curate.stages.length import Length, LengthParams
from curate.stages.sample import Sample, SampleParams
from curate.stages.top import Top, TopParams
from curate.stages.where import Where, WhereParams

WHITE = "[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+"
"""Unicode's White_Space."""


def context(seed=0, wanted=()):
    return Context(seed=seed, models={}, fits={}, wanted=wanted, service=lambda name: None)


def decided(stage, rows, seed=0):
    """Decisions by id: (keep, reason)."""
    found = stage.filter(rows, context(seed))
    assert sorted(found.rows["id"]) == sorted(rows["id"])
    reasons = found.rows["reason"].drop_nulls().unique()
    assert set(reasons) <= set(stage.reasons)
    assert found.rows.filter(pl.col("keep") == pl.col("reason").is_not_null()).is_empty()
    columns = found.rows.select("id", "keep", "reason").iter_rows()
    return {id: (keep, reason) for id, keep, reason in columns}, found


def shuffled(rows, seed):
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    return rows[order]


numbers = st.one_of(
    st.lists(st.integers(-3, 3), max_size=30),
    st.lists(st.sampled_from([0.5, -0.0, 0.0, 1.25, -7.0, 1e300, 5e-324]), max_size=30),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=30),
)
groups = st.sampled_from(["a", "b", None])
quotas = st.one_of(
    st.builds(lambda n: {"count": n}, st.integers(1, 12)),
    st.builds(lambda n: {"fraction": Decimal(n) / 100}, st.integers(0, 100)),
)


def table(data, values):
    ids = data.draw(
        st.lists(st.text("0123456789abcdef", min_size=2, max_size=4), min_size=len(values),
                 max_size=len(values), unique=True)
    )  # fmt: skip
    per = data.draw(st.lists(groups, min_size=len(values), max_size=len(values)))
    kind = pl.Int64 if all(isinstance(value, int) for value in values) else pl.Float64
    return pl.DataFrame(
        {"id": ids, "x": values, "g": per}, schema={"id": pl.String, "x": kind, "g": pl.String}
    )


def limit(quota, size):
    if "count" in quota:
        return min(quota["count"], size)
    return int(Fraction(quota["fraction"]) * size)


def by_group(rows, per):
    parts = {}
    for row in rows.iter_rows(named=True):
        parts.setdefault(row["g"] if per else None, []).append(row)
    return parts


@given(st.data(), numbers, quotas, st.booleans(), st.booleans())
def test_top_keeps_the_first_of_each_group(data, values, quota, lowest, per):
    rows = table(data, values)
    params = TopParams(by="x", lowest=lowest, per="g" if per else None, **quota)
    kept, gaps = set(), []
    for part in by_group(rows, per).values():
        part.sort(key=lambda row: (row["x"] if lowest else -row["x"], row["id"]))
        keep = limit(quota, len(part))
        kept |= {row["id"] for row in part[:keep]}
        if 0 < keep < len(part):
            gaps.append(abs(float(part[keep - 1]["x"]) - float(part[keep]["x"])))

    found, decisions = decided(Top(params, "core_top"), rows)

    assert {id for id, (keep, _) in found.items() if keep} == kept
    assert [margin.distance for margin in decisions.margins] == ([min(gaps)] if gaps else [])
    assert all(margin.column == "x" for margin in decisions.margins)
    again, repeated = decided(Top(params, "core_top"), shuffled(rows, len(values)))
    assert again == found
    assert (repeated.margins, repeated.facts) == (decisions.margins, decisions.facts)


@given(st.data(), st.integers(0, 30), quotas, st.integers(0, 3), st.booleans())
def test_sample_takes_the_smallest_hashes(data, size, quota, seed, per):
    rows = table(data, [0] * size)
    params = SampleParams(per="g" if per else None, **quota)
    kept = set()
    for part in by_group(rows, per).values():
        drawn = sorted(
            (xxhash.xxh3_128_hexdigest(f"{seed} {row['id']}".encode()), row["id"]) for row in part
        )
        kept |= {id for _, id in drawn[: limit(quota, len(part))]}
    found, _ = decided(Sample(params, "core_sample"), rows, seed)
    assert {id for id, (keep, _) in found.items() if keep} == kept
    assert decided(Sample(params, "core_sample"), shuffled(rows, size), seed)[0] == found


def test_sample_changes_with_the_seed():
    rows = pl.DataFrame({"id": [f"{n:04}" for n in range(200)]})
    stage = Sample(SampleParams(count=50), "core_sample")
    assert decided(stage, rows, seed=1)[0] != decided(stage, rows, seed=2)[0]
    assert Sample.uses_seed


def test_fractions_are_exact_decimals():
    rows = pl.DataFrame({"id": [f"{n:04}" for n in range(1000)], "x": range(1000)})
    for text, kept in (("0.29", 290), ("0.57", 570), ("0.0019", 1), ("1", 1000), ("0", 0)):
        found, _ = decided(Top(TopParams(by="x", fraction=float(text)), "t"), rows)
        assert sum(keep for keep, _ in found.values()) == kept


def test_counts_beyond_the_rows_are_facts():
    rows = pl.DataFrame({"id": ["a", "b", "c"], "x": [1, 2, 3], "g": ["p", "p", None]})
    found, decisions = decided(Top(TopParams(by="x", count=5), "t"), rows)
    assert all(keep for keep, _ in found.values())
    assert decisions.facts == {"asked": 5, "had": 3}
    assert decisions.margins == ()
    _, decisions = decided(Top(TopParams(by="x", count=2, per="g"), "t"), rows)
    assert decisions.facts == {"asked": 2, "short": {"None": 1}}
    _, decisions = decided(Sample(SampleParams(count=2), "s"), rows)
    assert decisions.facts == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_top_refuses_numbers_without_order(value):
    rows = pl.DataFrame({"id": ["a", "b"], "x": [1.0, value]})
    with pytest.raises(CurateError, match=r"best: column 'x' holds .*\(row b\)"):
        Top(TopParams(by="x", count=1), "best").filter(rows, context())


def test_top_by_and_per_may_be_one_column():
    rows = pl.DataFrame({"id": ["a", "b", "c"], "x": [1, 1, 2]})
    found, _ = decided(Top(TopParams(by="x", per="x", count=1), "t"), rows)
    assert [found[id][0] for id in "abc"] == [True, False, True]


@pytest.mark.parametrize(
    "wrong",
    [{}, {"count": 1, "fraction": 0.1}, {"count": 0}, {"count": True}, {"count": 1.0},
     {"fraction": 1.5}, {"fraction": -0.1}, {"fraction": True}, {"fraction": "0.1"}],
)  # fmt: skip
def test_wrong_quotas_are_refused(wrong):
    with pytest.raises(ValidationError):
        TopParams(by="x", **wrong)
    with pytest.raises(ValidationError):
        SampleParams(**wrong)


def test_declared_columns():
    assert Top(TopParams(by="x", per="g", count=1), "t").inputs() == ("g", "x")
    assert Sample(SampleParams(count=1), "s").inputs() == ()
    assert Length(LengthParams(text="response"), "l").inputs() == ("@response",)
    assert Where(WhereParams(keep="x > 1"), "w").inputs() == ("@keep",)


@given(st.lists(st.sampled_from([True, False, None]), max_size=20))
def test_where_keeps_what_is_true(held):
    rows = pl.DataFrame(
        {"id": [f"{n:02}" for n in range(len(held))], "@keep": held},
        schema={"id": pl.String, "@keep": pl.Boolean},
    )
    means = {True: (True, None), False: (False, "condition"), None: (False, "unknown")}
    found, _ = decided(Where(WhereParams(keep="x > 1"), "w"), rows)
    assert found == {f"{n:02}": means[value] for n, value in enumerate(held)}


@given(
    st.lists(st.text(st.sampled_from("aé€😀\u0301 \t\n\r\x0b\x1c\x85\xa0\u2003\u200b")), max_size=9)
)
def test_length_counts_code_points_and_words(texts):
    rows = pl.DataFrame(
        {"id": [f"{n}" for n in range(len(texts))], "@both": texts},
        schema={"id": pl.String, "@both": pl.String},
    )
    stage = Length(LengthParams(), "l")
    found = stage.score(rows, context(wanted=("characters", "words")))
    assert found["id"].to_list() == rows["id"].to_list()
    assert found["characters"].to_list() == [len(text) for text in texts]
    words = [len([word for word in re.split(WHITE, text) if word]) for text in texts]
    assert found["words"].to_list() == words
    assert stage.score(rows, context(wanted=("words",))).columns == ["id", "words"]


def test_concat_keeps_every_row_of_every_table():
    tables = {"one": pl.DataFrame({"id": ["a", "b"]}), "two": pl.DataFrame({"id": ["c"]})}
    found = Concat(Concat.Params(), "c").fuse(tables, context())
    assert found.rows.rows() == [("a", True), ("b", True), ("c", True)]
