"""The seam: an engine takes work and rows, and hands back results in any order and grouping."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from curate.passes import ForwardStage, pass_together

if TYPE_CHECKING:
    import polars as pl

    from curate.contract.context import Context
    from curate.contract.stages import ScoreStage


@dataclass(frozen=True)
class Work:
    """Scoring, in a form that can be sent elsewhere: stage, fitted arrays and services by name.

    Args:
        stage: What scores.
        context: What it may know.
        guests: Stages that take part in its forward pass; they and it read the same inputs.
        here: It cannot be sent elsewhere: a service works for it alone, with limits that hold for
            the whole run.
    """

    stage: ScoreStage
    context: Context
    guests: Sequence[tuple[ForwardStage, Context]] = ()
    here: bool = False

    def __call__(self, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Score rows (`id` and the inputs); outputs of guests are columns `<id>.<output>`."""
        if not self.guests:
            yield from self.stage.stream(rows, self.context)
            return
        assert isinstance(self.stage, ForwardStage)
        for frame, *others in pass_together([(self.stage, self.context), *self.guests], rows):
            pairs = zip(self.guests, others, strict=True)
            yield frame.with_columns(
                other[name].alias(f"{guest.id}.{name}")
                for (guest, ctx), other in pairs
                for name in ctx.wanted
            )

    @property
    def extra(self) -> list[str]:
        """The columns of guests."""
        return [f"{guest.id}.{name}" for guest, ctx in self.guests for name in ctx.wanted]

    def alone(self) -> Work:
        """The same without guests."""
        return replace(self, guests=())


class Engine(Protocol):
    """Runs work over rows.

    The values of a row-scoped stage depend on each row alone, so an engine may cut and order rows
    as it likes. An exception of the work ends the iteration; what was handed over before counts.
    """

    def run(self, work: Work, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Hand over the results of `work` on `rows` as they come."""
        ...

    def close(self) -> None:
        """End whatever was started."""
        ...
