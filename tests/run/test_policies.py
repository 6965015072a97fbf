"""Policies of fuses: foreseen before any work, certified after it."""

import json
import re

import pytest

from curate.commands import call
from curate.errors import CurateError, PolicyError
from curate.run.plan import plan
from curate.versions.make import run_recipe

BAD = "a|b `c` [d](x) <e>\x1b[31m"


@pytest.fixture
def mix(bench):
    """A recipe of 20 human and 10 synthetic rows that `stages` lead to a ration."""
    folder = bench.folder
    lines = bench.pool.read_text().splitlines(keepends=True)
    (folder / "human.jsonl").write_text("".join(lines))
    (folder / "gpt.jsonl").write_text("".join(line.replace("Say", "Tell") for line in lines[:10]))

    def recipe(params, *stages, **fuse):
        return {
            "name": "bench",
            "sources": {
                "human": {"path": str(folder / "human.jsonl"), "origin": "human"},
                "gpt": {"path": str(folder / "gpt.jsonl"), "origin": "synthetic"},
            },
            "pipeline": [*stages, {"fuse": "toys.ration", "id": "mix", "with": params, **fuse}],
        }

    return recipe


def foreseen(recipe, folder, limit=None):
    """What a plan says cannot be met; a run says the same, before any stage works."""
    with pytest.raises(PolicyError) as planned:
        plan(recipe, limit=limit)
    log = folder / "worked"
    for stage in recipe["pipeline"]:
        if stage.get("score") == "toys.count":
            stage["with"] = {"log": str(log)}
    with pytest.raises(PolicyError) as run:
        run_recipe(recipe, out=folder / "curated", limit=limit)
    assert planned.value.message == run.value.message
    assert planned.value.exit_code == 3
    assert not log.exists()
    return planned.value.message


COUNT = {"score": "toys.count"}
TOO_MANY = {"least": 21}


def test_tables_have_the_names_of_from_and_every_row(mix, tmp_path):
    recipe = mix(TOO_MANY, **{"from": ["human", "gpt"]})
    assert foreseen(recipe, tmp_path) == (
        "21 rows are asked for, there are {'human': 20, 'gpt': 0}, exact: True"
    )


def test_scores_before_it_change_nothing(mix, tmp_path):
    message = foreseen(mix(TOO_MANY, COUNT), tmp_path)
    assert message.endswith("there are {'toys_count': 20}, exact: True")


def test_a_preview_foresees_nothing(mix, tmp_path):
    recipe = mix({"least": 6}, COUNT)
    plan(recipe, limit=5)
    with pytest.raises(PolicyError, match="6 rows are asked for, 5 came"):
        run_recipe(recipe, out=tmp_path, limit=5)  # the stage itself says so, not foresight


def test_only_rows_inside_where_count(mix, tmp_path):
    recipe = mix({"least": 10}, where="instruction < 'Say the number 15'")
    assert foreseen(recipe, tmp_path).endswith("there are {'human': 7, 'gpt': 0}, exact: True")
    assert sum(f"Say the number {n}." < "Say the number 15" for n in range(20)) == 7


def test_a_tree_is_followed_to_its_sources(mix, tmp_path):
    recipe = mix(
        TOO_MANY,
        {"score": "core.length", "from": "human", "as": "left"},
        {"filter": "toys.odd", "from": "gpt", "as": "right"},
        **{"from": ["left", "right"]},
    )
    message = foreseen(recipe, tmp_path)
    assert message.endswith("there are {'left': 20, 'right': 0}, exact: False")


@pytest.mark.parametrize(
    ("stages", "params", "fuse"),
    [
        ([{"filter": "toys.odd"}], {}, {}),
        ([{"filter": "core.where", "with": {"keep": "length(output) > 0"}}], {}, {}),
        ([{"fuse": "core.concat", "from": ["human", "gpt"]}], {}, {}),
        ([COUNT | {"on_failure": {"set_aside": 1}}], {}, {}),
        ([], {"strict": "tokens"}, {"missing": "drop"}),
        ([], {"strict": "tokens"}, {"missing": "keep"}),
    ],
)
def test_what_may_lose_rows_is_said(mix, tmp_path, stages, params, fuse):
    for name in ("human", "gpt"):
        rows = [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        lines = [json.dumps(row | {"tokens": at or None}) for at, row in enumerate(rows)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    assert foreseen(mix(TOO_MANY | params, *stages, **fuse), tmp_path).endswith("exact: False")


@pytest.mark.parametrize(
    ("stages", "params", "fuse"),
    [
        ([{"expand": "toys.double"}], {}, {}),
        ([COUNT], {"by": "toys_count_number"}, {}),
        ([COUNT], {}, {"where": "toys_count_number >= 0"}),
        ([], {"blind": True}, {}),
    ],
)
def test_what_cannot_be_foreseen_is_found_at_the_stage(mix, tmp_path, stages, params, fuse):
    recipe = mix({"least": 100} | params, *stages, **fuse)
    assert plan(recipe).steps[-1].id == "mix"
    with pytest.raises(PolicyError, match=r"100 rows are asked for, \d+ came"):
        run_recipe(recipe, out=tmp_path / "curated")


def test_an_expansion_elsewhere_does_not_blind_it(mix, tmp_path):
    recipe = mix(
        TOO_MANY,
        {"fuse": "toys.ration", "id": "first", "from": "human", "as": "one", "with": TOO_MANY},
        {"expand": "toys.double", "from": "gpt", "as": "two"},
        **{"from": ["one", "two"]},
    )
    assert foreseen(recipe, tmp_path).endswith("{'human': 20}, exact: True")


def test_the_commands_end_with_code_3(mix, tmp_path, capsys):
    file = tmp_path / "recipe.yaml"
    file.write_text(json.dumps(mix(TOO_MANY)))
    for command in (["plan", str(file)], ["run", str(file), "--out", str(tmp_path / "out")]):
        assert call(command) == 3
        assert "Ask for fewer." in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("manifest.json"))


def test_the_certificate_is_in_manifest_card_and_show(mix, tmp_path, capsys):
    recipe = mix({"least": 7, "most": 9}, COUNT)
    result = run_recipe(recipe, out=tmp_path / "curated")
    manifest = json.loads((result.path / "manifest.json").read_text())
    counted, mixed = manifest["stages"]
    assert "certificate" not in counted
    assert mixed["certificate"] == [
        {
            "name": "shares.origin.human",
            "asked": ">= 7 rows",
            "rows": 9,
            "of": 19,
            "state": "slack",
            "slack": 2,
            "available": 20,
        }
    ]
    policy = (result.path / "README.md").read_text().split("## Policy")[1].split("\n## ")[0]
    assert "Of the stage mix:" in policy
    assert r"| shares.origin.human | \>= 7 rows | 9 (47.37 %) | slack, 2 rows | 20 |" in policy
    assert call(["show", str(result.path)]) == 0
    shown = capsys.readouterr().out
    assert "policy of mix" in shown
    assert re.search(r"shares.origin.human +>= 7 rows +9 \(47.37 %\) +slack, 2 rows +20", shown)
    assert "relaxed" not in shown


def test_a_relaxed_clause_is_a_known_limit_and_a_warning(mix, tmp_path, capsys):
    result = run_recipe(mix({"least": 25, "relax": True}), out=tmp_path / "curated")
    sentence = (
        "Stage mix: the clause shares.origin.human (>= 25 rows) was relaxed: 20 (66.67 %) of 30 "
        "rows, 5 rows from what was asked."
    )
    card = (result.path / "README.md").read_text()
    assert "- " + sentence.replace(">", r"\>") in card.split("## Known limits")[1]
    assert "| 20 (66.67 %) | relaxed, -5 rows | 20 |" in card
    call(["show", str(result.path)])
    assert sentence in re.sub(r"\s+", " ", capsys.readouterr().out)


def test_no_certificate_no_section(bench):
    result = bench.run(COUNT)
    assert "## Policy" not in (result.path / "README.md").read_text()


def test_what_a_clause_quotes_stays_text(mix, tmp_path, capsys):
    recipe = mix({"origin": BAD, "least": 1, "relax": True})
    result = run_recipe(recipe, out=tmp_path / "curated")
    card = (result.path / "README.md").read_text()
    assert "\x1b" not in card
    table = re.search(r"(?:^\|.*\n)+", card.split("## Policy")[1], re.MULTILINE)[0]
    columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
    assert columns == {6}
    assert not re.search(r"(?<!\\)[`\[<]", table)
    assert call(["show", str(result.path)]) == 0
    assert "\x1b[31m" not in capsys.readouterr().out


def test_a_condition_on_a_column_that_is_not_there_is_an_error(mix, tmp_path):
    recipe = mix({"least": 1}, where="nothing = 'x'")
    with pytest.raises(CurateError, match="nothing"):
        plan(recipe)
