"""Diffs agree with the ledgers, read by hand."""

import io
import json
from collections import Counter

import polars as pl
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from curate.errors import UsageError
from curate.report.differing import differing
from curate.versions.diff import Diff
from curate.versions.open import open_pair, open_version
from curate.versions.rows import messages_of

LENGTH = {"score": "core.length", "id": "length"}
ODD = {"filter": "toys.odd", "id": "odd", "with": {"share": 3}}
SAMPLE = {"filter": "core.sample", "id": "sample", "with": {"count": 8}}
COUNT = {"score": "toys.count", "id": "count"}


def by_id(diff, change):
    return {row["id"]: row for row in diff.rows.filter(change=change).to_dicts()}


def rows(count, start=0):
    return [
        {"instruction": f"Say the number {n}.", "input": "", "output": f"It is {n}."}
        for n in range(start, start + count)
    ]


def counted(diff):
    return {(c.change, c.stage, c.reason): c.rows for c in diff.reasons}


def check_counts(diff, plain):
    """The counts balance and agree with the tables."""
    before, after = plain.kept(diff.one), plain.kept(diff.two)
    counts = diff.counts
    assert (counts.before, counts.after) == (len(before), len(after))
    assert counts.before == counts.same + counts.changed_before + counts.removed
    assert counts.after == counts.same + counts.changed_after + counts.added
    same = [id for id, row in before.items() if after.get(id) == row]
    assert counts.same == len(same)
    assert set(by_id(diff, "removed")) <= set(before) - set(after)
    assert set(by_id(diff, "added")) <= set(after) - set(before)


def test_removed_and_added_rows_have_the_stage_and_reason_of_the_ledger(bench, plain):
    one = bench.run(ODD, SAMPLE)
    two = bench.run({**ODD, "with": {"share": 4}}, {**SAMPLE, "with": {"count": 6}}, seed=5)
    diff = Diff(one, two)
    check_counts(diff, plain)
    for change, here, there in (("removed", one, two), ("added", two, one)):
        kept, ledger, places = plain.kept(here), plain.ledger(there), plain.ledger(here)
        gone = {id for id in kept if ledger[id]["fate"] != "kept"}
        found = by_id(diff, change)
        assert set(found) == gone
        assert gone, "the recipes were chosen so that there are such rows"
        for id, row in found.items():
            assert (row["stage"], row["reason"]) == (ledger[id]["stage"], ledger[id]["reason"])
            assert (row["file"], row["line"]) == (places[id]["file"], places[id]["line"])
        expected = Counter(("removed", ledger[id]["stage"], ledger[id]["reason"]) for id in gone)
        if change == "removed":
            assert {k: n for k, n in counted(diff).items() if k[0] == change} == dict(expected)


def test_rows_that_come_and_go_with_the_sources(bench, plain):
    pool = [{"instruction": f"Say {n}.", "input": "", "output": f"{n}"} for n in range(10)]
    bench.write(pool)
    one = bench.run(LENGTH)
    bench.write([*pool[2:], *({**row, "output": "new"} for row in pool[:5])])
    diff = Diff(one, bench.run(LENGTH))
    check_counts(diff, plain)
    assert counted(diff) == {
        ("removed", None, "not_in_sources"): 2,
        ("added", None, "new_in_sources"): 5,
    }
    assert [row["line"] for row in by_id(diff, "removed").values()] == [1, 2]
    (change,) = [c for c in diff.changes if c.what == "input"]
    assert change.name == f"pool: {bench.pool}"
    assert change.before != change.after


def test_a_row_with_other_values_is_changed_and_the_columns_are_named(bench, plain, tmp_path):
    one = bench.run(LENGTH, source={"license": "mit"})
    two = bench.run(LENGTH, source={"license": "cc0-1.0", "generator": "gpt-4"})
    diff = Diff(one, two)
    check_counts(diff, plain)
    assert counted(diff) == {("changed", None, "values"): 20}
    assert {tuple(row["columns"]) for row in by_id(diff, "changed").values()} == {
        ("generator", "license")
    }
    rows = diff.full_rows()
    before, after = (json.loads(rows[f"values_{side}"][3]) for side in ("before", "after"))
    assert before == {"generator": None, "license": "mit"}
    assert after == {"generator": "gpt-4", "license": "cc0-1.0"}
    named = {c.name: (c.before, c.after) for c in diff.changes}
    assert named["sources.pool.license"] == ("mit", "cc0-1.0")
    assert named["sources.pool.generator"] == (None, "gpt-4")
    shares = {(s.column, s.value): (s.before, s.after) for s in diff.shares}
    assert shares["license", "mit"] == (20, 0)
    assert shares["generator", None] == (20, 0)
    assert shares["generator", "gpt-4"] == (0, 20)


def double(**params):
    return {"expand": "toys.double", "id": "double", "with": {"every": 2, **params}}


def test_a_row_that_was_rewritten_in_place_is_changed_not_removed(bench, plain):
    one, two = bench.run(LENGTH), bench.run(double(in_place=True))
    ledger = plain.ledger(two)
    merged = {id for id, line in ledger.items() if line["fate"] == "merged"}
    assert merged
    for diff, reason in ((Diff(one, two), "replaced"), (Diff(two, one), "not_replaced")):
        check_counts(diff, plain)
        assert counted(diff) == {("changed", "double", reason): len(merged)}
    children = {line["parents"][0]: id for id, line in ledger.items() if line["parents"]}
    forth = by_id(Diff(one, two), "changed")
    assert {id: row["other"] for id, row in forth.items()} == children
    back = by_id(Diff(two, one), "changed")
    assert {row["other"]: id for id, row in back.items()} == children
    rows = Diff(one, two).full_rows()
    texts = messages_of(one, rows["id"]), messages_of(two, rows["other"])
    for row in rows.to_dicts():
        assert row["before"] == texts[0][row["id"]]
        assert row["after"] == texts[1][row["other"]]
        assert row["after"][0]["content"].endswith("(again 0)")


def test_rows_that_both_versions_rewrote_stand_side_by_side(bench, plain):
    one, two = bench.run(double(in_place=True)), bench.run(double(in_place=True, children=3))
    other = bench.run({**double(in_place=True), "id": "again"})
    merged = sum(line["fate"] == "merged" for line in plain.ledger(one).values())
    diff = Diff(one, two)
    check_counts(diff, plain)
    # the first child is made in both; the others stand beside it
    assert counted(diff) == {("added", "double", "newly_made"): 2 * merged}
    diff = Diff(one, other)
    check_counts(diff, plain)
    assert counted(diff) == {("changed", "again", "replaced_otherwise"): merged}
    diff = Diff(bench.run(LENGTH), two)
    check_counts(diff, plain)
    assert diff.counts.changed_before == merged
    assert diff.counts.changed_after == 3 * merged


def test_a_chain_of_rewriting_leads_back_to_the_row(bench, plain):
    again = {**double(in_place=True, every=1), "id": "again"}
    one, two, three = (
        bench.run(LENGTH),
        bench.run(double(in_place=True, every=1)),
        bench.run(double(in_place=True, every=1), again),
    )
    for pair, stage, reason in (
        ((one, two), "double", "replaced"),
        ((two, three), "again", "replaced"),
        ((one, three), "double", "replaced"),
        ((three, two), "again", "not_replaced"),
    ):
        diff = Diff(*pair)
        check_counts(diff, plain)
        assert counted(diff) == {("changed", stage, reason): 20}


def test_children_beside_their_parents_are_added_and_removed(bench, plain):
    one, two = bench.run(LENGTH), bench.run(double(children=2))
    made = [id for id, line in plain.ledger(two).items() if line["parents"]]
    diff = Diff(one, two)
    check_counts(diff, plain)
    assert counted(diff) == {("added", "double", "newly_made"): len(made)}
    diff = Diff(two, one)
    assert counted(diff) == {("removed", "double", "not_made"): len(made)}
    # where the parent falls before, the child is not made, and the reason is the parent's
    none = {
        "filter": "core.where",
        "id": "few",
        "with": {"keep": "instruction = 'Say the number 1.'"},
    }
    three = bench.run(none, double(children=2, every=1))
    diff = Diff(two, three)
    check_counts(diff, plain)
    removed = by_id(diff, "removed")
    orphans = {id: row for id, row in removed.items() if id in made}
    assert orphans
    for id, row in orphans.items():
        parent = plain.ledger(two)[id]["parents"][0]
        assert (row["stage"], row["reason"]) == ("few", "condition")
        assert row["detail"] == f"its parent {parent}"


def test_a_row_whose_replacement_fell_has_the_reason_of_that(bench, plain):
    short = {
        "filter": "core.where",
        "id": "once",
        "with": {"keep": "NOT contains(instruction, 'again')"},
    }
    one, two = bench.run(LENGTH), bench.run(double(in_place=True), short)
    diff = Diff(one, two)
    check_counts(diff, plain)
    merged = {id for id, line in plain.ledger(two).items() if line["fate"] == "merged"}
    assert counted(diff) == {("removed", "once", "condition"): len(merged)}
    child = {line["parents"][0]: id for id, line in plain.ledger(two).items() if line["parents"]}
    for id, row in by_id(diff, "removed").items():
        assert row["detail"] == f"as {child[id]}"


def test_pairs_that_became_one_are_changed_two_to_one(bench, plain):
    one = bench.run(LENGTH)
    two = bench.run({"expand": "toys.pairs", "id": "pairs", "with": {"in_place": True}})
    diff = Diff(one, two)
    check_counts(diff, plain)
    assert (diff.counts.changed_before, diff.counts.changed_after) == (20, 10)
    assert counted(diff) == {("changed", "pairs", "replaced"): 20}


def test_score_shifts_are_those_of_longhand(bench, plain):
    one = bench.run(COUNT, LENGTH, SAMPLE)
    two = bench.run({**COUNT, "with": {"salt": "x"}}, SAMPLE, seed=3)
    shifts, alone, new = Diff(one, two).scores
    assert (alone, new) == (["length_characters", "length_words"], [])
    by_name = {shift.column: shift for shift in shifts}
    assert set(by_name) == {"count_number", "count_even"}
    shift = by_name["count_number"]
    first, second = plain.scores(one), plain.scores(two)
    pairs = [(first[id]["count_number"], second[id]["count_number"]) for id in first]
    assert shift.both == len(pairs) == 20
    assert shift.moved == sum(a != b for a, b in pairs)
    assert shift.largest == max(abs(a - b) for a, b in pairs)
    values = sorted(first[id]["count_number"] for id in plain.kept(one))
    assert shift.kept_before.rows == len(values) == 8
    assert shift.kept_before.mean == pytest.approx(sum(values) / 8, rel=1e-12)
    assert shift.kept_before.median == (values[3] + values[4]) / 2

    def ranks(numbers):
        order = sorted(numbers)
        return [order.index(x) + (order.count(x) - 1) / 2 for x in numbers]

    x, y = (ranks([pair[at] for pair in pairs]) for at in (0, 1))
    mean = sum(x) / 20
    covariance = sum((a - mean) * (b - mean) for a, b in zip(x, y, strict=True))
    spread = [sum((a - mean) ** 2 for a in each) for each in (x, y)]
    expected = covariance / (spread[0] * spread[1]) ** 0.5
    assert shift.rank_correlation == pytest.approx(expected, abs=1e-12)


def test_a_move_within_the_tolerance_does_not_count(bench):
    spread = {"score": "toys.spread", "id": "spread", "with": {"column": "count_number"}}
    one = bench.run(COUNT, spread)
    (shift,) = [s for s in Diff(one, one).scores[0] if s.column == "spread_distance"]
    assert (shift.moved, shift.tolerance) == (0, 1e-9)
    frame = pl.read_parquet(one.path / "scores.parquet")
    for step, moved in ((0.5e-9, 0), (2e-9, 20)):
        copied = bench.folder / f"copy{moved}"
        copied.mkdir()
        for file in ("manifest.json", "ledger.parquet"):
            (copied / file).write_bytes((one.path / file).read_bytes())
        frame.with_columns(pl.col("spread_distance") + step).write_parquet(
            copied / "scores.parquet"
        )
        (shift,) = [
            s for s in Diff(one, open_version(copied)).scores[0] if s.column == "spread_distance"
        ]
        assert shift.moved == moved


def test_scores_that_are_texts_are_counted_where_they_are_others(bench, plain):
    def labelled(number):
        rules = [{"where": f"instruction LIKE '%{number}%'", "ability": "mine"}]
        return {"score": "sources.ability", "id": "topic", "with": {"rules": rules}}

    one, two = bench.run(labelled(1)), bench.run(labelled(2))
    shifts = {shift.column: shift for shift in Diff(one, two).scores[0]}
    first, second = plain.scores(one), plain.scores(two)
    moved = sum(first[id]["topic_ability"] != second[id]["topic_ability"] for id in first)
    assert moved == 11  # 1, 2, 10, 11, 13 to 19
    shift = shifts["topic_ability"]
    assert (shift.both, shift.moved) == (20, moved)
    assert (shift.before.mean, shift.largest, shift.rank_correlation) == (None, None, None)


def test_parameters_are_compared_as_set_addresses_them(bench):
    one = bench.run(LENGTH, ODD, SAMPLE, COUNT)
    more = {"score": "toys.count", "id": "more"}
    two = bench.run(COUNT, LENGTH, {**ODD, "with": {"share": 4}, "where": "length_words > 2"}, more)
    found = {c.name: (c.before, c.after) for c in Diff(one, two).changes if c.what == "recipe"}
    assert found["odd.with.share"] == (3, 4)
    assert found["odd.where"] == (None, "length_words > 2")
    assert found["sample"] == ({"filter": "core.sample", "with": {"count": 8}}, None)
    assert found["more"] == (None, {"score": "toys.count"})
    assert found["order of stages"] == (["length", "odd", "count"], ["count", "length", "odd"])
    assert len(found) == 5
    stages = {s.id: s for s in Diff(one, two).stages}
    assert stages["sample"].after is None
    assert stages["more"].before is None
    books = stages["odd"].before
    assert books["in"] == 20 == books["out"] + books["dropped"]


def test_what_only_the_environment_says_otherwise_is_named(bench, monkeypatch):
    score = {"score": "core.length", "with": {"text": "response"}}
    keep = {"filter": "core.where", "with": {"keep": "core_length_words > ${LEAST}"}}
    versions = []
    for least in ("1", "2", "1"):
        monkeypatch.setenv("LEAST", least)
        versions.append(bench.run(score, keep))
    (change,) = Diff(*versions[:2]).changes
    assert change.what == "environment"
    assert change.name.startswith("core_where:")
    assert change.before != change.after
    assert "LEAST" not in str(change)


def test_equal_versions_differ_in_nothing(bench):
    one = bench.run(LENGTH, ODD)
    facts = Diff(one, one).facts()
    assert facts["counts"]["same"] == facts["counts"]["before"] == facts["counts"]["after"]
    assert facts["reasons"] == []
    assert facts["changes"] == []
    assert all(score["moved"] == 0 for score in facts["scores"])


def test_columns_of_one_version_alone_are_named_and_not_compared(bench):
    pool = [{"instruction": f"Say {n}.", "output": f"{n}"} for n in range(6)]
    bench.write(pool)
    one = bench.run(LENGTH)
    bench.write([{**row, "mark": 1} for row in pool[:1]] + pool[1:])
    diff = Diff(one, bench.run(LENGTH))
    assert diff.columns == {"before": [], "after": ["mark"], "types": []}
    assert diff.counts.same == 5  # the row with a mark is another row


def test_one_version_is_compared_with_the_latest_and_that_with_the_one_before(bench):
    for count in (3, 4, 5):
        bench.run({**SAMPLE, "with": {"count": count}})
    names = [
        tuple(v.version for v in open_pair(one, two, bench.out))
        for one, two in (
            ("bench@v1", None),
            ("bench", None),
            ("bench@v3", None),
            ("bench@v3", "bench@v2"),
            (str(bench.out / "bench" / "v2"), None),
        )
    ]
    assert names == [("v1", "v3"), ("v2", "v3"), ("v2", "v3"), ("v3", "v2"), ("v2", "v3")]
    bench.run(SAMPLE, name="other")
    with pytest.raises(UsageError, match="only version"):
        open_pair("other", None, bench.out)
    diff = Diff(*open_pair("bench@v1", "other", bench.out))
    assert diff.counts.before == 3


def test_every_pair_of_versions_balances(bench, plain):
    versions = [
        bench.run(*pipeline, seed=seed)
        for seed, pipeline in enumerate(
            [
                (LENGTH,),
                (double(in_place=True), SAMPLE),
                (double(children=2), ODD),
                (double(in_place=True, children=2), {**double(in_place=True), "id": "again"}),
                (double(), {"expand": "toys.pairs", "id": "pairs", "with": {"in_place": True}}),
                (double(), {**double(in_place=True), "id": "again"}, ODD),
            ]
        )
    ]
    for one in versions:
        for two in versions:
            check_counts(Diff(one, two), plain)


def test_a_row_whose_kept_replacement_stood_beside_it_is_told_with_it(bench, plain):
    """In one version the child stands beside its parent, in the other in its place."""
    one, two = bench.run(double()), bench.run(double(in_place=True))
    ledger = plain.ledger(two)
    children = {p: id for id, line in ledger.items() for p in line["parents"]}
    assert children
    for diff, change in ((Diff(one, two), "removed"), (Diff(two, one), "added")):
        check_counts(diff, plain)
        found = by_id(diff, change)
        assert set(found) == set(children)
        for id, row in found.items():
            assert (row["stage"], row["reason"]) == ("double", "replaced")
            assert row["detail"] == f"{children[id]} in its place: kept in both"


def test_how_policies_were_met_is_compared(bench):
    other = bench.write(rows(10, 50), bench.folder / "gpt.jsonl")
    sources = {
        "human": {"path": str(bench.pool), "origin": "human"},
        "gpt": {"path": str(other), "origin": "synthetic"},
    }

    def mixed(**params):
        stage = {"fuse": "toys.ration", "id": "mix", "with": params, "from": ["human", "gpt"]}
        return bench.run(stage, sources=sources)

    one, two = (
        mixed(origin="synthetic", most=6, least=6),
        mixed(origin="synthetic", most=8, least=6),
    )
    (clause,) = Diff(one, two).facts()["policies"]
    assert (clause["stage"], clause["name"]) == ("mix", "shares.origin.synthetic")
    assert (clause["before"]["rows"], clause["before"]["state"]) == (6, "binding")
    assert (clause["after"]["rows"], clause["after"]["state"]) == (8, "slack")
    plain = bench.run(LENGTH)
    (gone,) = Diff(one, plain).facts()["policies"]
    assert gone["after"] is None
    shown = Console(width=160, file=io.StringIO())
    differing(Diff(one, two).facts(), shown)
    said = " ".join(shown.file.getvalue().split())
    assert ">= 6 rows: 6 of 26, binding >= 6 rows: 8 of 28, slack" in said


def split_of(version):
    """Id > split, from the names of the files."""
    return {
        row["id"]: file.name.rsplit("-", 3)[0]
        for file in (version.path / "data").iterdir()
        for row in pq.read_table(file).to_pylist()
    }


def divided(train, *others, **more):
    rest = round(1 - train, 2)
    names = others or ("validation",)
    return {"splits": {"train": train} | {name: rest / len(names) for name in names}} | more


def test_rows_that_moved_to_another_split_are_counted_and_listed(bench, plain):
    one = bench.run(LENGTH, ODD, output=divided(0.8))
    licensed = {"license": "mit"}  # other values of every row
    two = bench.run(LENGTH, output=divided(0.4, "validation", "test"), seed=0)
    three = bench.run(LENGTH, output=divided(0.4), source=licensed)
    undivided = bench.run(LENGTH)
    for before, after in ((one, two), (two, one), (one, three), (undivided, two), (two, undivided)):
        diff = Diff(before, after)
        check_counts(diff, plain)
        sides = split_of(before), split_of(after)
        both = [id for id in sides[0] if id in sides[1]]
        moved = Counter((sides[0][id], sides[1][id]) for id in both if sides[0][id] != sides[1][id])
        assert moved, "the recipes were chosen so that there are such rows"
        assert {(m.before, m.after): m.rows for m in diff.moves} == dict(moved)
        counts = [Counter(side.values()) for side in sides]
        for shift in diff.splits:
            for rows, count in ((shift.before, counts[0]), (shift.after, counts[1])):
                assert (rows or 0) == count[shift.split]
        full = {row["id"]: row for row in diff.full_rows().to_dicts()}
        alone = {id for id, row in full.items() if row["change"] == "moved"}
        edited = {id for id, row in full.items() if row["change"] == "changed"}
        assert alone | edited >= {id for id in both if sides[0][id] != sides[1][id]}
        for id, row in full.items():
            assert (row["split_before"], row["split_after"]) == tuple(s.get(id) for s in sides)
        for id in alone:
            assert (full[id]["stage"], full[id]["reason"]) == ("output", "other_split")
            assert full[id]["before"] == full[id]["after"] is not None
        assert all(count.change != "moved" for count in diff.reasons)
    assert by_id(Diff(one, three), "moved") == {}
    assert Diff(undivided, bench.run(ODD)).moves == []


def test_the_screen_names_splits_and_what_was_asked(bench):
    one = bench.run(LENGTH, output=divided(0.8))
    two = bench.run(LENGTH, output=divided(0.4, keep_together=["source"]))
    facts = Diff(one, two).facts()
    asked = {c["name"]: (c["before"], c["after"]) for c in facts["changes"]}
    assert asked["output.splits.train"] == (0.8, 0.4)
    assert asked["output.keep_together"] == (None, ["source"])
    rows = {name: (one.splits[name], two.splits[name]) for name in one.splits}
    assert sorted(after for _, after in rows.values()) == [0, 20]  # all are of one source
    said = screen(facts)
    for name, (before, after) in rows.items():
        points = f"{5 * after - 5 * before:+.1f} points"
        assert f"{name} {before} {5 * before:.1f} {after} {5 * after:.1f} {points}" in said
    (move,) = facts["moves"]
    assert f"{move['before']} {move['after']} {move['rows']}" in said
    assert not {"splits", "rows of both versions, in another split"} & set(
        screen(Diff(one, one).facts())
    )


def screen(facts):
    shown = Console(width=160, file=io.StringIO())
    differing(facts, shown)
    return [" ".join(line.split()) for line in shown.file.getvalue().splitlines()]


def test_shares_that_the_environment_says_otherwise_are_named(bench, monkeypatch):
    versions = []
    for train in ("0.5", "0.9"):
        monkeypatch.setenv("SEEN", train)
        monkeypatch.setenv("HELD", f"{1 - float(train):.1f}")
        splits = {"train": "${SEEN}", "validation": "${HELD}"}
        versions.append(bench.run(LENGTH, output={"splits": splits}))
    (change,) = Diff(*versions).changes
    assert change.what == "environment"
    assert change.name.startswith("output:")
