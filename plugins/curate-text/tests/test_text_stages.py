"""The stages of the plugin are registered, and declaring them costs nothing."""

import subprocess
import sys

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
