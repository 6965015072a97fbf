"""The life of a row agrees with the ledger and the scores, read by hand."""

import json
import re

import pytest

from curate.errors import UsageError
from curate.versions.find import find
from curate.versions.funnel import funnel, warnings
from curate.versions.lineage import Lineage
from curate.versions.wording import GONE, NEW, SAME

LENGTH = {"score": "core.length", "id": "length"}
COUNT = {"score": "toys.count", "id": "count"}
ALIKE = [
    {
        "instruction": "Name the capital of France, and say in one sentence what it is known for.",
        "input": "",
        "output": f"Paris. It is known for the tower{end}",
    }
    for end in (".", " of Gustave Eiffel.", " and its museums.")
]


def double(**params):
    return {"expand": "toys.double", "id": "double", "with": {"every": 2, **params}}


def text(row):
    return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in row["messages"])


def sides(parts):
    """The two texts that differences are made of."""
    return tuple("".join(p for kind, p in parts if kind in (SAME, side)) for side in (GONE, NEW))


def near(version, plain):
    return {id: line for id, line in plain.ledger(version).items() if line["stage"] == "near"}


def test_a_near_duplicate_is_explained_by_both_texts(bench, plain):
    bench.write([*ALIKE, {"instruction": "Add 2 and 2.", "input": "", "output": "4"}])
    version = bench.run(
        {"filter": "dedup.minhash", "id": "near", "with": {"threshold": 0.7, "text": "instruction"}}
    )
    fallen = near(version, plain)
    assert len(fallen) == 2
    for id, line in fallen.items():
        life = version.explain(id)
        assert {key: life[key] for key in line} == line
        (other,) = life["stands_for_it"]
        assert other["id"] == line["ref"]
        assert other["fate"] == "kept"
        assert other["messages"] == plain.kept(version)[line["ref"]]["messages"]
        assert sides(other["differences"]) == (text(life["row"]), text(other))
        (stage,) = life["stages"]
        assert (stage["outcome"], stage["reason"], stage["ref"]) == (
            "dropped",
            "near_duplicate",
            line["ref"],
        )
        scored = plain.scores(version)[id]
        assert stage["values"] == {n: scored[n] for n in ("near_value", "near_cluster")}
        assert stage["margins"][0]["cut"] == "similarity 0.7"
    survivor = version.explain(line["ref"])
    assert [each["id"] for each in survivor["duplicates"]] == list(fallen)
    for each in survivor["duplicates"]:
        assert sides(each["differences"]) == (text(survivor["row"]), text(each))


def test_a_ref_that_fell_later_is_followed(bench, plain):
    keys = [("x", "p", "short"), ("x", "q", "longer text"), ("y", "q", "the longest of the texts")]
    bench.write(
        [
            {"instruction": f"Say {at}.", "output": output, "one": one, "two": two}
            for at, (one, two, output) in enumerate(keys)
        ]
    )
    version = bench.run(
        *(
            {"filter": "dedup.exact", "id": key}
            | {"with": {"columns": [key], "prefer": ["longest"]}}
            for key in ("one", "two")
        )
    )
    ledger = plain.ledger(version)
    lengths = []
    for id, line in ledger.items():
        chain, ref = [], line["ref"]
        while ref:
            chain.append(ref)
            ref = ledger[ref]["ref"]
        assert [each["id"] for each in version.explain(id)["stands_for_it"]] == chain
        lengths.append(len(chain))
    assert max(lengths) == 2


def test_a_ref_into_a_reference_table_shows_its_line(bench, plain, monkeypatch):
    test = bench.write(
        [
            {"question": "What is 1?", "answer": "1"},
            {"question": ALIKE[0]["instruction"], "answer": "P"},
        ],
        bench.folder / "test.jsonl",
    )
    bench.write([*ALIKE[:1], {"instruction": "Add 2 and 2.", "input": "", "output": "4"}])
    against = {
        "exam": {"path": str(test), "columns": {"instruction": "question", "output": "answer"}}
    }
    version = bench.run(
        {
            "filter": "dedup.minhash",
            "id": "near",
            "with": {"text": "instruction", "against": against},
        }
    )
    ((id, line),) = near(version, plain).items()
    assert line["ref"] == "exam#2"
    (other,) = version.explain(id)["stands_for_it"]
    assert (other["reference"], other["file"], other["line"]) == ("exam", str(test), 2)
    assert other["messages"][0]["content"] == ALIKE[0]["instruction"]
    assert sides(other["differences"])[1] == text(other)
    test.write_text(test.read_text() + "\n")
    (other,) = version.explain(id)["stands_for_it"]
    assert (other["messages"], other["note"]) == (None, "the file has changed since")
    test.unlink()
    (other,) = version.explain(id)["stands_for_it"]
    assert other["note"] == "the file is not here"


def test_every_row_has_its_way_through_the_stages(bench, plain):
    version = bench.run(
        COUNT,
        {"filter": "toys.odd", "id": "odd", "with": {"share": 3}, "where": "count_number > 40"},
        {"filter": "core.top", "id": "top", "with": {"by": "count_number", "count": 7}},
        LENGTH,
    )
    order = ["count", "odd", "top", "length"]
    scores = plain.scores(version)
    for id, line in plain.ledger(version).items():
        stages = version.explain(id)["stages"]
        last = order.index(line["stage"]) if line["stage"] else len(order) - 1
        assert [stage["id"] for stage in stages] == order[: last + 1]
        outside = scores[id]["count_number"] <= 40
        said = [stage["outcome"] for stage in stages]
        expected = ["scored", "not asked" if outside else "stayed", "stayed", "scored"][: last + 1]
        if line["fate"] == "dropped":
            expected[-1] = "dropped"
        assert said == expected
        assert stages[0]["values"] == {
            name: scores[id][name] for name in ("count_number", "count_even")
        }


def test_a_score_without_a_value_was_not_asked(bench, plain):
    spread = {"score": "toys.spread", "id": "spread", "with": {"column": "count_number"}}
    version = bench.run({**COUNT, "where": "length(output) > 18"}, {**spread, "missing": "keep"})
    scores = plain.scores(version)
    said = set()
    for id, line in scores.items():
        stages = version.explain(id)["stages"]
        outcome = "not asked" if line["count_number"] is None else "scored"
        assert [stage["outcome"] for stage in stages] == [outcome] * 2
        said.add(outcome)
    assert len(said) == 2


@pytest.mark.parametrize("per", [None, "input"])
def test_the_cut_stands_between_the_rows_kept_and_dropped(bench, plain, per):
    bench.write(
        [
            {"instruction": f"Say {n}.", "input": "ab"[n % 2], "output": "x" * (n * n % 37)}
            for n in range(24)
        ]
    )
    top = {"by": "length_characters", "count": 4, **({"per": per} if per else {})}
    sample = {"filter": "core.sample", "id": "sample", "with": {"count": 3}}
    version = bench.run(
        LENGTH,
        {"filter": "core.top", "id": "top", "with": top, "where": "length_characters > 12"},
        sample,
    )
    ledger, scores = plain.ledger(version), plain.scores(version)
    rows = plain.kept(version)
    inputs = {id: "ab"[(line["line"] - 1) % 2] for id, line in ledger.items()}
    assert rows
    for id in ledger:
        (cut,) = [s.get("cut") for s in version.explain(id)["stages"] if s["id"] == "top"]
        length = scores[id]["length_characters"]
        if length <= 12:
            assert cut is None
            continue
        group = [
            other
            for other in ledger
            if scores[other]["length_characters"] > 12 and (not per or inputs[other] == inputs[id])
        ]
        values = {
            side: sorted(
                scores[each]["length_characters"]
                for each in group
                if (ledger[each]["stage"] == "top") == (side == "dropped")
            )
            for side in ("kept", "dropped")
        }
        assert len(values["kept"]) == 4
        assert cut == {
            "column": "length_characters",
            "value": length,
            "kept": [values["kept"][0], values["kept"][-1]],
            "dropped": [values["dropped"][0], values["dropped"][-1]],
            "rows": len(group),
            "unpublished": 0,
        }


def test_percentiles_count_equal_values_half(bench, plain):
    version = bench.run(LENGTH, COUNT)
    scores = plain.scores(version)
    for id in scores:
        stands = version.explain(id)["percentiles"]
        assert set(stands) == {"length_characters", "length_words", "count_number", "count_even"}
        for name, where in stands.items():
            values, own = [float(line[name]) for line in scores.values()], float(scores[id][name])
            below, equal = sum(v < own for v in values), sum(v == own for v in values)
            if name == "count_even":  # true is not more than false
                nothing = {"percentile": None, "below": None}
                assert where == nothing | {"equal": equal, "of": 20}
                continue
            assert (where["below"], where["equal"], where["of"]) == (below, equal, 20)
            assert where["percentile"] == pytest.approx(100 * (below + equal / 2) / 20)


def test_a_family_is_told_up_and_down(bench, plain):
    again = {"expand": "toys.double", "id": "again", "with": {"every": 1, "in_place": True}}
    version = bench.run(double(children=2, every=2), again)
    ledger = plain.ledger(version)
    makers = Lineage(version).makers(ledger)
    for id, line in ledger.items():
        life = version.explain(id)
        assert [each["id"] for each in life["ancestors"]] == line["parents"]
        children = [other for other, its in ledger.items() if id in its["parents"]]
        assert sorted(each["id"] for each in life["descendants"]) == sorted(children)
        for each in life["ancestors"]:
            assert [p["id"] for p in each["ancestors"]] == ledger[each["id"]]["parents"]
            assert sides(each["differences"]) == (text(each), text(life["row"]))
        for each in life["descendants"]:
            assert sides(each["differences"]) == (text(life["row"]), text(each))
        # `double` leaves its parents, `again` replaces every row: so only its rows are kept
        made = life["made_by"]
        assert made == makers[id]
        if line["fate"] == "kept":
            assert made == "again"
            assert [stage["id"] for stage in life["stages"]] == []
        else:
            assert made == ("double" if line["parents"] else None)
            first = [] if made else ["double"]
            assert [stage["id"] for stage in life["stages"]] == [*first, "again"]
            assert life["stages"][-1]["outcome"] == "replaced"
    grandparents = [
        each["ancestors"] for life in map(version.explain, ledger) for each in life["ancestors"]
    ]
    assert any(grandparents)


def test_rows_that_failed_or_cannot_be_read_say_so(bench, plain):
    bench.write([{"instruction": f"Say {n}.", "input": "", "output": f"{n}"} for n in range(6)])
    with bench.pool.open("a") as file:
        file.write("{broken\n")
    version = bench.run(
        double(every=1, in_place=True, fail_on="3") | {"on_failure": {"set_aside": 5}},
        source={"on_failure": {"set_aside": 1}},
    )
    failed = {id: line for id, line in plain.ledger(version).items() if line["fate"] == "failed"}
    assert len(failed) == 3
    said = {}
    for id, line in failed.items():
        life = version.explain(id)
        assert life["detail"] == line["detail"]
        kind = "child" if line["parents"] else ("parent" if life["row"] else "unreadable")
        said[kind] = life
    assert said["unreadable"]["unpublished"] == "it could not be read"
    assert said["unreadable"]["line"] == 7
    assert said["unreadable"]["stages"] == []
    assert said["child"]["unpublished"] == "it could not be made"
    assert said["child"]["made_by"] == "double"
    assert said["parent"]["unpublished"] is None
    assert said["parent"]["stages"][-1]["outcome"] == "failed"


def test_without_dropped_rows_it_says_that_the_text_is_not_published(bench, plain):
    version = bench.run(
        LENGTH,
        {"filter": "core.sample", "id": "sample", "with": {"count": 5}},
        output={"dropped": False},
    )
    gone = next(id for id, line in plain.ledger(version).items() if line["fate"] == "dropped")
    life = version.explain(gone)
    assert life["row"] is None
    assert "not published" in life["unpublished"]
    assert life["scores"] == plain.scores(version)[gone]
    assert [stage["outcome"] for stage in life["stages"]] == ["scored", "dropped"]
    found = find(version, "say the number", None)
    assert (len(found.ids), found.searched, found.unpublished) == (5, 5, 15)
    with pytest.raises(UsageError, match="no example") as raised:
        find(version, "zebra", None)
    assert "15 rows" in raised.value.remedy


def test_everything_told_is_json(bench):
    bench.write(ALIKE)
    version = bench.run(
        LENGTH, {"filter": "dedup.exact", "with": {"columns": ["instruction"]}}, double(every=1)
    )
    for id in version.ledger["id"]:
        life = version.explain(id)
        assert json.loads(json.dumps(life))["id"] == id


def test_rows_are_found_by_id_text_and_condition(bench, plain):
    bench.write(
        [
            {"instruction": f"Say {n}.", "input": "", "output": word, "line": n}
            for n, word in enumerate(["A zebra (of [the] plains)", "deadbeef", "ÄPFEL", "birds"])
        ]
    )
    version = bench.run(LENGTH, {"filter": "toys.odd", "id": "odd", "with": {"share": 2}})
    ledger, scores = plain.ledger(version), plain.scores(version)
    by_line = {line["line"]: id for id, line in ledger.items()}
    for id in ledger:
        for words in (id, id[:9], id[:6]):
            assert find(version, words, None).ids == (id,)
    found = find(version, "ZEBRA (of [the]", None)
    assert (found.how, found.ids) == ("text", (by_line[1],))
    assert find(version, "deadbeef", None).ids == (by_line[2],)  # hexadecimal, but no id
    assert find(version, "äpfel", None).ids == (by_line[3],)
    long = [id for id in ledger if scores[id]["length_characters"] > 14]
    assert list(find(version, None, "length_characters > 14").ids) == long
    dropped = [id for id, line in ledger.items() if line["fate"] == "dropped"]
    assert dropped
    assert list(find(version, None, "fate = 'dropped' AND stage = 'odd'").ids) == dropped
    # a column of the data goes before one of the ledger with its name
    assert find(version, None, "line = 0").ids == (by_line[1],)
    assert find(version, None, '"ledger.line" = 2').ids == (by_line[2],)
    assert find(version, None, "starts_with(\"@response\", 'bird')").ids == (by_line[4],)
    both = find(version, "Say", "output = 'birds'")
    assert both.ids == (by_line[4],)


@pytest.mark.parametrize(
    ("words", "where", "message"),
    [
        (None, None, "Nothing to look for"),
        ("nobody", None, "no example with the id or text 'nobody'"),
        (None, "fate = 'lost'", "for which fate = 'lost' holds"),
        (None, "fates = 'kept'", "no column 'fates'"),
        (None, "length_words > 'x'", "--where, at character"),
        (None, "fate = 'kept' OR", "--where, at character"),
        (None, "sum(length_words) > 3", "aggregate is not allowed"),
    ],
)
def test_what_cannot_be_found_is_an_error_that_says_so(bench, words, where, message):
    version = bench.run(LENGTH)
    with pytest.raises(UsageError) as raised:
        find(version, words, where)
    assert message in raised.value.message


def test_a_row_whose_maker_cannot_be_told_says_so(bench, plain):
    """Without dropped rows the text is missing that its id is tried with."""
    count = {"score": "toys.count", "id": "count"}
    stages = (
        double(every=1),
        count,
        {**double(every=1), "id": "again"},
        {"filter": "core.sample", "id": "sample", "with": {"count": 20}},
    )
    whole, brief = bench.run(*stages), bench.run(*stages, output={"dropped": False})
    ledger, fallen = plain.ledger(brief), 0
    sources = {id for id, line in ledger.items() if not line["parents"]}
    for id, line in ledger.items():
        life, known = brief.explain(id), whole.explain(id)
        assert life["made"] == known["made"] == (id not in sources)
        if line["fate"] == "kept" or id in sources:
            assert life["made_by"] == known["made_by"]
            continue
        fallen += 1
        assert life["made_by"] is None
        assert [stage["id"] for stage in life["stages"]] == ["sample"]
    assert fallen
    for id in sources:
        told = {s["id"]: s["outcome"] for s in brief.explain(id)["stages"]}
        true = {s["id"]: s["outcome"] for s in whole.explain(id)["stages"]}
        assert {s: o for s, o in told.items() if o != "unknown"}.items() <= true.items()


def test_a_flag_names_its_first_rows_and_the_condition_for_all(bench, plain):
    for rows in (20, 5):
        bench.write(
            [{"instruction": "x" * n, "input": "", "output": "y" * n} for n in range(1, rows + 1)]
        )
        version = bench.run(COUNT)
        even = sorted(id for id, line in plain.scores(version).items() if line["count_even"])
        (stage,) = version.manifest["stages"]
        assert stage["flagged"] == {"even": even[:3]}
        (said,) = warnings(version.manifest, " --out x")
        named = f"bench@{version.version} --out x"
        ids = ", ".join(id[:12] for id in even[:3])
        more = f" and more (curate explain {named} --where count_even)" if len(even) > 3 else ""
        word = "row" if len(even) == 1 else "rows"
        count = f"{len(even)} {word} (pool {len(even)}), {len(even)} kept"
        assert said == f"Stage count: even in {count}: {ids}{more}."
        assert sorted(find(version, None, "count_even").ids) == even


def test_a_flag_says_what_became_of_its_rows_and_alarms_only_where_some_are_left(bench):
    bench.write([{"instruction": "x" * n, "output": "y" * n} for n in range(1, 21)])
    flagged = {"filter": "core.where", "with": {"keep": "NOT count_even OR count_number > 60"}}
    some = bench.run(COUNT, flagged)
    fates = some.manifest["flags_by_fate"]["count"]["even"]
    left = some.frame().join(some.scores.filter("count_even"), on="id")
    (flags,) = some.manifest["stages"][0]["flags"].values()
    assert 0 < len(left) < flags
    assert fates == {"kept": len(left), "dropped": flags - len(left)}
    (said,) = warnings(some.manifest)
    assert f", {len(left)} kept" in said
    none = bench.run(COUNT, {"filter": "core.where", "with": {"keep": "NOT count_even"}})
    assert warnings(none.manifest) == []
    (count, _) = funnel(none.manifest)
    assert any(re.fullmatch(r"even in \d+ rows, none kept", note) for note in count.notes)
    rewritten = {"expand": "toys.double", "with": {"in_place": True, "every": 1}}
    merged = bench.run(COUNT, rewritten)
    (said,) = warnings(merged.manifest)
    assert re.search(r"even in (\d+) rows \(pool \1\), none kept and \1 merged", said)
