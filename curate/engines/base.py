"""The seam: an engine takes work and rows, and hands back results in any order and grouping."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import polars as pl

    from curate.contract import Context, ScoreStage


@dataclass(frozen=True)
class Work:
    """Scoring, in a form that can be sent elsewhere: stage, fitted arrays and services by name."""

    stage: ScoreStage
    context: Context

    def __call__(self, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Score rows (`id` and the inputs)."""
        return self.stage.stream(rows, self.context)


class Engine(Protocol):
    """Runs work over rows.

    The values of a row-scoped stage depend on each row alone, so an engine may cut and order rows
    as it likes. An exception of the work ends the iteration; what was handed over before counts.
    """

    def run(
        self, work: Callable[[pl.DataFrame], Iterator[pl.DataFrame]], rows: pl.DataFrame
    ) -> Iterator[pl.DataFrame]:
        """Hand over the results of `work` on `rows` as they come."""
        ...
