"""Worker processes: each with its own copy of models, and its own GPU where there are several.

Imported by the engine `local` when it is given more than one worker. Each worker has one pipe to
the runner: it ends when the other side is gone, however that came about.
"""

from __future__ import annotations

import os
import pickle
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from curate.contract.context import Context
from curate.engines.base import Work
from curate.errors import CurateError
from curate.plugins.registry import get_registry

if TYPE_CHECKING:
    import polars as pl

WORKER = "CURATE_WORKER"
"""Environment variable that tells a worker its number, from 0: the GPU that it takes."""

_THREADS = "OMP_NUM_THREADS"
_GUARD = 'Guard what your script does by `if __name__ == "__main__":`, as workers import it anew.'


class Workers:
    """Some processes that score rows.

    Args:
        count: How many.

    Raises:
        CurateError: This process is itself a worker, or none can be started.
    """

    def __init__(self, count: int) -> None:
        if parent_process() is not None:
            raise CurateError("A worker process would start workers of its own.", _GUARD)
        context = get_context("spawn")
        threads = os.environ.get(_THREADS) or str(max(1, (os.cpu_count() or 1) // count))
        self._pipes: list[Connection[Any, Any]] = []
        self._processes = []
        for number in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(number, threads, theirs), daemon=True)
            try:
                process.start()
            except (OSError, RuntimeError) as error:
                raise CurateError(f"No worker process can be started: {error}", _GUARD) from error
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def run(self, work: Work, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Spread rows over the processes; results come as they are made.

        Raises:
            CurateError: A worker died.
            Exception: What the work raised, after all other workers are done with theirs.
        """
        counters = [work.context.count, *(context.count for _, context in work.guests)]
        try:
            for number, pipe in enumerate(self._pipes):
                pipe.send((_portable(work), rows.gather_every(len(self._pipes), number)))
        except OSError as error:
            raise self._died() from error
        left, fault = list(self._pipes), None
        while left:
            ready = wait(left)
            for pipe in [pipe for pipe in left if pipe in ready]:
                try:
                    kind, value = pipe.recv()
                except (EOFError, OSError) as lost:
                    raise self._died() from lost
                if kind == "frame":
                    yield value
                elif kind == "counts":
                    for count, counts in zip(counters, value, strict=True):
                        for name, times in counts.items():
                            count(name, times)
                else:
                    left.remove(pipe)
                    fault = fault or value
        if fault is not None:
            raise fault

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
        for pipe in self._pipes:
            pipe.close()

    def _died(self) -> CurateError:
        for process in self._processes:
            process.join(timeout=1)
        codes = [p.exitcode for p in self._processes if p.exitcode is not None]
        self.close()
        if -signal.SIGKILL in codes:
            return CurateError(
                "A worker process was killed.",
                "Was there memory enough? Run again with fewer --workers: what was computed is "
                "remembered.",
            )
        return CurateError(
            f"A worker process ended (exit code {codes[0] if codes else 'unknown'}).",
            f"What it printed says why. {_GUARD}",
        )


def _portable(work: Work) -> Work:
    """Work without what belongs to this process."""
    guests = [(stage, _bare(context)) for stage, context in work.guests]
    return replace(work, context=_bare(work.context), guests=guests)


def _bare(context: Context) -> Context:
    return Context(context.seed, context.models, context.fits, context.wanted, _nowhere)


def _nowhere(name: str) -> Any:
    raise AssertionError(f"the service {name} is asked for outside of a worker")


def _serve(number: int, threads: str, pipe: Connection[Any, Any]) -> None:
    """Work until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner is told, and ends its workers
    os.environ[WORKER] = str(number)
    os.environ[_THREADS] = threads
    try:
        while True:
            work, rows = pipe.recv()
            counts: list[Counter[str]] = []
            error = None
            try:
                for frame in _at_home(work, counts)(rows):
                    pipe.send(("frame", frame))
            except BrokenPipeError:
                raise
            except Exception as raised:  # carried to the runner, which knows what to do with it
                error = _carried(raised)
            pipe.send(("counts", [dict(each) for each in counts]))
            pipe.send(("done", error))
    except (EOFError, BrokenPipeError):
        return


def _at_home(work: Work, counts: list[Counter[str]]) -> Work:
    """Work with the services of this process, counting into `counts`."""

    def bound(context: Context) -> Context:
        counter: Counter[str] = Counter()
        counts.append(counter)

        def count(name: str, times: int) -> None:
            counter[name] += times

        return replace(context, service=get_registry().service, count=count)

    host = bound(work.context)
    return replace(work, context=host, guests=[(s, bound(ctx)) for s, ctx in work.guests])


def _carried(error: Exception) -> Exception:
    """The error itself where it survives the way to another process, else its words."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes, of a moment ago
    except Exception:  # classes decide how they are pickled, and may fail in any way
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
