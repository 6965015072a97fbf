"""Words lead to what plugins offer; nothing else is imported."""

import subprocess
import sys

import pytest

from curate.errors import PluginError
from curate.plugins import source
from curate.plugins.loader import discover
from curate.plugins.registry import Registry

MODELS = """
from pathlib import Path
from curate.hookspecs import hookimpl
CURATE_API = 1

def broken():
    raise OSError("disk gone")

@hookimpl
def register_models(register):
    register("tiny", lambda: Path("/models/tiny"))
    register("broken", broken)
"""

ONE = """
from curate.hookspecs import hookimpl
CURATE_API = 1
made = []

class Made:
    def __init__(self, workers=1):
        made.append(self)

@hookimpl
def HOOK(register):
    register(Made)
"""


def registry():
    return Registry(discover())


def test_stage_of_a_good_plugin(install, good):
    install("curate-good", {"curate": {"good": ("good_plugin", good)}})
    found = registry()
    assert found.stage("good.keep").name == "good.keep"
    assert "good" in found.prefixes()
    assert found.stages()["good.keep"] is found.stage("good.keep")
    assert set(found.stages_of("good")) == {"good.keep"}


@pytest.mark.parametrize(
    ("name", "message", "remedy"),
    [
        ("core.tpo", "there is no stage 'core.tpo'", "Did you mean 'core.top'?"),
        ("cor.top", "no installed plugin has the prefix 'cor'", "Did you mean 'core.top'?"),
        ("lift.fuse", "there is no stage prefix 'lift'", "pip install curate-lift"),
        ("lfit.fuse", "prefix 'lfit'", "Did you mean 'lift.fuse'? pip install curate-lift"),
        ("zzzz.fuse", "prefix 'zzzz'", "Known prefixes: core"),
        ("core", "'core' is no stage name", "core.concat, core.length"),
        ("core.", "'core.' is no stage name", "core.concat, core.length"),
        (".top", "'.top' is no stage name", "a dot and a word"),
        ("", "'' is no stage name", "a dot and a word"),
    ],
)
def test_unknown_stage_names_the_nearest(name, message, remedy):
    points = [point for point in discover() if point.distribution == "curate-data"]
    with pytest.raises(PluginError) as caught:
        Registry(points).stage(name)
    assert message in caught.value.message
    assert remedy in caught.value.remedy


def test_model_aliases(install):
    install("curate-models", {"curate.models": {"toybox": ("toybox_models", MODELS)}})
    found = registry()
    assert str(found.model_alias("toybox", "tiny")) == "/models/tiny"
    with pytest.raises(PluginError, match=r"no model 'toybox:tinny'") as caught:
        found.model_alias("toybox", "tinny")
    assert "toybox:tiny" in caught.value.remedy
    with pytest.raises(PluginError, match=r"curate-models 1.0.*OSError: disk gone"):
        found.model_alias("toybox", "broken")


def test_service_is_made_once(install):
    module = ("one_service", ONE.replace("HOOK", "register_services"))
    install("curate-one", {"curate.services": {"onesvc": module}})
    found = registry()
    assert found.service("onesvc") is found.service("onesvc")
    with pytest.raises(PluginError, match="no service 'onesvcc'"):
        found.service("onesvcc")


def test_engines_and_observers_are_made_anew_and_faults_named(install):
    bad = ONE.replace("HOOK", "register_observers").replace("made.append(self)", "raise OSError")
    engine = ("one_engine", ONE.replace("HOOK", "register_engines"))
    watcher = ("one_watcher", ONE.replace("HOOK", "register_observers"))
    install(
        "curate-one",
        {
            "curate.engines": {"oneeng": engine},
            "curate.observers": {"watcher": watcher, "blind": ("one_blind", bad)},
        },
    )
    found = registry()
    assert found.engine("oneeng") is not found.engine("oneeng")
    assert type(found.observer("watcher", "there")).__module__ == "one_watcher"
    with pytest.raises(PluginError, match=r"curate-one 1.0.*OSError"):
        found.observer("blind")
    with pytest.raises(PluginError, match="no observer 'watch'"):
        found.observer("watch")


def test_distribution_says_version_and_editable_source(install, good):
    for name, editable in (("curate-plain", None), ("curate-fixed", False), ("curate-open", True)):
        word = name.removeprefix("curate-")
        install(name, {"curate": {word: (f"dist_{word}", good)}}, editable=editable)
    found = registry()
    assert (found.distribution("curate", "plain").name) == "curate-plain"
    assert found.distribution("curate", "plain").version == "1.0"
    assert found.distribution("curate", "plain").editable is None
    assert found.distribution("curate", "fixed").editable is None
    assert len(found.distribution("curate", "open").editable) == 32
    assert "dist_open" not in sys.modules


def test_editable_hash_follows_names_and_contents_only(tmp_path):
    package = tmp_path / "package"
    (package / "inner").mkdir(parents=True)
    (package / "a.py").write_text("a")
    (package / "inner" / "data.json").write_text("{}")

    def now():
        source._hash.cache_clear()
        return source._hash((package,))

    first = now()
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "a.cpython-311.pyc").write_bytes(b"x")
    (package / ".cache").write_text("x")
    assert now() == first
    (package / "inner" / "data.json").write_text("{ }")
    second = now()
    (package / "a.py").rename(package / "b.py")
    third = now()
    assert len({first, second, third}) == 3


def test_importing_the_registry_is_cheap():
    code = (
        "import sys; from curate.plugins.registry import get_registry\n"
        "get_registry().prefixes()\n"
        "print([m for m in ('polars', 'numpy', 'pydantic', 'torch', 'click') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
