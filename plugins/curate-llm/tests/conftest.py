"""What all tests of judging and rewriting share: a home of their own, and a toy plugin on the path."""

import sys
from pathlib import Path

import pytest

# before any test looks for plugins: what is found is found once a process
sys.path.insert(0, str(Path(__file__).parents[3] / "tests" / "toys"))


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CURATE_HOME", str(tmp_path_factory.mktemp("home")))
