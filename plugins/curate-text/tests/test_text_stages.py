"""The stages of the plugin are registered, and declaring them costs nothing."""

import subprocess
import sys
from pathlib import Path

from curate.plugins.registry import get_registry
from curate_text.stages import STAGES

DECLARE = """
import sys
from curate_text.stages import STAGES
for stage in STAGES:
    if not stage.Params.model_json_schema().get("required"):
        made = stage(stage.Params(), "x")
        made.inputs(), made.fingerprints(), made.check_files()
        if stage.verb == "score":
            [made.depends(name) for name in made.outputs()]
print(*{"polars", "numpy", "torch"} & set(sys.modules))
"""


def test_the_stages_are_found():
    found = get_registry().stages_of("text")
    assert set(found) == {stage.name for stage in STAGES}
    assert all(name.startswith("text.") for name in found)


def test_declaring_them_imports_nothing_heavy():
    command = [sys.executable, "-c", DECLARE]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "\n"


def test_the_readme_names_every_parameter_and_column():
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    sections = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])
    for stage in STAGES:
        section = sections[stage.name]
        for name in stage.Params.model_fields:
            assert f"`{name}`" in section, (stage.name, name)
        if stage.name in ("text.language", "text.tokens"):
            required = {"tokenizer": "x", "max_length": 1} if stage.name == "text.tokens" else {}
            for name in stage(stage.Params(**required), "x").outputs():
                assert f"`<id>_{name}`" in section, (stage.name, name)
