"""The pages of docs/ are run: every command of a ```console block, and what it prints.

A page starts in a folder with the project's recipes/ and data/. A line `$ command` is run by bash
with `curate` on its path; the lines below it, to the next command, are what it must print, standard
error included. `...` stands for any text within a line, alone on a line for any lines. A block
that begins with `# file: NAME` says what is to lie in that file. The page of the Hub has a fake one.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fake_hub import WRITER, serving

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page.name for page in (ROOT / "docs").glob("*.md") if "```console" in page.read_text()
)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory):
    """One memo for all pages: what a recipe computes is computed once."""
    return tmp_path_factory.mktemp("docs-home")


@pytest.fixture
def folder(tmp_path):
    for part in ("recipes", "data"):
        shutil.copytree(ROOT / part, tmp_path / "at" / part)
    program = tmp_path / "bin" / "curate"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m curate "$@"\n')
    program.chmod(0o755)
    return tmp_path / "at"


@pytest.fixture
def hub(page):
    """Settings by which commands take a fake Hub for the Hub, on the page that is about it."""
    if page != "hub.md":
        yield {}
        return
    with serving() as server:
        yield {
            "HF_ENDPOINT": server.url,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_TOKEN": WRITER,
            "NO_PROXY": "127.0.0.1",
        }


def matches(printed, expected):
    """Whether lines are as a page shows them; returns the first line that is not, or None."""
    pattern = ""
    for line in expected:
        if line == "...":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*?".join(map(re.escape, line.split("..."))) + r"[ \t]*\n"
    return re.fullmatch(pattern, printed) is not None


@pytest.mark.parametrize("page", PAGES)
def test_page(page, folder, shared_home, hub):
    path = f"{folder.parent / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {
        **os.environ,
        "PATH": path,
        "CURATE_HOME": str(shared_home),
        "COLUMNS": "100",
    } | hub
    text = (ROOT / "docs" / page).read_text()
    for language, block in BLOCK.findall(text):
        named = re.match(r"# file: (\S+)\n", block)
        if named:
            (folder / named[1]).write_text(block[named.end() :])
        if language != "console":
            continue
        for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            printed = "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())
            shown = [line.rstrip() for line in expected.splitlines()]
            assert matches(printed, shown), f"$ {command}\n{printed}"
            if "curate " in command and not re.search(r"\|\||; echo", command):
                assert done.returncode == 0, f"$ {command}\n{printed}"


def test_what_stands_for_any_text():
    assert matches("one two 3.1 s\nthree\nfour\n", ["one ... s", "...", "four"])
    assert matches("one\n", ["one", "..."])
    assert not matches("one\ntwo\n", ["one"])
    assert not matches("one (1)\n", ["one .1."])
