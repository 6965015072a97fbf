"""Deduplication in recipes: what is remembered, the ledger, references, contamination."""

import gzip
import json
import os
import random
from pathlib import Path

import polars as pl
import pytest

import curate

DATA = Path(os.environ.get("CURATE_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")
NAMES = ["Ann", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hal", "Ida", "Jon"]
THINGS = ["apples", "boats", "coins", "drums", "eggs", "flags", "gloves", "hats"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def write(path, rows):
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def question(n):
    rng = random.Random(n)
    one, two = rng.sample(NAMES, 2)
    thing = rng.choice(THINGS)
    return (
        f"{one} has {rng.randrange(2, 99)} {thing} in a bag and gives {rng.randrange(2, 99)} of "
        f"them to {two} on {rng.choice(['Monday', 'Friday', 'Sunday'])} before lunch. How many "
        f"{thing} does {one} have then, if {two} gives {rng.randrange(2, 99)} back in the evening?"
    )


def pool(count):
    """Questions, each followed by one with another day."""
    rows = []
    for n in range(count):
        text = question(n)
        rows.append({"instruction": text, "output": "A number."})
        if n % 5 == 0:
            rows.append({"instruction": text.replace("lunch", "dinner"), "output": "A number."})
    return rows


def recipe(*pipeline, path="pool.jsonl"):
    return {
        "name": "bench",
        "sources": {"pool": {"path": path, "origin": "synthetic"}},
        "pipeline": list(pipeline),
    }


def entry(version, id):
    return next(stage for stage in version.manifest["stages"] if stage["id"] == id)


def test_a_higher_threshold_needs_no_new_search(monkeypatch):
    write("pool.jsonl", pool(60))
    stage = {"filter": "dedup.minhash", "with": {"threshold": 0.7}}
    first = curate.run(recipe(stage))
    assert entry(first, "dedup_minhash")["fits"] == {"pairs": "computed"}
    assert "found before" not in first._repr_html_()
    monkeypatch.setattr("curate_dedup.minhash.MinHashFinder", None)  # no search can be made
    kept = [len(first.frame())]
    for change in (
        {"threshold": 0.95},
        {"threshold": 0.8, "linking": "star"},
        {"keep": 65},
        {"threshold": 0.75, "prefer": ["shortest"]},
    ):
        version = curate.run(recipe({"filter": "dedup.minhash", "with": change}))
        assert entry(version, "dedup_minhash")["fits"] == {"pairs": "memo"}
        assert "found before" in version._repr_html_()
        kept.append(len(version.frame()))
    assert kept[0] <= kept[2] < kept[1] == 72
    assert kept[3] <= 65
    with pytest.raises(TypeError):  # a lower one needs what is not there
        curate.run(recipe({"filter": "dedup.minhash", "with": {"threshold": 0.6, "search": 0.6}}))


def test_what_rows_outside_where_hold_is_searched_too():
    rows = [{"instruction": question(1), "output": "x", "lang": "en"}]
    rows += [{"instruction": question(1).replace("lunch", "noon"), "output": "x", "lang": "de"}]
    write("pool.jsonl", rows)
    stage = {"filter": "dedup.minhash", "where": "lang = 'de'"}
    version = curate.run(recipe(stage))
    ledger = version.ledger
    (dropped,) = ledger.filter(pl.col("fate") == "dropped").to_dicts()
    (stayed,) = ledger.filter(pl.col("fate") == "kept").to_dicts()
    assert (dropped["line"], dropped["ref"]) == (2, stayed["id"])
    scores = version.scores.filter(pl.col("id") == dropped["id"])
    assert 0.7 <= scores["dedup_minhash_value"][0] < 1


def test_references_by_text_name_their_lines_and_are_read_without_other_columns():
    write("pool.jsonl", pool(10))
    asked = ["Unrelated?", question(3).upper(), question(4).replace("lunch", "noon")]
    tests = [{"question": text, "answer": "7"} for text in asked]
    write("test.jsonl", tests[:2])
    write("more.jsonl", tests[2:])
    columns = {"instruction": "question", "output": "answer"}
    against = {name: {"path": f"{name}.jsonl", "columns": columns} for name in ("test", "more")}
    given = {"text": "instruction", "against": against}
    exact = {"filter": "dedup.exact", "with": {**given, "normalize": ["case"]}}
    near = {"filter": "dedup.minhash", "with": {**given, "prefer": ["origin:human", "longest"]}}
    version = curate.run(recipe(exact, near))
    dropped = version.ledger.filter(pl.col("reason") == "in_reference").sort("line")
    assert dropped.select("stage", "ref").rows() == [
        ("dedup_exact", "test#2"),
        ("dedup_minhash", "more#1"),
    ]
    facts = entry(version, "dedup_exact")["facts"]["against"]
    assert facts == {
        "test": {"contents": 2, "dropped": 1},
        "more": {"contents": 1, "dropped": 0},
    }
    facts = entry(version, "dedup_minhash")["facts"]["against"]
    assert facts == {"test": {"rows": 2, "dropped": 0}, "more": {"rows": 1, "dropped": 1}}
    again = curate.run(recipe(exact, near))
    assert again.manifest["digest"] == version.manifest["digest"]


def test_references_are_embedded_by_the_recipe_itself():
    rows = [{"instruction": question(n), "output": "A number."} for n in range(6)]
    write("pool.jsonl", [*rows, {"instruction": "Name a colour.", "output": "Red."}])
    write("test.jsonl", [{"instruction": question(2).replace("lunch", "noon"), "output": ""}])
    near = {
        "filter": "dedup.semantic",
        "with": {"threshold": 0.97, "against": {"test": "test.jsonl"}},
    }
    version = curate.run(recipe({"score": "embed.sentence", "with": {"text": "instruction"}}, near))
    dropped = version.ledger.filter(pl.col("reason") == "in_reference")
    assert (3, "test#1") in dropped.select("line", "ref").rows()
    stage = entry(version, "dedup_semantic")
    assert stage["facts"]["against"]["test"]["dropped"] == len(dropped)
    higher = {**near, "with": {**near["with"], "threshold": 0.99}}
    again = curate.run(recipe({"score": "embed.sentence", "with": {"text": "instruction"}}, higher))
    assert set(entry(again, "dedup_semantic")["fits"].values()) == {"memo"}


def test_other_columns_of_a_changed_reference_are_searched_anew():
    write("pool.jsonl", pool(4))
    write("test.jsonl", [{"instruction": question(1), "output": ""}])
    stage = {
        "filter": "dedup.minhash",
        "with": {"text": "instruction", "against": {"test": "test.jsonl"}},
    }
    assert curate.run(recipe(stage)).ledger["ref"].to_list().count("test#1") == 1
    write(
        "test.jsonl",
        [{"instruction": "New.", "output": ""}, {"instruction": question(1), "output": ""}],
    )
    version = curate.run(recipe(stage))
    assert version.ledger["ref"].to_list().count("test#2") == 1
    assert entry(version, "dedup_minhash")["fits"] == {
        "pairs": "memo",
        "against.test": "computed",
        "near": "computed",
    }


def reworded(text, rng):
    """Two words in the middle changed."""
    words = text.split(" ")
    for at in rng.sample(range(2, len(words) - 2), 2):
        words[at] = rng.choice(["small", "many", "green", "about"])
    return " ".join(words)


def test_planted_contamination_is_found_in_real_data():
    files = [DATA / "alpaca_cleaned.jsonl.gz", DATA / "gsm8k_train.jsonl.gz"]
    if not all(path.is_file() for path in files):
        pytest.skip(f"needs {files[0].name} and {files[1].name} in CURATE_TEST_DATA")
    rng = random.Random(5)
    pool, tests = (
        [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        for path in files
    )
    planted = {}
    for at, line in zip(
        rng.sample(range(len(pool)), 50), rng.sample(range(len(tests)), 50), strict=True
    ):
        text = tests[line]["question"]
        verbatim = len(planted) < 25
        pool[at] = {
            "instruction": text if verbatim else reworded(text, rng),
            "input": "",
            "output": "It is 7.",
        }
        planted[at + 1] = (line + 1, verbatim)
    write("pool.jsonl", pool)
    reference = {"path": str(files[1]), "columns": {"instruction": "question", "output": "answer"}}
    given = {"text": "instruction", "against": {"gsm8k": reference}}
    version = curate.run(
        recipe(
            {"filter": "dedup.exact", "with": given},
            {"filter": "dedup.minhash", "with": {**given, "threshold": 0.6, "search": 0.6}},
        )
    )
    found = version.ledger.filter(pl.col("reason") == "in_reference")
    refs = dict(found.select("line", "ref").rows())
    missed = {line: ref for line, (ref, _) in planted.items() if refs.get(line) != f"gsm8k#{ref}"}
    verbatim = [line for line, (_, same) in planted.items() if same]
    assert not set(verbatim) & set(missed)
    assert set(found.filter(pl.col("stage") == "dedup_exact")["line"]) == set(verbatim)
    assert len(missed) <= 2, f"not found, by line of the pool and of the reference: {missed}"
    others = sorted(set(refs) - set(planted))
    assert len(others) <= 5, f"dropped though not planted: {[pool[at - 1] for at in others]}"
