"""What the runner hands from stage to stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from curate.asking import LLM, LlmExpandStage, LlmScoreStage
from curate.engines.base import Engine
from curate.memo.store import Memo
from curate.plugins.registry import Registry
from curate.run.observe import Observer

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from curate.run.resolve import ResolvedStep


@dataclass(frozen=True)
class Tools:
    """The means of a run.

    Attributes:
        observers: Told of everything that happens.
        preview: Whether only the first rows of each source are there.
        paid: Folder of a memo from which alone answers of paid endpoints come, while nothing else
            of it is used; None: the memo's own, and endpoints are asked.
        made: Services that were made for one stage alone, by its id and their names.
        answers: Paid answers that remembered values were made of, as a lock names them, by key,
            for each stage.
    """

    registry: Registry
    memo: Memo
    engine: Engine
    seed: int
    observers: Sequence[Observer] = ()
    preview: bool = False
    paid: Path | None = None
    made: dict[tuple[str, str], Any] = field(default_factory=dict)
    answers: dict[str, dict[str, str]] = field(default_factory=dict)

    def service(self, resolved: ResolvedStep) -> Callable[[str], Any]:
        """What a stage finds services with; those made for it alone are made once a run."""

        def find(name: str) -> Any:
            parameter = resolved.served.get(name)
            if parameter is None:
                return self.registry.service(name)
            key = (resolved.step.id, name)
            if key not in self.made:
                given = getattr(resolved.step.stage.params, parameter)
                self.made[key] = self.registry.service(name).open(
                    given,
                    resolved.models.get(parameter),
                    self.memo.folder,
                    resolved.step.id,
                    self.paid,
                )
            return self.made[key]

        return find

    def account(self, resolved: ResolvedStep) -> dict[str, Any]:
        """What the services that were made for a stage say that it took, by name."""
        return {
            name: self.made[resolved.step.id, name].account()
            for name in resolved.served
            if (resolved.step.id, name) in self.made
        }

    def remembered(self, resolved: ResolvedStep, rows: pl.DataFrame) -> None:
        """Note which paid answers the remembered values of rows were made of, for the lock."""
        stage = resolved.step.stage
        if rows.is_empty() or not isinstance(stage, LlmScoreStage | LlmExpandStage):
            return
        found = self.registry.service(LLM).answered(
            stage.params.llm,
            resolved.models.get(LLM),
            self.memo.folder,
            rows.iter_rows(named=True),
            stage.ask,
        )
        self.answers.setdefault(resolved.step.id, {}).update(found)

    def paid_answers(self, resolved: ResolvedStep) -> list[str]:
        """The paid answers that a stage was made of, as a lock names them, sorted."""
        found = dict(self.answers.get(resolved.step.id, {}))
        session = self.made.get((resolved.step.id, LLM))
        if session is not None:
            found |= session.answers
        return sorted(found.values())

    def close(self) -> None:
        """End services that were made for stages, and the engine."""
        for service in self.made.values():
            service.close()
        self.engine.close()

    def tell(self, event: str, facts: Mapping[str, Any]) -> None:
        """Tell all observers of an event, by the name of their method."""
        for observer in self.observers:
            getattr(observer, event)(facts)
