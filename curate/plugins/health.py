"""Looks at every plugin from outside, so that one which crashes or hangs is a finding."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from curate.errors import PluginError
from curate.plugins.loader import Point
from curate.plugins.registry import Registry

SECONDS = 60.0
"""How long one entry point may take to load."""

_AT_ONCE = 4


@dataclass(frozen=True)
class Offered:
    """A stage as a list shows it."""

    name: str
    verb: str
    version: int
    summary: str


@dataclass(frozen=True)
class Finding:
    """What loading one entry point in a process of its own showed.

    Args:
        group: Its group.
        word: Its name.
        api: The plugin interface that it was built for; None if it could not be told.
        offers: Words that users write: full stage names, model aliases, or its own name.
        stages: What it offers of stages.
        error: Why it cannot be used; None if it is well.
        remedy: What to do about that.
    """

    group: str
    word: str
    api: int | None = None
    offers: tuple[str, ...] = ()
    stages: tuple[Offered, ...] = ()
    error: str | None = None
    remedy: str = ""


@dataclass(frozen=True)
class Health:
    """One distribution and the findings on its entry points."""

    name: str
    version: str
    findings: tuple[Finding, ...]

    @property
    def well(self) -> bool:
        """Whether all of it can be used."""
        return all(finding.error is None for finding in self.findings)


def examine_all(
    registry: Registry, reserved: Iterable[str] = (), seconds: float = SECONDS
) -> list[Health]:
    """Load every entry point in a process of its own; core first, then by name.

    Args:
        registry: What is installed.
        reserved: Command names that plugins cannot take.
        seconds: How long each may take.
    """
    names = frozenset(reserved)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(
            pool.map(lambda point: _examine(registry, point, names, seconds), registry.points)
        )
    by_name: dict[tuple[str, str], list[Finding]] = {}
    for point, finding in zip(registry.points, found, strict=True):
        by_name.setdefault((point.distribution, point.installed.version), []).append(finding)
    order = sorted(by_name, key=lambda key: (key[0] != "curate-data", key))
    return [Health(name, version, tuple(by_name[name, version])) for name, version in order]


def _examine(registry: Registry, point: Point, reserved: frozenset[str], seconds: float) -> Finding:
    if point.group == "curate.commands" and point.word in reserved:
        why = f"the command '{point.word}' is core's own; a plugin cannot take its name"
        return Finding(point.group, point.word, error=f"{point}: {why}")
    try:
        registry.point(point.group, point.word)
    except PluginError as error:
        return Finding(point.group, point.word, error=error.message, remedy=error.remedy)
    arguments = [point.group, point.word, point.distribution]
    code, answer = _run([sys.executable, "-P", "-m", "curate.plugins.probe", *arguments], seconds)
    if code is None:
        why = f"did not finish loading within {seconds:g} s"
    elif code != 0 or not answer:
        why = f"ended the process while being loaded (exit status {code})"
    else:
        said = json.loads(answer.splitlines()[-1])
        if "error" in said:
            return Finding(point.group, point.word, error=said["error"], remedy=said["remedy"])
        stages = tuple(Offered(**stage) for stage in said["stages"])
        offers = tuple(said["offers"])
        return Finding(point.group, point.word, said["api"], offers, stages)
    return Finding(
        point.group,
        point.word,
        error=f"{point} {why}",
        remedy=f"Update it or remove it: pip uninstall {point.distribution}",
    )


def _run(command: Sequence[str], seconds: float) -> tuple[int | None, str]:
    """Run a process in a group of its own; the exit status is None if it had to be killed."""
    with subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return None, ""
        return process.returncode, out
