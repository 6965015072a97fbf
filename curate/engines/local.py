"""The engine `local`: in this process, one piece of work after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from curate.hookspecs import hookimpl

if TYPE_CHECKING:
    import polars as pl

    from curate.engines.base import Engine

CURATE_API = 1


class LocalEngine:
    """Runs everything in this process."""

    def run(
        self, work: Callable[[pl.DataFrame], Iterator[pl.DataFrame]], rows: pl.DataFrame
    ) -> Iterator[pl.DataFrame]:
        """See `curate.engines.base.Engine`."""
        return work(rows)


@hookimpl
def register_engines(register: Callable[[Callable[[], Engine]], None]) -> None:
    """Offer the engine."""
    register(LocalEngine)
