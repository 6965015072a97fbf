"""The recipes against a server that speaks chat completions, as their heads say."""

import json
import re
import shutil
from pathlib import Path

import polars as pl
import pytest
from chat_server import serving

import curate

ROOT = Path(__file__).parents[3]


def reply(body):
    """What a dull but obedient model would write."""
    text = body["messages"][-1]["content"]
    if "=== response " in text:
        marks = {"clarity": 10, "difficulty": len(text) % 25, "explanations": 9, "accuracy": 30}
        return f"```json\n{json.dumps(marks)}\n```"
    if text.startswith("Your trade is refining"):
        last = re.split(r"The (?:second )?(?:prompt|task):", text)[-1].strip()
        return f"Explain in three steps: {last.replace('input:', '')}"
    return f"First, second, third: {text[:60]}"


@pytest.fixture
def place(tmp_path, monkeypatch):
    for part in ("recipes", "data"):
        shutil.copytree(ROOT / part, tmp_path / part)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIFT_BACKEND", "openai")
    monkeypatch.setenv("LIFT_MODEL", "parrot")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-nothing")
    return tmp_path


@pytest.mark.parametrize("name", ["lift_fusion", "lift_nait_mix"])
def test_a_recipe_asks_the_endpoint(place, monkeypatch, name):
    path = f"recipes/{name}.yaml"
    with serving(reply=reply) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        planned = {step.id: step.llm for step in curate.plan(path).steps if step.llm}
        version = curate.run(path)
        assert max(server.seen.values()) == 1
        sent = sum(server.seen.values())
    assert set(planned) <= {"lift_expand"}
    accounts = [s["services"]["llm"] for s in version.manifest["stages"] if "services" in s]
    assert sum(each["sent"] for each in accounts) == sent
    assert {each["model"] for each in accounts} == {"parrot"}
    assert version.manifest["books"]["failed"] == 0
    seen = pl.concat([version.frame(), version.dropped])
    children = seen.filter(pl.col("parents").list.len() > 0)
    assert set(children["generator"]) == {"parrot"}
    assert children["instruction"].str.starts_with("Explain in three steps: ").all()
