"""`sources.ability`: who decides, and the nearest examples against cosines longhand."""

import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import curate
from curate.api import Context, CurateError
from curate_sources.ability import AbilityParams, AssignAbility
from curate_sources.nearest import scores

NEAREST = {"examples": "labelled.jsonl", "column": "vector"}


def stage(**params):
    return AssignAbility(AbilityParams.model_validate(params), "topic")


def examples(labelled):
    """A table of pairs of an ability and a vector."""
    vectors = [vector for _, vector in labelled]
    width = len(vectors[0]) if vectors else 2
    return pl.DataFrame(
        {
            "id": [f"{at:032x}" for at in range(len(labelled))],
            "vector": pl.Series(vectors, dtype=pl.Array(pl.Float32, width)),
            "ability": pl.Series([label for label, _ in labelled], dtype=pl.String),
            "@line": pl.Series(range(1, len(labelled) + 1), dtype=pl.Int64),
        }
    )


def context(fits, wanted):
    return Context(0, {}, fits, wanted, lambda name: name)


def assign(rows, labelled=None, **params):
    """What the stage says of each row, as mappings."""
    made = stage(**params)
    fits = {}
    if labelled is not None:
        fits["examples"] = made.fit("examples", examples(labelled), context({}, ()))
    found = made.score(rows.select("id", *made.inputs()), context(fits, tuple(made.outputs())))
    assert found.columns == ["id", *made.outputs()]
    assert found["id"].to_list() == rows["id"].to_list()
    assert found.null_count().sum_horizontal().item() == 0
    return found.drop("id").to_dicts()


def table(vectors, **columns):
    width = len(vectors[0]) if len(vectors) else 2
    return pl.DataFrame(
        {
            "id": [f"{at:032x}" for at in range(len(vectors))],
            "vector": pl.Series(vectors, dtype=pl.Array(pl.Float32, width)),
            "ability": pl.Series([None] * len(vectors), dtype=pl.String),
        }
        | columns
    )


def cosine(a, b):
    lengths = math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b))
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0


def longhand(vector, labelled, k):
    """Ability > mean of the k highest cosines, in float64."""
    found = {}
    for name in {label for label, _ in labelled}:
        near = sorted((cosine(vector, v) for label, v in labelled if label == name), reverse=True)
        found[name] = math.fsum(near[:k]) / len(near[:k])
    return found


# few different directions: ties, equal vectors and vectors of zeros are not rare
drawn = st.lists(st.integers(-2, 2), min_size=3, max_size=3)
labelled_drawn = st.lists(
    st.tuples(st.sampled_from(["math", "code", "ethics"]), drawn), min_size=2, max_size=12
).filter(lambda pairs: len({label for label, _ in pairs}) > 1)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(drawn, min_size=1, max_size=8), labelled_drawn, st.integers(1, 5), st.floats(0, 0.6)
)
def test_the_nearest_examples_longhand(vectors, labelled, k, margin):
    way = NEAREST | {"k": k, "margin": margin}
    for vector, found in zip(vectors, assign(table(vectors), labelled, nearest=way), strict=True):
        expected = longhand(vector, labelled, k)
        ranked = sorted(expected, key=lambda name: -expected[name])
        gap = expected[ranked[0]] - expected[ranked[1]]
        assert found["margin"] == pytest.approx(gap, abs=1e-12)
        assert expected[found["nearest"]] == pytest.approx(expected[ranked[0]], abs=1e-12)
        if gap > 1e-9:
            assert found["nearest"] == ranked[0]
        if min(abs(gap - margin), gap) > 1e-9:  # elsewhere rounding may decide
            sure = gap >= margin
            assert found["ability"] == (ranked[0] if sure else "unknown")
            assert found["how"] == ("nearest" if sure else "unknown")
        assert found["unknown"] == (found["ability"] == "unknown")


def test_real_numbers_longhand_and_a_row_alone_to_the_bit():
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(3, 24))
    names = ["code", "ethics", "math"]
    # crowds, so that many examples lie within rounding of the k-th
    points = np.repeat(centres, 40, axis=0) + rng.normal(scale=1e-4, size=(120, 24))
    points = np.concatenate([points, rng.normal(size=(60, 24))]).astype(np.float32)
    labels = np.array(names * 60)[np.argsort(rng.random(180), kind="stable")]
    vectors = np.concatenate([points[::3], rng.normal(size=(90, 24))]).astype(np.float32)
    labelled = list(zip(labels.tolist(), points.tolist(), strict=True))
    groups = [points[labels == name] for name in names]
    found = scores(vectors, groups, 7)
    for vector, row in zip(vectors.tolist(), found, strict=True):
        expected = longhand(vector, labelled, 7)
        assert row == pytest.approx([expected[name] for name in names], abs=1e-12)
    # alone, in parts, in another order, with the examples in another order
    assert np.array_equal(np.concatenate([scores(v[None], groups, 7) for v in vectors]), found)
    order = rng.permutation(len(vectors))
    assert np.array_equal(scores(vectors[order], groups, 7), found[order])
    assert np.array_equal(scores(vectors[31:44], [g[::-1] for g in groups], 7), found[31:44])


def test_scaling_a_vector_changes_nothing_and_zero_is_near_nothing():
    labelled = [("math", [1, 0]), ("math", [0.9, 0.1]), ("code", [0, 1])]
    one, other, zero = assign(table([[3, 1], [3e-3, 1e-3], [0, 0]]), labelled, nearest=NEAREST)
    assert one["nearest"] == other["nearest"] == "math"
    assert one["margin"] == pytest.approx(other["margin"], abs=1e-7)
    assert (zero["ability"], zero["margin"]) == ("unknown", 0)


def test_two_abilities_that_are_equally_near_are_unknown_whatever_the_margin():
    labelled = [("math", [1, 0]), ("code", [1, 0]), ("ethics", [0, 1])]
    way = NEAREST | {"margin": 0, "k": 1}
    tie, clear = assign(table([[2, 1], [0, 1]]), labelled, nearest=way)
    assert tie == {
        "ability": "unknown",
        "how": "unknown",
        "unknown": True,
        "nearest": "code",
        "margin": 0,
    }
    assert (clear["ability"], clear["margin"]) == ("ethics", 1)


def test_a_margin_that_is_just_met_is_enough():
    labelled = [("math", [1, 0]), ("code", [0, 1])]
    (met,) = assign(table([[1, 0]]), labelled, nearest=NEAREST | {"margin": 1})
    (missed,) = assign(table([[1, 0]]), labelled, nearest=NEAREST | {"margin": 1.0001})
    assert (met["ability"], missed["ability"]) == ("math", "unknown")


def test_an_ability_with_fewer_examples_than_k_is_not_at_a_disadvantage():
    labelled = [("math", [1, 0])] + [("code", [0.6, 0.8])] * 9
    (found,) = assign(table([[1, 0]]), labelled, nearest=NEAREST | {"k": 9})
    assert found["nearest"] == "math"
    assert found["margin"] == pytest.approx(0.4, abs=1e-7)


def test_what_is_kept_of_the_examples_knows_no_order():
    made = stage(nearest=NEAREST)
    labelled = [("b", [1, 0]), ("a", [1, 0]), ("b", [0, 1]), ("a", [-1, 0])]
    one, other = (
        made.fit("examples", examples(some), context({}, ())) for some in (labelled, labelled[::-1])
    )
    assert one["abilities"].tolist() == other["abilities"].tolist() == ["a", "a", "b", "b"]
    assert one["vectors"].tolist() == other["vectors"].tolist() == [[-1, 0], [1, 0], [0, 1], [1, 0]]
    assert not one["abilities"].dtype.hasobject


def test_own_then_mapping_then_rules_then_the_nearest():
    rows = table(
        [[1, 0]] * 7,
        ability=["own", "own", None, None, None, "unknown", " "],
        kind=["a", "z", "a", "z", None, "z", "z"],
    ).with_columns(
        pl.Series("@rules.0.where", [True, True, True, None, None, False, True]),
        pl.Series("@rules.1.where", [True, True, True, True, False, None, True]),
    )
    ways = {
        "mapping": {"column": "kind", "values": {"a": "mapped"}},
        "rules": [{"where": "x > 1", "ability": "first"}, {"where": "x > 0", "ability": "second"}],
        "nearest": NEAREST,
    }
    labelled = [("math", [1, 0]), ("code", [0, 1])]
    said = [(row["ability"], row["how"]) for row in assign(rows, labelled, **ways)]
    assert said == [
        ("own", "own"),
        ("own", "own"),
        ("mapped", "mapping"),
        ("second", "rule"),
        ("math", "nearest"),
        ("math", "nearest"),
        ("first", "rule"),
    ]
    again = assign(rows, labelled, overwrite=True, **ways)
    assert [row["how"] for row in again[:2]] == ["mapping", "rule"]
    assert {(row["nearest"], row["margin"]) for row in again} == {("math", 1)}
    assert stage(overwrite=True, **ways).inputs()[0] == "kind"
    itself = {"mapping": {"column": "ability", "values": {"own": "mapped"}}}
    mapped = assign(rows, overwrite=True, **itself)
    assert [row["how"] for row in mapped] == ["mapping", "mapping", *["unknown"] * 5]
    del ways["nearest"]
    assert [row["ability"] for row in assign(rows, **ways)][4:6] == ["unknown", "unknown"]


def test_no_rows():
    assert assign(table([]), [("a", [1, 0]), ("b", [0, 1])], nearest=NEAREST) == []
    ways = {"mapping": {"column": "ability", "values": {"a": "b"}}}
    assert assign(table([]), **ways) == []


@pytest.mark.parametrize(
    ("labelled", "said"),
    [
        ([], "holds no examples"),
        ([("a", [1, 0])], "holds nothing but 'a'"),
        (
            [("a", [1, 0]), (None, [0, 1]), ("b", [1, 1])],
            "1 of 3 examples of labelled.jsonl have no 'ability', the first in line 2",
        ),
        ([("a", [1, 0]), ("b", [1, 1]), ("unknown", [0, 1]), ("", [0, 2])], "2 of 4 .* in line 3"),
    ],
)
def test_examples_that_will_not_do(labelled, said):
    with pytest.raises(CurateError, match=said):
        stage(nearest=NEAREST).fit("examples", examples(labelled), context({}, ()))


def test_labels_that_are_no_text_and_vectors_that_are_not_finite():
    made = stage(nearest=NEAREST)
    numbers = examples([("a", [1, 0])]).with_columns(ability=pl.Series([3]))
    with pytest.raises(CurateError, match="does not hold text") as caught:
        made.fit("examples", numbers, context({}, ()))
    assert "types: {ability: string}" in caught.value.remedy
    with pytest.raises(ValueError, match="not finite"):
        assign(table([[math.nan, 0]]), [("a", [1, 0]), ("b", [0, 1])], nearest=NEAREST)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "at least one of `mapping`, `rules` and `nearest`"),
        ({"overwrite": True}, "at least one of"),
        ({"rules": []}, "at least 1"),
        ({"mapping": {"column": "x", "values": {}}}, "at least 1"),
        ({"mapping": {"column": "x", "values": {"a": "unknown"}}}, "'unknown' names no ability"),
        ({"rules": [{"where": "x > 1", "ability": " "}]}, "' ' names no ability"),
        ({"nearest": NEAREST | {"k": 0}}, "greater than or equal to 1"),
        ({"nearest": NEAREST | {"margin": -0.1}}, "greater than or equal to 0"),
    ],
)
def test_parameters_that_will_not_do(params, said):
    with pytest.raises(ValueError, match=said):
        stage(**params)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    write("pool", POOL)
    write("labelled", LABELLED)
    return tmp_path


def write(name, rows):
    with open(f"{name}.jsonl", "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


SUMS = ["What is 3 plus 4?", "Compute 12 times 9.", "Add 7, 8 and 9.", "What is 81 divided by 9?"]
POEMS = [
    "Write a poem about autumn leaves.",
    "Compose a haiku on the sea.",
    "Write a short love poem.",
    "Write verses about a lonely lighthouse.",
]
POOL = [
    {"instruction": SUMS[0], "output": "7", "category": None},
    {"instruction": POEMS[0], "output": "Leaves fall.", "category": "poetry"},
    {"instruction": "Write a loop.", "output": "def f(): pass", "category": None},
    {"instruction": POEMS[1], "output": "Waves.", "ability": "haiku"},
    {"instruction": SUMS[1], "output": "108"},
]
LABELLED = [
    *({"instruction": text, "output": "", "kind": "math"} for text in SUMS[2:]),
    *({"instruction": text, "output": "", "kind": "writing"} for text in POEMS[2:]),
]
WAYS = {
    "mapping": {"column": "category", "values": {"poetry": "verse"}},
    "rules": [
        {"where": "instruction LIKE '%12 times 9%'", "ability": "tables"},
        {"where": "\"@response\" LIKE 'def %'", "ability": "code"},
    ],
    "nearest": {"examples": "labelled.jsonl", "label": "kind", "k": 2},
}


def recipe(ways, **changes):
    return {
        "name": "topics",
        "sources": {"pool": {"path": "pool.jsonl"}},
        "pipeline": [
            {"score": "embed.sentence", "with": {"text": "instruction", "dtype": "float32"}},
            {"score": "sources.ability", "id": "topic", "with": ways} | changes,
        ],
    }


def test_in_a_recipe_the_examples_are_embedded_as_the_pool_is(place):
    version = curate.run(recipe(WAYS))
    found = version.frame().select("id", "instruction").join(version.scores, on="id")
    said = {
        row["instruction"]: (row["topic_ability"], row["topic_how"]) for row in found.to_dicts()
    }
    assert said == {
        SUMS[0]: ("math", "nearest"),
        POEMS[0]: ("verse", "mapping"),
        "Write a loop.": ("code", "rule"),
        POEMS[1]: ("haiku", "own"),
        SUMS[1]: ("tables", "rule"),
    }
    assert dict(found.select("instruction", "topic_nearest").rows())[POEMS[1]] == "writing"
    (facts,) = (each for each in version.manifest["stages"] if each["id"] == "topic")
    assert facts["flags"] == {"unknown": 0}


def test_a_row_that_is_added_changes_no_other_and_only_it_is_asked(place):
    first = curate.run(recipe(WAYS)).scores.sort("id")
    write("pool", [{"instruction": "Write a sonnet about rain.", "output": "Rain."}, *POOL])
    second = curate.run(recipe(WAYS))
    assert len(second.scores) == len(first) + 1
    assert second.scores.join(first, on="id", how="semi").sort("id").equals(first)
    (facts,) = (each for each in second.manifest["stages"] if each["id"] == "topic")
    assert facts["memo"] == {"distinct": 6, "hits": 5, "computed": 1}


def test_abilities_are_shares_like_any_text_column(place):
    weighted = recipe(WAYS)
    weighted["pipeline"].append(
        {"score": "sources.weight", "with": {"by": "topic_ability", "shares": {"math": 0.6}}}
    )
    found = curate.run(weighted).scores
    math_weight = found.filter(topic_ability="math")["sources_weight_weight"].to_list()
    assert math_weight == [pytest.approx(0.6 * 5)]


def problems(ways, **changes):
    with pytest.raises(CurateError) as caught:
        curate.check(recipe(ways, **changes))
    return str(caught.value)


def test_check_finds_what_the_recipe_and_its_files_show(place):
    ways = {
        "mapping": {"column": "categry", "values": {"poetry": "verse"}},
        "rules": [
            {"where": "category > 3", "ability": "code"},
            {"where": "instructon = 'x'", "ability": "code"},
        ],
        "nearest": {"examples": "labeled.jsonl", "column": "embed"},
    }
    said = problems(ways)
    at = "pipeline.1.with"
    assert f"{at}.mapping.column: there is no column 'categry'\n  Did you mean 'category'?" in said
    assert f"{at}.rules.0.where: column 'category' is text, but 3 is a number" in said
    assert f"{at}.rules.1.where: there is no column 'instructon'" in said
    assert f"{at}.nearest.column: there is no column 'embed'" in said
    assert "labeled.jsonl" in said
    assert "unknown key 'were'" in problems({"rules": [{"were": "x", "ability": "code"}]})
    assert "the condition reads no column" in problems(
        {"rules": [{"where": "1 = 1", "ability": "a"}]}
    )


def test_vectors_are_wanted_only_where_examples_are(place):
    without = recipe({"mapping": WAYS["mapping"]})
    del without["pipeline"][0]
    version = curate.run(without)
    assert sorted(version.scores["topic_ability"]) == [
        "haiku",
        "unknown",
        "unknown",
        "unknown",
        "verse",
    ]
    assert "topic_margin" not in version.scores.columns
    without["pipeline"][0]["with"] = {"nearest": WAYS["nearest"]}
    with pytest.raises(CurateError, match="there is no vector column here"):
        curate.check(without)


def test_a_label_that_the_examples_lack(place):
    ways = {"nearest": {"examples": "labelled.jsonl", "label": "knd"}}
    with pytest.raises(CurateError, match=r"reads 'knd', which the reference labelled.jsonl does"):
        curate.run(recipe(ways))
    write("labelled", [*LABELLED, {"instruction": "Hm.", "output": ""}])
    with pytest.raises(
        CurateError, match=r"1 of 5 examples .* have no 'kind', the first in line 5"
    ):
        curate.run(recipe(WAYS))


def test_rows_without_a_vector(place):
    some = recipe(WAYS)
    some["pipeline"][0]["where"] = "category IS NULL"
    with pytest.raises(CurateError, match="reads embed_sentence_embedding, which 1 rows do not"):
        curate.run(some)
    some["pipeline"][1]["missing"] = "keep"
    version = curate.run(some)
    said = version.frame().join(version.scores, on="id").select("instruction", "topic_ability")
    assert dict(said.rows())[POEMS[0]] is None
    assert said["topic_ability"].null_count() == 1
