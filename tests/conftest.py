"""What all tests share: a home of their own, and a toy plugin on the path."""

import os
import sys
from pathlib import Path

import pytest

TOYS = str(Path(__file__).parent / "toys")
sys.path.insert(0, TOYS)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [TOYS, os.environ.get("PYTHONPATH")]))
os.environ["HF_HUB_OFFLINE"] = "1"
# threads that wait for one another by spinning make a busy machine crawl; bits are the same
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CURATE_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def shared_data():
    """The folder of real data, where there is one."""
    folder = Path(
        os.environ.get("CURATE_TEST_DATA", Path(__file__).parent.parent.parent / "shared" / "data")
    )
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set CURATE_TEST_DATA")
    return folder
