"""The engine `local`: on this machine, in this process or in several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from curate.engines.base import Work
from curate.hookspecs import hookimpl

if TYPE_CHECKING:
    import polars as pl

    from curate.engines.base import Engine
    from curate.engines.workers import Workers

CURATE_API = 1

_LEAST = 64  # rows a worker: below this starting one costs more than it saves


class LocalEngine:
    """Runs everything on this machine.

    Args:
        workers: Processes that score rows; with one, it is this process that does.
    """

    def __init__(self, workers: int = 1) -> None:
        self._count = workers
        self._workers: Workers | None = None

    def run(self, work: Work, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """See `curate.engines.base.Engine`."""
        if self._count == 1 or len(rows) < _LEAST * self._count:
            yield from work(rows)
            return
        if self._workers is None:
            from curate.engines.workers import Workers

            self._workers = Workers(self._count)
        yield from self._workers.run(work, rows)

    def close(self) -> None:
        """See `curate.engines.base.Engine`."""
        if self._workers is not None:
            self._workers.close()
            self._workers = None


@hookimpl
def register_engines(register: Callable[[Callable[[int], Engine]], None]) -> None:
    """Offer the engine."""
    register(LocalEngine)
