"""Typical mistakes, one file each: every one found in one pass, at its place, with a remedy.

Each file in `tests/mistakes/` begins with comments `# expect: LINE:COLUMN message | remedy`, one
for each problem and none too many; both texts are fragments.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from curate.commands import call

FOLDER = Path(__file__).parent / "mistakes"
FILES = sorted(FOLDER.glob("*.yaml"))
EXPECT = re.compile(r"# expect: (\d+):(\d+) (.+?) \|(.*)")
PROBLEM = re.compile(r"^(\S+\.yaml):(\d+):(\d+): (.*)$")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path))
    monkeypatch.delenv("CURATE_TEST_UNSET", raising=False)


def _problems(shown: str) -> list[tuple[int, int, str, str]]:
    """Line, column, message and everything below it, of what `curate check` printed."""
    found: list[tuple[int, int, str, str]] = []
    for line in shown.splitlines():
        start = PROBLEM.match(line)
        if start:
            found.append((int(start[2]), int(start[3]), start[4], ""))
        else:
            *head, below = found.pop()
            found.append((*head, f"{below}\n{line}"))  # type: ignore[arg-type]  # three, then one
    return found


def test_there_are_enough() -> None:
    assert len(FILES) >= 28


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_mistake(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = file.read_text(encoding="utf-8")
    expected = [match.groups() for match in map(EXPECT.match, text.splitlines()) if match]
    assert expected
    assert call(["check", file.name]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    found = _problems(captured.err)
    assert len(found) == len(expected), captured.err
    for line, column, message, remedy in expected:
        matching = [
            problem
            for problem in found
            if problem[:2] == (int(line), int(column)) and message in problem[2]
        ]
        assert matching, f"{line}:{column} {message}\n{captured.err}"
        assert remedy.strip() in "".join(matching[0][2:]), captured.err
        source = text.splitlines()[int(line) - 1].replace("\t", " ").strip()
        assert source in matching[0][3], captured.err


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    file = FILES[0]
    assert call(["check", file.name, "--json"]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert answer["problems"][0]["place"]["file"] == file.name
    assert len(answer["problems"]) == len(EXPECT.findall(file.read_text(encoding="utf-8")))


def test_mistakes_in_sets_are_placed_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "name: a\nsources: {x: {path: data/rows.jsonl}}\npipeline:\n"
        "  - filter: core.top\n    with: {by: score, count: 1}\n"
    )
    assert call(["check", str(recipe)]) == 0
    assert capsys.readouterr().out == "a is well: x > core_top\n"
    assert call(["check", str(recipe), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "ok": True,
        "name": "a",
        "sources": ["x"],
        "stages": ["core_top"],
    }
    assert call(["check", str(recipe), "--set", "core_top.with.by=scor"]) == 2
    shown = capsys.readouterr().err
    assert "--set core_top.with.by=scor:1:1: there is no column 'scor'" in shown
    assert "Did you mean 'score'?" in shown
    assert call(["check", str(recipe), "--set", "core_top.with.count=two", "--set", "sede=1"]) == 2
    shown = capsys.readouterr().err
    assert "expected a whole number, got 'two'" in shown
    assert "'sede' is neither a stage's id nor a key of the recipe" in shown


def test_a_missing_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["check", "01-mispelt-keys.yaml"]) == 2
    shown = capsys.readouterr().err
    assert "cannot read the recipe: No such file or directory" in shown
    assert "Did you mean '01-misspelt-keys.yaml'?" in shown
