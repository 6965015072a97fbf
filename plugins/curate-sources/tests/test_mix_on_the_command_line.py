"""What is wrong with a policy: exit code 2 where the recipe alone shows it, 3 where the pool does.

A mistake in the recipe is named with its place and a remedy; a policy that the pool cannot meet is
refused by `plan` and `run` alike, before any work.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from curate.commands import call


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    rows = {
        "human": [{"ability": "code" if at < 6 else "ethics"} for at in range(10)],
        "gpt4": [{"ability": "code"} for at in range(20)],
    }
    for name, each in rows.items():
        lines = [
            {"instruction": f"{name} {at}", "output": "x", **row} for at, row in enumerate(each)
        ]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


HEAD = """\
name: mixed
sources:
  human: {path: human.jsonl, origin: human, license: mit}
  gpt4: {path: gpt4.jsonl, origin: synthetic, generator: gpt-4, license: cc-by-nc-4.0}
pipeline:
"""


def recipe(policy: str, before: str = "", beside: str = "") -> None:
    """Write a recipe with a policy, whose lines begin at the left margin."""
    lines = "".join(f"      {line}\n" for line in policy.strip().splitlines())
    text = f"{HEAD}{before}  - fuse: sources.mix\n{beside}    with:\n{lines}"
    Path("mixed.yaml").write_text(text)


def curate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "curate", *arguments]
    environment = {**os.environ, "COLUMNS": "1000"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


MISTAKES = {
    "bare 60": (
        "shares:\n  origin:\n    human: 60",
        10,
        "'60' could be 60 rows or a share, 60%: write one of the two",
    ),
    "bare 1": (
        "shares:\n  origin:\n    human: '>= 1'",
        10,
        "'1' could be 1 row or a share, 100%: write one of the two",
    ),
    "bare limit": (
        "limits:\n  - where: {origin: human}\n    max: 64",
        10,
        "'64' could be 64 rows or a share, 64%",
    ),
    "above one": ("shares:\n  origin:\n    human: '1.5'", 10, "'1.5' is a share above 1"),
    "no amount": ("shares:\n  origin:\n    human: most", 10, "'most' is no amount"),
    "half a row": ("shares:\n  origin:\n    human: 2.5 rows", 10, "no whole number of rows"),
    "two units": (
        "shares:\n  origin:\n    human: 10 rows..50%",
        10,
        "goes from rows to share",
    ),
    "upside down": ("shares:\n  origin:\n    human: 50%..10%", 10, "contradicts itself"),
    "more than all": (
        "shares:\n  origin: {human: '>= 0.6', synthetic: '>= 0.5'}",
        9,
        "the lower bounds come to 1.1 of the mix, which is more than all of it",
    ),
    "rows above the size": (
        "size: 10\nshares:\n  origin: {human: 6 rows, synthetic: '>= 5 rows'}",
        8,
        "ask for at least 11 rows, which is more than the 10 of `size`",
    ),
    "share and limit": (
        "shares:\n  origin: {human: '>= 0.6'}\nlimits:\n  - {where: {origin: human}, max: 0.5}",
        8,
        "`shares.origin.human: >= 0.6` and `limits.origin=human: <= 0.5` contradict each other",
    ),
    "part of a row": (
        "size: 10\nshares:\n  origin: {human: '0.25'}",
        8,
        "is no whole number of rows, where the size is 10",
    ),
    "size upside down": ("size: {min: 9, max: 3}", 8, "`min` 9 is above `max` 3"),
    "size as share": ("size: 50%", 8, "is no size; write a number of rows (5000)"),
    "unbounded limit": ("limits:\n  - where: {origin: human}", 9, "`min`, `max` or both"),
    "limit on all": ("limits:\n  - max: 5 rows", 9, "`size` is about all"),
    "twice": (
        "limits:\n  - {where: {origin: [human, mixed]}, max: 5 rows}\n"
        "  - {where: {origin: [mixed, human]}, min: 1 row}",
        8,
        "two limits are about origin=human|mixed",
    ),
    "unknown column": (
        "shares: {abilities: {code: 0.5}}",
        8,
        "there is no column 'abilities'",
    ),
    "unknown column of a limit": (
        "limits:\n  - {where: {orgin: human}, max: 0.5}",
        9,
        "Did you mean 'origin'?",
    ),
    "nothing to relax": (
        "size: 5\non_infeasible: {relax: [shares.origin]}",
        8,
        "`relax` names 'shares.origin', which the policy does not have",
    ),
    "relax misspelt": (
        "shares: {origin: {human: '>= 0.5'}}\non_infeasible: {relax: [shares.origin.humen]}",
        8,
        "Did you mean 'shares.origin.human'?",
    ),
    "no rank": ("maximize: rank", 8, "`maximize: rank` needs `rank_by`"),
    "licences": ("licenses: {deny: [x], unknown: maybe}", 8, "error"),
    "unknown key": ("share: {origin: {human: 0.5}}", 8, "Did you mean 'shares'?"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_that_the_recipe_shows(mistake: str, capsys: pytest.CaptureFixture[str]) -> None:
    policy, line, said = MISTAKES[mistake]
    recipe(policy)
    assert call(["check", "mixed.yaml"]) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert f"mixed.yaml:{line}:" in shown
    assert "Traceback" not in shown


def test_a_mistake_is_exit_code_2_of_every_command() -> None:
    recipe("shares:\n  origin:\n    human: 60")
    for command in ("check", "plan", "run"):
        done = curate(command, "mixed.yaml")
        assert done.returncode == 2, done.stderr
        assert "'60' could be 60 rows or a share" in done.stderr


POOLS = {
    "unknown ability": (
        "size: 10\nshares: {ability: {ethic: '>= 2 rows'}}",
        ["shares.ability.ethic: >= 2 rows", "no row has ability 'ethic'. Did you mean 'ethics'?"],
    ),
    "empty cell": (
        "limits:\n  - {where: {origin: synthetic, ability: ethics}, min: 1 row}",
        ["limits.ability=ethics,origin=synthetic: >= 1 row", "no row has all of these values"],
    ),
    "all of nothing": (
        "shares: {source: {lima: all}}",
        ["shares.source.lima: all", "there is none; no row has source 'lima'"],
    ),
    "above the pool": (
        "size: 31",
        ["30 rows that reach it. This clause asks for too much", "the nearest below is 30 rows"],
    ),
    "conflict": (
        "size: 20\nshares: {origin: {human: '>= 0.6', synthetic: '<= 0.4'}}",
        [
            "size: 20 rows",
            "shares.origin.synthetic: <= 0.4",
            "at least 0.5 (10 of 20 rows)",
            "is 16 rows",
        ],
    ),
    "licences": (
        "size: 11\nlicenses: {deny: [CC-by-nc*]}",
        ["size: 11 rows", "licenses: deny CC-by-nc*", "1 row with denied or unknown licences"],
    ),
}


@pytest.mark.parametrize("pool", POOLS)
def test_what_the_pool_cannot_meet_is_exit_code_3_of_plan_and_run(pool: str) -> None:
    policy, expected = POOLS[pool]
    recipe(policy)
    assert call(["check", "mixed.yaml"]) == 0
    for command in ("plan", "run"):
        done = curate(command, "mixed.yaml")
        assert done.returncode == 3, done.stderr
        assert "Traceback" not in done.stderr
        for said in [*expected, "It can be met without", "on_infeasible: {relax: ["]:
            assert said in done.stderr, done.stderr
    assert not list(Path().glob("curated/mixed/v*"))


def test_what_can_be_met_is_exit_code_0() -> None:
    recipe("size: 15\nshares: {origin: {human: '>= 0.6'}, ability: {maths: '<= 64 rows'}}")
    assert curate("plan", "mixed.yaml").returncode == 0
    done = curate("run", "mixed.yaml")
    assert done.returncode == 0
    said = " ".join((done.stdout + done.stderr).split())
    assert (
        "the clause shares.ability.maths (<= 64 rows) is about rows of which there are none" in said
    )


SHORT = "  - filter: core.where\n    with: {keep: \"source <> 'lima'\"}\n"


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        # what all rows cannot meet, fewer cannot
        ("size: 31", 3),
        ("size: 20\nshares: {origin: {human: '>= 0.6'}}", 3),
        ("shares: {ability: {maths: '>= 1 row'}}", 3),
        ("shares: {ability: {maths: '<= 1 row'}}", 0),
        # fewer rows may be fewer than all, and may lack a value
        ("size: 5\nshares: {source: {gpt4: all}}", 0),
        ("size: 5\nlimits:\n  - {per: ability, min: 5 rows}", 0),
        # those beside it count
        ("size: 31\nshares: {source: {gpt4: all}}", 3),
    ],
)
def test_a_plan_with_a_filter_before_the_mix(
    policy: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe(policy, before=SHORT)
    assert call(["plan", "mixed.yaml"]) == code
    assert ("rows that can reach it" in capsys.readouterr().err) == (code == 3)


def test_a_plan_without_a_filter_sees_all_clauses(capsys: pytest.CaptureFixture[str]) -> None:
    for policy in (
        "size: 5\nshares: {source: {gpt4: all}}",
        "size: 5\nlimits:\n  - {per: ability, min: 5 rows}",
    ):
        recipe(policy)
        assert call(["plan", "mixed.yaml"]) == 3
        assert "rows that reach it" in capsys.readouterr().err


def test_a_plan_looks_inside_where_only() -> None:
    policy = "size: 11"
    recipe(policy)
    assert call(["plan", "mixed.yaml"]) == 0
    recipe(policy, beside="    where: \"origin = 'human'\"\n")
    assert call(["plan", "mixed.yaml"]) == 3


def test_a_policy_that_may_give_way_is_not_refused(capsys: pytest.CaptureFixture[str]) -> None:
    recipe("size: 31\non_infeasible: {relax: [size]}")
    assert call(["plan", "mixed.yaml"]) == 0
    assert call(["run", "mixed.yaml"]) == 0
    shown = capsys.readouterr()
    assert "size relaxed by 1 row" in " ".join((shown.out + shown.err).split())
