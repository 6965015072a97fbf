"""Every row of a version is followed back to the line it came from, and checked on the way."""

import gzip
import json
from collections import Counter

import polars as pl
import pytest

import curate

GPT = {"origin": "synthetic", "generator": "gpt-4", "license": "cc-by-nc-4.0"}
SAID = {
    "human": {"origin": "human", "license": "cc-by-4.0", "ability": "counting"},
    "gpt": GPT,
    "table": {},
    "parts": {"origin": "human", "license": "mit OR apache-2.0"},
}
"""What the recipe says of each source; of `table` every row says it."""

FACTS = ("origin", "generator", "license", "ability")


def question(word, n):
    # every third row has an input, and two rows of ten are the same
    return {
        "instruction": f"{word} the number {n if n % 10 != 9 else n - 1}.",
        "input": "Loud." if n % 3 == 0 and n % 10 != 9 else "",
        "output": f"{word}: {n if n % 10 != 9 else n - 1}",
    }


def lines(word, count):
    return [json.dumps(question(word, n)) for n in range(count)]


@pytest.fixture
def version(tmp_path):
    """Four sources of four kinds, expansions of three kinds, two fuses and a filter."""
    (tmp_path / "parts").mkdir()
    human = lines("Say", 30)
    human[7] = '{"instruction": "broken"'
    (tmp_path / "human.jsonl").write_text("\n".join(human) + "\n")
    with gzip.open(tmp_path / "gpt.jsonl.gz", "wt") as packed:
        packed.write("\n".join(lines("Write", 20)) + "\n")
    for part in ("a", "b"):
        text = "\n".join(lines(f"Sing {part}", 12)) + "\n"
        (tmp_path / "parts" / f"{part}.jsonl").write_text(text)
    rows = [question("Draw", n) for n in range(20)]
    for n, row in enumerate(rows):
        row["origin"] = ["human", "synthetic", "mixed", None][n % 4]
        row["generator"] = ["gpt-3.5", None][n % 2]
        row["license"] = ["mit", None, "cc-by-sa-4.0 AND mit"][n % 3]
        row["ability"] = ["drawing", None][n % 2]
    pl.DataFrame(rows).write_parquet(tmp_path / "table.parquet")
    sources = {
        "human": {"path": str(tmp_path / "human.jsonl"), "on_failure": {"set_aside": 1}},
        "gpt": {"path": str(tmp_path / "gpt.jsonl.gz")},
        "table": {"path": str(tmp_path / "table.parquet")},
        "parts": {"path": str(tmp_path / "parts" / "*.jsonl")},
    }
    recipe = {
        "name": "audit",
        "sources": {name: source | SAID[name] for name, source in sources.items()},
        "pipeline": [
            {
                "expand": "toys.double",
                "id": "rewritten",
                "as": "human_rows",
                "from": "human",
                "where": "length(input) = 0",
                "with": {"in_place": True, "every": 2, "generator": "gpt-4", "license": "openai"},
            },
            {
                "expand": "toys.double",
                "id": "evolved",
                "as": "gpt_rows",
                "from": "gpt",
                "with": {"every": 2, "children": 2, "generator": "llama"},
            },
            {
                "fuse": "toys.pick",
                "id": "picked",
                "as": "other_rows",
                "from": ["table", "parts"],
                "with": {"most": 15},
            },
            {"fuse": "core.concat", "id": "all", "from": ["human_rows", "gpt_rows", "other_rows"]},
            {"expand": "toys.pairs", "id": "pairs", "where": "length(output) % 2 = 0"},
            {
                "expand": "toys.pairs",
                "id": "merged",
                "where": "length(instruction) % 5 = 0",
                "with": {"in_place": True},
            },
            {"filter": "toys.odd", "id": "odd", "with": {"share": 5}},
            {"fuse": "toys.ration", "id": "ration", "with": {"origin": "synthetic", "most": 9}},
        ],
    }
    return curate.run(recipe, out=tmp_path / "curated")


def on_disk(folder):
    """(file, line) > the text of the line, or the row of the parquet file, as it lies on disk."""
    found = {}
    for file in (folder / "human.jsonl", *sorted((folder / "parts").iterdir())):
        for at, line in enumerate(file.read_bytes().splitlines(), start=1):
            found[str(file), at] = line
    with gzip.open(folder / "gpt.jsonl.gz") as packed:
        for at, line in enumerate(packed.read().splitlines(), start=1):
            found[str(folder / "gpt.jsonl.gz"), at] = line
    table = pl.read_parquet(folder / "table.parquet")
    for at, row in enumerate(table.iter_rows(named=True), start=1):
        found[str(folder / "table.parquet"), at] = json.dumps(row)
    return found


def facts_of_line(source, raw):
    """What the recipe says of a source's row, or else the row itself."""
    said = {name: SAID[source].get(name) or raw.get(name) for name in FACTS}
    return said | {"origin": said["origin"] or "unknown"}


def facts_of_child(source, parents):
    """What a child has by the rules, longhand for the three toys that make children."""
    origins = {parent["origin"] for parent in parents}
    if len(parents) == 1 and source == "human":  # a model's rewrite of what a human wrote
        return {
            "origin": "mixed",
            "generator": "gpt-4",
            "license": "cc-by-4.0 AND openai",
            "ability": "counting",
        }
    if len(parents) == 1:  # a model's variation of what a model wrote
        return GPT | {"generator": "llama", "ability": None}
    if len(origins) == 1:
        (origin,) = origins
    else:
        origin = "unknown" if "unknown" in origins else "mixed"
    generators = {g for p in parents if p["generator"] for g in p["generator"].split(", ")}
    abilities = {p["ability"] for p in parents}
    if len({p["license"] for p in parents}) == 1:
        license = parents[0]["license"]
    else:
        parts = set()
        for parent in parents:
            if parent["license"] == "mit OR apache-2.0":
                parts.add("(mit OR apache-2.0)")
            else:
                parts |= {*(parent["license"] or "unknown").split(" AND ")}
        license = " AND ".join(sorted(parts, key=lambda part: part.strip("()")))
    return {
        "origin": origin,
        "generator": ", ".join(sorted(generators)) or None,
        "license": license,
        "ability": abilities.pop() if len(abilities) == 1 else None,
    }


def test_every_row_is_followed_from_line_to_version(version, tmp_path):
    disk = on_disk(tmp_path)
    ledger = {row["id"]: row for row in version.ledger.iter_rows(named=True)}
    whole = {
        row["id"]: row
        for frame in (version.frame(), version.dropped)
        for row in frame.iter_rows(named=True)
    }
    assert len(ledger) == len(version.ledger)

    def texts(id):
        question, answer = (turn["content"] for turn in whole[id]["messages"])
        return question, answer

    sources = [row for row in ledger.values() if not row["parents"]]
    assert Counter((row["file"], row["line"]) for row in sources) == Counter(disk.keys())
    for row in sources:
        line = disk[row["file"], row["line"]]
        if row["fate"] == "failed":
            assert (row["stage"], row["reason"]) == (None, "unreadable")
            with pytest.raises(ValueError, match="delimiter"):
                json.loads(line)
            assert row["id"] not in whole
            continue
        raw, seen = json.loads(line), whole[row["id"]]
        assert [seen[key] for key in ("instruction", "input", "output")] == [
            raw[key] for key in ("instruction", "input", "output")
        ]
        asked = raw["instruction"] + ("\n" + raw["input"] if raw["input"] else "")
        assert texts(row["id"]) == (asked, raw["output"])
        assert seen["source"] == row["source"]
        assert {name: seen[name] for name in FACTS} == facts_of_line(row["source"], raw)
        assert seen["parents"] == []

    children = [row for row in ledger.values() if row["parents"]]
    for row in children:
        seen, parents = whole[row["id"]], [whole[id] for id in row["parents"]]
        assert seen["parents"] == row["parents"]
        first = ledger[row["parents"][0]]
        assert [row[key] for key in ("source", "file", "line")] == [
            first[key] for key in ("source", "file", "line")
        ]
        asked, answered = zip(*(texts(id) for id in row["parents"]), strict=True)
        if len(parents) == 1:
            assert texts(row["id"])[0] in {f"{asked[0]} (again {at})" for at in (0, 1)}
            assert texts(row["id"])[1] == answered[0]
        else:
            assert texts(row["id"]) == ("\n".join(asked), "\n".join(answered))
        assert {name: seen[name] for name in FACTS} == facts_of_child(row["source"], parents)

    def lines_of(id, below=()):
        assert id not in below, "no example stems from itself"
        if not ledger[id]["parents"]:
            return {(ledger[id]["file"], ledger[id]["line"])}
        return set().union(*(lines_of(each, (*below, id)) for each in ledger[id]["parents"]))

    assert all(lines_of(row["id"]) <= disk.keys() for row in ledger.values())
    check_fates(version, ledger, whole)


def check_fates(version, ledger, whole):
    """Kept rows are the version's; every other row says where and why it left."""
    kept = [row["id"] for row in ledger.values() if row["fate"] == "kept"]
    assert kept == version.frame()["id"].to_list()
    reasons = {"picked": {"full"}, "odd": {"odd"}, "ration": {"over"}}
    in_place = {"rewritten", "merged"}
    named = {parent for row in ledger.values() for parent in row["parents"]}
    for row in ledger.values():
        if row["fate"] == "dropped":
            assert row["reason"] in reasons[row["stage"]]
            assert row["id"] in whole
        if row["fate"] == "merged":
            assert row["stage"] in in_place
            assert row["id"] in named
            assert row["id"] in whole
    for stage in version.manifest["stages"]:
        there = Counter(r["fate"] for r in ledger.values() if r["stage"] == stage["id"])
        assert {fate: stage[fate] for fate in ("dropped", "merged") if stage[fate]} == there
    # nothing above holds for want of rows: every way of coming and leaving was taken
    assert Counter(row["fate"] for row in ledger.values()).keys() == {
        *("kept", "dropped", "merged", "failed")
    }
    assert {row["stage"] for row in ledger.values()} == {None, *reasons, *in_place}
    data = version.frame()
    grown = data.filter(pl.col("parents").list.len() > 0)
    assert {1, 2} == {*grown["parents"].list.len()}
    assert {"human", "synthetic", "mixed", "unknown"} == {*data["origin"]}
    assert any(ledger[parent]["parents"] for parents in grown["parents"] for parent in parents), (
        "children of children"
    )


def test_the_licence_of_a_version_is_that_of_its_rows(version):
    counts = Counter(license or "unknown" for license in version.frame()["license"])
    assert version.manifest["licenses"] == counts
    assert {"cc-by-4.0", "cc-by-nc-4.0", "cc-by-4.0 AND openai"} <= counts.keys()
    card = (version.path / "README.md").read_text()
    for license, rows in counts.items():
        assert f"| {license} | {rows} |" in card
    assert "- Those of created rows follow from what their stage and their parents say." in card
    assert "license: other\nlicense_name: several-licenses\n" in card
