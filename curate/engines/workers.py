"""Worker processes: each with its own copy of models, and its own GPU where there are several.

Imported by the engine `local` when it is given more than one worker.
"""

from __future__ import annotations

import os
import pickle
import queue
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from curate.contract import Context
from curate.engines.base import Work
from curate.errors import CurateError
from curate.plugins.registry import get_registry

if TYPE_CHECKING:
    import polars as pl

WORKER = "CURATE_WORKER"
"""Environment variable that tells a worker its number, from 0: the GPU that it takes."""

_THREADS = "OMP_NUM_THREADS"
_ALIVE_SECONDS = 1.0  # how often it is looked whether workers that say nothing still live


class Workers:
    """Some processes that score rows.

    They are started by `spawn`: a script that uses them must guard its own work by
    `if __name__ == "__main__":`.

    Args:
        count: How many.
    """

    def __init__(self, count: int) -> None:
        context = get_context("spawn")
        threads = os.environ.get(_THREADS) or str(max(1, (os.cpu_count() or 1) // count))
        self._results = context.Queue()
        self._tasks = [context.SimpleQueue() for _ in range(count)]
        self._processes = [
            context.Process(target=_serve, args=(number, threads, tasks, self._results))
            for number, tasks in enumerate(self._tasks)
        ]
        for process in self._processes:
            process.daemon = True
            process.start()

    def run(self, work: Work, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Spread rows over the processes; results come as they are made.

        Raises:
            CurateError: A worker died.
            Exception: What the work raised, after all other workers are done with theirs.
        """
        count = len(self._processes)
        counters = [work.context.count, *(context.count for _, context in work.guests)]
        for number, tasks in enumerate(self._tasks):
            tasks.put((_portable(work), rows.gather_every(count, number)))
        left, error = count, None
        while left:
            kind, value = self._next()
            if kind == "frame":
                yield value
            elif kind == "counts":
                for count_up, counts in zip(counters, value, strict=True):
                    for name, times in counts.items():
                        count_up(name, times)
            else:
                left -= 1
                error = error or value
        if error is not None:
            raise error

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()

    def _next(self) -> tuple[str, Any]:
        while True:
            try:
                kind, value = self._results.get(timeout=_ALIVE_SECONDS)
            except queue.Empty:
                for process in self._processes:
                    if not process.is_alive():
                        self.close()
                        raise CurateError(
                            f"A worker process died (exit code {process.exitcode}).",
                            "Was there memory enough? Run again with fewer --workers: what was "
                            "computed is remembered.",
                        ) from None
            else:
                return str(kind), value


def _portable(work: Work) -> Work:
    """Work without what belongs to this process."""
    contexts = [_bare(context) for _, context in work.guests]
    guests = [(stage, bare) for (stage, _), bare in zip(work.guests, contexts, strict=True)]
    return replace(work, context=_bare(work.context), guests=guests)


def _bare(context: Context) -> Context:
    return Context(context.seed, context.models, context.fits, context.wanted, _nowhere)


def _nowhere(name: str) -> Any:
    raise AssertionError(f"the service {name} is asked for outside of a worker")


def _serve(number: int, threads: str, tasks: Any, results: Any) -> None:
    """Work until the process is ended."""
    os.environ[WORKER] = str(number)
    os.environ[_THREADS] = threads
    while True:
        work, rows = tasks.get()
        counts: list[Counter[str]] = []
        error = None
        try:
            mine = _at_home(work, counts)
            for frame in mine(rows):
                results.put(("frame", frame))
        except Exception as raised:  # carried to the runner, which knows what to do with it
            error = _carried(raised)
        results.put(("counts", [dict(each) for each in counts]))
        results.put(("done", error))


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
