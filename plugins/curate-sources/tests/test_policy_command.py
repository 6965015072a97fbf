"""`curate policy`: the certificate of a version, and finished data against a policy."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml

import curate

ROOT = Path(__file__).parents[3]
RECIPE = {
    "name": "mixed",
    "seed": 1,
    "sources": {
        "human": {"path": "data/demo_human.jsonl", "origin": "human", "license": "mit"},
        "gpt4": {"path": "data/demo_gpt4.jsonl", "origin": "synthetic", "license": "cc0-1.0"},
    },
    "pipeline": [
        {"score": "core.length", "id": "long"},
        {
            "fuse": "sources.mix",
            "with": {
                "size": 50,
                "shares": {
                    "origin": {"human": ">= 0.6"},
                    "ability": {"code": "10..20%", "ethics": "all"},
                },
                "licenses": {"deny": ["gpl*"]},
            },
        },
    ],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy")
    shutil.copytree(ROOT / "data", folder / "data")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE, sort_keys=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CURATE_HOME", str(folder / "home"))
        curate.run("recipe.yaml")
        yield folder


def policy(place, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "curate", "policy", *arguments],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


def states(done):
    (clauses,) = json.loads(done.stdout).values()
    return {each["clause"]: each["state"] for each in clauses}


DATA = "curated/mixed/v1/data/train-00000-of-00001.parquet"


def test_a_certificate_is_printed_whole(place):
    done = policy(place, "mixed@v1")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "mixed@v1, policy of sources_mix"
    assert [line.split()[0] for line in lines[2:]] == [
        "size",
        "shares.ability.code",
        "shares.ability.ethics",
        "shares.origin.human",
        "licenses",
    ]
    (line,) = [line for line in lines if line.startswith("shares.ability.ethics")]
    assert line.split() == ["shares.ability.ethics", "all", "18", "(36.00", "%)", "binding", "18"]
    (from_json,) = json.loads(policy(place, "mixed", "--json").stdout).values()
    assert from_json == curate.open("mixed").manifest["stages"][1]["certificate"]


def test_a_version_meets_its_own_policy(place):
    done = policy(place, "--check", "mixed@v1", "recipe.yaml", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert set(states(done).values()) == {"met"}
    rows = curate.open("mixed").frame()
    (clauses,) = json.loads(done.stdout).values()
    by_name = {each["clause"]: each for each in clauses}
    assert by_name["shares.origin.human"]["rows"] == (rows["origin"] == "human").sum()
    assert by_name["shares.origin.human"]["available"] == 80
    assert by_name["size"]["available"] == 184


def test_a_clause_that_is_missed_is_named_with_its_rows(place):
    done = policy(
        place,
        *("--check", "mixed@v1", "recipe.yaml"),
        *("--set", "sources_mix.with.shares.origin={human: '>= 0.99'}"),
    )
    assert done.returncode == 3
    human = int((curate.open("mixed").frame()["origin"] == "human").sum())
    # 0.99 of 50 rows is 49.5, so 50
    assert f"shares.origin.human (>= 0.99) is missed by {50 - human} rows" in done.stderr


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_any_file_with_the_columns_can_be_checked(place, suffix):
    rows = pl.read_parquet(place / DATA).select("origin", "ability", "license")  # no source
    path = place / f"any.{suffix}"
    if suffix == "jsonl":
        rows.write_ndjson(path)
    else:
        getattr(rows, f"write_{suffix}")(path)
    done = policy(place, "--check", path.name, "recipe.yaml", "--json")
    # how many rows about ethics there were, a file does not tell
    assert done.returncode == 3
    assert states(done).pop("shares.ability.ethics") == "untold"
    assert "shares.ability.ethics: the rows do not tell what there was" in done.stderr
    fine = policy(
        place,
        *("--check", path.name, "recipe.yaml", "--json"),
        *("--set", "sources_mix.with.shares.ability={code: '10..20%'}"),
    )
    assert (fine.returncode, fine.stderr) == (0, "")


def test_an_edited_row_is_found(place):
    rows = pl.read_parquet(place / DATA)
    at = rows["origin"].to_list().index("human")
    lost = pl.concat([rows[:at], rows[at + 1 :]])
    lost.write_parquet(place / "lost.parquet")
    done = policy(place, "--check", "lost.parquet", "recipe.yaml", "--json")
    assert done.returncode == 3
    assert states(done)["size"] == "missed"


def test_unknown_licences_are_not_met_in_silence(place):
    rows = pl.read_parquet(place / DATA)
    rows.with_columns(license=pl.lit(None, dtype=pl.String)).write_parquet(place / "bare.parquet")
    done = policy(place, "--check", "bare.parquet", "recipe.yaml", "--json")
    assert states(done)["licenses"] == "missed"
    kept = policy(
        place,
        *("--check", "bare.parquet", "recipe.yaml", "--json"),
        *("--set", "sources_mix.with.licenses.unknown=keep"),
    )
    assert states(kept)["licenses"] == "met"


def test_where_bounds_what_the_policy_is_about(place):
    recipe = json.loads(json.dumps(RECIPE))
    recipe["pipeline"][1]["where"] = "long_characters > 200"
    recipe["pipeline"][1]["with"] = {"shares": {"origin": {"human": "<= 0.5"}}}
    (place / "where.yaml").write_text(yaml.safe_dump({**recipe, "name": "where"}))
    version = curate.run("where.yaml")
    done = policy(place, "--check", "where", "where.yaml", "--json")
    assert done.returncode == 0
    (clauses,) = json.loads(done.stdout).values()
    scores = version.scores.select("id", "long_characters")
    inside = version.frame().join(scores, on="id").filter(pl.col("long_characters") > 200)
    assert {each["of"] for each in clauses} == {len(inside)}
    assert 0 < len(inside) < len(version.frame())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["mixed", "recipe.yaml"], 2, "a recipe is for --check"),
        (["--check", "mixed"], 2, "--check needs a recipe"),
        (["--check", "mixed", "recipe.yaml", "--stage", "no"], 2, "has no stage 'no'"),
        (["nothing"], 2, "no dataset 'nothing'"),
        (["--check", "data/demo_human.jsonl", "recipe.yaml"], 2, "has no column 'license'"),
        (["--check", "mixed", "plain.yaml"], 2, "no stage is sources.mix"),
        (["--check", "broken.parquet", "recipe.yaml"], 1, "broken.parquet cannot be read"),
        (["plain"], 2, "was made without a policy"),
    ],
)
def test_mistakes(place, arguments, code, message):
    plain = {**RECIPE, "name": "plain", "pipeline": RECIPE["pipeline"][:1]}
    (place / "plain.yaml").write_text(yaml.safe_dump(plain))
    (place / "broken.parquet").write_text("nothing")
    curate.run("plain.yaml")
    done = policy(place, *arguments)
    assert done.returncode == code
    assert message in done.stderr


def test_the_recipe_that_puts_human_data_first(place):
    shutil.copytree(ROOT / "recipes", place / "recipes", dirs_exist_ok=True)
    version = curate.run("recipes/human_first_mix.yaml")
    rows = version.frame()
    assert len(rows) == 90
    assert (rows["origin"] == "human").mean() >= 0.6
    assert (
        policy(place, "--check", "human-first-mix", "recipes/human_first_mix.yaml").returncode == 0
    )


def test_an_upper_bound_on_rows_that_do_not_exist_is_met_with_a_warning(place):
    recipe = {**RECIPE, "name": "bound"}
    recipe["pipeline"] = [
        {"fuse": "sources.mix", "with": {"shares": {"ability": {"law": "<= 0.1"}}}}
    ]
    (place / "bound.yaml").write_text(yaml.safe_dump(recipe))
    done = subprocess.run(
        [sys.executable, "-m", "curate", "run", "bound.yaml"],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    said = " ".join((done.stdout + done.stderr).split())
    assert "the clause shares.ability.law (<= 0.1) is about rows of which there are none" in said
