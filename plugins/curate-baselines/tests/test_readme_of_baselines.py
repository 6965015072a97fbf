"""What the plugin's README says is run: its recipes, its tables of parameters; and what fails."""

import json
import math
import re
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import yaml

import curate
from curate.api import CurateError
from curate_baselines.difficulty import IfdParams, SuperfilterParams
from curate_baselines.diverse import DiverseParams
from curate_baselines.perplexity import PerplexityParams
from curate_baselines.rds import RDSParams

HERE = Path(__file__).parents[1]
ROOT = HERE.parents[1]
README = (HERE / "README.md").read_text()
DATA = ROOT.parent / "shared" / "data"
RECIPES = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def pool(lab, place):
    """A file of sixty rows, one of them without an answer."""
    rows = [{"instruction": one, "output": other} for one, other in lab.pairs(59, 21)]
    rows.insert(7, {"instruction": "why is the cat", "output": ""})
    (place / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"pool": {"path": "pool.jsonl"}}


def recipe(name, pool, pipeline, model):
    pipeline = deepcopy(pipeline)
    for step in pipeline:
        options = step.get("with", {})
        if "model" in options and model:
            options |= {"model": str(model), "dtype": "float32"}
        if "count" in options:
            options["count"] = 5
    return {"name": name, "sources": pool, "pipeline": pipeline}


def columns(version, *names):
    return version.scores.select("id", *names).to_dicts()


def test_the_cut_of_ifd(pool, tiny):
    version = curate.run(recipe("ifd", pool, RECIPES[0]["pipeline"], tiny["llama"]))
    scores = {row["id"]: row["ifd_score"] for row in columns(version, "ifd_score")}
    known = sorted((score, id) for id, score in scores.items() if score is not None)
    below = [id for score, id in known if score <= 1]
    assert len(known) == 59
    assert 10 < len(below) < 59
    kept = version.frame()["id"].to_list()
    assert sorted(kept) == sorted(below[-(len(below) // 10) :])


def test_the_cut_of_superfiltering(pool, tiny):
    version = curate.run(recipe("small", pool, RECIPES[1]["pipeline"], tiny["gpt2"]))
    names = ("superfilter_score", "superfilter_conditioned", "superfilter_alone")
    rows = [row for row in columns(version, *names) if row["superfilter_score"] is not None]
    for row in rows:
        ratio = math.exp(row["superfilter_conditioned"]) / math.exp(row["superfilter_alone"])
        assert row["superfilter_score"] == pytest.approx(ratio)
    below = sorted((r["superfilter_score"], r["id"]) for r in rows if r["superfilter_score"] < 1)
    assert 5 < len(below) < 59
    assert sorted(version.frame()["id"]) == sorted(id for _, id in below[-5:])


def test_the_recipe_of_perplexity_and_rows_that_fail(pool, tiny):
    pipeline = deepcopy(RECIPES[2]["pipeline"])
    with pytest.raises(CurateError, match="the text is empty"):
        curate.run(recipe("ppl", pool, pipeline, tiny["gpt2"]))
    pipeline[0]["on_failure"] = {"set_aside": 1}
    version = curate.run(recipe("ppl", pool, pipeline, tiny["gpt2"]))
    assert version.manifest["books"]["failed"] == 1
    rows = [row for row in columns(version, "ppl_loss") if row["ppl_loss"] is not None]
    kept = sorted((row["ppl_loss"], row["id"]) for row in rows)[: len(rows) // 2]
    assert sorted(version.frame()["id"]) == sorted(id for _, id in kept)


def test_the_recipe_of_rds(pool, place, tiny):
    pipeline = deepcopy(RECIPES[3]["pipeline"])
    lines = (place / "pool.jsonl").read_text().splitlines(keepends=True)
    for name, some in {"math": lines[:3], "code": lines[20:23]}.items():
        (place / f"{name}.jsonl").write_text("".join(some))
        pipeline[1]["with"]["targets"][name] = f"{name}.jsonl"
    version = curate.run(recipe("rds", pool, pipeline, tiny["llama"]))
    kept = version.ledger.filter(fate="kept")["line"].to_list()
    assert len(kept) == 5
    assert {1, 2, 21, 22} <= set(kept)  # the targets' own rows are nearest to them


def test_the_recipes_on_embeddings(pool):
    walked = curate.run(recipe("walk", pool, RECIPES[4]["pipeline"], None))
    assert 0 < len(walked.frame()) <= 5
    merged = curate.run(recipe("semdedup", pool, RECIPES[5]["pipeline"], None))
    (stage,) = [each for each in merged.manifest["stages"] if each["id"] == "dedup_semantic"]
    assert stage["facts"]["cells"] > 1
    assert len(RECIPES) == 6


def test_what_was_scored_is_not_scored_again(pool, place, tiny):
    pipeline = RECIPES[0]["pipeline"][:3]
    first = curate.run(recipe("ifd", pool, pipeline, tiny["qwen2"]))
    with (place / "pool.jsonl").open("a") as file:
        file.write('{"instruction": "why", "output": "the cat sleeps"}\n')
    second = curate.run(recipe("ifd", pool, pipeline, tiny["qwen2"]))
    (stage,) = [each for each in second.manifest["stages"] if each["id"] == "ifd"]
    assert stage["memo"]["computed"] == 1
    earlier = {row["id"]: row["ifd_score"] for row in columns(first, "ifd_score")}
    later = {row["id"]: row["ifd_score"] for row in columns(second, "ifd_score")}
    assert len(later) == len(earlier) + 1
    assert {id: later[id] for id in earlier} == earlier


def test_a_missing_model_is_an_error_at_check(pool):
    for stage in ("baselines.ifd", "baselines.superfilter", "baselines.perplexity"):
        lacking = {"name": "none", "sources": pool, "pipeline": [{"score": stage}]}
        with pytest.raises(CurateError, match="model"):
            curate.check(lacking)


def test_every_parameter_is_in_a_table():
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|", README, flags=re.MULTILINE)
    tables = {name: default.strip() for name, default in rows}
    for params in (IfdParams, SuperfilterParams, PerplexityParams, RDSParams, DiverseParams):
        for name, field in params.model_fields.items():
            assert name in tables, f"`{name}` is not in the README"
            if field.is_required():
                assert tables[name] in ("", "required")
            elif isinstance(field.default, bool):
                assert tables[name] == f"`{str(field.default).lower()}`"
            elif isinstance(field.default, str) and name != "template":
                assert tables[name] == f"`{field.default}`"
    assert tables["template"] == "`alpaca`; `superfilter`: `plain`"
    assert IfdParams.model_fields["template"].default == "alpaca"
    assert SuperfilterParams.model_fields["template"].default == "plain"
    assert PerplexityParams.model_fields["template"].default == "plain"


@pytest.mark.slow
def test_the_benchmark_on_real_data():
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA}")
    arguments = ["benchmarks/ifd_batches.py", "--rows", "300", "--loop", "20", "--data", str(DATA)]
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    differences = [float(each) for each in re.findall(r"float64: ([\d.e-]+)", done.stdout)]
    assert len(differences) == 2, done.stderr
    assert max(differences) <= 1e-5
