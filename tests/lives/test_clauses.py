"""Which clauses of its condition a row failed: counted by the run, told of a row, shown on screens."""

import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from curate.recipe.where import parse_where
from curate.report.closing import render, show
from curate.report.lives import life
from curate.versions.explain import explain
from curate.versions.funnel import funnel

CLAUSES = {
    "a >= 2": lambda r: None if r["a"] is None else r["a"] >= 2,
    "NOT b": lambda r: None if r["b"] is None else not r["b"],
    "a BETWEEN 1 AND 3": lambda r: None if r["a"] is None else 1 <= r["a"] <= 3,
    "(a > 3 OR b)": lambda r: either(None if r["a"] is None else r["a"] > 3, r["b"]),
    "coalesce(a, 9) <> 4": lambda r: (9 if r["a"] is None else r["a"]) != 4,
    "t LIKE '% AND %'": lambda r: None if r["t"] is None else " AND " in r["t"],
}


def either(one, other):
    if one or other:
        return True
    return None if one is None or other is None else False


def pool(cells):
    return [
        {"instruction": f"Say {n}.", "output": f"{n}", "a": a, "b": b, "t": t}
        for n, (a, b, t) in enumerate(cells)
    ]


def keep(text):
    return {"filter": "core.where", "id": "cut", "with": {"keep": text}}


CELLS = st.tuples(
    st.sampled_from([None, 0, 1, 2, 3, 4]),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, "x AND y", "z"]),
)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    cells=st.lists(CELLS, max_size=25),
    chosen=st.lists(st.sampled_from(sorted(CLAUSES)), min_size=2, max_size=6),
)
def test_clauses_are_counted_and_told_as_a_longhand_evaluation_says(bench, cells, chosen):
    # the first row passes every clause but `NOT b` or `(a > 3 OR b)`, and the others fix the types
    rows = pool([(2, True, "x AND y"), (2, False, "x AND y"), (None, None, None), *cells])
    held = [[CLAUSES[clause](row) for clause in chosen] for row in rows]
    if not any(all(row) for row in held):
        chosen = [clause for clause in chosen if clause not in ("NOT b", "(a > 3 OR b)")] * 2
        chosen = chosen or ["a >= 2", "a BETWEEN 1 AND 3"]
        held = [[CLAUSES[clause](row) for clause in chosen] for row in rows]
    bench.write(rows)
    version = bench.run(keep("\n AND ".join(chosen)))
    (stage,) = version.manifest["stages"]
    failing = sum(not all(row) for row in held)
    assert failing == stage["dropped"] == stage["in"] - stage["out"]
    if not failing:
        assert "clauses" not in stage
        return
    assert stage["clauses"] == [
        {
            "clause": clause,
            "failed": sum(not row[at] for row in held),
            "unknown": sum(row[at] is None for row in held),
            "alone": sum(not row[at] and sum(not each for each in row) == 1 for row in held),
        }
        for at, clause in enumerate(chosen)
    ]
    ids = dict(version.ledger.select("line", "id").iter_rows())
    words = {True: "holds", False: "false", None: "null"}
    for line in (1, 2, 3, len(rows)):
        (told,) = explain(version, ids[line])["stages"]
        assert [each["clause"] for each in told["clauses"]] == chosen
        assert [each["outcome"] for each in told["clauses"]] == [words[v] for v in held[line - 1]]
        for each in told["clauses"]:
            names = parse_where(each["clause"]).columns
            assert each["values"] == {name: rows[line - 1][name] for name in names}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a > 1 AND b", ["a > 1", "b"]),
        (" ((a > 1\nand b)) ", ["a > 1", "b"]),
        ("(a > 1) AND (b AND NOT c)", ["(a > 1)", "(b AND NOT c)"]),
        ("a NOT BETWEEN 1 AND 2 AND b", ["a NOT BETWEEN 1 AND 2", "b"]),
        ("\"x AND y\" = 'p AND q' AND true", ["\"x AND y\" = 'p AND q'", "true"]),
        ("a > 1 OR b AND c", None),
        ("NOT (a AND b)", None),
        ("a BETWEEN 1 AND 2", None),
        ("a", None),
    ],
)
def test_only_an_and_at_the_top_is_taken_apart(text, parts):
    assert [each.text for each in parse_where(text).clauses()] == (parts or [text])


def test_one_clause_and_a_filter_that_dropped_nothing_have_no_counts(bench):
    bench.write(pool([(1, True, "x"), (2, False, "y")]))
    for text in ("a > 1", "a > 1 OR b", "a > 0 AND a < 3"):
        (stage,) = bench.run(keep(text)).manifest["stages"]
        assert "clauses" not in stage


def test_what_the_environment_says_of_a_clause_is_not_published(bench, monkeypatch):
    monkeypatch.setenv("LEAST", "2")
    bench.write(pool([(1, True, "x"), (2, False, "y")]))
    version = bench.run(keep("a >= ${LEAST} AND a < 5"))
    assert version.manifest["stages"][0]["dropped"] == 1
    assert "clauses" not in version.manifest["stages"][0]


def test_rows_outside_where_count_for_no_clause(bench):
    bench.write(pool([(1, True, "x"), (2, False, "y"), (0, None, None)]))
    version = bench.run({**keep("a > 1 AND t = 'y'"), "where": "b IS NOT NULL"})
    assert [step["failed"] for step in version.manifest["stages"][0]["clauses"]] == [1, 1]


def test_what_is_not_published_of_a_row_is_said(bench):
    bench.write(pool([(1, True, "x"), (2, False, "y")]))
    score = {"score": "core.length", "id": "n"}
    version = bench.run(score, keep("n_words > 0 AND a > 1"), output={"dropped": False})
    (id,) = version.ledger.filter(fate="dropped")["id"]
    told = explain(version, id)["stages"][-1]["clauses"]
    assert [each["outcome"] for each in told] == ["holds", "not published"]
    assert told[1]["values"] == {}


def drawn(draw, *args, **more):
    console = Console(file=io.StringIO(), width=120)
    draw(*args, console, **more)
    return console.file.getvalue()


def test_screens_and_page_show_the_counts(bench):
    bench.write(pool([(1, True, "x"), (1, None, "y"), (2, False, "y"), (3, False, "z")]))
    version = bench.run(keep("a >= 2 AND NOT b AND t <> '[red]'"))
    lines = [" ".join(line.split()) for line in drawn(show, version).splitlines()]
    at = lines.index("rows by clause of cut (one may fail several)")
    assert lines[at + 1 : at + 5] == [
        "clause rows that fail it null fail it alone",
        "a >= 2 2 0 0",
        "NOT b 2 1 0",
        "t <> '[red]' 0 0 0",
    ]
    assert funnel(version.manifest)[0].clauses[1].unknown == 1
    said = f"rows by clause of cut: curate show bench@v1 --out {version.path.parent.parent}"
    ended = drawn(render, version).splitlines()
    assert said in ended
    assert not any(line.startswith("clause") for line in ended)
    from curate.report.page import write

    page = write(version).path.read_text()
    assert "Rows by clause of cut (one may fail several)" in page
    assert '<td>NOT b</td><td class="number">2</td><td class="number">1</td>' in page


def test_a_row_has_a_line_for_each_clause(bench):
    bench.write(pool([(1, None, "x"), (2, False, "y")]))
    version = bench.run(keep("a >= 2 AND NOT b AND t <> 'q'"))
    (id,) = version.ledger.filter(fate="dropped")["id"]
    lines = [" ".join(line.split()) for line in drawn(
        lambda facts, console: life(facts, "bench@v1", console), explain(version, id)
    ).splitlines()]  # fmt: skip
    at = lines.index("filter cut dropped condition")
    assert lines[at + 1 : at + 4] == [
        "false a >= 2 (a 1)",
        "null NOT b (b -)",
        "holds t <> 'q' (t x)",
    ]
