from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from curate.errors import CurateError
from curate.recipe.model import Source
from curate.sources.load import Loaded, load


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def written(folder: Path) -> Callable[[str, str | bytes], str]:
    """Writes a file in the working directory and gives its name."""

    def write(name: str, content: str | bytes) -> str:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return name

    return write


@pytest.fixture
def loaded(written: Callable[[str, str | bytes], str]) -> Callable[..., Loaded]:
    """Writes a file and loads it as the source `s`."""

    def run(name: str, content: str | bytes, **options: object) -> Loaded:
        return load("s", Source(path=written(name, content), **options))

    return run


@pytest.fixture
def refused(loaded: Callable[..., Loaded]) -> Callable[..., str]:
    """Writes a file, loads it, and gives the message that it is refused with."""

    def run(name: str, content: str | bytes, **options: object) -> str:
        with pytest.raises(CurateError) as caught:
            loaded(name, content, **options)
        return str(caught.value)

    return run
