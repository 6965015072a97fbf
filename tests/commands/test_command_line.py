"""The command line as a process: what it imports, how it ends, what it says."""

import os
import subprocess
import sys
from importlib.metadata import version

import click
import pytest

import curate.commands as line
from curate.errors import CurateError, PluginError, PolicyError, Problem, RecipeError, UsageError

HEAVY = [
    "torch",
    "transformers",
    "sentence_transformers",
    "datasets",
    "polars",
    "numpy",
    "pydantic",
]


def curate(*arguments, **options):
    command = [sys.executable, "-m", "curate", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, **options)


def plugin(folder, word, source):
    info = folder / "curate_shouting-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: curate-shouting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[curate.commands]\n{word} = shouting_{word}\n")
    (folder / f"shouting_{word}.py").write_text(source)
    return os.environ | {"PYTHONPATH": str(folder)}


SHOUT = """
import click
from curate.hookspecs import hookimpl
CURATE_API = 1

@click.command()
def shout():
    click.echo("HEY")

@hookimpl
def register_commands(register):
    register(shout)
"""


def test_help_lists_every_command_and_imports_nothing_heavy():
    code = (
        "import sys; from curate.commands import call; code = call(['--help'])\n"
        f"print('heavy:', [m for m in {HEAVY} if m in sys.modules], 'code:', code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("heavy: [] code: 0\n")
    for name, about in line.COMMANDS.items():
        assert name in done.stdout
        assert about in done.stdout


@pytest.mark.parametrize("name", line.COMMANDS)
def test_every_command_of_the_table_explains_itself(name):
    done = curate(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"curate {name}" in done.stdout


def test_version():
    assert curate("--version").stdout == f"curate {version('curate-data')}\n"


def test_typo_names_the_nearest_command():
    done = curate("rnu", "x.yaml")
    assert done.returncode == 2
    assert "there is no command 'rnu'. Did you mean 'run'?" in done.stderr
    assert done.stdout == ""


def test_unknown_option_is_a_usage_error():
    done = curate("--frobnicate")
    assert done.returncode == 2
    assert "--frobnicate" in done.stderr


def test_command_of_a_plugin_is_listed_unimported_and_runs(tmp_path):
    path = plugin(tmp_path, "shout", SHOUT)
    assert "from curate-shouting" in curate("--help", env=path).stdout
    assert curate("shout", env=path).stdout == "HEY\n"


def test_broken_command_of_a_plugin_hurts_only_itself(tmp_path):
    path = plugin(tmp_path, "shout", "raise RuntimeError('boom')")
    listed = curate("--help", env=path)
    assert (listed.returncode, "shout" in listed.stdout) == (0, True)
    done = curate("shout", env=path)
    assert done.returncode == 1
    assert "curate-shouting" in done.stderr
    assert "boom" in done.stderr
    assert "Traceback" not in done.stderr


def test_plugin_cannot_take_the_name_of_a_core_command(tmp_path):
    path = plugin(tmp_path, "versions", SHOUT)
    assert "from curate-shouting" not in curate("--help", env=path).stdout
    assert "HEY" not in curate("versions", "nothing", env=path).stdout


@pytest.fixture
def failing(monkeypatch):
    """A command that raises what it is given."""

    def fail(error):
        @click.command()
        def command():
            raise error

        monkeypatch.setattr(line.Commands, "get_command", lambda *_: command)
        return line.call(["run"])

    return fail


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CurateError("it failed", "try that"), 1),
        (PluginError("it failed", "try that"), 1),
        (UsageError("it failed", "try that"), 2),
        (PolicyError("it failed", "try that"), 3),
    ],
)
def test_handled_error_is_one_message_and_its_code(failing, capsys, error, code):
    assert failing(error) == code
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "Error: it failed\n  try that\n")


def test_recipe_error_begins_with_its_place(failing, capsys):
    assert failing(RecipeError([Problem("it is wrong")])) == 2
    assert capsys.readouterr().err == "it is wrong\n"


@pytest.mark.parametrize("command", ["check", "plan", "run", "gc"])
def test_a_home_that_cannot_be_made_is_named_once(tmp_path, capsys, monkeypatch, command):
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text('{"instruction": "i", "output": "o"}\n')
    recipe = tmp_path / "two.yaml"
    recipe.write_text(
        "name: two\nsources:\n"
        + "".join(f"  {name}: {{path: {tmp_path / name}.jsonl}}\n" for name in ("a", "b"))
        + "pipeline: [{filter: core.where, with: {keep: 'true'}}]\n"
    )
    home = tmp_path / "home"
    home.write_text("a file")
    monkeypatch.setenv("CURATE_HOME", str(home))
    assert line.call([command, *([] if command == "gc" else [str(recipe)])]) == 1
    said = capsys.readouterr().err
    assert said == (
        f"Error: The folder {home} cannot be made: File exists.\n"
        "  Set CURATE_HOME to a folder that can be written.\n"
    )


def test_control_characters_do_not_reach_the_terminal(failing, capsys):
    failing(CurateError("row \x1b[31m\x07red\x9b2J"))
    assert capsys.readouterr().err == "Error: row [31mred2J\n"


def test_interrupt_is_one_line_and_130(failing, capsys):
    assert failing(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


def test_anything_else_is_a_bug_with_its_traceback(failing):
    with pytest.raises(ZeroDivisionError):
        failing(ZeroDivisionError())


def test_exit_code_of_a_command_is_kept(failing):
    assert failing(click.exceptions.Exit(3)) == 3


def test_reader_that_goes_away_is_no_error():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "curate", "plugins", "show", "core.top"]
    done = subprocess.run(command, check=False, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.returncode == 1
    assert done.stderr == ""
