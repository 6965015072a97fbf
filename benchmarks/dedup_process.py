"""A program run as a process of its own: its seconds, and the memory of all its processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PAUSE = 0.1
"""Seconds between two looks at memory; longer where looking takes more than a twentieth of it."""


class ProgramError(Exception):
    """A program ended with an error, of which this is the last line that names one."""


@dataclass(frozen=True)
class Spent:
    """What a program took.

    Args:
        seconds: From its start to its end.
        busy: Seconds of processors, of all its processes: a busy machine changes them less.
        peak: Bytes: of its processes together, pages that they share counted once, as often as
            looked; where the system does not tell, of the largest of them.
    """

    seconds: float
    busy: float
    peak: int


def run(
    command: Sequence[str | Path], folder: Path, env: Mapping[str, str], log: Path | None = None
) -> Spent:
    """Run a program to its end, in a folder.

    Args:
        command: Program and arguments.
        folder: Where it runs.
        env: Variables set beside those of this process.
        log: Where its output goes; by default beside the folder.

    Raises:
        ProgramError: Its exit code is not 0.
    """
    log = log or folder.with_suffix(".log")
    given = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    watch = Watch()
    with log.open("wb") as out:
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            env={**given, **env},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that all its processes can be ended at once
        )
        watcher = threading.Thread(target=watch.look_at, args=(process.pid,))
        watcher.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            seconds = time.perf_counter() - started
            watch.done.set()
            watcher.join()
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = lines[-1] if lines else f"exit code {process.returncode}"
        last = next((line for line in reversed(lines) if "Error" in line), last)
        raise ProgramError(f"{last} (see {log})")
    unit = 1 if sys.platform == "darwin" else 1024
    busy = max(sum(watch.busy.values()), used.ru_utime + used.ru_stime)
    # of a process that was just forked the system tells the memory of the one that forked it, so
    # that the kernel's own figure serves only where there is no other
    return Spent(seconds, busy, watch.peak or used.ru_maxrss * unit)


class Watch:
    """Looks at the processes of a program from time to time, where /proc tells of them.

    Attributes:
        peak: The most memory that they had together, in bytes.
        busy: Process > seconds of processors when last seen; also of those that nobody waits for.
        done: Set it to end looking.
    """

    def __init__(self) -> None:
        self.peak = 0
        self.busy: dict[int, float] = {}
        self.done = threading.Event()

    def look_at(self, program: int) -> None:
        """Look until done."""
        pause = PAUSE
        while not self.done.wait(pause):
            started = time.perf_counter()
            processes = list(_tree(program))
            self.peak = max(self.peak, sum(map(_memory, processes)))
            for process in processes:
                self.busy[process] = max(_busy(process), self.busy.get(process, 0.0))
            pause = max(PAUSE, 20 * (time.perf_counter() - started))


def _tree(process: int) -> Iterator[int]:
    """A process and all that descend from it."""
    yield process
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            numbers = children.read_text().split()
        except OSError:  # it has ended meanwhile
            continue
        for number in numbers:
            yield from _tree(int(number))


def _memory(process: int) -> int:
    """Bytes of a process, its share of what it shares."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended meanwhile, or this system does not tell
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _busy(process: int) -> float:
    """Seconds of processors of a process, without its children."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # as above
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
