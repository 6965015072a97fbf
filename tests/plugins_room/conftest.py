"""Plugins that are really installed: a module and its metadata on the path."""

import json

import pytest

GOOD = '''
from curate.api import FilterStage, Params, hookimpl

CURATE_API = 1

class Keep(FilterStage):
    """Keeps."""
    name = "PREFIX.keep"
    version = 1

@hookimpl
def register_stages(register):
    register(Keep)
'''


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution: `install(name, {group: {word: (module, source)}})`."""

    def install(name, groups, *, editable=None, version="1.0"):
        folder = tmp_path / name
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = []
        for group, words in groups.items():
            lines.append(f"[{group}]")
            for word, (module, source) in words.items():
                lines.append(f"{word} = {module}")
                (folder / f"{module}.py").write_text(source.replace("PREFIX", word))
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        if editable is not None:
            url = {"url": folder.as_uri(), "dir_info": {"editable": editable}}
            (info / "direct_url.json").write_text(json.dumps(url))
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
        return folder

    return install


@pytest.fixture
def good():
    return GOOD
