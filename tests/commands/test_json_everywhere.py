"""Every command gives machines the same facts: JSON on stdout, of errors too."""

import json
import subprocess
import sys

import click
import pytest

import curate.commands as line
from curate.commands import COMMANDS

WITHOUT = {"schema": "it prints JSON and nothing else"}
"""Commands that take no --json, and why."""

BARE = {"check": "it says of a recipe that it is wrong, which is its answer"}
"""Commands whose JSON of a recipe's mistakes is no error object, and why."""

RUNS = {
    "run": ["run", "bench.yaml"],
    "run --limit": ["run", "bench.yaml", "--limit", "3"],
    "check": ["check", "bench.yaml"],
    "plan": ["plan", "bench.yaml"],
    "init": ["init", "pool.jsonl", "--name", "other"],
    "schema": ["schema"],
    "versions": ["versions", "bench"],
    "show": ["show", "bench"],
    "plugins list": ["plugins", "list"],
    "plugins show a stage": ["plugins", "show", "core.top"],
    "plugins show a prefix": ["plugins", "show", "core"],
    "gc": ["gc", "--older-than", "1d"],
    "verify": ["verify", "bench"],
    "diff": ["diff", "bench@v1", "bench@v1"],
    "explain": ["explain", "bench", "number 3"],
    "report": ["report", "bench"],
    "export": ["export", "bench", "--format", "alpaca", "--to", "bench.jsonl"],
}
"""What is called in a folder with a recipe, its rows and a version."""

ELSEWHERE = {"push", "pull"}
"""Commands that need a Hub, real or not: their own tests read their JSON."""


def commands(command, path):
    """The commands below one, itself where it has none."""
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, (*path, name))
    else:
        yield path, command


def every():
    for name in COMMANDS:
        yield from commands(line.cli.get_command(click.Context(line.cli), name), (name,))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"instruction": f"Say the number {n}.", "output": f"It is {n}."} for n in range(12)]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {
        "name": "bench",
        "sources": {"pool": {"path": "pool.jsonl"}},
        "pipeline": [
            {"score": "toys.count"},
            {"filter": "core.top", "with": {"by": "toys_count_number", "count": 5}},
        ],
    }
    (tmp_path / "bench.yaml").write_text(json.dumps(recipe))
    assert line.call(["run", "bench.yaml"]) == 0
    return tmp_path


def printed(capfd, arguments):
    """The exit code, and stdout as JSON."""
    capfd.readouterr()
    code = line.call(arguments)
    out = capfd.readouterr().out
    return code, json.loads(out)


@pytest.mark.parametrize(("path", "command"), list(every()), ids=str)
def test_every_command_takes_json(path, command):
    options = {flag for param in command.params for flag in param.opts}
    assert ("--json" in options) != (path[0] in WITHOUT)


def test_every_command_of_the_table_is_called_here_or_elsewhere():
    assert set(COMMANDS) <= {each.split()[0] for each in RUNS} | ELSEWHERE


@pytest.mark.parametrize("arguments", RUNS.values(), ids=list(RUNS))
def test_stdout_is_json_and_nothing_else(folder, capfd, arguments):
    if arguments[0] not in COMMANDS:
        pytest.skip(f"there is no command {arguments[0]}")
    asks = [] if arguments[0] in WITHOUT else ["--json"]
    code, answer = printed(capfd, [*arguments, *asks])
    assert code == 0
    assert answer


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in WITHOUT])
def test_an_error_is_an_object_too(folder, capfd, name):
    code, answer = printed(capfd, [name, "--no-such-option", "--json"])
    assert code == 2
    assert answer["exit_code"] == 2
    assert "--no-such-option" in answer["error"]


def test_a_handled_error_has_its_remedy_and_stderr_says_the_same(folder, capfd):
    assert line.call(["show", "bnch", "--json"]) == 2
    said = capfd.readouterr()
    answer = json.loads(said.out)
    assert answer["remedy"] == "Did you mean 'bench'?"
    assert answer["error"] in said.err
    assert line.call(["show", "bnch"]) == 2
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("name", ["run", "plan", "check"])
def test_mistakes_of_a_recipe_are_listed_with_their_places(folder, capfd, name):
    (folder / "wrong.yaml").write_text(
        "name: wrong\nsources: {a: {path: pool.jsonl}}\npipeline: [{filter: dedup.exac}]\n"
    )
    code, answer = printed(capfd, [name, "wrong.yaml", "--json"])
    assert code == 2
    (problem,) = answer["problems"]
    assert (problem["place"]["line"], problem["remedy"]) == (3, "Did you mean 'dedup.exact'?")
    assert ("error" in answer) != (name in BARE)


def test_a_bug_is_no_json(folder):
    code = (
        "import curate.commands as line\n"
        "line.cli.callback = None\n"
        "line.Commands.get_command = lambda *_: 1 / 0\n"
        "line.call(['show', 'bench', '--json'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert done.stdout == ""


def test_what_init_saw_and_wrote(folder, capfd):
    _, answer = printed(capfd, ["init", "pool.jsonl", "--name", "mine", "--json"])
    (source,) = answer["sources"]
    assert (source["rows"], source["format"], source["unreadable"]) == (12, "alpaca", [])
    assert answer["recipe"] == "mine.yaml"
    assert answer["next"] == ["curate", "run", "mine.yaml"]
    assert (folder / "mine.yaml").exists()
