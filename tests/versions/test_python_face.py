import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from packaging.version import Version as PackageVersion

import curate
from curate.versions.store import publish


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_curate_costs_nothing():
    heavy = "{'polars', 'numpy', 'pydantic', 'pyarrow', 'click', 'rich', 'datasets', 'torch'}"
    assert python(f"import curate, sys; print(sorted({heavy} & set(sys.modules)))") == "[]"
    assert PackageVersion(curate.__version__)


@pytest.mark.parametrize(
    "before",
    [
        "",
        "import curate.run.observe",
        "from curate.run import observe",
        "import curate.run as room",
    ],
)
def test_run_is_a_function_and_a_room_whatever_is_imported_first(before):
    code = f"{before}\nimport curate\nimport curate.run.facts as f\nfrom curate import run\n"
    code += "assert callable(curate.run) and callable(run) and f.StageFacts\n"
    code += (
        "import curate.run.observe\nassert curate.run.observe.Observer and callable(curate.run)\n"
    )
    code += "import inspect; print('recipe' in inspect.signature(curate.run).parameters)"
    assert python(code) == "True"


@pytest.fixture
def calls(monkeypatch, tmp_path, make_outcome):
    """What reaches the rooms below, in place of a real run."""
    seen = []
    published = publish(make_outcome(), tmp_path / "there")

    def run_recipe(source, sets=(), **options):
        seen.append((source, list(sets), options))
        return SimpleNamespace(path=published.path)

    room = ModuleType("curate.versions.make")
    room.run_recipe = run_recipe
    monkeypatch.setitem(sys.modules, "curate.versions.make", room)
    return seen


def test_run_hands_over_what_it_is_given_and_opens_the_version(calls):
    version = curate.run(
        "r.yaml", set={"seed": 7, "a.with.by": "x y", "b.where": None}, limit=5, workers=3
    )
    assert (version.name, version.version) == ("toy", "v1")
    (call,) = calls
    assert call[0] == "r.yaml"
    assert call[1] == ["seed=7", 'a.with.by="x y"', "b.where=null"]
    assert call[2].pop("watch").faults == {}
    assert call[2] == {"out": Path("curated"), "limit": 5, "engine": "local", "workers": 3}


def test_a_recipe_may_be_a_mapping_or_a_model(calls):
    from curate.recipe.model import Recipe

    written = {
        "name": "toy",
        "sources": {"mine": {"path": "mine.jsonl"}},
        "pipeline": [{"filter": "core.top", "with": {"by": "x", "fraction": 0.1}}],
    }
    curate.run(written)
    curate.run(Recipe.model_validate(written))
    assert [call[0] for call in calls] == [written, written]


def test_open_is_open_version(tmp_path, make_outcome):
    publish(make_outcome(), tmp_path / "curated")
    assert curate.open("toy@v1", tmp_path / "curated").version == "v1"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'rum'"):
        curate.rum  # noqa: B018 - the access itself is what fails
