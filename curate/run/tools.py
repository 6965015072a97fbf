"""What the runner hands from stage to stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from curate.asking import LLM, LlmExpandStage, LlmScoreStage
from curate.engines.base import Engine
from curate.memo.store import Memo
from curate.plugins.registry import Registry
from curate.run.observe import Watch

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from curate.run.resolved import ResolvedStep


@dataclass(frozen=True)
class Tools:
    """The means of a run.

    Attributes:
        watch: Told of everything that happens.
        preview: Whether only the first rows of each source are there.
        paid: Folder of a memo from which alone answers of paid endpoints come, while nothing else
            of it is used; None: the memo's own, and endpoints are asked.
        made: Services that were made for one stage alone, by its id and their names.
        advances: How far stages are: contents done and to be done, by id.
    """

    registry: Registry
    memo: Memo
    engine: Engine
    seed: int
    watch: Watch = field(default_factory=Watch)
    preview: bool = False
    paid: Path | None = None
    made: dict[tuple[str, str], Any] = field(default_factory=dict)
    advances: dict[str, tuple[int, int]] = field(default_factory=dict)

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
                    lambda: self.advance(resolved),
                )
            return self.made[key]

        return find

    def recall(self, resolved: ResolvedStep, rows: pl.DataFrame) -> None:
        """Let a stage's model count the answers behind rows that the memo knows as used.

        Args:
            resolved: The stage.
            rows: `id` and its inputs.
        """
        stage = resolved.step.stage
        if len(rows) and isinstance(stage, LlmScoreStage | LlmExpandStage):
            self.service(resolved)(LLM).recall(rows.iter_rows(named=True), stage.ask)

    def account(self, resolved: ResolvedStep) -> dict[str, Any]:
        """What the services that were made for a stage say that it took, by name."""
        return {
            name: self.made[resolved.step.id, name].account()
            for name in resolved.served
            if (resolved.step.id, name) in self.made
        }

    def paid_answers(self, resolved: ResolvedStep) -> list[str]:
        """The paid answers that a stage was made of, as a lock names them, sorted."""
        session = self.made.get((resolved.step.id, LLM))
        return [] if session is None else sorted(session.paid_answers())

    def close(self) -> None:
        """End services that were made for stages, the engine, and the use of the memo."""
        for service in self.made.values():
            service.close()
        self.engine.close()
        self.memo.close()

    def tell(self, event: str, facts: Mapping[str, Any]) -> None:
        """Tell all observers of an event, by the name of their method."""
        self.watch.tell(event, facts)

    def advance(
        self, resolved: ResolvedStep, done: int | None = None, total: int | None = None
    ) -> None:
        """Tell how far a stage is.

        Args:
            resolved: The step.
            done: Contents that it has computed; None: as many as before, or as its service says.
            total: Contents that it has to compute; None: as many as before.
        """
        id = resolved.step.id
        before = self.advances.get(id)
        if before is None and (done is None or total is None):
            return  # what asks does not say how much it will ask
        known_done, known_total = before or (0, 0)
        done = known_done if done is None else done
        total = known_total if total is None else total
        services = self.account(resolved)
        if LLM in services:
            done = max(done, min(total, services[LLM]["done"]))
        self.advances[id] = done, total
        facts = {"id": id, "done": done, "total": total, "services": services}
        self.watch.advance("stage_advanced", facts, last=done in (0, total))
