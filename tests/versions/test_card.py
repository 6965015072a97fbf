import hashlib
import json
import re
from dataclasses import replace

import polars as pl
import pytest
import yaml

from curate.printing import fenced, markdown, one_line
from curate.versions.card import render

HOSTILE = (
    "a | b\n---\n# `x` <script>alert(1)</script> ```\x1b[31m\u202e ![i](http://x) *b* {{y}}: [z]"
)


def card(outcome, **changes):
    manifest = {
        "name": "toy",
        "version": "v2",
        "digest": "cd" * 32,
        "parent": "v1",
        **outcome.manifest,
        **changes,
    }
    text = render(manifest, outcome.data, values={"train": 10}, stored=5)
    head, body = re.fullmatch(r"---\n(.*?)\n---\n(.*)", text, re.DOTALL).groups()
    return yaml.safe_load(head), body


def test_the_metadata_is_what_the_hub_reads(make_outcome):
    outcome = make_outcome()
    head, body = card(outcome)
    label = {"name": "toy", "version": "v2", "digest": "cd" * 32, "parent": "v1"}
    manifest = json.dumps(
        label | outcome.manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    facts = hashlib.sha256(manifest.encode()).hexdigest()
    assert head == {
        "pretty_name": "toy",
        "license": "cc-by-4.0",
        "task_categories": ["text-generation"],
        "size_categories": ["n<1K"],
        "tags": ["curate"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "data/train-*.parquet"}],
            }
        ],
        "dataset_info": {
            "description": f"curate v2, digest sha256:{'cd' * 32}, manifest sha256:{facts}",
            "splits": [{"name": "train", "num_bytes": 10, "num_examples": 3}],
            "download_size": 5,
            "dataset_size": 10,
        },
    }
    assert "**3 examples kept** of 4 source rows (1 dropped, 0 failed, 0 merged)" in body
    assert "| short | filter core.where | 4 | 3 | 1 condition |" in body


@pytest.mark.parametrize(("origin", "tagged"), [("synthetic", True), ("mixed", True)])
def test_synthetic_rows_are_tagged(make_outcome, origin, tagged):
    assert ("synthetic" in card(make_outcome(origin=origin))[0]["tags"]) == tagged


def test_a_licence_is_only_claimed_where_all_rows_share_it(make_outcome):
    assert card(make_outcome(license=None))[0]["license"] == "unknown"
    assert not card(make_outcome())[0].keys() & {"license_name", "license_details"}
    outcome = make_outcome()
    mixed = outcome.data.with_columns(license=outcome.data["license"].scatter([1], ["mit"]))
    for data in (mixed, mixed.with_columns(license=mixed["license"].scatter([1], [None]))):
        text = render(
            {"name": "t", "version": "v1", "digest": "", "parent": None, **outcome.manifest},
            data,
            values={"train": 1},
            stored=1,
        )
        head = yaml.safe_load(text.split("---\n")[1])
        other = data["license"][1] or "unknown"
        assert head["license"] == "other"
        assert head["license_name"] == "several-licenses"
        assert head["license_details"] == f"cc-by-4.0 (2 rows), {other} (1 rows)"
        assert "license_link" not in head
        assert "| cc-by-4.0 | 2 |" in text
        assert f"| {other} | 1 |" in text
    head, body = card(make_outcome(license="My own licence: ask me"))
    assert head["license"] == "other"
    assert head["license_name"] == "my-own-licence-ask-me"
    assert head["license_details"] == "My own licence: ask me (3 rows)"
    assert "| My own licence: ask me | 3 |" in body


def test_the_metadata_name_the_most_frequent_of_many_licences(make_outcome):
    outcome = make_outcome([str(n) for n in range(30)])
    names = ["a", *(f"own {n:02}" for n in range(1, 30))]
    data = outcome.data.with_columns(license=pl.Series(names))
    manifest = {"name": "t", "version": "v1", "digest": "", "parent": None, **outcome.manifest}
    text = render(manifest, data, values={"train": 1}, stored=1)
    details = yaml.safe_load(text.split("---\n")[1])["license_details"]
    assert details.startswith("a (1 rows), own 01 (1 rows), ")
    assert details.endswith("own 19 (1 rows), and 10 others")
    assert "| own 29 | 1 |" in text


def test_what_data_and_recipes_say_stays_text(make_outcome):
    outcome = make_outcome([HOSTILE], license=HOSTILE, origin="human")
    sources = {HOSTILE: outcome.manifest["sources"]["mine"] | {"license": HOSTILE}}
    head, body = card(outcome, sources=sources)
    assert head["license"] == "other"
    assert re.fullmatch(r"[a-z0-9.-]+", head["license_name"])
    assert "\x1b" not in head["license_details"]
    assert "\x1b" not in body
    assert "\u202e" not in body
    outside = re.sub(r"^(`{3,})[a-z]*\n.*?^\1$", "", body, flags=re.DOTALL | re.MULTILINE)
    assert "```" not in outside
    assert not re.search(r"(?<!\\)<script", outside)
    assert not re.search(r"^# `x`", outside, re.MULTILINE)
    for table in re.findall(r"(?:^\|.*\n)+", outside, re.MULTILINE):
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(columns) == 1, table


def test_the_example_is_json_and_says_what_was_cut(make_outcome):
    _, body = card(make_outcome(["x" * 1000]))
    example = json.loads(re.search(r"```json\n(.*?)\n```", body, re.DOTALL)[1])
    assert example["messages"][1]["content"] == "x" * 600 + "… (400 more characters)"


def test_who_wrote_the_rows_and_from_which_they_were_made(make_outcome):
    outcome = make_outcome(["one", "two", "three"], origin="human")
    _, body = card(outcome)
    assert "Who wrote" not in body
    first, second, third = outcome.data["id"]
    parents = pl.Series("parents", [[], [first], [first, second]], dtype=pl.List(pl.String))
    data = outcome.data.with_columns(
        parents,
        origin=pl.Series(["human", "mixed", "mixed"]),
        generator=pl.Series([None, "m", "m"]),
    )
    _, body = card(replace(outcome, data=data))
    section = body.split("## Who wrote the rows")[1].split("\n## ")[0]
    assert "| mixed | m | 2 | 2 |" in section
    assert "| human | none named | 1 | 0 |" in section
    assert f"| {second} | m | {first} |" in section
    assert f"| {third} | m | {first}, {second} |" in section


def test_many_parents_are_in_the_data(make_outcome):
    outcome = make_outcome([str(n) for n in range(40)])
    data = outcome.data.with_columns(
        parents=pl.Series([["f" * 32]] * 40, dtype=pl.List(pl.String)), generator=pl.lit(HOSTILE)
    )
    _, body = card(replace(outcome, data=data))
    section = body.split("## Who wrote the rows")[1].split("\n## ")[0]
    assert "The first 25 of 40 rows" in section
    assert section.count("f" * 32) == 25
    assert "<script" not in section.replace("\\<script", "")


def test_limits_are_named(make_outcome):
    outcome = make_outcome(manifest={"limit": 100})
    margin = {"cut": "score 0.5", "distance": 1e-9, "tolerance": 1e-6, "close": True}
    stage = outcome.manifest["stages"][0] | {"flags": {"truncated": 3}, "margins": [margin]}
    books = outcome.manifest["books"] | {"failed": 2}
    _, body = card(outcome, stages=[stage], books=books)
    limits = body.split("## Known limits")[1]
    for words in ("first 100 rows", "2 rows failed", "truncated in 3 rows", "was close"):
        assert words in limits
    assert "| short | score 0.5 | 1e-09 | yes |" in body
    assert "curate run recipe.yaml --limit 100" in body
    assert "--locked" not in body


def test_languages_are_only_those_that_the_recipe_states(make_outcome):
    head, body = card(make_outcome())
    assert "language" not in head
    assert "does not say in which languages" in body
    head, body = card(make_outcome(), language=["en", "zh"])
    assert head["language"] == ["en", "zh"]
    assert "in which languages" not in body


def test_data_sets_of_the_hub_are_named_with_their_commits(make_outcome):
    outcome = make_outcome()
    assert "source_datasets" not in card(outcome)[0]
    mine = outcome.manifest["sources"]["mine"]
    sources = {
        "one": mine | {"hub": {"tatsu-lab/alpaca": "ab" * 20}},
        "two": mine | {"hub": {"a/b": "cd" * 20, "tatsu-lab/alpaca": None}},
    }
    head, body = card(outcome, sources=sources)
    assert head["source_datasets"] == ["a/b", "tatsu-lab/alpaca"]
    assert f"| one | data/mine.jsonl | {'ab' * 20} |" in body
    assert f"| two | data/mine.jsonl | {'cd' * 20} |" in body


@pytest.mark.parametrize("origin", ["human", "unknown", "synthetic", "mixed"])
def test_annotations_are_only_said_to_be_by_machines_where_they_are(make_outcome, origin):
    said = card(make_outcome(origin=origin))[0].get("annotations_creators")
    assert said == (["machine-generated"] if origin in ("synthetic", "mixed") else None)


def test_how_to_check_and_make_it_again(make_outcome):
    _, body = card(make_outcome())
    assert "curate verify toy@v2\ncurate run toy@v2 --locked" in body


def test_text_is_made_safe():
    assert one_line("a\r\n\t b\x1b[31m\u202ec\x9b") == "a b[31mc"
    assert markdown("snake_case _em_ a|b") == r"snake_case \_em\_ a\|b"
    assert fenced("a ```` b", "") == "`````\na ```` b\n`````"
