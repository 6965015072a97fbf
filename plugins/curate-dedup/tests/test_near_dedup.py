"""dedup.minhash and dedup.semantic against longhand walks and chains."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.api import CurateError
from curate_dedup import searching
from curate_dedup.semantic import SemanticDedup, SemanticParams
from curate_dedup.words import MinHashDedup, MinHashParams

SPACE = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "lambda",
    "mu",
]


def shingles(text, size=3):
    words = text.lower().split()
    return {tuple(words[i : i + size]) for i in range(max(1, len(words) - size + 1))} - {()}


def jaccard(one, other):
    if one.lower() == other.lower():
        return 1.0
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b) if a | b else 0.0


def cosine(a, b):
    a, b = [[float(x) for x in v] for v in (a, b)]
    dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
    lengths = math.sqrt(math.fsum(x * x for x in a) * math.fsum(x * x for x in b))
    return dot / lengths if lengths else 0.0


def star(order, fixed, near, equal):
    survivor = {}
    for at, i in enumerate(order):
        stay = [j for j in order[:at] if survivor[j] is None and near(i, j)]
        stay = [j for j in stay if equal(i, j)] or stay  # its like before others
        survivor[i] = stay[0] if stay and not fixed[i] else None
    return survivor


def chain(order, fixed, near, equal):
    parts = []
    for i in order:
        touched = [part for part in parts if any(near(i, j) for j in part)]
        parts = [part for part in parts if part not in touched]
        parts.append([*(j for part in touched for j in part), i])
    survivor = {}
    for part in parts:
        first = min(part, key=order.index)
        for i in part:
            like = [
                j for j in order if fixed[j] and equal(i, j) and near(i, j)
            ]  # its like before others
            survivor[i] = None if i == first or fixed[i] else [*like, first][0]
    return survivor


def longhand(count, asked, similarity, equal, threshold, linking, prefer_key, group):
    order = sorted(range(count), key=lambda i: (asked[i], prefer_key(i), f"{i:02}"))

    def near(i, j):
        return group[i] == group[j] and similarity(i, j) >= threshold

    link = star if linking == "star" else chain
    return link(order, [not each for each in asked], near, equal)


@st.composite
def cases(draw):
    count = draw(st.integers(1, 12))
    asked = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    groups = draw(st.lists(st.sampled_from(["x", "y", None]), min_size=count, max_size=count))
    scores = draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
    prefer = draw(st.sampled_from([[], ["highest:score"], ["group:y", "lowest:score"]]))
    linking = draw(st.sampled_from(["star", "chain"]))
    per = draw(st.sampled_from([None, "group"]))
    order = draw(st.permutations(range(count)))
    return count, asked, groups, scores, prefer, linking, per, order


def preference(prefer, groups, scores):
    if not prefer:
        return lambda i: ()
    if len(prefer) == 1:
        return lambda i: (-scores[i],)
    return lambda i: (groups[i] != "y", scores[i])


def agrees(tools, kind, rows, case, similarity, equal, threshold, search, **params):
    count, asked, groups, scores, prefer, linking, per, order = case
    rows = rows.with_columns(
        pl.Series("@asked", asked),
        group=pl.Series(groups, dtype=pl.String),
        score=pl.Series(scores, dtype=pl.Int64),
    )
    params |= {"threshold": threshold, "search": search, "linking": linking}
    params |= {"prefer": prefer, "per": per}
    found, decisions = tools.decide(kind, rows, **params)
    again, second = tools.decide(kind, rows[order], **params)
    assert found == again
    assert decisions.margins == second.margins
    assert decisions.facts == second.facts
    expected = longhand(
        count,
        asked,
        similarity,
        equal,
        threshold,
        linking,
        preference(prefer, groups, scores),
        groups if per else [0] * count,
    )
    refs = {f"{i:02}": None if j is None else f"{j:02}" for i, j in expected.items()}
    assert {id: row["ref"] for id, row in found.items()} == refs
    for id, row in found.items():
        if row["ref"] is not None:
            assert row["value"] == pytest.approx(similarity(int(id), int(row["ref"])), abs=1e-12)
    together = groups if per else [0] * count
    assert {id: row["cluster"] for id, row in found.items()} == clusters(
        count, lambda i, j: together[i] == together[j] and similarity(i, j) >= threshold
    )
    marked, _ = tools.decide(kind, rows, drop=False, **params)
    for id, row in marked.items():
        assert row["keep"]
        assert (row["value"], row["cluster"]) == (found[id]["value"], found[id]["cluster"])
    return found


def clusters(count, near):
    """The smallest of those that are joined, None for those alone."""
    parts = []
    for i in range(count):
        touched = [part for part in parts if any(near(i, j) for j in part)]
        parts = [part for part in parts if part not in touched]
        parts.append([*(j for part in touched for j in part), i])
    return {f"{i:02}": f"{min(p):02}" if len(p) > 1 else None for p in parts for i in p}


@settings(deadline=None)
@given(st.data())
def test_minhash_agrees_with_longhand_in_any_order(tools, data):
    case = data.draw(cases())
    base = data.draw(st.lists(st.sampled_from(SPACE), min_size=0, max_size=14))
    values = []
    for _ in range(case[0]):
        words = list(base)
        for _ in range(data.draw(st.integers(0, 2))):
            at = data.draw(st.integers(0, max(len(words) - 1, 0)))
            words[at : at + 1] = [data.draw(st.sampled_from([*SPACE, "ALPHA"]))]
        values.append(" ".join(words))

    def similarity(i, j):
        return jaccard(values[i], values[j])

    # At three times the similarity that bands are made for, no pair is missed by bad luck.
    threshold = data.draw(st.sampled_from([0.3, 0.5, 0.77, 1.0]))

    def equal(i, j):
        return values[i].lower() == values[j].lower()

    agrees(tools, MinHashDedup, tools.texts(values), case, similarity, equal, threshold, 0.1)


@settings(deadline=None)
@given(st.data())
def test_semantic_agrees_with_longhand_in_any_order(tools, data):
    case = data.draw(cases())
    one = st.lists(st.integers(-2, 2).map(float), min_size=3, max_size=3)
    values = data.draw(st.lists(one, min_size=case[0], max_size=case[0]))

    def similarity(i, j):
        return 1.0 if i == j else cosine(values[i], values[j])

    def equal(i, j):
        return values[i] == values[j]

    # Cosines of small whole numbers stand away from these thresholds.
    threshold = data.draw(st.sampled_from([0.31, 0.72, 0.913, 0.999]))
    rows = tools.vectors(values, width=3)
    method = data.draw(st.sampled_from(["exact", "auto"]))
    more = {"column": "v", "method": method}
    agrees(tools, SemanticDedup, rows, case, similarity, equal, threshold, 0.31, **more)


@pytest.mark.parametrize("linking", ["star", "chain"])
@pytest.mark.parametrize("per", [None, "group"])
def test_a_crowd_is_searched_at_each_threshold_with_the_same_result(
    tools, monkeypatch, linking, per
):
    rng = np.random.default_rng(5)
    centres = rng.standard_normal((6, 8))
    noise = rng.standard_normal((300, 8)) * 0.15
    rows = tools.vectors(
        (centres[rng.integers(6, size=300)] + noise).tolist(),
        width=8,
        asked=(rng.random(300) < 0.8).tolist(),
        ids=[f"{i:03}" for i in range(300)],
        group=rng.choice(["x", "y"], 300),
    )
    params = {"column": "v", "threshold": 0.95, "linking": linking, "per": per}
    known, _ = tools.decide(SemanticDedup, rows, **params)
    monkeypatch.setattr("curate_dedup.pairs.REMEMBERED", 10)
    found, decisions = tools.decide(SemanticDedup, rows, **params)
    assert found == known
    assert decisions.facts["pairs"] is None
    assert 0 < len(tools.kept(found)) < 300
    with pytest.raises(CurateError, match="needs all pairs"):
        tools.decide(SemanticDedup, rows, column="v", keep=5)


@pytest.mark.parametrize("linking", ["star", "chain"])
def test_a_crowd_of_texts_too(tools, monkeypatch, linking):
    rng = np.random.default_rng(6)
    base = [" ".join(rng.choice(SPACE, 40)) for _ in range(4)]
    values = []
    for _ in range(200):
        words = base[rng.integers(4)].split()
        words[rng.integers(40)] = "changed"
        values.append(" ".join(words))
    rows = tools.texts(values, ids=[f"{i:03}" for i in range(200)])
    params = {"linking": linking, "threshold": 0.85}
    known, first = tools.decide(MinHashDedup, rows, **params)
    monkeypatch.setattr("curate_dedup.pairs.REMEMBERED", 10)
    found, second = tools.decide(MinHashDedup, rows, **params)
    assert found == known
    assert first.margins == second.margins
    assert {**first.facts, "pairs": None} == second.facts  # the same bands found them
    assert 4 < len(tools.kept(found)) < 200


@pytest.mark.parametrize("kind", [MinHashDedup, SemanticDedup])
@pytest.mark.parametrize("linking", ["star", "chain"])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_empty_single_equal_and_unique_tables(tools, kind, linking, count):
    if kind is MinHashDedup:
        equal, more = tools.texts(["the same words in each"] * count), {}
        unique = tools.texts([f"words {i} alone {i} here {i}" for i in range(count)])
    else:
        equal, more = tools.vectors([[3, 4]] * count), {"column": "v"}
        angles = [math.pi * i / max(count, 1) for i in range(count)]
        unique = tools.vectors([[math.cos(a), math.sin(a)] for a in angles])
        more |= {"threshold": 0.9999, "search": 0.999}
    found, decisions = tools.decide(kind, equal, linking=linking, **more)
    assert tools.kept(found) == ["00"][:count]
    assert [found[id]["value"] for id in sorted(found)[1:]] == [1.0] * (count - 1)
    assert decisions.facts["contents"] == min(count, 1)
    assert len(tools.kept(tools.decide(kind, unique, linking=linking, **more)[0])) == count


def test_texts_without_a_word_are_near_their_equals_only(tools):
    rows = tools.texts(["", "", "  ", "\n", "a"])
    assert tools.kept(tools.decide(MinHashDedup, rows)[0]) == ["00", "02", "03", "04"]


def test_length_does_not_matter_and_zero_is_near_nothing(tools):
    rows = tools.vectors([[2, 0], [8, 0], [0, 0], [0, 0]])
    found, _ = tools.decide(SemanticDedup, rows, column="v", threshold=1.0)
    assert tools.kept(found) == ["00", "02", "03"]
    assert found["01"]["value"] == 1.0


def test_a_chain_names_its_first_row_and_its_own_similarity(tools):
    angles = [0.0, 0.2, 0.4, 0.6]
    rows = tools.vectors([[math.cos(a), math.sin(a)] for a in angles])
    star, _ = tools.decide(SemanticDedup, rows, column="v", threshold=0.97)
    assert tools.kept(star) == ["00", "02"]
    found, _ = tools.decide(SemanticDedup, rows, column="v", threshold=0.97, linking="chain")
    assert tools.kept(found) == ["00"]
    assert found["03"]["value"] == pytest.approx(math.cos(0.6), abs=1e-7)


def test_margins_say_how_near_the_cut_was(tools):
    angles = [0.0, 0.2, 1.5]
    rows = tools.vectors([[math.cos(a), math.sin(a)] for a in angles])
    _, decisions = tools.decide(SemanticDedup, rows, column="v", threshold=0.95)
    (margin,) = decisions.margins
    assert margin.distance == pytest.approx(math.cos(0.2) - 0.95, abs=1e-7)
    assert (margin.column, margin.factor) == ("v", 2.0)
    _, decisions = tools.decide(SemanticDedup, rows, column="v", threshold=0.99, search=0.985)
    assert decisions.margins[0].distance == pytest.approx(0.99 - math.cos(0.2), abs=1e-7)
    far = tools.vectors([[1, 0], [0, 1]])
    _, decisions = tools.decide(SemanticDedup, far, column="v", threshold=0.99, search=0.985)
    # nothing is near, and 0.05 below `search` was looked at: this much is known
    assert decisions.margins[0].distance == pytest.approx(0.99 - 0.985 + 0.05)


def test_margins_of_references_and_of_keep(tools):
    rows = tools.vectors([[1, 0], [1, 0.3], [0, 1]])
    reference = tools.vectors([[1, 0.31]], **{"@line": [1]})
    _, decisions = tools.decide(
        SemanticDedup, rows, {"test": reference}, column="v", threshold=0.951
    )
    distances = {margin.cut: margin.distance for margin in decisions.margins}
    near = cosine([1, 0], [1, 0.31])
    assert distances["similarity 0.951 to references"] == pytest.approx(abs(near - 0.951), abs=1e-7)
    _, decisions = tools.decide(SemanticDedup, rows, column="v", keep=2)
    (margin,) = decisions.margins
    assert margin.distance == pytest.approx((cosine([1, 0], [1, 0.3]) - 0.9) / 2, abs=1e-7)
    _, decisions = tools.decide(SemanticDedup, rows, column="v", keep=3)
    assert decisions.margins == ()
    assert decisions.notes == ("3 stay of 3 asked for, equal ones alone",)


def test_margins_of_a_crowd_look_both_ways(tools, monkeypatch):
    angles = [0.0, 0.2, 1.5]
    rows = tools.vectors([[math.cos(a), math.sin(a)] for a in angles])
    monkeypatch.setattr("curate_dedup.pairs.REMEMBERED", 0)
    _, decisions = tools.decide(SemanticDedup, rows, column="v", threshold=0.975)
    assert decisions.margins[0].distance == pytest.approx(math.cos(0.2) - 0.975, abs=1e-7)


@pytest.mark.parametrize(
    ("linking", "keep", "stay"),
    [(link, keep, min(keep, 4)) for link in ("star", "chain") for keep in (2, 3, 4, 9)]
    + [("chain", 1, 1)],
)
def test_keep_finds_the_highest_threshold(tools, linking, keep, stay):
    angles = [0.0, 0.1, 1.0, 1.3]  # 0.1 and 0.3 apart; 0.9 between the two groups
    rows = tools.vectors([[math.cos(a), math.sin(a)] for a in angles])
    params = {"column": "v", "search": 0.5, "linking": linking}
    found, decisions = tools.decide(SemanticDedup, rows, keep=keep, **params)
    if keep == 2:
        assert decisions.facts["threshold"] == pytest.approx((math.cos(0.3) + math.cos(0.9)) / 2)
    if keep >= 4:
        assert decisions.facts["threshold"] is None
    assert len(tools.kept(found)) <= keep
    assert len(tools.kept(found)) == stay


def test_keep_that_cannot_be_reached_is_an_error(tools):
    rows = tools.vectors([[1, 0], [0, 1], [-1, 0]])
    with pytest.raises(CurateError, match=r"0.9, more than 2 rows stay: 3"):
        tools.decide(SemanticDedup, rows, column="v", keep=2)


def test_keep_counts_only_rows_that_may_be_dropped(tools):
    rows = tools.vectors([[1, 0.1 * i] for i in range(6)], asked=[True] * 4 + [False] * 2)
    found, _ = tools.decide(SemanticDedup, rows, column="v", keep=2)
    assert len([id for id in tools.kept(found) if id < "04"]) == 2
    assert {"04", "05"} <= set(tools.kept(found))


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"threshold": 0.5}, "below `search` 0.7"),
        ({"keep": 3, "threshold": 0.8}, "leave out one of `keep` and `threshold`"),
        ({"keep": 3, "search": 0.8, "against": {"a": "a.jsonl"}}, "below `search` 0.8"),
    ],
)
def test_options_that_would_be_ignored_are_refused(params, said):
    with pytest.raises(ValidationError, match=said):
        MinHashParams(**params)
    with pytest.raises(ValidationError):
        SemanticParams(linking="ring")


def test_rows_near_a_reference_are_dropped_first(tools):
    rows = tools.vectors([[1, 0], [1, 0.05], [0, 1], [0.05, 1], [-1, 0]])
    sky = tools.vectors([[0, 2], [-1, -1]], **{"@line": [4, 5]})
    sea = tools.vectors([[0.06, 1], [5, 5]], **{"@line": [1, 2]})
    found, decisions = tools.decide(
        SemanticDedup, rows, {"sky": sky, "sea": sea}, column="v", threshold=0.99
    )
    assert [found[f"0{i}"]["ref"] for i in range(5)] == [None, "00", "sky#4", "sea#1", None]
    assert found["03"]["value"] == pytest.approx(cosine([0.05, 1], [0.06, 1]), abs=1e-7)
    assert decisions.facts["against"] == {
        "sky": {"rows": 2, "dropped": 1},
        "sea": {"rows": 2, "dropped": 1},
    }


def test_texts_without_a_word_are_found_in_references(tools):
    rows = tools.texts(["", "a b c d e"])
    reference = tools.texts(["x y z", ""], **{"@line": [1, 2]})
    found, _ = tools.decide(MinHashDedup, rows, {"test": reference})
    assert [found[id]["ref"] for id in ("00", "01")] == ["test#2", None]


def test_keep_alone_may_search_from_anywhere(tools):
    rows = tools.vectors([[1, 0], [1, 0.05], [0, 1]])
    found, _ = tools.decide(SemanticDedup, rows, column="v", keep=2, search=0.99)
    assert tools.kept(found) == ["00", "02"]


def test_texts_near_a_reference_are_dropped_first(tools):
    question = "Ann has three red apples and buys two green ones at the market . How many now ?"
    reworded = question.replace("now ?", "now !")
    rows = tools.texts([question.upper(), reworded, "something else entirely", question + " "])
    reference = tools.texts(["unrelated text of some words", question], **{"@line": [1, 2]})
    found, decisions = tools.decide(MinHashDedup, rows, {"test": reference}, threshold=0.7)
    near = [found[f"0{i}"]["value"] for i in (0, 1, 3)]
    assert near == [1.0, pytest.approx(jaccard(question, reworded)), 1.0]
    assert {found[f"0{i}"]["ref"] for i in (0, 1, 3)} == {"test#2"}
    assert tools.kept(found) == ["02"]
    assert decisions.facts["against"] == {"test": {"rows": 2, "dropped": 3}}


@settings(deadline=None)
@given(st.data())
def test_references_agree_with_longhand(tools, data):
    one = st.lists(st.integers(-2, 2).map(float), min_size=2, max_size=2)
    pool = data.draw(st.lists(one, min_size=1, max_size=8))
    tables = [data.draw(st.lists(one, min_size=1, max_size=5)) for _ in range(2)]
    asked = data.draw(st.lists(st.booleans(), min_size=len(pool), max_size=len(pool)))
    lines = [list(range(1, len(table) + 1)) for table in tables]
    references = {
        name: tools.vectors(table, **{"@line": line})
        for name, table, line in zip("ab", tables, lines, strict=True)
    }
    order = data.draw(st.permutations(range(len(tables[0]))))
    params = {"column": "v", "threshold": 0.913}
    rows = tools.vectors(pool, asked)
    found, _ = tools.decide(SemanticDedup, rows, references, **params)
    shuffled = {**references, "a": references["a"][order]}
    assert tools.decide(SemanticDedup, rows, shuffled, **params)[0] == found
    for i, vector in enumerate(pool):
        near = [
            (-cosine(vector, other), name, line)
            for name, table in zip("ab", tables, strict=True)
            for line, other in enumerate(table, 1)
            if cosine(vector, other) >= 0.913
        ]
        row = found[f"{i:02}"]
        assert (row["reason"] == "in_reference") == bool(near and asked[i])
        if row["reason"] == "in_reference":
            assert row["value"] == pytest.approx(-min(near)[0], abs=1e-12)
            name, line = row["ref"].split("#")
            assert (name, line) in {(each, str(at)) for _, each, at in near}


def test_a_row_without_a_vector_is_named(tools):
    with pytest.raises(CurateError, match=r"1 row has no finite vector in 'v'.*01"):
        tools.decide(SemanticDedup, tools.vectors([[1, 0], None]), column="v")


def test_no_column_of_vectors_is_an_error(tools):
    with pytest.raises(CurateError, match="does not know which vectors"):
        tools.decide(SemanticDedup, tools.vectors([[1, 0]]))


def test_what_is_searched_does_not_depend_on_what_only_chooses(tools):
    rows = tools.vectors([[1, 0], [1, 0.1], [0, 1]])
    for stage in (
        SemanticDedup(SemanticParams(column="v", threshold=0.9), "a"),
        SemanticDedup(SemanticParams(column="v", threshold=0.99, linking="chain"), "b"),
    ):
        found = searching.pairs_among(stage, rows)
        assert found["similarity"].tolist() == pytest.approx([cosine([1, 0], [1, 0.1])])
        assert "threshold" not in stage.fit_depends("pairs")
