"""What docs/llm.md says is so."""

import json
import re
from pathlib import Path

import polars as pl
from pydantic_core import PydanticUndefined

from curate.asking import LlmSettings
from curate.contract.context import Context
from curate.contract.marks import Neutral, marker
from curate.services.llm import LlmService

DOCS = (Path(__file__).parents[2] / "docs" / "llm.md").read_text()


def test_the_table_tells_every_parameter_and_its_default():
    table = [
        line for line in DOCS.split("## What is paid once")[0].splitlines() if line[:3] == "| `"
    ]
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in table]
    told = {name: default for names, default in rows for name in re.findall(r"`(\w+)`", names)}
    assert set(told) == set(LlmSettings.model_fields)
    for name, field in LlmSettings.model_fields.items():
        if field.default not in (PydanticUndefined, None):
            assert (
                told[name].strip("`") == f"{field.default:g}"
                if isinstance(field.default, float)
                else told[name].strip("`") == str(field.default)
            )
    names = list(told)
    neutral = [marker(LlmSettings, name, Neutral) is not None for name in names]
    assert neutral == [at >= names.index("api_key_env") for at in range(len(names))]


def test_the_stage_of_the_docs_asks(tmp_path):
    (stage,) = [
        block for block in re.findall(r"```python\n(.*?)```", DOCS, re.S) if "Rating" in block
    ]
    made = {"__name__": "docs"}
    exec(compile(stage, "docs/llm.md", "exec"), made)
    prompt = 'Rate the clarity from 1 to 5, as JSON {"clarity": n}:\n\n'
    answers = tmp_path / "answers.jsonl"
    lines = [{"prompt": f"{prompt}text {n}", "answer": f'{{"clarity": {n}}}'} for n in range(1, 7)]
    answers.write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = LlmSettings(
        model="m", max_tokens=9, backend="replay", answers=str(answers), reasks=0
    )
    session = LlmService().open(settings, None, tmp_path, "rate")
    rate = made["Rate"](made["Rate"].Params(llm=settings), "rate")
    rows = pl.DataFrame(
        {"id": [f"{n}" for n in range(1, 7)], "@both": [f"text {n}" for n in range(1, 7)]}
    )
    found = rate.score(rows, Context(0, {}, {}, ("clarity",), lambda _: session)).sort("id")
    session.close()
    assert found["clarity"].to_list() == [1, 2, 3, 4, 5, None]
    assert found["error"].is_null().to_list() == [True] * 5 + [False]


def test_the_logs_of_a_run_are_a_recording(tmp_path):
    """The journal that asking leaves behind answers the same questions by itself."""
    answers = tmp_path / "answers.jsonl"
    answers.write_text(json.dumps({"prompt": "a", "answer": "b", "usage": [3, 4]}) + "\n")
    settings = LlmSettings(model="m", max_tokens=9, backend="replay", answers=str(answers))
    first = LlmService().open(settings, None, tmp_path / "one", "s")
    said = first.ask("a", temperature=0.3)
    first.close()
    (log,) = (tmp_path / "one").glob("llm/answer-*/log-*.jsonl")
    recorded = settings.model_copy(update={"answers": str(log)})
    second = LlmService().open(recorded, None, tmp_path / "two", "s")
    assert second.ask("a", temperature=0.9) == said
    second.close()
